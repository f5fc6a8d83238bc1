/** G1, L5, P3: what a log alone tells of its newest writer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@tributary/model';
import { readBatchHeader } from '@tributary/record';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { clockAt, compacted, options } from './compacting.ts';
import { folder, openDirectory, partition, readAll, topic } from './harness.ts';
import { at, keyedBatch } from './keyed.ts';
import { onSimulatedDisk } from './on-disk.ts';

const settings = { config: compacted(), role: 'sole' as const };

async function append(
  log: PartitionLog,
  state: ProducerState,
  key: string,
  value: string | null,
  producer: { readonly id: number; readonly sequence: number },
  timestamp = 1_000,
): Promise<void> {
  const batch = keyedBatch({ at: log.endOffset, records: [{ key, value, timestamp }], producer });
  state.batch(readBatchHeader(batch.bytes, 0));
  await log.append([batch]);
  const durable = await log.sync();
  log.noteHighWatermark(durable);
  state.committed = durable;
}

test('G1: compaction leaves a batch of the newest writer although all its records are gone, however long ago: the log alone knows the fence', async () => {
  await onSimulatedDisk('fence', async ({ disk }) => {
    const files = disk.mount();
    const later = 10_000 + 3 * limits.producerExpiryMs;
    const clock = clockAt(later);
    const directory = await openDirectory(files, { clock });
    const state = new ProducerState(true);
    const log = await directory.openLog(topic, partition, { ...settings, replay: state });
    const value = 'v'.repeat(200);
    for (let sequence = 0; sequence < 8; sequence++)
      await append(log, state, `k${sequence}`, value, { id: 3, sequence });
    for (let sequence = 0; sequence < 8; sequence++)
      await append(log, state, `k${sequence}`, null, { id: 4, sequence });
    // Time has gone on in the log, by records without any writer. Tombstones go in a later round than that in which they are met.
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 10; index++) {
        const batch = keyedBatch({ at: log.endOffset, records: [{ key: 'filler', value, timestamp: later }] });
        state.batch(readBatchHeader(batch.bytes, 0));
        await log.append([batch]);
      }
      state.committed = await log.sync();
      log.noteHighWatermark(state.committed);
      state.take();
      const report = await log.compact(options());
      assert.ok(report !== undefined);
      clock.now += 100_000;
    }
    assert.equal(state.size, 1, 'the older writer is forgotten');
    await directory.close();
    for (const name of await files.list(`data/${folder}`))
      if (name.endsWith('.snapshot')) await files.remove(`data/${folder}/${name}`);
    const again = await openDirectory(files, { clock });
    const rebuilt = new ProducerState(true);
    const reopened = await again.openLog(topic, partition, { ...settings, replay: rebuilt });
    const left = (await readAll(reopened, 0n, 16n)).map(({ bytes }) => readBatchHeader(bytes, 0));
    assert.ok(left.length > 0 && left.every(({ recordsCount }) => recordsCount === 0), `${left.length} batches`);
    assert.equal(rebuilt.fence, 4n);
    const verdict = (sequence: number): string => {
      const record = { key: 'k', value, timestamp: later };
      const sent = keyedBatch({ at: 0n, records: [record], producer: { id: 4, sequence } });
      return rebuilt.check(readBatchHeader(sent.bytes, 0), later).kind;
    };
    assert.equal(verdict(8), 'append');
    // Its last five, not only the one at which a file ends.
    for (let sequence = 3; sequence < 8; sequence++) assert.equal(verdict(sequence), 'duplicate', `${sequence}`);
    await again.close();
  });
});

test('G1: an undone or cut fence uncovers the one before, by a snapshot and by the log alike', async () => {
  for (const withSnapshot of [true, false]) {
    await onSimulatedDisk(`cut fence ${withSnapshot}`, async ({ disk }) => {
      const files = disk.mount();
      const directory = await openDirectory(files);
      const state = new ProducerState(true);
      const log = await directory.openLog(topic, partition, { ...settings, replay: state });
      await append(log, state, 'fence', 'three', { id: 3, sequence: 0 });
      if (withSnapshot) await log.advanceStart(log.endOffset);
      // Not committed.
      const batch = keyedBatch({
        at: log.endOffset,
        records: [{ key: 'fence', value: 'five', timestamp: 1_000 + 3 * limits.producerExpiryMs }],
        producer: { id: 5, sequence: 0 },
      });
      state.batch(readBatchHeader(batch.bytes, 0));
      await log.append([batch]);
      state.take();
      assert.equal(state.fence, 5n);
      await log.truncateTo(at(1));
      assert.equal(state.fence, 3n);
      await directory.close();
    });
  }
});
