import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compressionOf, attributesOf, decodeBatch } from '@tributary/record';
import { failsWith } from './fails-with.ts';
import { world } from './world.ts';

test('awaiting a send tells topic, partition, offset and timestamp', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  assert.deepEqual(await producer.send({ topic: 't', value: 'a', timestamp: 42 }), {
    topic: 't',
    partition: 0,
    offset: 0n,
    timestamp: 42,
  });
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
      {
        topic: 't',
        key: 'k',
        value: 'v'.repeat(500),
        headers: { a: 'x', b: Buffer.from([1, 2]), c: null },
        timestamp: 7,
      },
      {
        topic: 't',
        key: Buffer.from([255]),
        value: null,
        headers: [
          { key: 'twice', value: '1' },
          { key: 'twice', value: '2' },
        ],
      },
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
      [
        ['a', [120]],
        ['b', [1, 2]],
        ['c', null],
      ],
    );
    assert.deepEqual([...(second?.key ?? [])], [255]);
    assert.equal(second?.value, null);
    assert.deepEqual(
      second?.headers.map(({ key }) => key),
      ['twice', 'twice'],
    );
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
  assert.deepEqual(
    w.cluster.partition('t', 0).values,
    sent.map((_, index) => `${index}`),
  );
});

test('without idempotence the order is kept under retries, because one batch at a time is on its way', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  let count = 0;
  w.cluster.produceFault = () => (count++ % 3 === 0 ? { kind: 'refuse', error: 'NOT_ENOUGH_REPLICAS' } : undefined);
  const producer = w.client.producer({ acks: 1, batchSize: 1 });
  await producer.sendAll(Array.from({ length: 30 }, (_, index) => ({ topic: 't', value: `${index}` })));
  assert.deepEqual(
    w.cluster.partition('t', 0).values,
    Array.from({ length: 30 }, (_, index) => `${index}`),
  );
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
  for (let partition = 0; partition < 10; partition++)
    assert.equal(w.cluster.partition('t', partition).values.at(-1), 'x');
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
  const producer = w.client.producer({
    lingerMs: 3_600_000,
    maxBufferedBytes: 8_000,
    maxRequestBytes: 1_000,
    batchSize: 100_000,
  });
  await w.pass(5);
  let partition = 0;
  while (producer.ready() === undefined)
    producer.send({ topic: 't', partition: partition++ % 8, value: 'x'.repeat(900) });
  await producer.ready();
  assert.equal(producer.bufferedBytes, 0);
});

test("a user's own partitioner decides where no partition is named, and a bad answer is refused", async () => {
  await using w = await world();
  w.cluster.createTopic('t', 4);
  const producer = w.client.producer({
    partitioner: (_, key, partitions) => (key === 'bad' ? partitions : key === null ? 3 : 1),
  });
  await producer.send({ topic: 't', value: 'known', partition: 0 });
  assert.equal((await producer.send({ topic: 't', key: 'k', value: 'x' })).partition, 1);
  assert.equal((await producer.send({ topic: 't', value: 'x' })).partition, 3);
  assert.equal((await producer.send({ topic: 't', key: 'k', partition: 2, value: 'x' })).partition, 2);
  assert.throws(
    () => producer.send({ topic: 't', key: 'bad', value: 'x' }),
    failsWith('INVALID_RECORD', /answered 4 for topic "t", which has 4 partitions/),
  );
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
  const failed = assert.rejects(
    Promise.resolve(stuck.send({ topic: 't', value: 'c' })),
    failsWith('REQUEST_TIMED_OUT', /closed before/),
  );
  const abort = new AbortController();
  w.clock.after(50, () => abort.abort());
  await stuck.close(abort.signal);
  await failed;
});
