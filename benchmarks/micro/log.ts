/**
 * Micro benchmark of the broker's log: appending with and without flushing, reading, finding an offset.
 *
 *     node benchmarks/micro/log.ts [--output json] [--data-dir <folder>] [--mib 512]
 *
 * `bookkeeping` appends to files that swallow everything: what is left is the log's own work. The other rows write to a fresh folder below the
 * data directory (default: ./data-bench), which decides what is measured, and remove it at the end. Reads of files come from the page cache.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { leaderEpoch, offset, partitionIndex, topicConfig, topicId } from '@tributary/model';
import type { File, FileSystem } from '@tributary/ports';
import { encodeBatch, stampBaseOffset } from '@tributary/record';
import { nodeClock, nodeFileSystem, nodeRandom } from '@tributary/runtime';
import { DataDirectory } from '../../services/broker/src/log/data-directory.ts';
import type { LogBatch, LogReplay } from '../../services/broker/src/log/log-types.ts';
import type { PartitionLog } from '../../services/broker/src/log/partition-log.ts';

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    'data-dir': { type: 'string', default: 'data-bench' },
    mib: { type: 'string', default: '512' },
  },
});
const MiB = 2 ** 20;
const totalBytes = Number(flags.mib) * MiB;
const rounds = 3;
const chunk = 256 * 1024;

interface Row {
  readonly name: string;
  /** Microseconds for one batch, read or search. */
  readonly micros: number;
  readonly mibPerSecond: number | undefined;
}

const noReplay: LogReplay = {
  restore: () => {},
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

async function openLog(files: FileSystem, root: string): Promise<{ directory: DataDirectory; log: PartitionLog }> {
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
function* batchesOf(bytes: number, count: number): Generator<LogBatch> {
  const template = encodeBatch([{ timestamp: 1_700_000_000_000, value: Buffer.alloc(bytes, 7) }]);
  for (let at = 0; at < count; at++) {
    const own = Uint8Array.from(template);
    stampBaseOffset(own, 0, offset(BigInt(at)));
    const base = offset(BigInt(at));
    yield {
      bytes: own,
      baseOffset: base,
      lastOffset: base,
      maxTimestamp: 1_700_000_000_000 + at,
      leaderEpoch: leaderEpoch(0),
    };
  }
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
}

/** Files that have a size and nothing else. */
function sinkFiles(): FileSystem {
  const open = async (): Promise<File> => {
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
    open: async (file, mode) => (mode === 'read' ? await nodeFileSystem.open(`${file}.absent`, 'read') : await open()),
    list: async () => [],
    makeDirectory: async () => {},
    rename: async () => {},
    remove: async () => {},
    syncDirectory: async () => {},
    lock: async () => ({ [Symbol.asyncDispose]: async () => {} }),
    freeBytes: async () => Number.MAX_SAFE_INTEGER,
  };
}

/** @param group batches in one call. @param sync flush after each call. */
async function appendAll(
  log: PartitionLog,
  batches: readonly LogBatch[],
  group: number,
  sync: boolean,
): Promise<number> {
  const began = performance.now();
  for (let at = 0; at < batches.length; at += group) {
    await log.append(group === 1 ? [batches[at] as LogBatch] : batches.slice(at, at + group));
    if (sync) await log.sync();
  }
  return performance.now() - began;
}

const tables: Row[] = [];
function row(name: string, ms: readonly number[], count: number, bytes?: number): void {
  const middle = median(ms);
  tables.push({
    name,
    micros: (middle * 1000) / count,
    mibPerSecond: bytes === undefined ? undefined : bytes / MiB / (middle / 1000),
  });
}

async function measureAppends(root: string): Promise<void> {
  for (const [label, bytes, group] of [
    ['1 KiB', 1024, 1],
    ['1 KiB, 64 in a call', 1024, 64],
    ['128 KiB', 128 * 1024, 1],
  ] as const) {
    const count = Math.min(Math.floor(totalBytes / bytes), 100_000);
    const cases = [
      { name: `bookkeeping, ${label}`, files: sinkFiles(), sync: false, count },
      { name: `append async, ${label}`, files: nodeFileSystem, sync: false, count },
      { name: `append and flush, ${label}`, files: nodeFileSystem, sync: true, count: Math.min(count, group * 1000) },
    ];
    for (const one of cases) {
      const ms: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        const batches = [...batchesOf(bytes, one.count)];
        const place = mkdtempSync(path.join(root, 'append-'));
        const { directory, log } = await openLog(one.files, place);
        const took = await appendAll(log, batches, group, one.sync);
        // The first round warms up.
        if (round > 0) ms.push(took);
        await directory.close();
        rmSync(place, { recursive: true, force: true });
      }
      row(one.name, ms, one.count, one.count * bytes);
    }
  }
}

async function readAll(log: PartitionLog): Promise<{ readonly ms: number; readonly reads: number }> {
  const began = performance.now();
  let reads = 0;
  let at = log.startOffset;
  while (at < log.endOffset) {
    const slice = await log.read(at, chunk, 64 * MiB, log.endOffset);
    if (slice.kind !== 'records') break;
    at = slice.next;
    reads++;
  }
  return { ms: performance.now() - began, reads };
}

async function measureReads(root: string): Promise<void> {
  for (const [label, bytes] of [
    ['1 KiB', 1024],
    ['16 KiB', 16 * 1024],
    ['128 KiB', 128 * 1024],
  ] as const) {
    const place = mkdtempSync(path.join(root, 'read-'));
    const written = await openLog(nodeFileSystem, place);
    await appendAll(written.log, [...batchesOf(bytes, Math.floor(totalBytes / bytes))], 64, false);
    await written.directory.close();
    const { directory, log } = await openLog(nodeFileSystem, place);
    const passes = [];
    for (let round = 0; round <= rounds; round++) passes.push(await readAll(log));
    row(
      `read file in 256 KiB, batches of ${label}`,
      passes.slice(1).map(({ ms }) => ms),
      passes[0]?.reads ?? 1,
      log.sizeBytes,
    );
    await directory.close();
    rmSync(place, { recursive: true, force: true });
  }
}

async function measureMemory(root: string): Promise<void> {
  const place = mkdtempSync(path.join(root, 'memory-'));
  const { directory, log } = await openLog(nodeFileSystem, place);
  const count = 1024;
  await appendAll(log, [...batchesOf(16 * 1024, count)], 64, false);
  const searches = 200_000;
  const ms: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    for (let search = 0; search < searches; search++) {
      const slice = log.read(offset(BigInt((search * 7919) % count)), 1, 64 * MiB, log.endOffset);
      if (slice instanceof Promise) await slice;
    }
    if (round > 0) ms.push(performance.now() - began);
  }
  row('read one batch from memory', ms, searches);
  await directory.close();
  rmSync(place, { recursive: true, force: true });
}

async function measureSearch(root: string): Promise<void> {
  const place = mkdtempSync(path.join(root, 'search-'));
  const written = await openLog(nodeFileSystem, place);
  const count = Math.min(100_000, Math.floor(totalBytes / 4096));
  await appendAll(written.log, [...batchesOf(4096, count)], 64, false);
  await written.directory.close();
  const { directory, log } = await openLog(nodeFileSystem, place);
  const searches = 5_000;
  const ms: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    for (let search = 0; search < searches; search++) {
      await log.read(offset(BigInt((search * 7919) % count)), 1, 64 * MiB, log.endOffset);
    }
    if (round > 0) ms.push(performance.now() - began);
  }
  row('seek: index search, header check, read one batch', ms, searches);
  await directory.close();
  rmSync(place, { recursive: true, force: true });
}

mkdirSync(flags['data-dir'], { recursive: true });
const folder = mkdtempSync(path.join(path.resolve(flags['data-dir']), 'log-'));
try {
  await measureAppends(folder);
  await measureReads(folder);
  await measureMemory(folder);
  await measureSearch(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (flags.output === 'json') console.log(JSON.stringify(tables, undefined, 2));
else {
  console.log(`${'case'.padEnd(52)}${'µs each'.padStart(10)}${'MiB/s'.padStart(10)}`);
  for (const { name, micros, mibPerSecond } of tables) {
    console.log(`${name.padEnd(52)}${micros.toFixed(2).padStart(10)}${(mibPerSecond?.toFixed(0) ?? '').padStart(10)}`);
  }
}
