/**
 * `tributary consume --group`: a member of the group like any other. Ctrl-C and SIGTERM bring it to an end: what has been printed is committed, and the
 * group is left, so that the others have its partitions at once.
 */
import { type Consumer, type Tributary, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import { InterruptedError, say, UsageError } from '../failure.ts';
import { counted } from '../figures.ts';
import { Interruption } from '../interruption.ts';
import { placeOf, type RecordPrinter } from '../record-printer.ts';
import type { ConsumeOptions } from './consume.ts';

/** With --exit-at-end: how soon it is noticed that there is nothing more, ms. */
const endPollMs = 200;

export async function consumeInGroup(
  topics: readonly string[],
  groupId: string,
  options: ConsumeOptions,
  printer: RecordPrinter,
): Promise<void> {
  const { groupInstanceId, pattern, fromBeginning, partition, offset } = options;
  if (groupId === '') throw new UsageError('--group is empty: give the group a name. See: tributary consume --help');
  if (partition !== undefined || offset !== undefined)
    throw new UsageError(
      `--${partition === undefined ? 'offset' : 'partition'} and --group exclude each other: the group shares the partitions out, and goes on from what it has committed. See: tributary consume --help`,
    );
  using interruption = new Interruption();
  const { signal } = interruption;
  {
    await using cluster = await open(options);
    await sayAbsent(cluster, topics);
    await using consumer = cluster.consumer({
      groupId,
      autoOffsetReset: fromBeginning === true ? 'earliest' : 'latest',
      ...(groupInstanceId === undefined ? {} : { groupInstanceId }),
    });
    const unlessInterrupted = (thrown: unknown): void => {
      if (!signal.aborted) throw thrown;
    };
    await consumer.subscribe({ topics, pattern }, { signal }).catch(unlessInterrupted);
    const hasNothing = async (): Promise<boolean> => {
      const group = await cluster.admin.groups.describe(groupId, { lag: false }).catch((thrown: unknown) => {
        // Its coordinator changes: asked again.
        if (!TributaryError.from(thrown).retriable) throw thrown;
      });
      const me = group?.members.find(({ memberId }) => memberId === consumer.groupMetadata?.memberId);
      return group?.phase === 'stable' && me?.assigned.length === 0 && me.target.length === 0;
    };
    const isLeftOut = options.exitAtEnd === true ? hasNothing : undefined;
    if (!signal.aborted) await run(consumer, printer, isLeftOut, signal).catch(unlessInterrupted);
    await printer.flush();
    // All that was handed out has been printed, the last records included.
    if (printer.printed > 0) await consumer.commit();
  }
  if (!signal.aborted) return;
  const place = groupInstanceId === undefined ? 'has been left' : `keeps a place for ${groupInstanceId}`;
  throw new InterruptedError(
    `Interrupted after ${counted(printer.printed, 'record')}, which are committed; the group ${groupId} ${place}.`,
  );
}

/** @param isLeftOut whether the group has shared its partitions out and none is for this member; undefined: reading does not end by itself. */
async function run(
  consumer: Consumer,
  printer: RecordPrinter,
  isLeftOut: (() => Promise<boolean>) | undefined,
  signal: AbortSignal,
): Promise<void> {
  const ends = new Map<string, bigint>();
  while (!printer.done) {
    const timeoutMs = isLeftOut === undefined ? Number.POSITIVE_INFINITY : endPollMs;
    await printer.print(await consumer.pollGrouped({ maxRecords: printer.wanted, timeoutMs, signal }));
    if (isLeftOut !== undefined && (await isAtEnd(consumer, ends, isLeftOut))) return;
  }
}

/** All that this member has been given has been read up to where it ended when it was given; or it is given nothing, as there are more members than partitions. */
async function isAtEnd(
  consumer: Consumer,
  ends: Map<string, bigint>,
  isLeftOut: () => Promise<boolean>,
): Promise<boolean> {
  const { assignment } = consumer;
  if (assignment.length === 0) return await isLeftOut();
  const unknown = assignment.filter((each) => !ends.has(placeOf(each)));
  for (const each of await consumer.endOffsets(unknown)) ends.set(placeOf(each), each.offset);
  for (const each of assignment) if ((await consumer.position(each)) < (ends.get(placeOf(each)) ?? 0n)) return false;
  return true;
}

/** A mistyped name must not look like a quiet topic. */
async function sayAbsent({ admin }: Tributary, topics: readonly string[]): Promise<void> {
  const there = new Set((await admin.listTopics()).map(({ name }) => name));
  for (const topic of topics) if (!there.has(topic)) say(`There is no topic "${topic}" yet: it is read once there is.`);
}
