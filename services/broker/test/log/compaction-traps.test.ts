/** What could go wrong beside a compaction: opens and searches that are under way, retention, a full disk, a scan afterwards (L3, L5, P3). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { producerEpoch, producerId, TributaryError } from '@tributary/model';
import { FileError, type FileSystem } from '@tributary/ports';
import { encodeBatch, encodeControlBatch, readBatchHeader } from '@tributary/record';
import { Disk } from '../../src/log/disk.ts';
import { IndexCache } from '../../src/log/index-cache.ts';
import { Segment } from '../../src/log/segment.ts';
import { SegmentRetired } from '../../src/log/segment-file.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { clockAt, compacted, line, opened, options, reopened, shown, write } from './compacting.ts';
import { counting } from './counting-files.ts';
import {
  type Broker,
  config,
  folder,
  openDirectory,
  partition,
  range,
  readAll,
  silent,
  testHost,
  topic,
} from './harness.ts';
import { at, keyedBatch, readKeyed } from './keyed.ts';
import { onSimulatedDisk } from './on-disk.ts';

const namesOf = async (files: FileSystem, pattern: RegExp): Promise<readonly string[]> =>
  (await files.list(`data/${folder}`)).filter((name) => pattern.test(name));

/** Two keys that are replaced again and again, and the newest of each last but one. */
async function fill(broker: Broker, count: number): Promise<void> {
  for (let index = 0; index < count; index++) await write(broker, [line(index % 2 === 0 ? 'a' : 'b', String(index))]);
}

describe('readers beside a compaction', () => {
  test('that are about to open the file of a segment when it is replaced are told, and do not get the file that has its name then', async () => {
    await onSimulatedDisk('late open', async ({ disk }) => {
      const first = await opened(disk.mount());
      await fill(first, 40);
      await first.directory.close();
      const counted = counting(disk.mount());
      const options = { host: testHost(), clock: clockAt(0), logger: silent };
      const place = {
        disk: new Disk(counted.files, 'data', options),
        indexes: new IndexCache(1 << 20),
        folder: `data/${folder}`,
      };
      const old = await Segment.openClosed(place, at(0));
      await old.release();
      const opening = Promise.withResolvers<void>();
      const replaced = Promise.withResolvers<void>();
      counted.before = async (call) => {
        if (call !== 'open') return;
        opening.resolve();
        await replaced.promise;
      };
      const reading = old.use((file) => Promise.resolve(file.size));
      await opening.promise;
      await old.retire();
      replaced.resolve();
      await assert.rejects(reading, SegmentRetired);
      await assert.rejects(
        old.use(() => Promise.resolve()),
        SegmentRetired,
      );
      const calls = (wanted: string): number => counted.calls.filter(({ call }) => call === wanted).length;
      assert.equal(calls('open'), calls('close'));
    });
  });

  test('go on where they stopped, whatever was there before', async () => {
    await onSimulatedDisk('places', async ({ disk }) => {
      const files = disk.mount();
      const first = await opened(files);
      await fill(first, 60);
      const broker = await reopened(first, files);
      const places: bigint[] = [];
      for (let from = 0n; from < 40n; ) {
        const slice = await broker.log.read(at(from), 300, 1 << 20, broker.log.endOffset);
        assert.ok(slice.kind === 'records');
        from = slice.next;
        places.push(from);
      }
      await broker.log.compact(options());
      const all = (await readKeyed(broker.log)).map(({ offset }) => offset);
      for (const from of places) {
        const seen = (await readKeyed(broker.log, from)).map(({ offset }) => offset);
        assert.deepEqual(
          seen,
          all.filter((offset) => offset >= from),
          `from ${from}`,
        );
      }
    });
  });
});

describe('a compacted log', () => {
  test('that has to be scanned as a whole misses nothing: the gaps are no damage', async () => {
    for (const role of ['sole', 'member'] as const) {
      await onSimulatedDisk(`scan ${role}`, async ({ disk }) => {
        const files = disk.mount();
        const broker = await opened(files);
        await fill(broker, 40);
        await broker.log.compact(options());
        // Nothing of the last records of the segment is left.
        await fill(broker, 40);
        await broker.log.compact(options());
        await broker.directory.checkpoint();
        disk.crash('process');
        const after = disk.mount();
        await after.remove('data/checkpoints');
        const again = await opened(after, { role });
        assert.equal(again.log.recovery.how, 'scanned');
        assert.deepEqual(
          [again.log.health.damaged, again.log.health.suspect, again.log.health.possibleLoss],
          [[], false, false],
        );
        assert.equal(again.log.endOffset, 80n);
        const keys = (await shown(again)).slice(-2).map((one) => one.split('=')[0]);
        assert.deepEqual(keys, ['78 a', '79 b']);
      });
    }
  });

  test('knows its producers by the log alone, also those of whom no record is left', async () => {
    await onSimulatedDisk('producers', async ({ disk }) => {
      const files = disk.mount();
      const settings = { config: compacted(), role: 'sole' as const };
      const directory = await openDirectory(files, { clock: clockAt(10_000) });
      const producers = new ProducerState();
      const log = await directory.openLog(topic, partition, { ...settings, replay: producers });
      const append = async (
        key: string,
        producer?: { readonly id: number; readonly sequence: number },
      ): Promise<void> => {
        const records = [{ key, value: 'v'.repeat(200), timestamp: 1_000 }];
        const batch = keyedBatch({ at: log.endOffset, records, ...(producer !== undefined && { producer }) });
        producers.batch(readBatchHeader(batch.bytes, 0));
        await log.append([batch]);
      };
      for (let sequence = 0; sequence < 9; sequence++) await append('k', { id: 1, sequence });
      for (let index = 0; index < 10; index++) await append('k');
      log.noteHighWatermark(await log.sync());
      const report = await log.compact(options());
      assert.ok(report !== undefined && report.recordsAfter === 1);
      await directory.close();
      for (const name of await namesOf(files, /snapshot/)) await files.remove(`data/${folder}/${name}`);
      const again = await openDirectory(files, { clock: clockAt(10_000) });
      const rebuilt = new ProducerState();
      await again.openLog(topic, partition, { ...settings, replay: rebuilt });
      const sent = (sequence: number) =>
        readBatchHeader(
          encodeBatch([{ key: 'k', value: 'v' }], {
            producer: { id: producerId(1n), epoch: producerEpoch(0), baseSequence: sequence },
          }),
          0,
        );
      for (let sequence = 4; sequence < 9; sequence++) {
        const verdict = rebuilt.check(sent(sequence), 0);
        assert.ok(
          verdict.kind === 'duplicate' && verdict.baseOffset === BigInt(sequence),
          `sequence ${sequence}: ${verdict.kind}`,
        );
      }
      assert.equal(rebuilt.check(sent(9), 0).kind, 'append');
    });
  });

  test('that loses its end with the power knows the producers whose older batches were deleted', async () => {
    await onSimulatedDisk('producers and power', async ({ disk }) => {
      const settings = { config: compacted({ 'cleanup.policy': 'compact,delete' }), role: 'sole' as const };
      const directory = await openDirectory(disk.mount(), { clock: clockAt(10_000) });
      const producers = new ProducerState();
      const log = await directory.openLog(topic, partition, { ...settings, replay: producers });
      const made = range(0, 24).map((index) => {
        const sequence = index < 9 ? index : index < 19 ? undefined : index - 10;
        const records = [{ key: 'k', value: 'v'.repeat(index < 19 ? 200 : 1), timestamp: 1_000 }];
        return keyedBatch({
          at: at(index),
          records,
          ...(sequence !== undefined && { producer: { id: 1, sequence } }),
        });
      });
      const headers = made.map(({ bytes }) => readBatchHeader(bytes, 0));
      // While much is produced the state is ahead of the log, and no snapshot can be taken.
      for (const [index, batch] of made.slice(0, 19).entries()) {
        for (const header of headers.slice(index === 0 ? 0 : index + 1, index + 2)) producers.batch(header);
        await log.append([batch]);
      }
      const durable = await log.sync();
      log.noteHighWatermark(durable);
      for (const header of headers.slice(20)) producers.batch(header);
      for (const batch of made.slice(19)) await log.append([batch]);
      assert.equal(await log.advanceStart(at(15)), false);
      log.noteHighWatermark(at(24));
      assert.ok(await log.advanceStart(at(15)));
      disk.crash('power');
      const again = await openDirectory(disk.mount(), { clock: clockAt(10_000) });
      const rebuilt = new ProducerState();
      const { endOffset } = await again.openLog(topic, partition, { ...settings, replay: rebuilt });
      const next = encodeBatch([{ key: 'k', value: 'v' }], {
        producer: { id: producerId(1n), epoch: producerEpoch(0), baseSequence: 9 + Number(endOffset - durable) },
      });
      assert.equal(rebuilt.check(readBatchHeader(next, 0), 0).kind, 'append');
    });
  });

  test('keeps markers, and records of transactions, of which nobody knows yet how they ended', async () => {
    await onSimulatedDisk('transactions', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files);
      const append = async (bytes: Uint8Array): Promise<void> => {
        const { baseOffset, lastOffset, maxTimestamp, leaderEpoch } = readBatchHeader(bytes, 0);
        await broker.append({ bytes, baseOffset, lastOffset, maxTimestamp, leaderEpoch });
      };
      const producer = { id: producerId(5n), epoch: producerEpoch(0) };
      await append(encodeBatch([{ key: 'a', value: 'first', timestamp: 1 }], { baseOffset: at(0) }));
      const transactional = { transactional: true, producer: { ...producer, baseSequence: 0 }, baseOffset: at(1) };
      await append(encodeBatch([{ key: 'a', value: 'perhaps aborted', timestamp: 1 }], transactional));
      const marker = {
        end: 'abort',
        producerId: producer.id,
        producerEpoch: producer.epoch,
        coordinatorEpoch: 1,
        timestamp: 1,
      } as const;
      await append(encodeControlBatch({ ...marker, baseOffset: at(2) }));
      await fill(broker, 20);
      await broker.log.compact(options());
      const again = await reopened(broker, files);
      const bases = (await readAll(again.log, 0n, 3n)).map(({ base }) => base);
      assert.deepEqual(bases, [1n, 2n]);
    });
  });
});

describe('a compaction', () => {
  test('that deletion of records overtakes gives up, and leaves nothing behind', async () => {
    await onSimulatedDisk('overtaken', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await opened(counted.files);
      await fill(broker, 60);
      let deleted: Promise<unknown> | undefined;
      counted.before = (call, path) => {
        if (call === 'append' && path.endsWith('.log.tmp')) deleted ??= broker.log.advanceStart(at(20));
      };
      assert.equal(await broker.log.compact(options()), undefined);
      await deleted;
      assert.equal(broker.log.startOffset, 20n);
      assert.deepEqual(await namesOf(counted.files, /tmp|swap/), []);
      counted.before = () => {};
      const report = await broker.log.compact(options());
      assert.ok(report !== undefined && report.to > 40n);
      const again = await reopened(broker, counted.files);
      const offsets = (await readKeyed(again.log)).map(({ offset }) => offset);
      assert.ok(offsets.length < 20 && offsets.at(-1) === 59n);
    });
  });

  test('that is overdue when there is no room to close the segment being written is put off, not given up', async () => {
    await onSimulatedDisk('no room to roll', async ({ disk }) => {
      const counted = counting(disk.mount());
      const clock = clockAt(2_000);
      const broker = await opened(counted.files, { clock, config: compacted({ 'max.compaction.lag.ms': '5000' }) });
      await write(broker, [line('a', 'one')]);
      counted.before = (call, path) => {
        if (call === 'open' && path.endsWith('.log')) throw new FileError('full', 'no room');
      };
      await assert.rejects(
        broker.log.cleanable(20_000),
        (thrown) => thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR',
      );
      counted.before = () => {};
      assert.equal((await broker.log.cleanable(20_000))?.isOverdue, true);
    });
  });

  test('on a full disk says so and changes nothing', async () => {
    await onSimulatedDisk(
      'full',
      async ({ disk }) => {
        const files = disk.mount();
        const broker = await opened(files, {
          config: config({ 'cleanup.policy': 'compact', 'segment.bytes': '40000' }),
        });
        for (let index = 0; index < 500; index++) await write(broker, [line(`key ${index % 200}`, String(index))]);
        disk.occupy(disk.freeBytes);
        await assert.rejects(
          broker.log.compact(options()),
          (thrown) => thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR',
        );
        assert.deepEqual(await namesOf(files, /tmp|swap/), []);
        disk.occupy(0);
        assert.equal((await shown(broker)).length, 500);
        assert.ok((await broker.log.compact(options())) !== undefined);
      },
      { capacity: 8_000_000 },
    );
  });
});
