import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { limits, offset, type TopicId } from '@tributary/model';
import type { TopicInfo } from '@tributary/metadata';
import type { Clock } from '@tributary/ports';
import { encodeBatch } from '@tributary/record';
import type { Partition } from '../../src/partition/partition.ts';
import { SharedChunks } from '../../src/rpc/shared-chunks.ts';
import { SubscribedPartition } from '../../src/rpc/subscribed-partition.ts';
import { Subscription, type SubscriptionParts } from '../../src/rpc/subscription.ts';
import { Turns } from '../../src/turns.ts';
import { HeldReader } from './held-reader.ts';

const recordsPerBatch = 1_000;
const batches = 200;
const value = Buffer.alloc(100, 'x');
const clock: Clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: () => turn() };

/** Of two hundred thousand records, given out a batch at a time. @param reads counts. */
function partitionOf(reads: { count: number }): Partition {
  const end = offset(BigInt(recordsPerBatch * batches));
  const partition = {
    startOffset: offset(0n),
    highWatermark: end,
    latest: () => end,
    onReadable: () => () => undefined,
    state: { role: { kind: 'leading', epoch: 1 }, checkLeader: () => undefined, staged: end, name: 't-0' },
    read: (from: bigint) => {
      if (from >= end) return { kind: 'end' };
      reads.count++;
      const base = offset(from - (from % BigInt(recordsPerBatch)));
      const records = [
        encodeBatch(
          Array.from({ length: recordsPerBatch }, () => ({ value })),
          { baseOffset: base },
        ),
      ];
      return { kind: 'records', records, next: offset(base + BigInt(recordsPerBatch)) };
    },
  };
  return partition as unknown as Partition;
}

test('a client that does not read makes its subscription stop reading the log, and gets everything once it does', async () => {
  const reads = { count: 0 };
  const partition = partitionOf(reads);
  const stream = new HeldReader();
  const parts = {
    replicas: { find: () => partition, me: 1 },
    clock,
    turns: new Turns(clock),
    chunks: new SharedChunks(),
    observer: { fetched: () => undefined, refused: () => undefined },
  } as unknown as SubscriptionParts;
  const gone = new AbortController();
  const subscription = new Subscription('id', { creditBytes: 0n, stopAtEnd: false }, stream, parts, gone.signal);
  const topic = { topicId: 'id' as TopicId, name: 't', partitions: 1 } as TopicInfo;
  await subscription.add(new SubscribedPartition(topic, 0, { kind: 'beginning' }, subscription.wake));
  for (let wait = 0; wait < 200; wait++) await turn();
  const before = { reads: reads.count, records: stream.records };
  assert.ok(before.reads > 5 && before.reads < batches / 4, `${before.reads} reads`);
  for (let wait = 0; wait < 200; wait++) await turn();
  assert.deepEqual({ reads: reads.count, records: stream.records }, before);
  while (stream.records < recordsPerBatch * batches) {
    stream.takeAll();
    await turn();
  }
  assert.ok(stream.queuedMost < limits.streamQueue + 2 * limits.subscribeChunk, `${stream.queuedMost} bytes queued`);
  subscription.close();
});
