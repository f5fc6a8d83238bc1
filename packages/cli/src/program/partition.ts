/** `tributary partition …`. */
import { type Command, Option } from 'commander';
import { offsetOrEnd, timestamp, wholeNumber } from '../option-values.ts';
import { examples, withConnection } from './options.ts';

export function addPartition(program: Command): void {
  const partition = program
    .command('partition')
    .description('Offsets of partitions, and deletion of records')
    .addHelpText('after', examples('partition offsets events'));
  const offsets = partition
    .command('offsets <topic>')
    .description('Show the first and the end offset of each partition, or the offset of a time')
    .option('--partition <number>', 'this partition only', wholeNumber(0))
    .addOption(
      new Option('--spec <which>', 'one offset only: the first, the end, or that of the newest timestamp').choices([
        'earliest',
        'latest',
        'max-timestamp',
      ]),
    )
    .addOption(
      new Option('--timestamp <time>', 'the first record at or after it: ms since 1970, or as 2026-01-31T12:00:00Z')
        .argParser(timestamp)
        .conflicts('spec'),
    )
    .addHelpText(
      'after',
      examples('partition offsets events', 'partition offsets events --timestamp 2026-01-31T12:00:00Z'),
    );
  withConnection(offsets).action(async (topic, options) =>
    (await import('../commands/partition-offsets.ts')).partitionOffsets(topic, options),
  );
  const remove = partition
    .command('delete-records <topic>')
    .description('Take the oldest records of a partition away for ever')
    .requiredOption('--partition <number>', 'of this partition', wholeNumber(0))
    .requiredOption('--before-offset <number|end>', 'records before this offset go; end: all of them', offsetOrEnd)
    .option('--dry-run', 'say how many records and bytes would go, and delete nothing')
    .addHelpText(
      'after',
      examples(
        'partition delete-records events --partition 0 --before-offset 1000 --dry-run',
        'partition delete-records events --partition 0 --before-offset end',
      ),
    );
  withConnection(remove).action(async (topic, options) =>
    (await import('../commands/partition-delete-records.ts')).partitionDeleteRecords(topic, options),
  );
}
