import { type GroupDescription, type PartitionOutcome, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { TopicSelection } from '../group/selection.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface DeleteOffsetsOptions extends ConnectionOptions {
  readonly topic?: readonly TopicSelection[];
  readonly dryRun?: true;
}

/** Exit code 1 when something is still there. */
export async function groupDeleteOffsets(groupId: string, options: DeleteOffsetsOptions): Promise<void> {
  const { topic: selections, dryRun = false } = options;
  if (selections === undefined)
    throw new UsageError('Of which topics? Name them with --topic. See: tributary group delete-offsets --help');
  await using cluster = await open(options);
  const { groups } = cluster.admin;
  const group = await groups.describe(groupId, { lag: false });
  const wanted = selections.flatMap((selection) => selected(group, selection));
  const outcomes = dryRun ? wanted.map((each) => tried(group, each)) : await groups.deleteOffsets(groupId, wanted);
  if (outcomes.some(({ error }) => error !== undefined)) process.exitCode = 1;
  await print(options.output === 'json' ? json(groupId, outcomes, dryRun) : text(groupId, outcomes, dryRun));
}

interface Wanted {
  readonly topic: string;
  readonly partition: number;
}

/** @throws Error where the group has committed nothing of it. */
function selected({ groupId, partitions }: GroupDescription, { topic, partitions: numbers }: TopicSelection): Wanted[] {
  const committed = partitions.filter((each) => each.topic === topic && each.committedOffset !== undefined);
  const found = committed.filter(({ partition }) => numbers === undefined || numbers.includes(partition));
  const lacking = numbers?.find((number) => !committed.some(({ partition }) => partition === number));
  if (lacking === undefined && found.length > 0) return found.map(({ partition }) => ({ topic, partition }));
  const what = lacking === undefined ? `topic "${topic}"` : `partition ${lacking} of "${topic}"`;
  throw new Error(`Group "${groupId}" has committed nothing for ${what}.`);
}

/** What the coordinator would say. */
function tried({ members }: GroupDescription, { topic, partition }: Wanted): PartitionOutcome {
  const owner = members.find(({ topics, assigned }) => {
    return topics.includes(topic) || assigned.some((each) => each.topic === topic && each.partition === partition);
  });
  const error =
    owner === undefined
      ? undefined
      : new TributaryError(
          'GROUP_SUBSCRIBED_TO_TOPIC',
          `Member ${owner.memberId} (client ${owner.clientId} at ${owner.host}) reads it: stop it first.`,
        );
  return { topic, partition, error };
}

function json(groupId: string, outcomes: readonly PartitionOutcome[], dryRun: boolean): string {
  const partitions = outcomes.map(({ topic, partition, error }) => ({
    topic,
    partition,
    deleted: error === undefined && !dryRun,
    error: error === undefined ? null : { error: error.error, message: error.message },
  }));
  return JSON.stringify({ group: groupId, dryRun, partitions });
}

function text(groupId: string, outcomes: readonly PartitionOutcome[], isDry: boolean): string {
  const done = isDry ? 'Dry run: would delete' : 'Deleted';
  return outcomes
    .map(({ topic, partition, error }) =>
      error === undefined
        ? `${done} what group ${groupId} has committed for ${topic}/${partition}.`
        : `${topic}/${partition} stays as it is: ${error.message}`,
    )
    .join('\n');
}
