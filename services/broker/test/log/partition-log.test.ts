import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { counting } from './counting-files.ts';
import type { LogSlice } from '../../src/log/log-types.ts';
import {
  type Broker,
  bases,
  batch,
  batches,
  config,
  folder,
  range,
  readAll,
  type StartOptions,
  start,
  testHost,
} from './harness.ts';
import { type Bench, onRealDisk, onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });
const at = (value: number): Offset => offset(BigInt(value));
const inFolder = (path: string): boolean => path.includes(folder);

/** Asserts that the promise does not settle: what waits for it waits for ever, as after the end of a process. */
async function assertPending({ scheduler }: Bench, promise: Promise<unknown>): Promise<void> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  await scheduler.pause(10_000_000);
  assert.equal(settled, false);
}

describe('reading', () => {
  test('gives back every batch byte for byte, from memory and from files, over many segments', async () => {
    await onRealDisk(async (files, root) => {
      const written = batches(0, 300, { valueBytes: 50 });
      const first = await start(files, { root, config: small });
      for (const one of written) await first.append(one);
      assert.ok(first.log.segmentCount > 10, `${first.log.segmentCount} segments`);
      const check = async ({ log }: Broker): Promise<void> => {
        for (const target of [1, 500, 4096, 1 << 20]) {
          const read = await readAll(log, 0n, 300n, target);
          assert.deepEqual(bases(read), range(0, 300));
          for (const [index, { bytes }] of read.entries()) {
            assert.ok(bytes.equals(written[index]?.bytes ?? Buffer.alloc(0)), `batch ${index}`);
          }
        }
        for (const from of range(0, 300)) {
          const [one] = await readAll(log, BigInt(from), BigInt(from + 1));
          assert.equal(one?.base, BigInt(from));
        }
      };
      await check(first);
      await first.directory.close();
      const second = await start(files, { root, config: small });
      await check(second);
      await second.directory.close();
    });
  });

  test('answers the same from memory and from a file: whole batches, one at least, none above the most, up to a bound between two', async () => {
    await onSimulatedDisk('same', async ({ disk }) => {
      const indexed: StartOptions = { config: config({ 'index.interval.bytes': '100' }) };
      let next = 0;
      const bounds = [0];
      const written = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3].map((records, index) => {
        const made = batch({ at: BigInt(next), records, valueBytes: 20 + index * 30 });
        next += records;
        bounds.push(next);
        return made;
      });
      const first = await start(disk.mount(), indexed);
      await first.append(...written);
      await first.directory.close();
      const cold = await start(disk.mount(), indexed);
      const warm = await start(disk.mount(), { ...indexed, root: 'warm' });
      await warm.append(...written);
      assert.ok(!(warm.log.read(at(0), 1, 1 << 20, at(next)) instanceof Promise), 'what is in memory needs no wait');
      const flat = (slice: LogSlice): unknown =>
        slice.kind === 'records' ? [slice.next, Buffer.concat(slice.records).toString('hex')] : slice;
      const limitsOfRead: readonly (readonly [target: number, most: number])[] = [
        [1, 1 << 20],
        [300, 1 << 20],
        [1000, 1 << 20],
        [1 << 20, 1 << 20],
        [200, 200],
      ];
      for (const from of range(0, next)) {
        for (const upTo of bounds.filter((bound) => bound >= from)) {
          for (const [target, most] of limitsOfRead) {
            const fromFile = await cold.log.read(at(from), target, most, at(upTo));
            const fromMemory = await warm.log.read(at(from), target, most, at(upTo));
            assert.deepEqual(
              flat(fromFile),
              flat(fromMemory),
              `from ${from} up to ${upTo}, target ${target}, most ${most}`,
            );
          }
        }
      }
    });
  });

  test('outside the log is refused with what there is', async () => {
    await onSimulatedDisk('outside', async ({ disk }) => {
      const broker = await start(disk.mount());
      await broker.append(...batches(0, 10));
      broker.log.noteHighWatermark(at(10));
      await broker.log.advanceStart(at(4));
      for (const from of [3, 11]) {
        assert.throws(
          () => void broker.log.read(at(from), 1, 1, at(10)),
          (thrown) =>
            thrown instanceof TributaryError &&
            thrown.error === 'OFFSET_OUT_OF_RANGE' &&
            /offsets 4 to 10/.test(thrown.message),
        );
      }
      assert.deepEqual(await broker.log.read(at(10), 1, 1, at(10)), { kind: 'end' });
    });
  });

  test('one after the other through a file takes one read per chunk, and no search', async () => {
    await onSimulatedDisk('sequential', async ({ disk }) => {
      const written = batches(0, 400, { valueBytes: 1000 });
      const first = await start(disk.mount());
      await first.append(...written);
      await first.directory.close();
      const counted = counting(disk.mount());
      const again = await start(counted.files);
      counted.calls.length = 0;
      const target = 20_000;
      const read = await readAll(again.log, 0n, 400n, target);
      assert.deepEqual(bases(read), range(0, 400));
      const bytes = written.reduce((sum, one) => sum + one.bytes.length, 0);
      const reads = counted.calls.filter(({ call }) => call === 'read').length;
      // 18 whole batches fit into a chunk, and the next read begins with the 19th.
      assert.ok(
        reads <= Math.ceil(bytes / (18 * (written[0]?.bytes.length ?? 1))) + 2,
        `${reads} reads of ${bytes} bytes`,
      );
    });
  });
});

describe('a clean stop', () => {
  test('is followed by a start that reads and opens nothing but the last segment and the snapshot', async () => {
    await onRealDisk(async (real, root) => {
      const first = await start(real, { root, config: small });
      await first.append(...batches(0, 300, { valueBytes: 50 }));
      await first.append(...batches(300, 310, { valueBytes: 50 }));
      await first.directory.close();
      const counted = counting(real);
      const second = await start(counted.files, { root, config: small });
      assert.equal(second.log.recovery.how, 'clean');
      assert.equal(second.log.endOffset, 310n);
      assert.equal(second.log.sizeBytes, first.log.sizeBytes);
      assert.deepEqual(second.replay.seen, first.replay.seen);
      const read = counted.calls.filter(({ call, path }) => call === 'read' && inFolder(path));
      assert.deepEqual(
        read.map(({ path }) => path.split('/').at(-1)),
        ['00000000000000000310.snapshot'],
      );
      assert.equal(counted.calls.filter(({ call, path }) => call === 'open' && inFolder(path)).length, 2);
      await second.directory.close();
    });
  });

  test('is not believed when the last segment has another length than it was left with', async () => {
    await onSimulatedDisk('changed', async ({ disk }) => {
      const first = await start(disk.mount());
      await first.append(...batches(0, 10));
      await first.directory.close();
      const files = disk.mount();
      const file = await files.open(`data/${folder}/00000000000000000000.log`, 'append');
      await file.append([Buffer.from('stray')]);
      await file.close();
      const again = await start(files);
      assert.equal(again.log.recovery.how, 'scanned');
      assert.equal(again.log.recovery.cutBytes, 5);
      assert.deepEqual(bases(await readAll(again.log)), range(0, 10));
    });
  });
});

describe('a start after a kill', () => {
  test('reads the log from about the last checkpoint on, however large it is', async () => {
    await onSimulatedDisk('bounded', async ({ disk }) => {
      const settings = config({ 'segment.bytes': '100000', 'index.interval.bytes': '500' });
      const broker = await start(disk.mount(), { config: settings });
      for (const from of range(0, 40)) await broker.append(...batches(from * 100, from * 100 + 100));
      await broker.log.sync();
      await broker.directory.checkpoint();
      await broker.append(...batches(4000, 4010));
      disk.crash('process');
      const again = await start(disk.mount(), { config: settings });
      assert.equal(again.log.endOffset, 4010n);
      const size = batch({ at: 0n }).bytes.length;
      const { scannedBytes } = again.log.recovery;
      assert.ok(scannedBytes >= 10 * size && scannedBytes < 10 * size + 1000, `${scannedBytes} bytes read`);
      assert.deepEqual(bases(await readAll(again.log)), range(0, 4010));
    });
  });
});

describe('flushing', () => {
  test('shares one sync among all who ask while another is under way', async () => {
    await onSimulatedDisk('group', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files);
      await broker.append(...batches(0, 2));
      await broker.log.sync();
      counted.calls.length = 0;
      await broker.append(...batches(2, 4));
      const first = broker.log.sync();
      await broker.append(...batches(4, 6));
      const others = await Promise.all(range(0, 50).map(() => broker.log.sync()));
      assert.ok((await first) >= 4n);
      for (const flushed of others) assert.equal(flushed, 6n);
      assert.equal(counted.calls.filter(({ call }) => call === 'sync').length, 2);
    });
  });

  test('answers at once when there is nothing to flush', async () => {
    await onSimulatedDisk('nothing', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files);
      await broker.append(...batches(0, 2));
      await broker.log.sync();
      counted.calls.length = 0;
      assert.equal(await broker.log.sync(), 2n);
      assert.deepEqual(counted.calls, []);
    });
  });

  test('that fails is never tried again: it is written down, the process ends, and nobody gets an answer (L2)', async () => {
    await onSimulatedDisk('failed', async (bench) => {
      const { disk, scheduler } = bench;
      const counted = counting(disk.mount());
      const host = testHost();
      const broker = await start(counted.files, { host });
      await broker.append(...batches(0, 3));
      await broker.log.sync();
      await broker.append(...batches(3, 6));
      counted.calls.length = 0;
      const log = '00000000000000000000.log';
      counted.before = (call, path) => {
        if (call === 'sync' && path.endsWith(log)) throw new FileError('io', `${path}: the device reported an error`);
      };
      const unanswered = broker.log.sync();
      while (host.crashes.length === 0) await scheduler.pause(1_000);
      await assertPending(bench, unanswered);
      assert.match(host.crashes[0] ?? '', /00000000000000000000\.log.*the device reported an error/);
      await assertPending(bench, broker.log.sync());
      await assertPending(bench, broker.directory.checkpoint());
      assert.equal(counted.calls.filter(({ call, path }) => call === 'sync' && path.endsWith(log)).length, 1);
      assert.equal(broker.log.durableOffset, 3n);
      disk.crash('process');
      const again = await start(disk.mount());
      assert.equal(again.log.recovery.how, 'rewritten');
      assert.deepEqual(bases(await readAll(again.log)), range(0, 6));
      await again.directory.close();
      const third = await start(disk.mount());
      assert.equal(third.log.recovery.how, 'clean');
    });
  });
});

describe('a full disk', () => {
  test('refuses an append whole, says where and how much is free, and takes it once there is room', async () => {
    await onSimulatedDisk(
      'full',
      async ({ disk }) => {
        const broker = await start(disk.mount(), { config: small });
        await broker.append(...batches(0, 5));
        const before = await readAll(broker.log);
        disk.occupy(disk.freeBytes - 300);
        const group = batches(5, 40);
        for (let attempt = 0; attempt < 3; attempt++) {
          await assert.rejects(broker.append(...group), (thrown) => {
            assert.ok(thrown instanceof TributaryError);
            assert.equal(thrown.error, 'KAFKA_STORAGE_ERROR');
            assert.equal(thrown.retriable, true);
            assert.match(thrown.message, /\.log: the disk is full\. \d+ bytes are free/);
            return true;
          });
          assert.equal(broker.log.endOffset, 5n);
          assert.deepEqual(await readAll(broker.log), before);
        }
        assert.deepEqual(await broker.log.sync(), 5n);
        disk.occupy(0);
        await broker.append(...group);
        await broker.log.sync();
        disk.crash('power');
        const again = await start(disk.mount(), { config: small, host: testHost('boot-2') });
        assert.deepEqual(bases(await readAll(again.log)), range(0, 40));
      },
      { capacity: 2_000_000 },
    );
  });

  test('does not keep a broker from starting, reading, or letting segments go', async () => {
    await onSimulatedDisk(
      'start full',
      async ({ disk }) => {
        const first = await start(disk.mount(), { config: small });
        await first.append(...batches(0, 40));
        await first.log.sync();
        disk.crash('process');
        disk.occupy(disk.freeBytes);
        const again = await start(disk.mount(), { config: small });
        assert.deepEqual(bases(await readAll(again.log)), range(0, 40));
        again.log.noteHighWatermark(at(40));
        await again.log.advanceStart(at(35));
        assert.ok(again.log.startOffset === 35n && again.log.segmentCount < 3);
        disk.occupy(0);
        await again.append(...batches(40, 41));
        await again.directory.close();
      },
      { capacity: 2_000_000 },
    );
  });
});

describe('segments', () => {
  test('close at segment.bytes, and at segment.ms between the first record and the next one', async () => {
    await onSimulatedDisk('roll', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: config({ 'segment.bytes': '1024', 'segment.ms': '1000' }) });
      const size = batch({ at: 0n }).bytes.length;
      const fit = Math.floor(1024 / size);
      for (const one of batches(0, fit)) await broker.append({ ...one });
      assert.equal(broker.log.segmentCount, 1);
      await broker.append(...batches(fit, fit + 1));
      assert.equal(broker.log.segmentCount, 2);
      await broker.append(batch({ at: BigInt(fit + 1), timestamp: 1_000 + fit + 999 }));
      assert.equal(broker.log.segmentCount, 2);
      await broker.append(batch({ at: BigInt(fit + 2), timestamp: 1_000 + fit + 1000 }));
      assert.equal(broker.log.segmentCount, 3);
    });
  });

  test('that are closed do not keep their files open', async () => {
    await onSimulatedDisk('handles', async ({ disk, scheduler }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files, { config: small });
      for (const one of batches(0, 200)) await broker.append(one);
      await broker.log.sync();
      await scheduler.pause(1_000_000);
      const ofLogs = (wanted: 'open' | 'close'): number =>
        counted.calls.filter(({ call, path }) => call === wanted && path.endsWith('.log')).length;
      assert.ok(broker.log.segmentCount > 5);
      assert.equal(ofLogs('open') - ofLogs('close'), 1);
      assert.deepEqual(bases(await readAll(broker.log)), range(0, 200));
    });
  });

  test('follow a changed configuration at once', async () => {
    await onSimulatedDisk('configure', async ({ disk }) => {
      const broker = await start(disk.mount());
      await broker.append(...batches(0, 20));
      broker.log.configure(config({ 'segment.bytes': '1024' }));
      await broker.append(...batches(20, 21));
      assert.equal(broker.log.segmentCount, 2);
    });
  });

  test('of one group that goes over the edge are appended all or not at all', async () => {
    await onSimulatedDisk('over', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files, { config: small });
      await broker.append(...batches(0, 3));
      let appends = 0;
      counted.before = (call, path) => {
        if (call === 'append' && path.endsWith('.log') && ++appends === 3)
          throw new FileError('full', `${path}: no space`);
      };
      await assert.rejects(broker.append(...batches(3, 80)), /the disk is full/);
      assert.equal(broker.log.endOffset, 3n);
      assert.equal(broker.log.segmentCount, 1);
      assert.deepEqual(
        (await counted.files.list(`data/${folder}`)).filter((name) => name.endsWith('.log')),
        ['00000000000000000000.log'],
      );
      await broker.append(...batches(3, 80));
      assert.deepEqual(bases(await readAll(broker.log)), range(0, 80));
    });
  });
});

describe('cutting', () => {
  test('takes every batch that reaches the offset, and rebuilds the state and the epochs', async () => {
    await onSimulatedDisk('cut', async ({ disk }) => {
      for (const to of [0, 1, 5, 19, 20, 21, 35, 59, 60]) {
        const broker = await start(disk.mount(), { root: `data${to}`, config: small });
        await broker.append(...batches(0, 20, { records: 2, epoch: 1 }));
        await broker.append(...batches(20, 60, { epoch: 4 }));
        await broker.log.truncateTo(at(to));
        const end = to < 20 ? to - (to % 2) : to;
        assert.equal(broker.log.endOffset, BigInt(end));
        const kept = await readAll(broker.log);
        assert.deepEqual(
          bases(kept),
          [...range(0, 10).map((index) => index * 2), ...range(20, 60)].filter((base) => base < end),
        );
        assert.deepEqual(
          broker.replay.seen,
          kept.map(({ base }) => base.toString()),
        );
        assert.equal(broker.log.latestEpoch, end > 20 ? 4 : end > 0 ? 1 : undefined);
        await broker.append(...batches(end, end + 3, { epoch: 5 }));
        assert.deepEqual(bases(await readAll(broker.log, BigInt(end))), range(end, end + 3));
        disk.crash('process');
      }
    });
  });

  test('makes readers that stopped behind it look again for where they go on', async () => {
    await onSimulatedDisk('places', async ({ disk }) => {
      const first = await start(disk.mount());
      await first.append(...batches(0, 60));
      await first.directory.close();
      const broker = await start(disk.mount());
      assert.deepEqual(bases(await readAll(broker.log, 0n, 30n)), range(0, 30));
      await broker.log.truncateTo(at(20));
      await broker.append(...batches(20, 40, { valueBytes: 33, epoch: 1 }));
      // Until memory holds nothing of it any more.
      const large = 1 << 20;
      await broker.append(...batches(40, 40 + limits.tailCache / large, { valueBytes: large }));
      assert.ok(broker.log.read(at(30), 1, large, at(40)) instanceof Promise);
      assert.deepEqual(bases(await readAll(broker.log, 30n, 40n)), range(30, 40));
    });
  });

  test('nothing still replays the state, for a caller who is not sure of it', async () => {
    await onSimulatedDisk('replay', async ({ disk }) => {
      const broker = await start(disk.mount());
      await broker.append(...batches(0, 5));
      broker.replay.seen.push('a batch that was not written');
      await broker.log.truncateTo(at(5));
      assert.deepEqual(broker.replay.seen, range(0, 5).map(String));
    });
  });
});

describe('what cannot be written down', () => {
  test('is not done: neither a cut nor a new log start', async () => {
    await onSimulatedDisk('not written down', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files, { config: small });
      for (const one of batches(0, 60)) await broker.append(one);
      await broker.log.sync();
      broker.log.noteHighWatermark(at(50));
      await broker.directory.checkpoint();
      counted.before = (call, path) => {
        if (call === 'append' && path.includes('checkpoints')) throw new FileError('full', `${path}: no space`);
      };
      for (let attempt = 0; attempt < 2; attempt++) {
        await assert.rejects(broker.log.truncateTo(at(30)), /the disk is full/);
        await assert.rejects(broker.log.advanceStart(at(40)), /the disk is full/);
        assert.deepEqual([broker.log.startOffset, broker.log.endOffset, broker.log.highWatermark], [0n, 60n, 50n]);
        assert.deepEqual(bases(await readAll(broker.log)), range(0, 60));
      }
      counted.before = () => {};
      // Somebody else's write brings nothing of it to the disk.
      await broker.log.inheritTombstonesGone(at(1));
      disk.crash('process');
      await continued(await start(disk.mount(), { config: small }));
      disk.crash('process');
      const again = await start(disk.mount(), { config: small });
      assert.deepEqual(bases(await readAll(again.log)), range(40, 55));
    });
    async function continued(broker: Broker): Promise<void> {
      assert.deepEqual([broker.log.startOffset, broker.log.endOffset, broker.log.highWatermark], [0n, 60n, 50n]);
      await broker.log.advanceStart(at(40));
      await broker.append(...batches(60, 62));
      await broker.log.truncateTo(at(55));
      assert.deepEqual(bases(await readAll(broker.log)), range(40, 55));
    }
  });
});
