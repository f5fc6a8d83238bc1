import type { GroupOffsetReset, ResetOffset } from '@tributary/client';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import { orNone } from '../group/description.ts';
import type { TopicSelection } from '../group/selection.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

interface ResetOptions extends ConnectionOptions {
  readonly toEarliest?: true;
  readonly toLatest?: true;
  readonly toOffset?: bigint;
  /** Milliseconds since 1970. */
  readonly toDatetime?: number;
  readonly shiftBy?: bigint;
  readonly topic?: readonly TopicSelection[];
  readonly allTopics?: true;
  readonly dryRun?: true;
}

const see = 'See: tributary group reset-offsets --help';

/** Exit code 1 when a partition stays as it is. */
export async function groupResetOffsets(groupId: string, options: ResetOptions): Promise<void> {
  const to = goalOf(options);
  if (options.topic === undefined && options.allTopics !== true)
    throw new UsageError(`Of which topics? Name them with --topic, or give --all-topics. ${see}`);
  await using cluster = await open(options);
  const validateOnly = options.dryRun ?? false;
  const of = options.topic ?? 'committed';
  const results = await cluster.admin.groups.resetOffsets(groupId, { to, of }, { validateOnly });
  if (results.some(({ error }) => error !== undefined)) process.exitCode = 1;
  await print(options.output === 'json' ? json(groupId, results, validateOnly) : text(groupId, results, validateOnly));
}

function goalOf({ toEarliest, toLatest, toOffset, toDatetime, shiftBy }: ResetOptions): GroupOffsetReset['to'] {
  if (toEarliest === true) return { kind: 'earliest' };
  if (toLatest === true) return { kind: 'latest' };
  if (toOffset !== undefined) return { kind: 'offset', offset: toOffset };
  if (toDatetime !== undefined) return { kind: 'time', timestampMs: toDatetime };
  if (shiftBy !== undefined) return { kind: 'shift', by: shiftBy };
  throw new UsageError(`From where? Give --to-earliest, --to-latest, --to-offset, --to-datetime or --shift-by. ${see}`);
}

function json(groupId: string, results: readonly ResetOffset[], dryRun: boolean): string {
  const partitions = results.map(({ topic, partition, before, after, error }) => ({
    topic,
    partition,
    before: before === undefined ? null : Number(before),
    after: after === undefined ? null : Number(after),
    error: error === undefined ? null : { error: error.error, message: error.message },
  }));
  return JSON.stringify({ group: groupId, dryRun, partitions });
}

function text(groupId: string, results: readonly ResetOffset[], isDry: boolean): string {
  if (results.length === 0) return `Group ${groupId} has committed nothing: there is nothing to reset.`;
  const rows = results.map(({ topic, partition, before, after }) => {
    return [groupId, topic, partition, orNone(before), orNone(after)];
  });
  const failures = results.flatMap(({ topic, partition, error }) =>
    error === undefined ? [] : [`${topic}/${partition} stays as it is: ${error.message}`],
  );
  return [
    ...(isDry ? [`Dry run: the offsets of group ${groupId} stay as they are.\n`] : []),
    table(['GROUP', 'TOPIC', 'PARTITION', 'OLD-OFFSET', 'NEW-OFFSET'], rows).trimEnd(),
    ...failures,
  ].join('\n');
}
