import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import { baseSequenceOf, compressionOf, attributesOf, decodeBatch, producerIdOf } from '@tributary/record';
import { serializers } from '../src/serializers.ts';
import { world } from './world.ts';

const failsWith = (error: string, sentence: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof TributaryError, String(thrown));
  assert.equal(thrown.error, error);
  assert.match(thrown.message, sentence);
  return true;
};

test('awaiting a send tells topic, partition, offset and timestamp', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  assert.deepEqual(await producer.send({ topic: 't', value: 'a', timestamp: 42 }), { topic: 't', partition: 0, offset: 0n, timestamp: 42 });
  const second = producer.send({ topic: 't', value: 'b' });
  const third = producer.send({ topic: 't', value: 'c', timestamp: 50 });
  await producer.flush();
  // Awaited long after it is done, and out of order.
  assert.deepEqual(await third, { topic: 't', partition: 0, offset: 2n, timestamp: 50 });
  assert.equal((await second).offset, 1n);
  assert.ok(Math.abs((await second).timestamp - w.clock.wallMs()) < 1000);
});

test('keys, values, headers, timestamps and tombstones arrive as they were sent, with every compression', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 1);
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    const producer = w.client.producer({ compression });
    await producer.sendAll([
      { topic: 't', key: 'k', value: 'v'.repeat(500), headers: { a: 'x', b: Buffer.from([1, 2]), c: null }, timestamp: 7 },
      { topic: 't', key: Buffer.from([255]), value: null, headers: [{ key: 'twice', value: '1' }, { key: 'twice', value: '2' }] },
    ]);
    const batch = partitions[0]?.batches.at(-1);
    assert.ok(batch);
    assert.equal(compressionOf(attributesOf(batch, 0)), compression);
    const [first, second] = decodeBatch(batch).records;
    assert.equal(first?.keyText(), 'k');
    assert.equal(first?.valueText(), 'v'.repeat(500));
    assert.equal(first?.timestamp, 7);
    assert.deepEqual(
      first?.headers.map(({ key, value }) => [key, value === null ? null : [...value]]),
      [['a', [120]], ['b', [1, 2]], ['c', null]],
    );
    assert.deepEqual([...(second?.key ?? [])], [255]);
    assert.equal(second?.value, null);
    assert.deepEqual(second?.headers.map(({ key }) => key), ['twice', 'twice']);
    await producer.close();
  }
});

test('a record is copied when it is sent: what happens to its bytes later changes nothing', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ lingerMs: 10 });
  const value = Buffer.from('before');
  const key = Buffer.from('key');
  producer.send({ topic: 't', key, value });
  value.write('after!');
  key.write('yek');
  await producer.flush();
  producer.send({ topic: 't', value });
  value.write('beyond');
  await producer.flush();
  assert.deepEqual(w.cluster.partition('t', 0).values, ['before', 'after!']);
});

test('with acks 0 a send ends when it is handed over, without an offset', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ acks: 0 });
  const sent = Array.from({ length: 20 }, (_, index) => producer.send({ topic: 't', value: `${index}` }));
  assert.equal((await Promise.all(sent))[19]?.offset, undefined);
  await producer.close();
  await w.pass(10);
  assert.deepEqual(w.cluster.partition('t', 0).values, sent.map((_, index) => `${index}`));
});

test('without idempotence the order is kept under retries, because one batch at a time is on its way', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  let count = 0;
  w.cluster.produceFault = () => (count++ % 3 === 0 ? { kind: 'refuse', error: 'NOT_ENOUGH_REPLICAS' } : undefined);
  const producer = w.client.producer({ acks: 1, batchSize: 1 });
  await producer.sendAll(Array.from({ length: 30 }, (_, index) => ({ topic: 't', value: `${index}` })));
  assert.deepEqual(w.cluster.partition('t', 0).values, Array.from({ length: 30 }, (_, index) => `${index}`));
  assert.equal(w.cluster.mostInFlight, 1);
});

test('several batches of a partition are on their way at once, five at most (P1)', async () => {
  await using w = await world({ latencyMs: 20 });
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ batchSize: 1 });
  await producer.sendAll(Array.from({ length: 30 }, (_, index) => ({ topic: 't', value: `${index}` })));
  assert.equal(w.cluster.mostInFlight, 5);
  assert.equal(w.cluster.partition('t', 0).values.length, 30);
});

test('batches of several partitions go in one message', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 10);
  const producer = w.client.producer();
  await producer.send({ topic: 't', partition: 0, value: 'first' });
  const before = w.clock.monotonicMs();
  await producer.sendAll(Array.from({ length: 10 }, (_, partition) => ({ topic: 't', partition, value: 'x' })));
  assert.ok(w.clock.monotonicMs() - before < 5, 'one round trip');
  for (let partition = 0; partition < 10; partition++) assert.equal(w.cluster.partition('t', partition).values.at(-1), 'x');
});

test('lingering fills batches; a full one, or a flush, does not wait', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const { batches } = w.cluster.partition('t', 0);
  const producer = w.client.producer({ lingerMs: 100, batchSize: 500 });
  await producer.send({ topic: 't', value: 'known' });
  const begin = w.clock.monotonicMs();
  const first = producer.send({ topic: 't', value: 'a' });
  await w.pass(50);
  const second = producer.send({ topic: 't', value: 'b' });
  assert.equal(batches.length, 1);
  await Promise.all([first, second]);
  assert.equal(batches.length, 2);
  assert.ok(w.clock.monotonicMs() - begin >= 100);
  const full = w.clock.monotonicMs();
  const filling = Array.from({ length: 8 }, () => producer.send({ topic: 't', value: 'x'.repeat(100) }));
  await filling[0];
  assert.ok(w.clock.monotonicMs() - full < 20);
  const flushed = w.clock.monotonicMs();
  await producer.flush();
  assert.ok(w.clock.monotonicMs() - flushed < 20);
});

test('what is accepted and not acknowledged never exceeds the bound; ready says when there is room', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 3);
  const producer = w.client.producer({ maxBufferedBytes: 20_000, maxRequestBytes: 2_000, batchSize: 1_000 });
  await producer.send({ topic: 't', value: 'known' });
  let refused = 0;
  for (let index = 0; index < 100; index++) {
    try {
      producer.send({ topic: 't', value: 'x'.repeat(1_000) });
    } catch (thrown) {
      refused++;
      failsWith('THROTTLING_QUOTA_EXCEEDED', /maxBufferedBytes is 20000.*ready/)(thrown);
    }
    assert.ok(producer.bufferedBytes <= 20_000, `${producer.bufferedBytes} bytes`);
  }
  assert.ok(refused > 70);
  await producer.flush();
  assert.equal(producer.bufferedBytes, 0);
  for (let index = 0; index < 100; index++) {
    producer.send({ topic: 't', value: 'y'.repeat(1_500) });
    assert.ok(producer.bufferedBytes <= 20_000);
    const full = producer.ready();
    if (full !== undefined) await full;
  }
  await producer.flush();
  const kept = [0, 1, 2].flatMap((partition) => w.cluster.partition('t', partition).values);
  assert.equal(kept.filter((value) => value.startsWith('y')).length, 100);
});

test('waiting for room ends lingering: records do not wait for each other', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 8);
  const producer = w.client.producer({ lingerMs: 3_600_000, maxBufferedBytes: 8_000, maxRequestBytes: 1_000, batchSize: 100_000 });
  await w.pass(5);
  let partition = 0;
  while (producer.ready() === undefined) producer.send({ topic: 't', partition: partition++ % 8, value: 'x'.repeat(900) });
  await producer.ready();
  assert.equal(producer.bufferedBytes, 0);
});

test('a record above maxRequestBytes is refused at once, with both sizes', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ maxRequestBytes: 1_000 });
  assert.throws(() => producer.send({ topic: 't', value: 'x'.repeat(1_000) }), failsWith('MESSAGE_TOO_LARGE', /has 1040 bytes.*maxRequestBytes is 1000/));
  // Three bytes each as UTF-8.
  assert.throws(() => producer.send({ topic: 't', value: '€'.repeat(340) }), failsWith('MESSAGE_TOO_LARGE', /has 1060 bytes/));
  assert.throws(() => producer.send({ topic: 't', value: '', headers: { big: 'x'.repeat(1_000) } }), failsWith('MESSAGE_TOO_LARGE', /maxRequestBytes/));
  await producer.send({ topic: 't', value: 'x'.repeat(900) });
});

test('a batch that the broker finds too large is split until it fits, each record once, in order', async () => {
  await using w = await world();
  const partition = w.cluster.createTopic('t', 1).partitions[0];
  assert.ok(partition);
  partition.maxBatchBytes = 300;
  const producer = w.client.producer({ batchSize: 5_000 });
  const sent = Array.from({ length: 200 }, (_, index) => producer.send({ topic: 't', value: `${index}`.padStart(60), timestamp: 1000 + index }));
  const metadata = await Promise.all(sent);
  assert.deepEqual(metadata.map(({ offset }) => offset), sent.map((_, index) => BigInt(index)));
  assert.deepEqual(metadata.map(({ timestamp }) => timestamp), sent.map((_, index) => 1000 + index));
  assert.deepEqual(partition.values.map((value) => Number(value)), sent.map((_, index) => index));
  // One record that can be split no further says so, with the broker's sizes.
  await assert.rejects(Promise.resolve(producer.send({ topic: 't', value: 'x'.repeat(400) })), failsWith('MESSAGE_TOO_LARGE', /max\.message\.bytes is 300/));
  assert.equal((await producer.send({ topic: 't', value: 'after' })).offset, 200n);
  assert.equal(producer.bufferedBytes, 0);
});

test('a topic that does not exist is waited for within a bound, then the error names it and the command', async () => {
  await using w = await world();
  const producer = w.client.producer();
  const begin = w.clock.monotonicMs();
  await assert.rejects(Promise.resolve(producer.send({ topic: 'absent', value: 'x' })), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /no topic "absent".*tributary topic create absent/));
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
  await assert.rejects(Promise.resolve(producer.send({ topic: 't', value: 'b' })), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /tributary topic create t/));
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
  await assert.rejects(Promise.resolve(early), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 7 of topic "t".*2 partitions, 0 to 1/));
  for (const partition of [2, -1, 0.5]) {
    assert.throws(() => producer.send({ topic: 't', partition, value: 'x' }), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /2 partitions, 0 to 1/));
  }
});

test('failures that nobody awaits are reported by flush and onError, once, and never as unhandled rejections', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const told: string[] = [];
  const producer = w.client.producer({ batchSize: 1, onError: ({ records, error }) => told.push(`${records} ${error.error}`) });
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
  await producer.sendAll([{ topic: 't', partition: 0, value: 'a' }, { topic: 't', partition: 1, value: 'a' }]);
  let swallow = true;
  w.cluster.produceFault = (_, { partition }) => (swallow && partition === 0 ? { kind: 'swallow' } : undefined);
  await assert.rejects(Promise.resolve(producer.send({ topic: 't', partition: 0, value: 'lost' })), failsWith('REQUEST_TIMED_OUT', /Whether they were appended is unknown/));
  swallow = false;
  await producer.sendAll([{ topic: 't', partition: 0, value: 'b' }, { topic: 't', partition: 1, value: 'b' }]);
  const ids = [0, 1].map((partition) => w.cluster.partition('t', partition).batches.map((batch) => [producerIdOf(batch, 0), baseSequenceOf(batch, 0)]));
  assert.deepEqual(ids, [[[1n, 0], [2n, 0]], [[1n, 0], [1n, 1]]]);
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
  assert.deepEqual(partition.values, Array.from({ length: 50 }, (_, index) => `${index}`));
});

test('bytes that a connection may still read are not written over by later records', async () => {
  await using w = await world({ latencyMs: 10 });
  w.cluster.createTopic('t', 2);
  const producer = w.client.producer({ deliveryTimeoutMs: 50 });
  await producer.sendAll([{ topic: 't', partition: 0, value: 'known' }, { topic: 't', partition: 1, value: 'known' }]);
  w.network.encodesLate = true;
  const slow = w.client.producer({ deliveryTimeoutMs: 5 });
  await w.pass(50);
  const given = slow.send({ topic: 't', partition: 0, value: 'first!' });
  await assert.rejects(Promise.resolve(given), failsWith('REQUEST_TIMED_OUT', /./));
  const next = slow.send({ topic: 't', partition: 1, value: 'second' });
  await assert.rejects(Promise.resolve(next), failsWith('REQUEST_TIMED_OUT', /./));
  await w.pass(50);
  assert.ok(w.cluster.partition('t', 0).values.every((value) => value !== 'second'), 'partition 0 has what was sent to it');
  assert.deepEqual(w.cluster.partition('t', 0).values, ['known', 'first!']);
});

test('what cannot be serialised is refused when it is sent, naming topic, part and reason', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const plain = w.client.producer();
  // @ts-expect-error: a number without a serializer.
  assert.throws(() => plain.send({ topic: 't', value: 42 }), failsWith('INVALID_RECORD', /value of a record for topic "t".*42 \(number\).*serializer/));
  // @ts-expect-error: undefined is not a tombstone.
  assert.throws(() => plain.send({ topic: 't', value: undefined }), failsWith('INVALID_RECORD', /undefined/));
  assert.throws(() => plain.send({ topic: 't', value: 'x', timestamp: 0.5 }), failsWith('INVALID_TIMESTAMP', /0\.5/));
  const numbers = w.client.producer({ keySerializer: serializers.int32, valueSerializer: serializers.json<{ a: number }>() });
  assert.throws(() => numbers.send({ topic: 't', key: 1.5, value: { a: 1 } }), failsWith('INVALID_RECORD', /key of a record/));
  await numbers.send({ topic: 't', key: 258, value: { a: 1 } });
  const record = decodeBatch(w.cluster.partition('t', 0).batches.at(-1) ?? new Uint8Array()).records[0];
  assert.deepEqual([...(record?.key ?? [])], [0, 0, 1, 2]);
  assert.equal(record?.valueText(), '{"a":1}');
});

test("a user's own partitioner decides where no partition is named, and a bad answer is refused", async () => {
  await using w = await world();
  w.cluster.createTopic('t', 4);
  const producer = w.client.producer({ partitioner: (_, key, partitions) => (key === 'bad' ? partitions : key === null ? 3 : 1) });
  await producer.send({ topic: 't', value: 'known', partition: 0 });
  assert.equal((await producer.send({ topic: 't', key: 'k', value: 'x' })).partition, 1);
  assert.equal((await producer.send({ topic: 't', value: 'x' })).partition, 3);
  assert.equal((await producer.send({ topic: 't', key: 'k', partition: 2, value: 'x' })).partition, 2);
  assert.throws(() => producer.send({ topic: 't', key: 'bad', value: 'x' }), failsWith('INVALID_RECORD', /answered 4 for topic "t", which has 4 partitions/));
});

test('closing sends what waits; an aborted close fails what is left; closed, nothing is taken', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ lingerMs: 3_600_000 });
  producer.send({ topic: 't', value: 'a' });
  await producer.close();
  assert.deepEqual(w.cluster.partition('t', 0).values, ['a']);
  assert.throws(() => producer.send({ topic: 't', value: 'b' }), failsWith('INVALID_REQUEST', /closed/));
  const stuck = w.client.producer();
  w.cluster.produceFault = () => ({ kind: 'swallow' });
  const failed = assert.rejects(Promise.resolve(stuck.send({ topic: 't', value: 'c' })), failsWith('REQUEST_TIMED_OUT', /closed before/));
  const abort = new AbortController();
  w.clock.after(50, () => abort.abort());
  await stuck.close(abort.signal);
  await failed;
});

test('bad options are refused with their name, value and what is allowed', async () => {
  await using w = await world();
  assert.throws(() => w.client.producer({ batchSize: -1 }), failsWith('INVALID_CONFIG', /-1.*batchSize.*whole number/));
  // @ts-expect-error: no such acks.
  assert.throws(() => w.client.producer({ acks: 2 }), failsWith('INVALID_CONFIG', /acks.*0, 1 or 'all'/));
  assert.throws(() => w.client.producer({ acks: 1, idempotent: true }), failsWith('INVALID_CONFIG', /idempotent.*acks is 'all'/));
  // @ts-expect-error: no such codec.
  assert.throws(() => w.client.producer({ compression: 'rar' }), failsWith('INVALID_CONFIG', /compression.*zstd/));
});
