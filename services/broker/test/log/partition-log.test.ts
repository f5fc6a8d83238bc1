import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leaderEpoch, offset, TributaryError } from '@tributary/model';
import type { File, FileSystem } from '@tributary/ports';
import { bases, batch, batches, config, folder, range, readAll, start, testClock } from './harness.ts';
import { onRealDisk, onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });

/** Counts what is read from log files, past the tail in memory. */
function counting(files: FileSystem): {
  readonly files: FileSystem;
  readonly reads: string[];
  readonly opened: string[];
} {
  const reads: string[] = [];
  const opened: string[] = [];
  const wrap = (file: File, path: string): File => ({
    get size() {
      return file.size;
    },
    read: (into, position) => {
      reads.push(path);
      return file.read(into, position);
    },
    append: (chunks) => file.append(chunks),
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    close: () => file.close(),
  });
  const wrapped: FileSystem = {
    open: async (path, mode) => {
      opened.push(path);
      return wrap(await files.open(path, mode), path);
    },
    list: (path) => files.list(path),
    makeDirectory: (path) => files.makeDirectory(path),
    rename: (from, to) => files.rename(from, to),
    remove: (path) => files.remove(path),
    syncDirectory: (path) => files.syncDirectory(path),
    lock: (path) => files.lock(path),
    freeBytes: (path) => files.freeBytes(path),
  };
  return { files: wrapped, reads, opened };
}

describe('a partition log', () => {
  test('gives back every batch byte for byte, from memory and from files, over many segments', async () => {
    await onRealDisk(async (files, root) => {
      const written = batches(0, 300, { valueBytes: 50 });
      const first = await start(files, { root, config: small });
      for (const one of written) await first.append(one);
      assert.ok(first.log.segmentCount > 10, `${first.log.segmentCount} segments`);
      const check = async (log: typeof first.log): Promise<void> => {
        for (const target of [1, 500, 4096, 1 << 20]) {
          const read = await readAll(log, 0n, 300n, target);
          assert.deepEqual(bases(read), range(0, 300));
          for (const [index, { bytes }] of read.entries())
            assert.ok(bytes.equals(written[index]?.bytes ?? Buffer.alloc(0)), `batch ${index}`);
        }
        for (const from of range(0, 300)) {
          const [one] = await readAll(log, BigInt(from), BigInt(from + 1));
          assert.equal(one?.base, BigInt(from));
        }
      };
      await check(first.log);
      await first.directory.close();
      const second = await start(files, { root, config: small });
      await check(second.log);
      await second.directory.close();
    });
  });

  test('after a clean stop opens without reading or opening anything but the last segment and the snapshot', async () => {
    await onRealDisk(async (real, root) => {
      const first = await start(real, { root, config: small });
      await first.append(...batches(0, 300, { valueBytes: 50 }));
      await first.append(...batches(300, 310, { valueBytes: 50 }));
      await first.directory.close();
      const { files, reads, opened } = counting(real);
      const second = await start(files, { root, config: small });
      assert.equal(second.log.recovery.how, 'clean');
      assert.equal(second.log.endOffset, 310n);
      assert.equal(second.log.sizeBytes, first.log.sizeBytes);
      assert.deepEqual(second.replay.seen, first.replay.seen);
      const inFolder = (path: string): boolean => path.includes(folder);
      assert.deepEqual(
        reads.filter(inFolder).map((path) => path.split('/').at(-1)),
        ['00000000000000000310.snapshot'],
      );
      assert.equal(opened.filter(inFolder).length, 2, opened.filter(inFolder).join(' '));
      await second.directory.close();
    });
  });
});
