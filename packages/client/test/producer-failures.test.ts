import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseSequenceOf, decodeBatch, producerIdOf } from '@tributary/record';
import { serializers } from '../src/serializers.ts';
import { failsWith } from './fails-with.ts';
import { world } from './world.ts';

test('a record above maxRequestBytes is refused at once, with both sizes', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ maxRequestBytes: 1_000 });
  assert.throws(
    () => producer.send({ topic: 't', value: 'x'.repeat(1_000) }),
    failsWith('MESSAGE_TOO_LARGE', /has 1040 bytes.*maxRequestBytes is 1000/),
  );
  // Three bytes each as UTF-8.
  assert.throws(
    () => producer.send({ topic: 't', value: '€'.repeat(340) }),
    failsWith('MESSAGE_TOO_LARGE', /has 1060 bytes/),
  );
  assert.throws(
    () => producer.send({ topic: 't', value: '', headers: { big: 'x'.repeat(1_000) } }),
    failsWith('MESSAGE_TOO_LARGE', /maxRequestBytes/),
  );
  await producer.send({ topic: 't', value: 'x'.repeat(900) });
});

test('a batch that the broker finds too large is split until it fits, each record once, in order', async () => {
  await using w = await world();
  const partition = w.cluster.createTopic('t', 1).partitions[0];
  assert.ok(partition);
  partition.maxBatchBytes = 300;
  const producer = w.client.producer({ batchSize: 5_000 });
  const sent = Array.from({ length: 200 }, (_, index) =>
    producer.send({ topic: 't', value: `${index}`.padStart(60), timestamp: 1000 + index }),
  );
  const metadata = await Promise.all(sent);
  assert.deepEqual(
    metadata.map(({ offset }) => offset),
    sent.map((_, index) => BigInt(index)),
  );
  assert.deepEqual(
    metadata.map(({ timestamp }) => timestamp),
    sent.map((_, index) => 1000 + index),
  );
  assert.deepEqual(
    partition.values.map((value) => Number(value)),
    sent.map((_, index) => index),
  );
  // One record that can be split no further says so, with the broker's sizes.
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 't', value: 'x'.repeat(400) })),
    failsWith('MESSAGE_TOO_LARGE', /max\.message\.bytes is 300/),
  );
  assert.equal((await producer.send({ topic: 't', value: 'after' })).offset, 200n);
  assert.equal(producer.bufferedBytes, 0);
});

test('a batch that may have been appended before is split all the same: its sequence would have been known (P2)', async () => {
  await using w = await world();
  const partition = w.cluster.createTopic('t', 1).partitions[0];
  assert.ok(partition);
  partition.maxBatchBytes = 300;
  let refusals = 1;
  w.cluster.produceFault = () => (refusals-- > 0 ? { kind: 'refuse', error: 'NOT_LEADER_OR_FOLLOWER' } : undefined);
  const producer = w.client.producer({ batchSize: 5_000 });
  const values = Array.from({ length: 20 }, (_, index) => `${index}`.padStart(60));
  await producer.sendAll(values.map((value) => ({ topic: 't', value })));
  assert.deepEqual(partition.values, values);
});

test('a topic that does not exist is waited for within a bound, then the error names it and the command', async () => {
  await using w = await world();
  const producer = w.client.producer();
  const begin = w.clock.monotonicMs();
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 'absent', value: 'x' })),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /no topic "absent".*tributary topic create absent/),
  );
  assert.ok(w.clock.monotonicMs() - begin < 7_000);
  assert.equal(producer.bufferedBytes, 0);
  const late = producer.send({ topic: 'late', value: 'x' });
  await w.pass(1_000);
  w.cluster.createTopic('late', 1);
  assert.equal((await late).offset, 0n);
  w.cluster.createTopic('absent', 1);
  assert.equal((await producer.send({ topic: 'absent', value: 'x' })).offset, 0n);
});

test('a topic that is deleted under a producer fails its records; made anew, it takes the next ones', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: 'a' });
  w.cluster.topics.delete('t');
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 't', value: 'b' })),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /tributary topic create t/),
  );
  const { partitions } = w.cluster.createTopic('t', 1);
  await producer.send({ topic: 't', value: 'c' });
  assert.deepEqual(partitions[0]?.values, ['c']);
  // At once this time: the producer hears of the new one from the refusal.
  const again = w.cluster.createTopic('t', 1);
  await producer.send({ topic: 't', value: 'd' });
  assert.deepEqual(again.partitions[0]?.values, ['d']);
});

test('a partition that the topic does not have is refused, and named with those it has', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 2);
  const producer = w.client.producer();
  const early = producer.send({ topic: 't', partition: 7, value: 'x' });
  await assert.rejects(
    Promise.resolve(early),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 7 of topic "t".*2 partitions, 0 to 1/),
  );
  for (const partition of [2, -1, 0.5]) {
    assert.throws(
      () => producer.send({ topic: 't', partition, value: 'x' }),
      failsWith('UNKNOWN_TOPIC_OR_PARTITION', /2 partitions, 0 to 1/),
    );
  }
});

test('failures that nobody awaits are reported by flush and onError, once, and never as unhandled rejections', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const told: string[] = [];
  const producer = w.client.producer({
    batchSize: 1,
    onError: ({ records, error }) => told.push(`${records} ${error.error}`),
  });
  w.cluster.produceFault = () => ({ kind: 'refuse', error: 'INVALID_TIMESTAMP' });
  producer.send({ topic: 't', value: 'a' });
  producer.send({ topic: 't', value: 'b' });
  await assert.rejects(producer.flush(), failsWith('INVALID_TIMESTAMP', /2 records were not acknowledged/));
  await producer.flush();
  const awaited = producer.send({ topic: 't', value: 'c' }).then(
    () => 'acknowledged',
    () => 'refused',
  );
  await producer.flush();
  assert.equal(await awaited, 'refused');
  assert.deepEqual(told, ['1 INVALID_TIMESTAMP', '1 INVALID_TIMESTAMP', '1 INVALID_TIMESTAMP']);
});

test('a batch given up in doubt gives the next one another producer id, from sequence 0, in its partition only (P4)', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 2);
  const producer = w.client.producer({ deliveryTimeoutMs: 100 });
  await producer.sendAll([
    { topic: 't', partition: 0, value: 'a' },
    { topic: 't', partition: 1, value: 'a' },
  ]);
  let swallow = true;
  w.cluster.produceFault = (_, { partition }) => (swallow && partition === 0 ? { kind: 'swallow' } : undefined);
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 't', partition: 0, value: 'lost' })),
    failsWith('REQUEST_TIMED_OUT', /Whether they were appended is unknown/),
  );
  swallow = false;
  await producer.sendAll([
    { topic: 't', partition: 0, value: 'b' },
    { topic: 't', partition: 1, value: 'b' },
  ]);
  const ids = [0, 1].map((partition) =>
    w.cluster.partition('t', partition).batches.map((batch) => [producerIdOf(batch, 0), baseSequenceOf(batch, 0)]),
  );
  assert.deepEqual(ids, [
    [
      [1n, 0],
      [2n, 0],
    ],
    [
      [1n, 0],
      [1n, 1],
    ],
  ]);
});

test('a broker that forgot an idle producer gets a new one, and nobody notices (P3)', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: 'a' });
  w.cluster.partition('t', 0).producers.clear();
  await producer.sendAll(['b', 'c'].map((value) => ({ topic: 't', value })));
  assert.deepEqual(w.cluster.partition('t', 0).values, ['a', 'b', 'c']);
});

test('a repeat that the broker no longer recognises fails as unknown: it may have been there before it was forgotten', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: 'a' });
  let breaks = 1;
  w.cluster.produceFault = () => (breaks-- > 0 ? { kind: 'append-and-break' } : undefined);
  const doubtful = producer.send({ topic: 't', value: 'b' });
  await w.pass(2);
  w.cluster.partition('t', 0).producers.clear();
  await assert.rejects(Promise.resolve(doubtful), failsWith('UNKNOWN_PRODUCER_ID', /./));
  await producer.send({ topic: 't', value: 'c' });
  assert.deepEqual(w.cluster.partition('t', 0).values, ['a', 'b', 'c']);
});

test('records follow the leader', async () => {
  await using w = await world({ brokers: ['a:1', 'b:1'] });
  const partition = w.cluster.createTopic('t', 1).partitions[0];
  assert.ok(partition);
  const producer = w.client.producer({ batchSize: 1 });
  for (let index = 0; index < 10; index++) {
    const sent = Array.from({ length: 5 }, (_, each) => producer.send({ topic: 't', value: `${index * 5 + each}` }));
    partition.leader = partition.leader === 1 ? 2 : 1;
    partition.epoch++;
    await Promise.all(sent);
  }
  assert.deepEqual(
    partition.values,
    Array.from({ length: 50 }, (_, index) => `${index}`),
  );
});

test('bytes that a connection may still read are not written over by later records', async () => {
  await using w = await world({ latencyMs: 10 });
  w.cluster.createTopic('t', 2);
  const producer = w.client.producer({ deliveryTimeoutMs: 50 });
  await producer.sendAll([
    { topic: 't', partition: 0, value: 'known' },
    { topic: 't', partition: 1, value: 'known' },
  ]);
  w.network.encodesLate = true;
  const slow = w.client.producer({ deliveryTimeoutMs: 5 });
  await w.pass(50);
  const given = slow.send({ topic: 't', partition: 0, value: 'first!' });
  await assert.rejects(Promise.resolve(given), failsWith('REQUEST_TIMED_OUT', /./));
  const next = slow.send({ topic: 't', partition: 1, value: 'second' });
  await assert.rejects(Promise.resolve(next), failsWith('REQUEST_TIMED_OUT', /./));
  await w.pass(50);
  assert.ok(
    w.cluster.partition('t', 0).values.every((value) => value !== 'second'),
    'partition 0 has what was sent to it',
  );
  assert.deepEqual(w.cluster.partition('t', 0).values, ['known', 'first!']);
});

test('what cannot be serialised is refused when it is sent, naming topic, part and reason', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const plain = w.client.producer();
  assert.throws(
    // @ts-expect-error: a number without a serializer.
    () => plain.send({ topic: 't', value: 42 }),
    failsWith('INVALID_RECORD', /value of a record for topic "t".*42 \(number\).*serializer/),
  );
  // @ts-expect-error: undefined is not a tombstone.
  assert.throws(() => plain.send({ topic: 't', value: undefined }), failsWith('INVALID_RECORD', /undefined/));
  assert.throws(() => plain.send({ topic: 't', value: 'x', timestamp: 0.5 }), failsWith('INVALID_TIMESTAMP', /0\.5/));
  const numbers = w.client.producer({
    keySerializer: serializers.int32,
    valueSerializer: serializers.json<{ a: number }>(),
  });
  assert.throws(
    () => numbers.send({ topic: 't', key: 1.5, value: { a: 1 } }),
    failsWith('INVALID_RECORD', /key of a record/),
  );
  await numbers.send({ topic: 't', key: 258, value: { a: 1 } });
  const record = decodeBatch(w.cluster.partition('t', 0).batches.at(-1) ?? new Uint8Array()).records[0];
  assert.deepEqual([...(record?.key ?? [])], [0, 0, 1, 2]);
  assert.equal(record?.valueText(), '{"a":1}');
});

test('bad options are refused with their name, value and what is allowed', async () => {
  await using w = await world();
  assert.throws(() => w.client.producer({ batchSize: -1 }), failsWith('INVALID_CONFIG', /-1.*batchSize.*whole number/));
  // @ts-expect-error: no such acks.
  assert.throws(() => w.client.producer({ acks: 2 }), failsWith('INVALID_CONFIG', /acks.*0, 1 or 'all'/));
  assert.throws(
    () => w.client.producer({ acks: 1, idempotent: true }),
    failsWith('INVALID_CONFIG', /idempotent.*acks is 'all'/),
  );
  // @ts-expect-error: no such codec.
  assert.throws(() => w.client.producer({ compression: 'rar' }), failsWith('INVALID_CONFIG', /compression.*zstd/));
});
