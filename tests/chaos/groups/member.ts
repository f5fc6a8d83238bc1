/**
 * A member of a group as a process of its own: `node member.ts PLAN`. What it hands out, commits and is given it says at once: a write to a pipe is over when it
 * returns, so that a kill loses no line. Its commits follow one upon the other, so that one is nearly always on its way. SIGTERM: it closes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TopicPartition, TributaryError } from '@tributary/client';
import { type Line, type MemberPlan, nowMs } from './line.ts';

const plan: MemberPlan = JSON.parse(process.argv[2] ?? '{}');
const pollMs = 200;
const pollRecords = 50;
const commitPauseMs = 15;
/** Whoever handles late is killed meanwhile. */
const lateMs = 400;
/** What can happen to a member that has been slow or alone: it goes on under another membership. */
const expected = [
  'INVALID_REQUEST',
  'STALE_MEMBER_EPOCH',
  'UNKNOWN_MEMBER_ID',
  'FENCED_MEMBER_EPOCH',
  'FENCED_INSTANCE_ID',
];

function say(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function failed(thrown: unknown): void {
  const { error, retriable, message } = TributaryError.from(thrown);
  if (!retriable && !expected.includes(error)) say({ kind: 'failed', at: nowMs(), error: `${error}: ${message}` });
}

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const cluster = await connect({ bootstrap: plan.bootstrap, clientId: plan.clientId });
const { groupId, sessionTimeoutMs, isStrict: strictOwnership, topic } = plan;
const consumer = cluster.consumer({
  ...{ groupId, sessionTimeoutMs, strictOwnership },
  ...{ autoCommit: false, autoOffsetReset: 'earliest' },
});
/** The next offset of each partition that the application is done with, and what is known to be committed. */
const handled = new Map<number, bigint>();
const stored = new Map<number, bigint>();
let commits = 0;

async function commit(offsets: readonly (readonly [number, bigint])[], timeoutMs: number): Promise<void> {
  const number = ++commits;
  say({ kind: 'committing', at: nowMs(), commit: number });
  try {
    await consumer.commit(
      offsets.map(([partition, offset]) => ({ topic, partition, offset })),
      { timeoutMs },
    );
    say({ kind: 'committed', at: nowMs(), commit: number, offsets: offsets.map(([p, offset]) => [p, Number(offset)]) });
    for (const [partition, offset] of offsets) stored.set(partition, offset);
  } catch (thrown) {
    say({ kind: 'refused', at: nowMs(), commit: number, error: TributaryError.from(thrown).error });
    failed(thrown);
  }
}

async function commitOn(): Promise<void> {
  while (!stop.signal.aborted) {
    const news = [...handled].filter(([partition, offset]) => stored.get(partition) !== offset);
    if (news.length > 0) await commit(news, 30_000);
    await sleep(commitPauseMs);
  }
}

function relinquish(partitions: readonly TopicPartition[]): (readonly [number, bigint])[] {
  const numbers = partitions.map(({ partition }) => partition);
  say({ kind: 'relinquished', at: nowMs(), partitions: numbers });
  const own = [...handled].filter(([partition]) => numbers.includes(partition));
  for (const number of numbers) {
    handled.delete(number);
    stored.delete(number);
  }
  return own;
}

async function join(): Promise<void> {
  for (;;) {
    try {
      await consumer.subscribe({
        topics: [topic],
        onAssigned: (partitions) =>
          say({ kind: 'assigned', at: nowMs(), partitions: partitions.map(({ partition }) => partition) }),
        onRevoked: async (partitions) => {
          const own = relinquish(partitions);
          if (own.length > 0) await commit(own, 5_000);
        },
        onLost: (partitions) => void relinquish(partitions),
      });
      return;
    } catch (thrown) {
      failed(thrown);
      await sleep(100);
    }
  }
}

await join();
const committing = plan.commitsFirst ? Promise.resolve() : commitOn();
while (!stop.signal.aborted) {
  try {
    const groups = await consumer.pollGrouped({ timeoutMs: pollMs, maxRecords: pollRecords, signal: stop.signal });
    const at = nowMs();
    const ends = groups.map(({ partition, records }) => [partition, (records.at(-1)?.offset ?? -1n) + 1n] as const);
    if (plan.commitsFirst && groups.length > 0) {
      await commit(ends, 30_000);
      await sleep(lateMs);
    }
    for (const { partition, records } of groups)
      say({ kind: 'handed', at, partition, offsets: records.map(({ offset }) => Number(offset)) });
    for (const [partition, offset] of ends) handled.set(partition, offset);
  } catch (thrown) {
    if (!stop.signal.aborted) failed(thrown);
  }
}
await committing;
await consumer.close();
await cluster.close();
