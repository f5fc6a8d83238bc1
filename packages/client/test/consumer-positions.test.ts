import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fill, numbers, take, textConsumer } from './reading.ts';
import { failsWith } from './fails-with.ts';
import { world } from './world.ts';

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
  assert.deepEqual(
    (await consumer.endOffsets(both)).map((each) => each.offset),
    [100n, 0n],
  );
  assert.deepEqual(
    (await consumer.beginningOffsets(both)).map((each) => each.offset),
    [0n, 0n],
  );
  const times = await consumer.offsetsForTimes([
    { topic: 't', partition: 0, timestamp: 41_500 },
    { topic: 't', partition: 1, timestamp: 0 },
  ]);
  assert.deepEqual(
    times.map((each) => [each.offset, each.timestamp]),
    [
      [42n, 42_000],
      [undefined, undefined],
    ],
  );
  fill(w, w.cluster.partition('t', 0), 3);
  assert.deepEqual(await take(consumer, 3), numbers(100, 103));
});

test('a seek goes on exactly there; nothing of the old position is handed out afterwards (E1)', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(30), fc.nat(199), fc.nat(4)), { minLength: 1, maxLength: 12 }),
      async (steps) => {
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
      },
    ),
    { numRuns: 40 },
  );
});

test('broken connections and moving leaders lose nothing and repeat nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ take: fc.nat(40), event: fc.constantFrom('break', 'move', 'both', 'nothing') }), {
        maxLength: 12,
      }),
      async (steps) => {
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
      },
    ),
    { numRuns: 60 },
  );
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
  await assert.rejects(
    none.poll(),
    failsWith('OFFSET_OUT_OF_RANGE', /Partition 0 of "t".*Offset 3 is not in 50 … 105/),
  );
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
  assert.deepEqual(
    seen.filter((value) => value.startsWith('0/')),
    numbers(0, 20).map((value) => `0/${value}`),
  );
  consumer.seek({ topic: 't', partition: 0 }, 30n);
  assert.deepEqual(await take(consumer, 20), numbers(30, 50));
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
  await assert.rejects(
    consumer.assign([{ topic: 'absent', partition: 0 }]),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /no topic "absent"/),
  );
  await assert.rejects(
    consumer.assign([{ topic: 't', partition: 2 }]),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 2 of topic "t".*2 partitions, 0 to 1/),
  );
  await assert.rejects(
    consumer.assign([{ topic: 't' }, { topic: 't', partition: 1 }]),
    failsWith('INVALID_REQUEST', /twice/),
  );
  assert.throws(() => consumer.seek({ topic: 't', partition: 0 }, 0n), failsWith('INVALID_REQUEST', /not assigned/));
  await assert.rejects(
    consumer.endOffsets([{ topic: 't', partition: 5 }]),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 5/),
  );
});

test('partitions that are assigned again without an offset keep their positions', async () => {
  await using w = await world();
  const { partitions } = w.cluster.createTopic('t', 2);
  for (const partition of partitions) fill(w, partition, 20);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  assert.deepEqual(await take(consumer, 5), numbers(0, 5));
  await consumer.assign([
    { topic: 't', partition: 0 },
    { topic: 't', partition: 1, offset: 18n },
  ]);
  assert.deepEqual((await take(consumer, 17)).toSorted(), [...numbers(5, 20), '18', '19'].toSorted());
  await consumer.assign([]);
  assert.deepEqual(consumer.assignment, []);
  assert.deepEqual(await consumer.poll({ timeoutMs: 5 }), []);
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

test('a partition assigned anew at another offset gets nothing that was on its way to the old assignment (E1)', async () => {
  await using w = await world({ latencyMs: 20 });
  fill(w, w.cluster.createTopic('t', 1).partitions[0], 200);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 100n }]);
  // The leader has sent by now, and nothing has come.
  await w.pass(30);
  assert.ok(w.cluster.fetched > 0);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  assert.deepEqual(await take(consumer, 200), numbers(0, 200));
});

test('what is no batch is told of by poll, at its place, also when the connection breaks before anybody has looked at it', async () => {
  await using w = await world();
  const [partition] = w.cluster.createTopic('t', 1).partitions;
  fill(w, partition, 50);
  const consumer = textConsumer(w);
  await consumer.assign([{ topic: 't', partition: 0, offset: 0n }]);
  const damaged = partition?.batches[2];
  assert.ok(damaged);
  // The magic byte: the batches behind it cannot be found.
  damaged[16] = 9;
  await w.pass(20);
  w.network.breakStreams();
  await w.pass(500);
  assert.deepEqual(await take(consumer, 20), numbers(0, 20));
  await assert.rejects(consumer.poll({ timeoutMs: 1_000 }), (thrown) => {
    failsWith('CORRUPT_MESSAGE', /magic byte is 9/)(thrown);
    return true;
  });
});
