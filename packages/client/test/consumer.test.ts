import assert from 'node:assert/strict';
import { test } from 'node:test';
import { producerEpoch, producerId, TributaryError } from '@tributary/model';
import { BatchBuilder, encodeBatch, encodeControlBatch } from '@tributary/record';
import fc from 'fast-check';
import type { Consumer } from '../src/consumer.ts';
import { serializers } from '../src/serializers.ts';
import type { FakePartition } from './fake-broker.ts';
import { type World, world } from './world.ts';

const failsWith = (error: string, sentence: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof TributaryError, String(thrown));
  assert.equal(thrown.error, error);
  assert.match(thrown.message, sentence);
  return true;
};

/** Values `0 … count − 1` from where the partition ends, `perBatch` in a batch, timestamps 1000 × offset. */
function fill(w: World, partition: FakePartition | undefined, count: number, perBatch = 10, size = 0): void {
  assert.ok(partition);
  const until = partition.end + BigInt(count);
  while (partition.end < until) {
    const records = Array.from({ length: Math.min(perBatch, Number(until - partition.end)) }, (_, index) => {
      const at = Number(partition.end) + index;
      return { value: `${at}`.padStart(size), timestamp: at * 1000 };
    });
    partition.append(encodeBatch(records));
  }
  w.cluster.wake();
}

const textConsumer = (w: World, options = {}): Consumer<Uint8Array, string> => w.client.consumer({ valueDeserializer: serializers.string, ...options });

async function take(consumer: Consumer<Uint8Array, string>, count: number): Promise<string[]> {
  const values: string[] = [];
  while (values.length < count) {
    const records = await consumer.poll({ maxRecords: Math.min(7, count - values.length), timeoutMs: 30_000 });
    assert.ok(records.length > 0, `only ${values.length} of ${count} came`);
    values.push(...records.map(({ value }) => value?.trim() ?? ''));
  }
  return values;
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, index) => `${from + index}`);

test('reading from the beginning gives every record once, in offset order, with what it was written with', async () => {
  await using w = await world();
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 100);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  const records = await consumer.poll();
  assert.ok(records.length > 0);
  assert.deepEqual(records.map((record) => record.offset), records.map((_, index) => BigInt(index)));
  const third = records[3];
  assert.deepEqual([third?.topic, third?.partition, third?.timestamp, third?.key, third?.value, third?.headers], ['t', 0, 3000, null, '3', []]);
  assert.deepEqual(await take(consumer, 100 - records.length), numbers(records.length, 100));
  assert.deepEqual(await consumer.poll({ timeoutMs: 10 }), []);
  fill(w, w.cluster.partition('t', 0), 5);
  assert.deepEqual(await take(consumer, 5), numbers(100, 105));
});

test('an offset inside a batch, the end, and a time are found', async () => {
  await using w = await world();
  fill(w, w.cluster.createTopic('t', 2).partitions[0], 100);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 37n }]);
  assert.deepEqual(await take(consumer, 5), numbers(37, 42));
  assert.equal(await consumer.position({ topic: 't', partition: 0 }), 42n);
  consumer.seek({ topic: 't', partition: 0 }, 'end');
  assert.equal(await consumer.position({ topic: 't', partition: 0 }), 100n);
  const both = [0, 1].map((partition) => ({ topic: 't', partition }));
  assert.deepEqual((await consumer.endOffsets(both)).map((each) => each.offset), [100n, 0n]);
  assert.deepEqual((await consumer.beginningOffsets(both)).map((each) => each.offset), [0n, 0n]);
  const times = await consumer.offsetsForTimes([{ topic: 't', partition: 0, timestamp: 41_500 }, { topic: 't', partition: 1, timestamp: 0 }]);
  assert.deepEqual(times.map((each) => [each.offset, each.timestamp]), [[42n, 42_000], [undefined, undefined]]);
  fill(w, w.cluster.partition('t', 0), 3);
  assert.deepEqual(await take(consumer, 3), numbers(100, 103));
});

test('a seek goes on exactly there; nothing of the old position is handed out afterwards (E1)', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(30), fc.nat(199), fc.nat(4)), { minLength: 1, maxLength: 12 }), async (steps) => {
      await using w = await world();
      fill(w, w.cluster.createTopic('t', 1).partitions[0], 200, 7);
      const consumer = textConsumer(w, { maxPartitionFetchBytes: 300 });
      await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
      let next = 0;
      for (const [count, to, pause] of steps) {
        const most = Math.min(count, 200 - next);
        assert.deepEqual(await take(consumer, most), numbers(next, next + most));
        await w.pass(pause);
        consumer.seek({ topic: 't', partition: 0 }, BigInt(to));
        next = to;
        assert.equal(await consumer.position({ topic: 't', partition: 0 }), BigInt(next));
      }
      assert.deepEqual(await take(consumer, 200 - next), numbers(next, 200));
    }),
    { numRuns: 40 },
  );
});

test('broken connections and moving leaders lose nothing and repeat nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ take: fc.nat(40), event: fc.constantFrom('break', 'move', 'both', 'nothing') }), { maxLength: 12 }), async (steps) => {
      await using w = await world({ brokers: ['a:1', 'b:1'] });
      const [partition] = w.cluster.createTopic('t', 1).partitions;
      fill(w, partition, 600, 7);
      const consumer = textConsumer(w, { maxPartitionFetchBytes: 500 });
      await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
      let next = 0;
      for (const step of steps) {
        assert.deepEqual(await take(consumer, step.take), numbers(next, next + step.take));
        next += step.take;
        if (partition !== undefined && (step.event === 'move' || step.event === 'both')) {
          partition.leader = partition.leader === 1 ? 2 : 1;
          partition.epoch++;
        }
        if (step.event === 'break' || step.event === 'both') w.network.breakStreams();
      }
      assert.deepEqual(await take(consumer, 600 - next), numbers(next, 600));
    }),
    { numRuns: 60 },
  );
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
  for (let polled = await consumer.poll({ timeoutMs: 50 }); polled.length > 0; polled = await consumer.poll({ timeoutMs: 50 })) {
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
  const groups = [await consumer.pollGrouped({ maxRecords: 10 }), await consumer.pollGrouped({ maxRecords: 10 })].flat();
  assert.ok(groups.some(({ partition }) => partition === 0) && groups.some(({ partition }) => partition === 1));
  for (const { topic, partition, records } of groups) assert.ok(records.every((record) => record.topic === topic && record.partition === partition));
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

test('an offset that is gone: earliest and latest go on, none stops with an error that names the gap', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  fill(w, partition, 100);
  partition.batches.splice(0, 5);
  partition.start = 50n;
  const at = { topic: 't', partition: 0 };
  const earliest = textConsumer(w, { autoOffsetReset: 'earliest' });
  await earliest.assign([{ ...at, offset: 3n }]);
  assert.deepEqual(await take(earliest, 50), numbers(50, 100));
  // Beyond the end is out of range too.
  earliest.seek(at, 500n);
  assert.deepEqual(await take(earliest, 50), numbers(50, 100));
  const latest = textConsumer(w, { autoOffsetReset: 'latest' });
  await latest.assign([{ ...at, offset: 3n }]);
  await w.pass(50);
  fill(w, partition, 5);
  assert.deepEqual(await take(latest, 5), numbers(100, 105));
  const none = textConsumer(w, { autoOffsetReset: 'none' });
  await none.assign([{ ...at, offset: 3n }]);
  await assert.rejects(none.poll(), failsWith('OFFSET_OUT_OF_RANGE', /Partition 0 of "t".*Offset 3 is not in 50 … 105/));
  await assert.rejects(none.poll(), failsWith('OFFSET_OUT_OF_RANGE', /./));
  none.seek(at, 'beginning');
  assert.deepEqual(await take(none, 55), numbers(50, 105));
});

test('what had come before the log was cut is handed out before the position is reset', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  fill(w, partition, 100, 10, 20);
  const batchBytes = partition.batches[0]?.length ?? 0;
  const consumer = textConsumer(w, { autoOffsetReset: 'earliest', maxPartitionFetchBytes: 4 * batchBytes });
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  await w.pass(20);
  assert.equal(w.cluster.fetched, 4 * batchBytes);
  partition.batches.splice(0, 9);
  partition.start = 90n;
  const values = await take(consumer, 21);
  // The refusal comes while there is still something to hand out.
  await w.pass(20);
  assert.deepEqual([...values, ...(await take(consumer, 29))], [...numbers(0, 40), ...numbers(90, 100)]);
});

test('a broken connection does not fetch again what is still to be handed out', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  fill(w, partition, 100, 10, 20);
  const bytes = partition?.batches.reduce((sum, batch) => sum + batch.length, 0);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  assert.deepEqual(await take(consumer, 25), numbers(0, 25));
  w.network.breakStreams();
  await w.pass(200);
  assert.deepEqual(await take(consumer, 75), numbers(25, 100));
  assert.equal(w.cluster.fetched, bytes);
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

test('a damaged batch is an error at its place, after all records before it; a seek beyond it goes on; other partitions do not notice', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 2);
  for (const partition of partitions) fill(w, partition, 50);
  const damaged = partitions[0]?.batches[2];
  assert.ok(damaged);
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 0xff;
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  const seen: string[] = [];
  let error: unknown;
  while (seen.length < 70) {
    try {
      for (const { partition, value } of await consumer.poll({ timeoutMs: 1_000 })) seen.push(`${partition}/${value}`);
    } catch (thrown) {
      assert.equal(error, undefined, 'it is told once');
      error = thrown;
    }
  }
  if (error === undefined) await assert.rejects(consumer.poll({ timeoutMs: 10 }), (thrown) => ((error = thrown), true));
  failsWith('CORRUPT_MESSAGE', /Partition 0 of "t" after offset 20.*CRC32C/)(error);
  assert.deepEqual(seen.filter((value) => value.startsWith('0/')), numbers(0, 20).map((value) => `0/${value}`));
  consumer.seek({ topic: 't', partition: 0 }, 30n);
  assert.deepEqual(await take(consumer, 20), numbers(30, 50));
});

test('control batches are skipped, and aborted records too where committed ones are asked for', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  assert.ok(partition);
  const producer = { id: producerId(9n), epoch: producerEpoch(0), baseSequence: 0 };
  partition.append(encodeBatch([{ value: 'plain' }]));
  partition.append(encodeBatch([{ value: 'aborted' }], { producer, transactional: true }));
  partition.append(encodeControlBatch({ end: 'abort', producerId: producer.id, producerEpoch: producer.epoch, coordinatorEpoch: 0, timestamp: 0 }));
  partition.append(encodeBatch([{ value: 'committed' }], { producer: { ...producer, baseSequence: 1 }, transactional: true }));
  partition.append(encodeControlBatch({ end: 'commit', producerId: producer.id, producerEpoch: producer.epoch, coordinatorEpoch: 0, timestamp: 0 }));
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
  assert.throws(() => second?.value, failsWith('INVALID_RECORD', /value in partition 0 of "t" at offset 1 cannot be deserialised/));
  assert.equal(third?.value?.a, 3);
  assert.equal(third?.value, third?.value, 'deserialised once');
});

test('a topic made anew is read by the reset policy: its offsets are not those of the old one', async () => {
  await using w = await world();
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 50);
  const consumer = textConsumer(w, { autoOffsetReset: 'earliest' });
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(consumer, 50), numbers(0, 50));
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 20);
  w.network.breakStreams();
  assert.deepEqual(await take(consumer, 20), numbers(0, 20));
});

test('an unknown topic or partition is refused when it is assigned, by name', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 2);
  const consumer = textConsumer(w);
  await assert.rejects(consumer.assign([{ topic: 'absent', partition: 0 }]), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /no topic "absent"/));
  await assert.rejects(consumer.assign([{ topic: 't', partition: 2 }]), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 2 of topic "t".*2 partitions, 0 to 1/));
  await assert.rejects(consumer.assign([{ topic: 't' }, { topic: 't', partition: 1 }]), failsWith('INVALID_REQUEST', /twice/));
  assert.throws(() => consumer.seek({ topic: 't', partition: 0 }, 0n), failsWith('INVALID_REQUEST', /not assigned/));
  await assert.rejects(consumer.endOffsets([{ topic: 't', partition: 5 }]), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 5/));
});

test('partitions that are assigned again without an offset keep their positions', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 2);
  for (const partition of partitions) fill(w, partition, 20);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(consumer, 5), numbers(0, 5));
  await consumer.assign([{ topic: 't', partition: 0 }, { topic: 't', partition: 1, offset: 18n }]);
  assert.deepEqual((await take(consumer, 17)).toSorted(), [...numbers(5, 20), '18', '19'].toSorted());
  await consumer.assign([]);
  assert.deepEqual(consumer.assignment, []);
  assert.deepEqual(await consumer.poll({ timeoutMs: 5 }), []);
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

test('a silent broker is probed, and left when it does not answer', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  fill(w, partition, 10);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(consumer, 10), numbers(0, 10));
  const { connects } = w.network;
  w.network.forgetStreams();
  fill(w, partition, 5);
  assert.deepEqual(await consumer.poll({ timeoutMs: 5_000 }), []);
  const server = w.network.servers.get('a:1');
  assert.ok(server);
  w.network.servers.delete('a:1');
  w.clock.after(8_000, () => w.network.servers.set('a:1', server));
  assert.deepEqual(await take(consumer, 5), numbers(10, 15));
  assert.ok(w.network.connects >= connects);
});
