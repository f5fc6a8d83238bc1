// The TypeScript client against `tributary dev`: what its own tests promise in memory, over a real connection and a real log.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, type RecordMetadata, serializers, TributaryError } from '@tributary/client';
import { DevProcess } from './dev-process.ts';

test('records sent with every kind of acknowledgement and compression are read back as they were sent', async () => {
  await using dev = await DevProcess.begin();
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 't', partitions: 3 });
  let count = 0;
  // In the order in which nothing of acks=0 meets a partition that its broker has not opened yet: nobody would be told.
  for (const acks of ['all', 1, 0] as const) {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
      await using producer = cluster.producer({ acks, compression });
      const records = Array.from({ length: 50 }, (_, index) => ({
        topic: 't',
        key: `${index}`,
        value: `${acks}-${compression}-${index}`,
        headers: { acks: String(acks) },
        timestamp: 1_700_000_000_000 + index,
      }));
      count += await producer.sendAll(records);
    }
  }
  await using consumer = cluster.consumer({
    keyDeserializer: serializers.string,
    valueDeserializer: serializers.string,
  });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  const seen = new Set<string>();
  for await (const { key, value, headers, timestamp } of consumer) {
    seen.add(value ?? '');
    assert.equal(value?.split('-').at(-1), key);
    assert.equal(Buffer.from(headers[0]?.value ?? []).toString(), value?.split('-')[0]);
    assert.equal(timestamp, 1_700_000_000_000 + Number(key));
    if (seen.size === count) break;
  }
  const ends = await consumer.endOffsets(consumer.assignment);
  assert.equal(
    ends.reduce((sum, { offset }) => sum + offset, 0n),
    BigInt(count),
  );
});

test('a broker killed again and again loses nothing that was acknowledged, and nothing is there twice (P1)', async () => {
  await using dev = await DevProcess.begin();
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 't', partitions: 2 });
  const producer = cluster.producer({ batchSize: 2_000 });
  await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  const acknowledged: Promise<RecordMetadata>[] = [];
  let sent = 0;
  const until = Date.now() + 6_000;
  const sending = (async () => {
    while (Date.now() < until) {
      for (let index = 0; index < 20; index++) {
        acknowledged.push(Promise.resolve(producer.send({ topic: 't', partition: sent % 2, value: `${sent}` })));
        sent++;
      }
      await producer.ready();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const killing = (async () => {
    while (Date.now() < until - 1_500) {
      await new Promise((resolve) => setTimeout(resolve, 700));
      await dev.kill();
      await dev.start();
    }
  })();
  const read: string[] = [];
  let ended = 0;
  const positions = new Map<number, bigint>();
  const reading = (async () => {
    for await (const { value, partition, offset } of consumer) {
      assert.equal(offset, positions.get(partition) ?? 0n, 'offsets are read without a gap or a repeat');
      positions.set(partition, offset + 1n);
      read.push(value ?? '');
      if (value === 'end' && ++ended === 2) break;
    }
  })();
  await Promise.all([sending, killing]);
  const metadata = await Promise.all(acknowledged);
  await producer.sendAll([0, 1].map((partition) => ({ topic: 't', partition, value: 'end' })));
  await reading;
  assert.equal(metadata.length, sent);
  for (const partition of [0, 1]) {
    const mine = read.filter((value) => value !== 'end' && Number(value) % 2 === partition).map(Number);
    const wrong = mine.findIndex((value, index) => value !== index * 2 + partition);
    const around = mine.slice(Math.max(wrong - 5, 0), wrong + 30).join(' ');
    assert.equal(
      wrong,
      -1,
      `partition ${partition} is not in order, each once, at ${wrong} of ${mine.length}: ${around}`,
    );
    assert.equal(mine.length, sent / 2);
  }
  await producer.close();
});

test('batches above max.message.bytes are split; a record above it is refused with both sizes', async () => {
  await using dev = await DevProcess.begin();
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 't', configs: { 'max.message.bytes': '2000' } });
  await using producer = cluster.producer();
  await producer.sendAll(Array.from({ length: 1_000 }, (_, index) => ({ topic: 't', value: `${index}`.padEnd(100) })));
  await assert.rejects(Promise.resolve(producer.send({ topic: 't', value: 'x'.repeat(3_000) })), (thrown: unknown) => {
    assert.ok(thrown instanceof TributaryError);
    assert.equal(thrown.error, 'MESSAGE_TOO_LARGE');
    assert.match(thrown.message, /3\d{3}.*2000/);
    return true;
  });
  await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  const values = await consumer.poll({ maxRecords: 2_000 });
  assert.deepEqual(
    values.map(({ value }) => Number(value)),
    Array.from({ length: values.length }, (_, index) => index),
  );
  const [end] = await consumer.endOffsets([{ topic: 't', partition: 0 }]);
  assert.equal(end?.offset, 1_000n);
});

test('nothing listening is one clear error in bounded time', async () => {
  const begin = Date.now();
  await assert.rejects(connect({ bootstrap: '127.0.0.1:1' }), /No broker answers at 127\.0\.0\.1:1/);
  assert.ok(Date.now() - begin < 6_000);
});
