import assert from 'node:assert/strict';
import { test } from 'node:test';
import { producerEpoch, producerId } from '@tributary/model';
import { BatchBuilder, encodeBatch, encodeControlBatch } from '@tributary/record';
import fc from 'fast-check';
import { serializers } from '../src/serializers.ts';
import { fill, numbers, take, textConsumer } from './reading.ts';
import { failsWith } from './fails-with.ts';
import { world } from './world.ts';

test('reading from the beginning gives every record once, in offset order, with what it was written with', async () => {
  await using w = await world();
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 100);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  const records = await consumer.poll();
  assert.ok(records.length > 0);
  assert.deepEqual(
    records.map((record) => record.offset),
    records.map((_, index) => BigInt(index)),
  );
  const third = records[3];
  assert.deepEqual(
    [third?.topic, third?.partition, third?.timestamp, third?.key, third?.value, third?.headers],
    ['t', 0, 3000, null, '3', []],
  );
  assert.deepEqual(await take(consumer, 100 - records.length), numbers(records.length, 100));
  assert.deepEqual(await consumer.poll({ timeoutMs: 10 }), []);
  fill(w, w.cluster.partition('t', 0), 5);
  assert.deepEqual(await take(consumer, 5), numbers(100, 105));
});

test('buffered bytes stay within the window of each partition, and credit is given back as records are handed out (E1)', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 3);
  for (const partition of partitions) fill(w, partition, 2_000, 10, 100);
  const consumer = textConsumer(w, { maxPartitionFetchBytes: 10_000 });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  await w.pass(200);
  assert.ok(w.cluster.fetched <= 30_000, `${w.cluster.fetched} bytes fetched ahead`);
  assert.ok(w.cluster.fetched > 20_000, `${w.cluster.fetched} bytes fetched ahead`);
  await take(consumer, 6_000);
  assert.deepEqual(await consumer.poll({ timeoutMs: 20 }), []);
});

test('the bound over all partitions shrinks the share of each', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 4);
  for (const partition of partitions) fill(w, partition, 3_000, 10, 100);
  const consumer = textConsumer(w, { maxBufferedBytes: 4 * 65_536 });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  await w.pass(200);
  assert.ok(w.cluster.fetched <= 4 * 65_536, `${w.cluster.fetched} bytes fetched ahead`);
});

test('a batch larger than the window comes, alone', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  fill(w, partition, 3, 1, 20);
  fill(w, partition, 3, 1, 5_000);
  fill(w, partition, 3, 1, 20);
  const consumer = textConsumer(w, { maxPartitionFetchBytes: 300 });
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(consumer, 9), numbers(0, 9));
});

test('a batch of any size about the window comes, wherever reading begins', async () => {
  for (const size of [900, 931, 940, 1_000, 1_300, 1_900, 2_500]) {
    await using w = await world();
    const [partition] = w.cluster.createTopic('t', 1).partitions;
    fill(w, partition, 3, 1, 20);
    fill(w, partition, 3, 1, size);
    const consumer = textConsumer(w, { maxPartitionFetchBytes: 1_000 });
    for (const from of [0, 3, 4]) {
      await consumer.assign([{ topic: 't', partition: 0, offset: BigInt(from) }]);
      assert.deepEqual(await take(consumer, 6 - from), numbers(from, 6), `batches of ${size} bytes`);
    }
  }
});

test('batches of any size come through a window of any size', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.integer({ min: 1, max: 1_500 }),
      fc.integer({ min: 1, max: 9 }),
      async (all, window, most) => {
        await using w = await world();
        const [partition] = w.cluster.createTopic('t', 1).partitions;
        for (const [index, size] of all.entries())
          partition?.append(encodeBatch([{ value: `${index}`.padStart(size) }]));
        const consumer = textConsumer(w, { maxPartitionFetchBytes: window });
        await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
        const values: number[] = [];
        while (values.length < all.length) {
          const records = await consumer.poll({ maxRecords: most, timeoutMs: 5_000 });
          assert.ok(records.length > 0, `stuck after ${values.length} of ${all.length}`);
          values.push(...records.map(({ value }) => Number(value)));
        }
        assert.deepEqual(values, [...all.keys()]);
      },
    ),
    { numRuns: 100 },
  );
});

test('a paused partition hands out nothing and is granted nothing; the others go on', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 2);
  for (const partition of partitions) fill(w, partition, 500, 10, 50);
  const consumer = textConsumer(w, { maxPartitionFetchBytes: 2_000 });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  await w.pass(20);
  consumer.pause([{ topic: 't', partition: 0 }]);
  assert.deepEqual(consumer.paused, [{ topic: 't', partition: 0 }]);
  const fetched = w.cluster.fetched;
  const records: number[] = [];
  for (
    let polled = await consumer.poll({ timeoutMs: 50 });
    polled.length > 0;
    polled = await consumer.poll({ timeoutMs: 50 })
  ) {
    for (const { partition } of polled) records.push(partition);
  }
  assert.deepEqual(new Set(records), new Set([1]));
  assert.equal(records.length, 500);
  assert.ok(w.cluster.fetched - fetched < 35_000, 'only the other partition was fetched');
  consumer.resume([{ topic: 't', partition: 0 }]);
  assert.deepEqual(await take(consumer, 500), numbers(0, 500));
});

test('a partition full of records does not keep the others waiting', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 2);
  fill(w, partitions[0], 5_000);
  fill(w, partitions[1], 5);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  await w.pass(20);
  const groups = [
    await consumer.pollGrouped({ maxRecords: 10 }),
    await consumer.pollGrouped({ maxRecords: 10 }),
  ].flat();
  assert.ok(groups.some(({ partition }) => partition === 0) && groups.some(({ partition }) => partition === 1));
  for (const { topic, partition, records } of groups)
    assert.ok(records.every((record) => record.topic === topic && record.partition === partition));
});

test('iterating hands out record after record; leaving the loop and entering again goes on; positions are exact', async () => {
  await using w = await world();
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 50);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  const seen: string[] = [];
  for await (const { value } of consumer) {
    seen.push(value ?? '');
    if (seen.length === 20) break;
  }
  assert.equal(await consumer.position({ topic: 't', partition: 0 }), 20n);
  w.clock.after(100, () => fill(w, w.cluster.partition('t', 0), 10));
  for await (const { value } of consumer) {
    seen.push(value ?? '');
    if (seen.length === 60) break;
  }
  assert.deepEqual(seen, numbers(0, 60));
  const abort = new AbortController();
  w.clock.after(10, () => abort.abort(new Error('enough')));
  await assert.rejects(async () => {
    for await (const _ of consumer.records(abort.signal));
  }, /enough/);
  w.clock.after(10, () => void consumer.close());
  for await (const _ of consumer) assert.fail('nothing is left');
});

test('a paused partition that has to be opened again is granted nothing', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  consumer.pause([{ topic: 't', partition: 0 }]);
  w.network.breakStreams();
  await w.pass(200);
  fill(w, w.cluster.partition('t', 0), 100);
  assert.deepEqual(await consumer.poll({ timeoutMs: 100 }), []);
  assert.equal(w.cluster.fetched, 0);
  consumer.resume([{ topic: 't', partition: 0 }]);
  assert.deepEqual(await take(consumer, 100), numbers(0, 100));
});

test('control batches are skipped, and aborted records too where committed ones are asked for', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  const producer = { id: producerId(9n), epoch: producerEpoch(0), baseSequence: 0 };
  partition.append(encodeBatch([{ value: 'plain' }]));
  partition.append(encodeBatch([{ value: 'aborted' }], { producer, transactional: true }));
  partition.append(
    encodeControlBatch({
      end: 'abort',
      producerId: producer.id,
      producerEpoch: producer.epoch,
      coordinatorEpoch: 0,
      timestamp: 0,
    }),
  );
  partition.append(
    encodeBatch([{ value: 'committed' }], { producer: { ...producer, baseSequence: 1 }, transactional: true }),
  );
  partition.append(
    encodeControlBatch({
      end: 'commit',
      producerId: producer.id,
      producerEpoch: producer.epoch,
      coordinatorEpoch: 0,
      timestamp: 0,
    }),
  );
  partition.append(encodeBatch([{ value: 'last' }]));
  w.cluster.aborted = [{ producerId: 9n, firstOffset: 1n }];
  const uncommitted = textConsumer(w);
  await uncommitted.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(uncommitted, 4), ['plain', 'aborted', 'committed', 'last']);
  const committed = textConsumer(w, { isolationLevel: 'read_committed' });
  await committed.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(committed, 3), ['plain', 'committed', 'last']);
  assert.equal(await committed.position({ topic: 't', partition: 0 }), 6n);
});

test('gaps that compaction left are passed over', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  fill(w, partition, 60);
  partition.batches.splice(1, 2);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  assert.deepEqual(await take(consumer, 40), [...numbers(0, 10), ...numbers(30, 60)]);
  consumer.seek({ topic: 't', partition: 0 }, 15n);
  assert.deepEqual(await take(consumer, 30), numbers(30, 60));
});

test('every compression is read', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  const builder = new BatchBuilder(10_000);
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    builder.append(1, 'k', compression, [{ key: 'h', value: Buffer.from('x') }]);
    builder.append(2, null, null);
    partition.append(builder.build({ compression, copy: true }));
    builder.reset();
  }
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  assert.deepEqual(await take(consumer, 10), ['none', '', 'gzip', '', 'snappy', '', 'lz4', '', 'zstd', '']);
});

test('a value that cannot be deserialised says which record it is; the others are read', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  partition?.append(encodeBatch([{ value: '{"a":1}' }, { value: 'no json' }, { value: '{"a":3}' }]));
  const consumer = w.client.consumer({ valueDeserializer: serializers.json<{ a: number }>() });
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  const [first, second, third] = await consumer.poll();
  assert.equal(first?.value?.a, 1);
  assert.throws(
    () => second?.value,
    failsWith('INVALID_RECORD', /value in partition 0 of "t" at offset 1 cannot be deserialised/),
  );
  assert.equal(third?.value?.a, 3);
  assert.equal(third?.value, third?.value, 'deserialised once');
});

test('one reader at a time; a poll can be aborted', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', offset: 'end' }]);
  const abort = new AbortController();
  const waiting = consumer.poll({ timeoutMs: Number.POSITIVE_INFINITY, signal: abort.signal });
  await assert.rejects(consumer.poll(), failsWith('INVALID_REQUEST', /one reader/));
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  const closed = consumer.poll({ timeoutMs: Number.POSITIVE_INFINITY });
  await consumer.close();
  await assert.rejects(closed, failsWith('INVALID_REQUEST', /closed/));
});
