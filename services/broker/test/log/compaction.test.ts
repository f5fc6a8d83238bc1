/** What compaction takes from a log and what it leaves (L5, P3). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError } from '@tributary/model';
import type { FileSystem } from '@tributary/ports';
import { compressions, readBatchHeader } from '@tributary/record';
import { clockAt, compacted, line, opened, options, reopened, shown, write } from './compacting.ts';
import { type Broker, folder, readAll, type StartOptions } from './harness.ts';
import { at, readKeyed } from './keyed.ts';
import { onSimulatedDisk } from './on-disk.ts';

describe('compaction', () => {
  test('leaves the newest record of each key where it was, and all that is in the segment being written', async () => {
    await onSimulatedDisk('newest', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files);
      for (let round = 0; round < 4; round++)
        for (const key of ['a', 'b', 'c']) await write(broker, [line(key, `${key}${round}`)]);
      const before = await shown(broker);
      const report = await broker.log.compact(options());
      assert.ok(
        report !== undefined && report.bytesAfter < report.bytesBefore,
        JSON.stringify(report, (_, v) => String(v)),
      );
      const again = await reopened(broker, files);
      const dirty = Number(again.log.firstDirty);
      assert.ok(dirty > 6 && dirty < 12, `compacted up to ${dirty}`);
      const below = before.slice(0, dirty);
      const newest = below.filter(
        (one) => !below.some((other) => keyOf(other) === keyOf(one) && offsetOf(other) > offsetOf(one)),
      );
      assert.deepEqual(await shown(again), [...newest, ...before.slice(dirty)]);
    });
  });

  test('takes from memory what it takes from the files', async () => {
    await onSimulatedDisk('memory', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files);
      for (let round = 0; round < 4; round++)
        for (const key of ['a', 'b', 'c']) await write(broker, [line(key, `${key}${round}`)]);
      const before = await shown(broker);
      await broker.log.compact(options());
      const after = await shown(broker);
      assert.ok(after.length < before.length, 'old records are still read from memory');
      assert.deepEqual(await shown(await reopened(broker, files)), after);
    });
  });

  test('makes few segments of many, no larger than segment.bytes', async () => {
    await onSimulatedDisk('merge', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files);
      for (let round = 0; round < 60; round++) await write(broker, [line('same', String(round))]);
      const segments = broker.log.segmentCount;
      await broker.log.compact(options());
      await write(broker, [line('same', 'last')]);
      await broker.log.compact(options());
      assert.ok(
        segments > 12 && broker.log.segmentCount <= 6,
        `${segments} segments became ${broker.log.segmentCount}`,
      );
      const logs = (await files.list(`data/${folder}`)).filter((name) => name.endsWith('.log'));
      assert.equal(logs.length, broker.log.segmentCount);
      const leftovers = (await files.list(`data/${folder}`)).filter((name) => /tmp|swap/.test(name));
      assert.deepEqual(leftovers, []);
    });
  });

  for (const compression of compressions) {
    test(`takes single records out of a batch (${compression}): offsets, timestamps, headers of the batch stay`, async () => {
      await onSimulatedDisk(`partly ${compression}`, async ({ disk }) => {
        const files = disk.mount();
        const broker = await opened(files);
        const mixed = ['a', 'b', 'c', 'd'].map((key, index) => ({
          ...line(key, `${key}0`),
          timestamp: 5_000 + index * 70,
        }));
        await write(broker, mixed, compression);
        for (let round = 0; round < 6; round++) await write(broker, [line('b', `b${round + 1}`)]);
        for (let round = 0; round < 6; round++) await write(broker, [line('d', `d${round + 1}`)]);
        const [first] = await readAll(broker.log, 0n, at(4));
        await broker.log.compact(options());
        const again = await reopened(broker, files);
        const kept = await readKeyed(again.log);
        assert.deepEqual(
          kept.slice(0, 2).map(({ offset, key, timestamp }) => [offset, key, timestamp]),
          [
            [0n, 'a', 5_000],
            [2n, 'c', 5_140],
          ],
        );
        const [cleaned] = await readAll(again.log, 0n, at(4));
        assert.ok(first !== undefined && cleaned !== undefined);
        const was = readBatchHeader(first.bytes, 0);
        const is = readBatchHeader(cleaned.bytes, 0);
        assert.equal(is.lastOffsetDelta, 3);
        assert.equal(is.recordsCount, 2);
        assert.equal(is.compression, compression);
        assert.equal(is.maxTimestamp, 5_140);
        assert.equal(is.producerId, was.producerId);
      });
    });
  }

  test('takes nothing above the high watermark, and nothing younger than min.compaction.lag.ms', async () => {
    await onSimulatedDisk('bounds', async ({ disk }) => {
      const clock = clockAt(10_000);
      const broker = await opened(disk.mount(), { clock, config: compacted({ 'min.compaction.lag.ms': '500' }) });
      for (let index = 0; index < 40; index++) {
        await write(broker, [{ ...line('k', String(index)), timestamp: 9_000 + index * 25 }]);
      }
      broker.log.noteHighWatermark(at(30));
      await broker.log.compact(options());
      // Record 20 is 500 ms old.
      assert.ok(
        broker.log.firstDirty > 12n && broker.log.firstDirty <= 21n,
        `compacted up to ${broker.log.firstDirty}`,
      );
      clock.now += 10_000;
      await broker.log.compact(options());
      assert.ok(
        broker.log.firstDirty > 25n && broker.log.firstDirty <= 30n,
        `compacted up to ${broker.log.firstDirty}`,
      );
    });
  });

  test('begins at the dirty ratio, or when a record has waited for max.compaction.lag.ms, which also closes the segment being written', async () => {
    await onSimulatedDisk('when', async ({ disk }) => {
      const clock = clockAt(2_000);
      const settings = { 'min.cleanable.dirty.ratio': '0.6', 'max.compaction.lag.ms': '5000' };
      const broker = await opened(disk.mount(), { clock, config: compacted(settings) });
      assert.equal(await broker.log.cleanable(clock.now), undefined);
      for (let index = 0; index < 40; index++) await write(broker, [line(`k${index}`, 'v')]);
      assert.equal((await broker.log.cleanable(clock.now))?.isDue, true);
      await broker.log.compact(options());
      for (let index = 0; index < 8; index++) await write(broker, [line(`m${index}`, 'v')]);
      const soon = await broker.log.cleanable(clock.now);
      assert.ok(soon !== undefined && soon.ratio < 0.6 && !soon.isDue, `ratio ${soon?.ratio}`);
      const segments = broker.log.segmentCount;
      clock.now = 7_000;
      const late = await broker.log.cleanable(clock.now);
      assert.ok(late?.isOverdue === true && late.isDue);
      assert.equal(broker.log.segmentCount, segments + 1);
      assert.equal(late.to, broker.log.endOffset);
    });
  });

  test('does in several rounds what the memory for keys is too small for, and fits the keys of one batch always', async () => {
    await onSimulatedDisk('rounds', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files, { config: compacted({ 'segment.bytes': '4000' }) });
      const many = Array.from({ length: 40 }, (_, index) => ({ key: `key number ${index}`, value: 'x' }));
      for (let round = 0; round < 12; round++)
        await write(
          broker,
          many.map((one, index) => ({ ...one, key: `${one.key} of ${round % 3}`, value: `${round}/${index}` })),
        );
      await write(broker, [line('end', 'v')]);
      const ends = new Set<bigint>();
      for (let round = 0; round < 40; round++) {
        const cleanable = await broker.log.cleanable(20_000);
        if (cleanable === undefined) break;
        const report = await broker.log.compact(options({ buffer: 4_000 }));
        assert.ok(report !== undefined && report.to > report.from);
        ends.add(report.to);
      }
      assert.ok(ends.size > 3, `${ends.size} rounds`);
      const again = await reopened(broker, files);
      const kept = (await readKeyed(again.log)).filter(({ offset }) => offset < again.log.firstDirty);
      const newest = new Map(kept.map(({ key, offset }) => [key, offset]));
      for (const [key, offset] of newest) {
        const all = kept.filter((one) => one.key === key);
        assert.ok(all.every((one) => one.offset <= offset));
      }
      assert.ok(kept.length < 300, `${kept.length} records are left`);
    });
  });

  test('stops before a damaged segment, says where, and loses nothing', async () => {
    await onSimulatedDisk('damage', async ({ disk }) => {
      const files = disk.mount();
      const broker = await opened(files);
      for (let index = 0; index < 40; index++) await write(broker, [line(`k${index % 3}`, String(index))]);
      const before = await shown(broker);
      await broker.directory.close();
      const name = (await files.list(`data/${folder}`)).filter((each) => each.endsWith('.log'))[2] ?? '';
      const file = await files.open(`data/${folder}/${name}`, 'append');
      const bytes = Buffer.alloc(file.size);
      await file.read(bytes, 0);
      bytes[100] = (bytes[100] ?? 0) ^ 4;
      await file.truncate(0);
      await file.append([bytes]);
      await file.close();
      const again = await opened(files);
      await assert.rejects(
        again.log.compact(options()),
        (thrown) =>
          thrown instanceof TributaryError && thrown.error === 'CORRUPT_MESSAGE' && thrown.message.includes(name),
      );
      assert.equal(again.log.firstDirty, 0n);
      assert.equal((await again.log.read(at(0), 1, 1 << 20, again.log.endOffset)).kind, 'records');
      assert.ok(before.length === 40 && again.log.segmentCount > 8);
    });
  });

  test('lets readers who are under way go on, and others find the new segments', async () => {
    await onSimulatedDisk('readers', async ({ disk }) => {
      const files = disk.mount();
      const first = await opened(files);
      for (let index = 0; index < 120; index++) await write(first, [line(`k${index % 40}`, String(index))]);
      // Nothing is in memory any more.
      const broker = await reopened(first, files);
      const written = new Map((await shown(broker)).map((one) => [BigInt(offsetOf(one)), one]));
      let over = false;
      let passes = 0;
      const reader = async (from: bigint): Promise<void> => {
        while (!over) {
          const seen = await readKeyed(broker.log, from, 400);
          for (const { offset, key, value } of seen)
            assert.equal(`${offset} ${key}=${value?.split(' ')[0]}`, written.get(offset));
          assert.deepEqual(seen.filter(({ offset }) => offset >= 80n).length, 120 - Math.max(80, Number(from)));
          const time = await broker.log.offsetForTimestamp(1_000);
          assert.ok(time !== undefined);
          passes++;
        }
      };
      const readers = [0n, 51n, 90n].map(reader);
      let rounds = 0;
      while ((await broker.log.cleanable(20_000)) !== undefined && rounds < 50) {
        await broker.log.compact(options({ buffer: 700 }));
        rounds++;
      }
      over = true;
      await Promise.all(readers);
      assert.ok(rounds > 2 && passes > 5, `${rounds} rounds, ${passes} passes`);
    });
  });
});

describe('tombstones', () => {
  /** A round in which `filler` is dirty, seen by somebody who has nothing in memory. */
  async function round(
    broker: Broker,
    files: FileSystem,
    more: StartOptions,
    passed = 1_000_000,
  ): Promise<readonly [Broker, string[]]> {
    for (let index = 0; index < 10; index++) await write(broker, [line('filler', 'f')]);
    await broker.log.compact(options({ passed: () => at(passed) }));
    const again = await reopened(broker, files, more);
    return [again, (await shown(again)).filter((one) => !one.includes('filler'))];
  }

  test('stay for delete.retention.ms after compaction has met them, then go; what they cover never comes back', async () => {
    await onSimulatedDisk('tombstones', async ({ disk }) => {
      const clock = clockAt(10_000);
      const files = disk.mount();
      let broker = await opened(files, { clock });
      await write(broker, [line('gone', 'v'), line('stays', 'v')]);
      await write(broker, [{ key: 'gone', value: null }]);
      const seen: string[][] = [];
      for (const wait of [0, 999, 1, 5_000]) {
        clock.now += wait;
        const [again, kept] = await round(broker, files, { clock });
        broker = again;
        seen.push(kept);
      }
      const both = ['1 stays=v', '2 gone=null'];
      assert.deepEqual(seen, [both, both, ['1 stays=v'], ['1 stays=v']]);
    });
  });

  test('wait for a replica or link that has not passed them, until tombstone.hold.max.ms', async () => {
    await onSimulatedDisk('held', async ({ disk }) => {
      const clock = clockAt(10_000);
      const files = disk.mount();
      const more = { clock, config: compacted({ 'tombstone.hold.max.ms': '5000' }) };
      let broker = await opened(files, more);
      await write(broker, [{ key: 'gone', value: null }]);
      const seen: string[][] = [];
      for (const wait of [0, 1_000, 4_999, 1]) {
        clock.now += wait;
        const [again, kept] = await round(broker, files, more, 0);
        broker = again;
        seen.push(kept);
      }
      assert.deepEqual(seen, [['0 gone=null'], ['0 gone=null'], ['0 gone=null'], []]);
    });
  });
});

const keyOf = (one: string): string => one.split(' ')[1]?.split('=')[0] ?? '';
const offsetOf = (one: string): number => Number(one.split(' ')[0]);
