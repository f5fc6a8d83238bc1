/** `tributary cluster …`. */
import type { Command } from 'commander';
import { wholeNumber } from '../option-values.ts';
import { examples, withConnection } from './options.ts';

/** How long a controller may take to answer, s: an election takes 3. */
const healthSeconds = 10;

export function addCluster(program: Command): void {
  const cluster = program
    .command('cluster')
    .description('The cluster as a whole: its parts, and whether it is well')
    .addHelpText('after', examples('cluster describe', 'cluster health'));
  const describe = cluster
    .command('describe')
    .description('Show the controller, the brokers and their states, and what is wrong with how many partitions')
    .addHelpText('after', examples('cluster describe', 'cluster describe --output json'));
  withConnection(describe).action(async (options) =>
    (await import('../commands/cluster-describe.ts')).clusterDescribe(options),
  );
  const health = cluster
    .command('health')
    .description('Say whether all is well (exit code 0), or what is wrong and who can mend it (exit code 1)')
    .option('--timeout <seconds>', 'how long a controller may take to answer', wholeNumber(1, 3_600), healthSeconds)
    .addHelpText('after', examples('cluster health', 'cluster health --output json'));
  withConnection(health).action(async (options) =>
    (await import('../commands/cluster-health.ts')).clusterHealth(options),
  );
}
