/** `tributary group …`. */
import { type Command, Option } from 'commander';
import { topicSelections } from '../group/selection.ts';
import { distinctNames, offsetNumber, shift, timestamp, wholeNumber } from '../option-values.ts';
import { examples, prose, withConnection } from './options.ts';

/** How often `describe --watch` looks, s: a snapshot asks every leader that the group reads from. */
const watchSeconds = 1;

export function addGroup(program: Command): void {
  const group = program
    .command('group')
    .description('Consumer groups: who is in them, how far they are behind, and where they go on')
    .addHelpText(
      'after',
      examples('group list', 'group describe billing', 'group reset-offsets billing --to-earliest --topic events'),
    );
  const list = group
    .command('list')
    .description('List the groups')
    .addHelpText('after', examples('group list', 'group list --output json'));
  withConnection(list).action(async (options) => (await import('../commands/group-list.ts')).groupList(options));
  addDescribe(group);
  addReset(group);
  const remove = group
    .command('delete')
    .argument('<groups...>', 'groups without members', distinctNames)
    .description('Delete groups, with all that they have committed')
    .option('--dry-run', 'say what would go, and delete nothing')
    .addHelpText('after', examples('group delete billing --dry-run', 'group delete billing audit'));
  withConnection(remove).action(async (groups, options) =>
    (await import('../commands/group-delete.ts')).groupDelete(groups, options),
  );
  const offsets = withTopics(
    group.command('delete-offsets <group>').description('Take away what a group has committed for topics'),
  )
    .option('--dry-run', 'say what would go, and delete nothing')
    .addHelpText(
      'after',
      examples(
        'group delete-offsets billing --topic events',
        'group delete-offsets billing --topic events:0,2 --dry-run',
      ),
    )
    .addHelpText('after', prose('Of partitions that no member of the group has: whoever reads on commits again.'));
  withConnection(offsets).action(async (id, options) =>
    (await import('../commands/group-delete-offsets.ts')).groupDeleteOffsets(id, options),
  );
}

function addDescribe(group: Command): void {
  const describe = group
    .command('describe <group>')
    .description('Show how far a group is behind in each partition, and who reads it')
    .option('--offsets', 'the partitions: what is shown where nothing else is asked for')
    .option('--members', 'the members, and what each has')
    .option('--watch', 'go on looking: redrawn in place on a terminal, else a line for each change')
    .option('--interval <seconds>', 'with --watch: how often it looks', wholeNumber(1, 3_600), watchSeconds)
    .addHelpText(
      'after',
      examples(
        'group describe billing',
        'group describe billing --members --offsets',
        'group describe billing --watch',
        'group describe billing --output json',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'LAG counts offsets, LAG-SECONDS is the age of the first record that is not committed (~: estimated). STATE is ok, catching_up, stalled (its member does not poll, or has not moved on), no_members, rebalancing, no_commit, unreachable_data (no leader answers), or expiring (the group is empty, and its commits are about to go). - stands where there is nothing. A warning says when retention will delete what has not been read. --output json prints one object; with --watch one for each change.',
      ),
    );
  withConnection(describe).action(async (id, options) =>
    (await import('../commands/group-describe.ts')).groupDescribe(id, options),
  );
}

function addReset(group: Command): void {
  const goals = ['toEarliest', 'toLatest', 'toOffset', 'toDatetime', 'shiftBy'];
  const goal = (name: string, option: Option): Option => option.conflicts(goals.filter((each) => each !== name));
  const reset = group
    .command('reset-offsets <group>')
    .description('Let a group without members go on from elsewhere')
    .addOption(goal('toEarliest', new Option('--to-earliest', 'from the oldest record')))
    .addOption(goal('toLatest', new Option('--to-latest', 'from the end: only what comes later')))
    .addOption(goal('toOffset', new Option('--to-offset <number>', 'from this offset').argParser(offsetNumber)))
    .addOption(
      goal(
        'toDatetime',
        new Option(
          '--to-datetime <time>',
          'from the first record at or after it: ms since 1970, or as 2026-01-31T12:00:00Z',
        ).argParser(timestamp),
      ),
    )
    .addOption(
      goal('shiftBy', new Option('--shift-by <number>', 'so many offsets on, or back (-10)').argParser(shift)),
    );
  withTopics(reset)
    .addOption(new Option('--all-topics', 'all that the group has committed something for').conflicts('topic'))
    .option('--dry-run', 'say from where to where, and change nothing')
    .addHelpText(
      'after',
      examples(
        'group reset-offsets billing --to-earliest --topic events --dry-run',
        'group reset-offsets billing --to-datetime 2026-01-31T12:00:00Z --all-topics',
        'group reset-offsets billing --shift-by -100 --topic events:0,2',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'What lies before the oldest record or behind the end is moved there. Ends with 1 when a partition stays as it is.',
      ),
    );
  withConnection(reset).action(async (id, options) =>
    (await import('../commands/group-reset-offsets.ts')).groupResetOffsets(id, options),
  );
}

function withTopics(command: Command): Command {
  return command.option(
    '--topic <name[:partitions]>',
    'of this topic, or of these partitions of it (events:0,2); may be repeated',
    topicSelections,
  );
}
