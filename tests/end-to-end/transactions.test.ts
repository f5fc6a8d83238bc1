// Transactions of a producer that is not ours: the bytes that a Java producer and its broker wrote, in our log.

import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, serializers, type Tributary } from '@tributary/client';
import { type ExpectedRecord, golden } from '../../packages/record/test/golden-vectors.ts';
import { DevProcess } from './dev-process.ts';

const { bytes, batches } = golden('transactional');
const records = batches.filter(({ control }) => !control).flatMap((batch) => batch.records);
const markers = batches.filter(({ control }) => control);
const end = BigInt(batches.at(-1)?.lastOffset ?? -1) + 1n;

/** The folder of partition 0 of the only topic. */
function folderOf(dev: DevProcess): string {
  const broker = path.join(dev.dataDirectory, 'broker-1');
  const [folder, ...others] = readdirSync(broker).filter((name) => /^[\w-]{22}-0$/.test(name));
  assert.ok(folder !== undefined && others.length === 0, 'one topic of one partition');
  return path.join(broker, folder);
}

/** In place of what the log holds; indexes and snapshots are for recovery to make. */
function replaceLog(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(path.join(folder, name));
  writeFileSync(path.join(folder, `${'0'.repeat(20)}.log`), bytes);
}

async function readAll(cluster: Tributary, count: number): Promise<readonly (readonly [bigint, string | null])[]> {
  await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', partition: 0, offset: 'beginning' }]);
  const read: (readonly [bigint, string | null])[] = [];
  while (read.length < count) {
    const polled = await consumer.poll({ timeoutMs: 10_000 });
    assert.ok(polled.length > 0, `only ${read.length} of ${count} records came`);
    for (const { offset, value } of polled) read.push([offset, value]);
  }
  return read;
}

const expected = ({ offset, value }: ExpectedRecord): readonly [bigint, string | null] => {
  assert.ok(value === null || typeof value === 'string', 'the vectors are short');
  return [BigInt(offset), value === null ? null : Buffer.from(value, 'hex').toString()];
};

test('transactional batches of a Java producer are recovered and delivered, markers are skipped, and offsets go on behind them', async () => {
  assert.ok(records.length > 0 && markers.length > 1, 'the vectors hold records and markers');
  await using dev = await DevProcess.begin();
  await dev.ok(['topic', 'create', 't']);
  await dev.kill();
  replaceLog(folderOf(dev));
  await dev.start();
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  const told = records.map(expected);
  assert.deepEqual(await readAll(cluster, told.length), told);

  await using producer = cluster.producer({ valueSerializer: serializers.string });
  const sent = [];
  for (const value of ['after', 'it']) sent.push((await producer.send({ topic: 't', partition: 0, value })).offset);
  assert.deepEqual(sent, [end, end + 1n]);
  const all = [...told, [end, 'after'] as const, [end + 1n, 'it'] as const];
  assert.deepEqual(await readAll(cluster, all.length), all);

  // The last offset before `end` is a marker: whoever stops at the end must not wait for a record there.
  const printed = await dev.ok(['consume', 't', '--from-beginning', '--exit-at-end', '--format', 'json']);
  const offsets = printed
    .toString()
    .trim()
    .split('\n')
    .map((line) => BigInt((JSON.parse(line) as { offset: number }).offset));
  assert.deepEqual(
    offsets,
    all.map(([offset]) => offset),
  );

  await dev.kill();
  await dev.start();
  assert.deepEqual(await readAll(cluster, all.length), all);
});

test('a command that reads up to the end ends behind a marker', async () => {
  await using dev = await DevProcess.begin();
  await dev.ok(['topic', 'create', 't']);
  await dev.kill();
  replaceLog(folderOf(dev));
  await dev.start();
  const printed = await dev.ok(['consume', 't', '--from-beginning', '--exit-at-end'], { timeoutMs: 20_000 });
  assert.equal(printed.toString().trim().split('\n').length, records.length);
});
