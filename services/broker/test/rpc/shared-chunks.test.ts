import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset } from '@tributary/model';
import type { SubscribedRecords } from '@tributary/wire';
import type { Partition } from '../../src/partition/partition.ts';
import { SharedChunks } from '../../src/rpc/shared-chunks.ts';
import { fromBeginning, record, withBroker } from './one-broker.ts';

interface Here {
  highWatermark: bigint;
  startOffset: bigint;
  readonly state: { role: { kind: 'leading'; epoch: number } | { kind: 'waiting' } };
}

const partitionAt = (highWatermark: bigint): Here & Partition => {
  const here: Here = { highWatermark, startOffset: 0n, state: { role: { kind: 'leading', epoch: 3 } } };
  return here as unknown as Here & Partition;
};

function chunkOf(highWatermark: bigint) {
  const answer = { highWatermark } as SubscribedRecords;
  return { answer, from: offset(5n), next: offset(9n), bytes: 100 };
}

test('a chunk is given to others only while reading would say just the same', () => {
  const changes: readonly ((here: Here) => void)[] = [
    (here) => (here.highWatermark = 10n),
    (here) => (here.startOffset = 6n),
    (here) => (here.state.role = { kind: 'leading', epoch: 4 }),
    (here) => (here.state.role = { kind: 'waiting' }),
  ];
  for (const change of changes) {
    const chunks = new SharedChunks();
    const partition = partitionAt(9n);
    chunks.join(partition);
    chunks.keep(partition, chunkOf(9n));
    assert.equal(chunks.find(partition, offset(5n))?.next, 9n);
    assert.equal(chunks.find(partition, offset(4n)), undefined);
    change(partition);
    assert.equal(chunks.find(partition, offset(5n)), undefined);
  }
});

test('chunks are kept for so many partitions, and go with their last reader', () => {
  const chunks = new SharedChunks();
  const partitions = Array.from({ length: limits.sharedChunks + 1 }, () => partitionAt(9n));
  const leaves = partitions.map((partition) => chunks.join(partition));
  for (const partition of partitions) chunks.keep(partition, chunkOf(9n));
  const found = partitions.filter((partition) => chunks.find(partition, offset(5n)) !== undefined);
  assert.deepEqual([found.length, found.includes(partitions[0] ?? partitionAt(0n))], [limits.sharedChunks, false]);
  const last = partitions.at(-1) ?? partitionAt(0n);
  assert.equal(chunks.isShared(last), false);
  const leave = chunks.join(last);
  assert.equal(chunks.isShared(last), true);
  leave();
  leaves.at(-1)?.();
  assert.equal(chunks.find(last, offset(5n)), undefined);
});

test('many subscriptions of one log each get every record once, in order, whatever their credit', async () => {
  await withBroker(31, async (calls) => {
    await calls.createTopic('t', 1);
    await calls.publish('t', [record('first')]);
    const subscriptions = [0n, 0n, 40n, 0n, 1_000n].map((creditBytes) => ({
      creditBytes,
      subscribed: calls.subscribe({ topics: [fromBeginning('t')], creditBytes }),
    }));
    for (const { subscribed } of subscriptions) await subscribed.until(() => subscribed.values().length === 1);
    const values = ['first'];
    for (let round = 0; round < 20; round++) {
      const fresh = Array.from({ length: 1 + (round % 3) }, (_, index) => `${round}.${index}`);
      values.push(...fresh);
      await calls.publish(
        't',
        fresh.map((value) => record(value)),
      );
    }
    for (const { creditBytes, subscribed } of subscriptions) {
      if (creditBytes > 0n) await calls.grantCredit(subscribed.id, 100_000n);
      await subscribed.until(() => subscribed.values().length >= values.length);
      assert.deepEqual(subscribed.values(), values);
    }
  });
});
