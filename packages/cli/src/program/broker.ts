/** `tributary broker …`. */
import type { Command } from 'commander';
import { nodeNumber } from '../option-values.ts';
import { examples, withConnection, withSettings } from './options.ts';

export function addBroker(program: Command): void {
  const broker = program
    .command('broker')
    .description('What brokers are, hold and use; their settings')
    .addHelpText('after', examples('broker describe', 'broker alter --set log.retention.ms=86400000 --dry-run'));
  const describe = broker
    .command('describe')
    .argument('[id]', 'node id (default: every broker)', nodeNumber)
    .description('Show brokers: their partitions, disks, limits and settings')
    .addHelpText('after', examples('broker describe', 'broker describe 1 --output json'));
  withConnection(describe).action(async (id, options) =>
    (await import('../commands/broker-describe.ts')).brokerDescribe(id, options),
  );
  const alter = broker
    .command('alter')
    .argument('[id]', 'node id (default: all brokers, and the defaults of topics)', nodeNumber)
    .description('Change the settings of one broker or of all')
    .addHelpText(
      'after',
      examples(
        'broker alter --set log.retention.ms=86400000 --dry-run',
        'broker alter 1 --set max.connections=5000 --delete open.files.max',
      ),
    );
  withConnection(withSettings(alter)).action(async (id, options) =>
    (await import('../commands/broker-alter.ts')).brokerAlter(id, options),
  );
}
