/** `tributary partition …`. */
import { type Command, Option } from 'commander';
import { offsetOrEnd, partitionNumbers, timestamp, wholeNumber } from '../option-values.ts';
import { examples, withConnection } from './options.ts';

export function addPartition(program: Command): void {
  const partition = program
    .command('partition')
    .description('Offsets of partitions, deletion of records, and elections of leaders')
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
  const elect = partition
    .command('elect')
    .argument('[topic]', 'of this topic')
    .argument('[partitions...]', 'these partitions (default: all of the topic)', partitionNumbers)
    .description(
      'Make the preferred replica of partitions their leader again: the first of their replicas, when it is in sync',
    )
    .option('--all', 'every partition of every topic that another replica leads')
    .option(
      '--unclean',
      'for partitions that nobody can lead: elect somebody who may lack acknowledged records, which are then lost',
    )
    .option('--dry-run', 'say who would lead, and change nothing')
    .addHelpText(
      'after',
      examples(
        'partition elect events',
        'partition elect --all --dry-run',
        'partition elect events 3 --unclean --dry-run',
      ),
    );
  withConnection(elect).action(async (topic, partitions, options) =>
    (await import('../commands/partition-elect.ts')).partitionElect(topic, partitions ?? [], options),
  );
}
