/**
 * Micro benchmark of compaction: how fast it goes through a log, how long it keeps the event loop, and what it costs those who produce meanwhile.
 *
 *     node benchmarks/micro/compaction.ts [--output json] [--data-dir <folder>] [--mib 256] [--repeats 3] [--only '100 B']
 *                                         [--rate <MiB/s read and written>]
 *
 * Each key occurs four times, in batches of 64 KiB and segments of 64 MiB; MiB/s is of the log that goes in. `produce` appends and flushes a batch of
 * 16 KiB to another log of the same directory every 2 ms, first alone, then while the first log is compacted.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { leaderEpoch, limits, type Offset, offset, partitionIndex, topicConfig, topicId } from '@tributary/model';
import { BatchBuilder, stampBaseOffset } from '@tributary/record';
import { nodeClock, nodeFileSystem, nodeRandom } from '@tributary/runtime';
import { DataDirectory } from '../../services/broker/src/log/data-directory.ts';
import type { LogBatch, LogReplay } from '../../services/broker/src/log/log-types.ts';
import type { PartitionLog } from '../../services/broker/src/log/partition-log.ts';
import { Collection, publish, quantile } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    'data-dir': { type: 'string', default: 'data-bench' },
    mib: { type: 'string', default: '256' },
    repeats: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    rate: { type: 'string', default: '' },
  },
});
const KiB = 1024;
const MiB = 1024 * KiB;
const totalBytes = Number(flags.mib) * MiB;
const repeats = Number(flags.repeats);
const occurrences = 4;
const producePauseMs = 2;
const produceAloneMs = 3_000;

class Ends implements LogReplay {
  #end = offset(0n);
  noted(batch: LogBatch): void {
    this.#end = offset(batch.lastOffset + 1n);
  }
  restore(_snapshot: Uint8Array | undefined, at: Offset): void {
    this.#end = at;
  }
  batch(): void {}
  remembers(): boolean {
    return false;
  }
  take() {
    return { bytes: new Uint8Array(0), end: this.#end };
  }
}

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const host = {
  bootId: 'benchmark',
  openFilesMax: 1024,
  crash: (reason: string): void => {
    throw new Error(reason);
  },
};

/** Deterministic, so that each repeat compacts the same log. */
function shuffler(): (most: number) => number {
  let state = 1;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}

function* keyedBatches(recordBytes: number, compression: 'none' | 'zstd'): Generator<LogBatch> {
  const records = Math.floor(totalBytes / recordBytes);
  const keys = Math.floor(records / occurrences);
  const next = shuffler();
  const pool = Buffer.from(Array.from({ length: MiB }, () => 97 + next(16)));
  const valueBytes = recordBytes - 27;
  const builder = new BatchBuilder(64 * KiB);
  let base = 0;
  const seal = (): LogBatch => {
    const count = builder.count;
    const bytes = builder.build({ compression, copy: true });
    stampBaseOffset(bytes, 0, offset(BigInt(base)));
    builder.reset();
    const batch = {
      bytes,
      baseOffset: offset(BigInt(base)),
      lastOffset: offset(BigInt(base + count - 1)),
      maxTimestamp: 1_700_000_000_000,
      leaderEpoch: leaderEpoch(0),
    };
    base += count;
    return batch;
  };
  for (let record = 0; record < records; record++) {
    const key = String(next(keys)).padStart(16, 'k');
    const from = next(MiB - valueBytes);
    const value = pool.subarray(from, from + valueBytes);
    if (builder.append(1_700_000_000_000, key, value)) continue;
    yield seal();
    builder.append(1_700_000_000_000, key, value);
  }
  if (builder.count > 0) yield seal();
}

async function filled(
  directory: DataDirectory,
  recordBytes: number,
  compression: 'none' | 'zstd',
): Promise<PartitionLog> {
  const replay = new Ends();
  const config = topicConfig({
    'cleanup.policy': 'compact',
    'segment.bytes': String(64 * MiB),
    'min.cleanable.dirty.ratio': '0',
  });
  const log = await directory.openLog(topicId('AAAAAAAAAAAAAAAAAAAAAA'), partitionIndex(0), {
    config,
    role: 'sole',
    replay,
  });
  let group: LogBatch[] = [];
  for (const batch of keyedBatches(recordBytes, compression)) {
    group.push(batch);
    if (group.length < 16) continue;
    for (const one of group) replay.noted(one);
    await log.append(group);
    group = [];
  }
  log.noteHighWatermark(await log.sync());
  return log;
}

/** Compacts all but the segment that is written. @returns MiB of input and s. */
async function compact(
  log: PartitionLog,
): Promise<{ readonly mib: number; readonly seconds: number; readonly sliceMs: number }> {
  const began = performance.now();
  let bytes = 0;
  let sliceMs = 0;
  for (;;) {
    const report = await log.compact({
      buffer: 64 * MiB,
      bytesPerSecond: flags.rate === '' ? undefined : Number(flags.rate) * MiB,
      random: nodeRandom,
      passed: () => log.endOffset,
      signal: new AbortController().signal,
    });
    if (report === undefined) break;
    bytes += report.bytesBefore;
    sliceMs = Math.max(sliceMs, report.longestSliceMs);
  }
  return { mib: bytes / MiB, seconds: (performance.now() - began) / 1000, sliceMs };
}

/** Appends and flushes at a steady pace until it is told to stop. @returns ms of each. */
async function produceUntil(log: PartitionLog, replay: Ends, isOver: () => boolean): Promise<number[]> {
  const latencies: number[] = [];
  const builder = new BatchBuilder(16 * KiB);
  while (builder.append(1_700_000_000_000, null, Buffer.alloc(1000, 7)));
  while (!isOver()) {
    const began = performance.now();
    const bytes = builder.build({ copy: true });
    const baseOffset = log.endOffset;
    stampBaseOffset(bytes, 0, baseOffset);
    const lastOffset = offset(baseOffset + BigInt(builder.count - 1));
    const batch = { bytes, baseOffset, lastOffset, maxTimestamp: 1_700_000_000_000, leaderEpoch: leaderEpoch(0) };
    replay.noted(batch);
    await log.append([batch]);
    await log.sync();
    latencies.push(performance.now() - began);
    await nodeClock.sleep(producePauseMs, new AbortController().signal);
  }
  return latencies;
}

const results = new Collection();
const kinds = [
  ['1 KiB records', KiB, 'none'],
  ['100 B records', 100, 'none'],
  ['1 KiB records, zstd', KiB, 'zstd'],
] as const;

async function measure(name: string, recordBytes: number, compression: 'none' | 'zstd'): Promise<void> {
  mkdirSync(flags['data-dir'], { recursive: true });
  const root = mkdtempSync(path.join(flags['data-dir'], 'compaction-'));
  try {
    await using directory = await DataDirectory.open(nodeFileSystem, root, {
      host,
      clock: nodeClock,
      random: nodeRandom,
      logger: quiet,
    });
    const log = await filled(directory, recordBytes, compression);
    const replay = new Ends();
    const other = await directory.openLog(topicId('BBBBBBBBBBBBBBBBBBBBBB'), partitionIndex(0), {
      config: topicConfig({}),
      role: 'sole',
      replay,
    });
    const until = performance.now() + produceAloneMs;
    const alone = (await produceUntil(other, replay, () => performance.now() > until)).toSorted((a, b) => a - b);
    const isBusy = { now: true };
    const beside = produceUntil(other, replay, () => !isBusy.now);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const before = process.cpuUsage();
    const { mib, seconds, sliceMs } = await compact(log);
    const cpu = process.cpuUsage(before);
    delay.disable();
    isBusy.now = false;
    const busy = (await beside).toSorted((a, b) => a - b);
    results.add(name, {
      'MiB/s': mib / seconds,
      'CPU ms/MiB': (cpu.user + cpu.system) / 1000 / mib,
      'slice ms': sliceMs,
      'loop p99 ms': delay.percentile(99) / 1e6,
      'loop max ms': delay.max / 1e6,
      'produce p99 alone ms': quantile(alone, 0.99),
      'produce p99 beside ms': quantile(busy, 0.99),
      'p99 times': quantile(busy, 0.99) / quantile(alone, 0.99),
      'p95 times': quantile(busy, 0.95) / quantile(alone, 0.95),
      operations: busy.length,
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

for (let repeat = 0; repeat < repeats; repeat++) {
  for (const [name, recordBytes, compression] of kinds) {
    if (name.includes(flags.only)) await measure(name, recordBytes, compression);
  }
}
publish(
  { benchmark: 'compaction', rows: results.rows, notes: [`slices of ${limits.compactionSliceMs} ms`] },
  flags.output,
);
