/** `tributary log …`. */
import type { Command } from 'commander';
import { examples, prose, withOutput } from './options.ts';

export function addLog(program: Command): void {
  const log = program
    .command('log')
    .description('Look into the files of a data directory')
    .addHelpText('after', examples('log dump data/broker-1'));
  const dump = log
    .command('dump <paths...>')
    .description('Show what files or folders of a data directory hold, and what is corrupt and where')
    .option('--batches', 'a line for each batch and index entry (the default for a file; a folder shows totals)')
    .option('--records', 'the records as well')
    .addHelpText(
      'after',
      examples(
        'log dump data/broker-1',
        'log dump data/broker-1/TOPIC_ID-0/00000000000000000000.log --records',
        'log dump --output json data/broker-1/checkpoints',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'Reads segments (.log), what is about to replace them (.swap), what recovery has cut from them (.cut), offset and time indexes, producer snapshots, meta.json and the checkpoints; a folder’s files are also checked against each other. Nothing is written or locked: a broker may be running on them. Ends with 1 when something is corrupt.',
      ),
    );
  withOutput(dump).action(async (paths, options) => (await import('../commands/log-dump.ts')).logDump(paths, options));
}
