import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bell } from '@tributary/metadata';
import { leaderEpoch, limits, partitionIndex, topicId } from '@tributary/model';
import { reportFlushed } from '../src/flush-reports.ts';
import type { NewlyFlushing } from '../src/replicas.ts';

test('of more replicas than one request holds each is reported, also while none of the first can count yet (R6)', async () => {
  const count = limits.flushReports + 1;
  const due = Array.from(
    { length: count },
    (_, index) =>
      ({
        name: { topicId: topicId('topic'), partition: partitionIndex(index) },
        partition: { log: { sync: () => Promise.resolve() } },
        leaderEpoch: leaderEpoch(0),
        revision: 1n,
      }) as unknown as NewlyFlushing,
  );
  const replicas = { newlyFlushing: () => due, flushing: new Bell() };
  const stopping = new AbortController();
  const stop = (): never => {
    stopping.abort(new Error('enough'));
    throw stopping.signal.reason;
  };
  // One round, then the first wait.
  const clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => stop() };
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const reported = new Set<number>();
  const report = async (some: readonly NewlyFlushing[]): Promise<void> => {
    assert.ok(some.length <= limits.flushReports);
    for (const { name } of some) reported.add(name.partition);
  };
  await reportFlushed(replicas, report, { clock, logger }, stopping.signal);
  assert.equal(reported.size, count);
});
