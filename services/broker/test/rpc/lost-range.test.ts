import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { TopicInfo } from '@tributary/metadata';
import { offset, type TopicId, TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import type { Partition } from '../../src/partition/partition.ts';
import { SharedChunks } from '../../src/rpc/shared-chunks.ts';
import { SubscribedPartition } from '../../src/rpc/subscribed-partition.ts';
import { Subscription, type SubscriptionParts } from '../../src/rpc/subscription.ts';
import { Turns } from '../../src/turns.ts';
import { HeldReader } from './held-reader.ts';

const clock: Clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: () => turn() };

test('L3: a range that the disk has lost ends its partition, with the offset behind it', async () => {
  const end = offset(50n);
  const partition = {
    startOffset: offset(0n),
    highWatermark: end,
    latest: () => end,
    onReadable: () => () => undefined,
    state: { role: { kind: 'leading', epoch: 1 }, checkLeader: () => undefined, staged: end, name: 't-0' },
    log: { health: { damaged: [{ from: offset(10n), to: offset(30n) }] } },
    read: () => {
      throw new TributaryError('CORRUPT_MESSAGE', 'offsets 10 to 29 are lost');
    },
  } as unknown as Partition;
  for (const [from, next] of [
    [12n, 30n],
    [40n, 40n],
  ] as const) {
    const stream = new HeldReader();
    const parts = {
      replicas: { find: () => partition, me: 1 },
      clock,
      turns: new Turns(clock),
      chunks: new SharedChunks(),
      observer: { fetched: () => undefined, refused: () => undefined },
    } as unknown as SubscriptionParts;
    const { signal } = new AbortController();
    const subscription = new Subscription('id', { creditBytes: 0n, stopAtEnd: false }, stream, parts, signal);
    const topic = { topicId: 'id' as TopicId, name: 't', partitions: 1 } as TopicInfo;
    await subscription.add(
      new SubscribedPartition(topic, 0, { kind: 'offset', offset: offset(from) }, subscription.wake),
    );
    subscription.settle(false);
    await subscription.over;
    const [told] = stream.answers.flatMap((answer) => answer.partitions);
    assert.deepEqual([told?.errorCode, told?.nextOffset], [2, next]);
  }
});
