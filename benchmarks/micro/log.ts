/**
 * Micro benchmark of the broker's log: appending with and without flushing, reading, finding an offset.
 *
 *     node benchmarks/micro/log.ts [--output json] [--data-dir <folder>] [--mib 512] [--repeats 3]
 *
 * `bookkeeping` appends to files that swallow everything: what is left is the log's own work. The other rows write to a fresh folder below the
 * data directory (default: ./data-bench), which decides what is measured, and remove it at the end. Files are read from the page cache.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { leaderEpoch, offset, partitionIndex, topicConfig, topicId } from '@tributary/model';
import { type File, FileError, type FileSystem } from '@tributary/ports';
import { encodeBatch, stampBaseOffset } from '@tributary/record';
import { nodeClock, nodeFileSystem, nodeRandom } from '@tributary/runtime';
import { DataDirectory } from '../../services/broker/src/log/data-directory.ts';
import type { LogBatch, LogReplay } from '../../services/broker/src/log/log-types.ts';
import type { PartitionLog } from '../../services/broker/src/log/partition-log.ts';
import { Collection, publish } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    'data-dir': { type: 'string', default: 'data-bench' },
    mib: { type: 'string', default: '512' },
    repeats: { type: 'string', default: '3' },
  },
});
const KiB = 1024;
const MiB = 1024 * KiB;
const totalBytes = Number(flags.mib) * MiB;
const repeats = Number(flags.repeats);
const chunk = 256 * KiB;
const mostBytes = 64 * MiB;

const noReplay: LogReplay = {
  restore: () => {},
  remembers: () => false,
  batch: () => {},
  take: () => ({ bytes: new Uint8Array(0), end: offset(0n) }),
};
const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const host = {
  bootId: 'benchmark',
  crash: (reason: string): void => {
    throw new Error(reason);
  },
};

interface OpenLog {
  readonly directory: DataDirectory;
  readonly log: PartitionLog;
}

async function openLog(files: FileSystem, root: string): Promise<OpenLog> {
  const directory = await DataDirectory.open(files, root, {
    host,
    clock: nodeClock,
    random: nodeRandom,
    logger: quiet,
  });
  const log = await directory.openLog(topicId('AAAAAAAAAAAAAAAAAAAAAA'), partitionIndex(0), {
    config: topicConfig({}),
    role: 'sole',
    replay: noReplay,
  });
  return { directory, log };
}

/** Batches as a produce stream brings them: each with bytes of its own. */
function batchesOf(bytes: number, count: number): LogBatch[] {
  const template = encodeBatch([{ timestamp: 1_700_000_000_000, value: Buffer.alloc(bytes, 7) }]);
  return Array.from({ length: count }, (_, at) => {
    const own = Uint8Array.from(template);
    const base = offset(BigInt(at));
    stampBaseOffset(own, 0, base);
    return {
      bytes: own,
      baseOffset: base,
      lastOffset: base,
      maxTimestamp: 1_700_000_000_000 + at,
      leaderEpoch: leaderEpoch(0),
    };
  });
}

/** Files that have a size and nothing else. */
function sinkFiles(): FileSystem {
  const open = (): File => {
    let size = 0;
    return {
      get size() {
        return size;
      },
      read: async () => 0,
      append: async (chunks) => {
        for (const bytes of chunks) size += bytes.length;
      },
      truncate: async (to) => {
        size = to;
      },
      sync: async () => {},
      close: async () => {},
    };
  };
  return {
    open: async (name, mode) => {
      if (mode === 'read') throw new FileError('absent', name);
      return open();
    },
    list: async () => [],
    makeDirectory: async () => {},
    rename: async () => {},
    remove: async () => {},
    syncDirectory: async () => {},
    lock: async () => ({ [Symbol.asyncDispose]: async () => {} }),
    freeBytes: async () => Number.MAX_SAFE_INTEGER,
    totalBytes: async () => Number.MAX_SAFE_INTEGER,
  };
}

const results = new Collection();

function note(name: string, ms: number, count: number, bytes: number): void {
  results.add(name, { 'µs each': (ms * 1000) / count, 'MiB/s': bytes / MiB / (ms / 1000) });
}

/** @param group batches in one call. @param flush after each call. @returns ms. */
async function appendAll(
  log: PartitionLog,
  batches: readonly LogBatch[],
  group: number,
  flush: boolean,
): Promise<number> {
  const calls = Array.from({ length: Math.ceil(batches.length / group) }, (_, at) =>
    batches.slice(at * group, (at + 1) * group),
  );
  const began = performance.now();
  for (const call of calls) {
    await log.append(call);
    if (flush) await log.sync();
  }
  return performance.now() - began;
}

/** Repeats `measure` in a fresh folder each time; the first time warms up. */
async function inFolders(root: string, measure: (place: string, isWarm: boolean) => Promise<void>): Promise<void> {
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const place = mkdtempSync(path.join(root, 'log-'));
    await measure(place, repeat > 0);
    rmSync(place, { recursive: true, force: true });
  }
}

async function measureAppends(root: string): Promise<void> {
  const loads = [
    { label: '1 KiB', bytes: KiB, group: 1 },
    { label: '1 KiB, 64 in a call', bytes: KiB, group: 64 },
    { label: '128 KiB', bytes: 128 * KiB, group: 1 },
  ];
  for (const { label, bytes, group } of loads) {
    const count = Math.min(Math.floor(totalBytes / bytes), 100_000);
    const cases = [
      { name: `bookkeeping, ${label}`, files: sinkFiles(), flush: false, count },
      { name: `append async, ${label}`, files: nodeFileSystem, flush: false, count },
      { name: `append and flush, ${label}`, files: nodeFileSystem, flush: true, count: Math.min(count, group * 1000) },
    ];
    for (const one of cases) {
      await inFolders(root, async (place, isWarm) => {
        const { directory, log } = await openLog(one.files, place);
        const ms = await appendAll(log, batchesOf(bytes, one.count), group, one.flush);
        if (isWarm) note(one.name, ms, one.count, one.count * bytes);
        await directory.close();
      });
    }
  }
}

async function readOnce(log: PartitionLog): Promise<{ readonly ms: number; readonly reads: number }> {
  const began = performance.now();
  let reads = 0;
  let at = log.startOffset;
  while (at < log.endOffset) {
    const slice = await log.read(at, chunk, mostBytes, log.endOffset);
    if (slice.kind !== 'records') break;
    at = slice.next;
    reads++;
  }
  return { ms: performance.now() - began, reads };
}

async function measureReads(root: string): Promise<void> {
  for (const kib of [1, 16, 128]) {
    await inFolders(root, async (place, isWarm) => {
      const written = await openLog(nodeFileSystem, place);
      await appendAll(written.log, batchesOf(kib * KiB, Math.floor(totalBytes / (kib * KiB))), 64, false);
      await written.directory.close();
      const { directory, log } = await openLog(nodeFileSystem, place);
      const { ms, reads } = await readOnce(log);
      if (isWarm) note(`read file by 256 KiB, batches of ${kib} KiB`, ms, reads, log.sizeBytes);
      await directory.close();
    });
  }
}

async function searchAll(log: PartitionLog, count: number, searches: number): Promise<number> {
  const began = performance.now();
  for (let search = 0; search < searches; search++) {
    const slice = log.read(offset(BigInt((search * 7919) % count)), 1, mostBytes, log.endOffset);
    if (slice instanceof Promise) await slice;
  }
  return performance.now() - began;
}

async function measureSearches(root: string): Promise<void> {
  await inFolders(root, async (place, isWarm) => {
    const count = Math.min(100_000, Math.floor(totalBytes / (4 * KiB)));
    const batches = batchesOf(4 * KiB, count);
    const written = await openLog(nodeFileSystem, place);
    const cached = 4096;
    await appendAll(written.log, batches.slice(0, cached), 64, false);
    const inMemory = await searchAll(written.log, cached, 100_000);
    if (isWarm) note('find and read one 4 KiB batch in memory', inMemory, 100_000, 100_000 * 4 * KiB);
    await appendAll(written.log, batches.slice(cached), 64, false);
    await written.directory.close();
    const { directory, log } = await openLog(nodeFileSystem, place);
    const inFile = await searchAll(log, count, 5_000);
    if (isWarm) note('find and read one 4 KiB batch in a file', inFile, 5_000, 5_000 * 4 * KiB);
    await directory.close();
  });
}

mkdirSync(flags['data-dir'], { recursive: true });
const root = mkdtempSync(path.join(path.resolve(flags['data-dir']), 'log-'));
try {
  await measureAppends(root);
  await measureReads(root);
  await measureSearches(root);
} finally {
  rmSync(root, { recursive: true, force: true });
}
publish({ benchmark: 'log', rows: results.rows }, flags.output);
