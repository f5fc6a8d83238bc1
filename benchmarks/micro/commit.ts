/**
 * How `flush.policy=commit` (synced before acknowledged) reaches the disk: the evidence for docs/adr/0001.
 *
 * Each case runs in a process of its own (the libuv pool is sized at start), interleaved, in reverse every second time:
 *   rounds   N partitions get one batch each: time from the first write until all N are durable. `checkpoint_ms`: then
 *            syncing every segment, which a journal leaves for later.
 *   streams  8 batches in flight per partition; what arrives during a sync goes into the next one (group commit). The
 *            clock stops when every segment is synced, whatever the variant. A journal has two halves of 256 MiB and
 *            reuses one after syncing every segment. Writing zeros ahead counts, except in a journal (it is recycled).
 *   calls    one fdatasync after a write; writevSync against awaited writev, without a sync.
 * Variants: `segments xK` syncs each dirty segment, on K libuv threads (so at most K at once); `sparse` sets the file
 * size ahead, `zeroed` writes the bytes ahead; `journal` writes segments unsynced and one shared file, synced.
 * Run:  node benchmarks/micro/commit.ts [--output json] [--data-dir <dir>] [--repeats 3] [--only rounds,streams,calls]
 * The data directory (default ./data-bench) decides what is measured: its device is printed, a tmpfs is refused. A
 * fresh folder in it is removed at the end. Needs Linux, 6 GiB free and about ten minutes.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { publish, type Row, spread } from '../report.ts';

const [KiB, MiB] = [1024, 1024 * 1024];
const WARMUP_ROUNDS = 3;
const IN_FLIGHT_PER_PARTITION = 8;
const JOURNAL_HALF_BYTES = 256 * MiB;
const FRAME = Buffer.alloc(32, 1); // what a journal entry needs besides the batch: which partition, offset, length

type Layout = 'grow' | 'sparse' | 'zeroed';
type Variant = { name: string; journal: boolean; threads: number; layout: Layout };
type Kind = 'calls' | 'rounds' | 'streams';
type Case = { kind: Kind; variant: Variant; partitions: number; batchBytes: number; count: number };
type Result = { ms: number[]; facts: Record<string, number> }; // latencies; numbers whose names end in their units

const VARIANTS: readonly Variant[] = [
  ...[1, 4, 16, 64].map((k) => ({ name: `segments x${k}`, journal: false, threads: k, layout: 'grow' as const })),
  { name: 'segments x16 sparse', journal: false, threads: 16, layout: 'sparse' },
  { name: 'segments x16 zeroed', journal: false, threads: 16, layout: 'zeroed' },
  { name: 'journal', journal: true, threads: 16, layout: 'grow' },
  { name: 'journal zeroed', journal: true, threads: 16, layout: 'zeroed' },
];
function cases(kind: Kind, partitions: number, batchBytes: number, count: number, variants = VARIANTS): Case[] {
  return variants.map((variant) => ({ kind, variant, partitions, batchBytes, count }));
}
const CASES: readonly Case[] = [
  cases('calls', 1, KiB, 2000, VARIANTS.slice(0, 1)),
  ...[1, 6, 30, 100, 1000].map((partitions) => cases('rounds', partitions, KiB, partitions < 100 ? 200 : 40)),
  ...[1, 6, 30, 100, 1000].map((partitions) => cases('rounds', partitions, 16 * KiB, partitions < 100 ? 200 : 40)),
  cases('streams', 6, 128 * KiB, (2048 * MiB) / (128 * KiB)),
  cases('streams', 100, 16 * KiB, (512 * MiB) / (16 * KiB)),
].flat();

const [fdatasync, writev] = [promisify(fs.fdatasync), promisify(fs.writev)];

/** A file written at a position we keep, so that growing and preallocated files take the same path. */
class LogFile {
  readonly fd: number;
  position = 0;
  constructor(file: string, layout: Layout, capacityBytes: number) {
    this.fd = fs.openSync(file, 'wx');
    if (layout === 'grow') return;
    fs.ftruncateSync(this.fd, capacityBytes);
    const zeros = Buffer.alloc(MiB);
    for (let at = 0; layout === 'zeroed' && at < capacityBytes; at += MiB) {
      fs.writeSync(this.fd, zeros, 0, Math.min(MiB, capacityBytes - at), at);
    }
    fs.fsyncSync(this.fd);
  }
  append(buffers: readonly Buffer[]): void {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (fs.writevSync(this.fd, buffers, this.position) !== bytes) throw new Error('short write: is the disk full?');
    this.position += bytes;
  }
}

/** Returns `durable`, which resolves after a sync that began later than the call; all that wait share that sync. */
function groupCommit(sync: () => Promise<void>): () => Promise<void> {
  const waiting: Array<() => void> = [];
  let running = false;
  const run = async (): Promise<void> => {
    running = true;
    await new Promise(setImmediate); // what arrives in one tick goes out together
    while (waiting.length > 0) {
      const group = waiting.splice(0);
      await sync();
      for (const resolve of group) resolve();
    }
    running = false;
  };
  return () =>
    new Promise((resolve, reject) => {
      waiting.push(resolve);
      if (!running) run().catch(reject);
    });
}

/** Two halves; a half is used again only when every segment has been synced since it filled. */
function openJournal(dir: string, layout: Layout, halfBytes: number, syncSegments: () => Promise<void>) {
  let current = new LogFile(path.join(dir, 'journal-0'), layout, halfBytes);
  let other = new LogFile(path.join(dir, 'journal-1'), layout, halfBytes);
  let checkpoint: Promise<void> = Promise.resolve();
  const unsynced = new Set<LogFile>();
  const room = async (bytes: number): Promise<void> => {
    while (current.position + bytes > halfBytes) {
      const full = current;
      await checkpoint;
      if (current !== full) continue; // another waiter has switched meanwhile
      [current, other] = [other, full];
      current.position = 0;
      if (layout === 'grow') fs.ftruncateSync(current.fd, 0);
      checkpoint = syncSegments();
    }
  };
  const append = (buffers: readonly Buffer[]): void => {
    unsynced.add(current);
    current.append(buffers);
  };
  const sync = async (): Promise<void> => {
    const halves = [...unsynced];
    unsynced.clear();
    await Promise.all(halves.map((half) => fdatasync(half.fd)));
  };
  return { room, append, sync };
}

/** A virtual machine may charge 8 times the copy for a page it touches again: touch before the clock runs. */
function touchMemory(dir: string, bytes: number): void {
  const file = new LogFile(path.join(dir, 'touch'), 'grow', 0);
  for (const piece = [Buffer.alloc(128 * KiB)]; file.position < bytes; ) file.append(piece);
  fs.closeSync(file.fd);
  fs.rmSync(path.join(dir, 'touch'));
}

function open(dir: string, { variant, partitions, batchBytes }: Case, batches: number, journalBytes: number) {
  const files = Array.from({ length: partitions }, (_, id) => {
    return new LogFile(path.join(dir, `${id}.log`), variant.journal ? 'grow' : variant.layout, batches * batchBytes);
  });
  const syncAll = async (): Promise<void> => void (await Promise.all(files.map((file) => fdatasync(file.fd))));
  const checkpoint = async (): Promise<void> => {
    for (const file of files) await fdatasync(file.fd); // one by one, which leaves the pool to the journal
  };
  const journal = variant.journal ? openJournal(dir, variant.layout, journalBytes, checkpoint) : undefined;
  return { files, syncAll, journal, batch: Buffer.alloc(batchBytes, 0xa5) };
}

async function measureRounds(dir: string, test: Case): Promise<Result> {
  const rounds = test.count + WARMUP_ROUNDS;
  const journalBytes = rounds * test.partitions * (test.batchBytes + FRAME.length); // no checkpoint within the rounds
  touchMemory(dir, journalBytes * (test.variant.journal ? 2 : 1));
  const { files, syncAll, journal, batch } = open(dir, test, rounds, journalBytes);
  const entries = files.flatMap(() => [FRAME, batch]);
  const [ms, writeMs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (const file of files) file.append([batch]);
    journal?.append(entries);
    const written = performance.now();
    await (journal ? journal.sync() : syncAll());
    ms.push(performance.now() - start);
    writeMs.push(written - start);
  }
  const start = performance.now();
  await syncAll();
  const facts = { write_ms: quantile(writeMs, 0.5), checkpoint_ms: performance.now() - start };
  return { ms: ms.slice(WARMUP_ROUNDS), facts };
}

async function measureStream(dir: string, test: Case): Promise<Result> {
  const perPartition = Math.ceil(test.count / test.partitions);
  const mib = (perPartition * test.partitions * test.batchBytes) / MiB;
  touchMemory(dir, mib * MiB + (test.variant.journal ? 2 * JOURNAL_HALF_BYTES : 0));
  let start = performance.now();
  const { files, syncAll, journal, batch } = open(dir, test, perPartition, JOURNAL_HALF_BYTES);
  if (journal) start = performance.now();
  const whole = groupCommit(async () => journal?.sync());
  const commits = files.map((file) => (journal ? whole : groupCommit(() => fdatasync(file.fd))));
  const ms: number[] = [];
  let longestWriteMs = 0;
  const produce = async (file: LogFile, durable: () => Promise<void>, turn: number): Promise<void> => {
    if (turn % 2 === 1) await sleep(20); // so that half of the batches arrive while a sync is in flight
    for (let sent = turn; sent < perPartition; sent += IN_FLIGHT_PER_PARTITION) {
      const sentAt = performance.now();
      await journal?.room(batch.length + FRAME.length);
      const writing = performance.now();
      file.append([batch]);
      journal?.append([FRAME, batch]);
      longestWriteMs = Math.max(longestWriteMs, performance.now() - writing);
      await durable();
      ms.push(performance.now() - sentAt);
    }
  };
  const turns = [...Array(IN_FLIGHT_PER_PARTITION).keys()];
  await Promise.all(files.flatMap((file, id) => turns.map((turn) => produce(file, commits[id] ?? whole, turn))));
  await syncAll();
  const mib_per_s = (mib * 1000) / (performance.now() - start);
  return { ms, facts: { mib_per_s, longest_write_ms: longestWriteMs } };
}

async function measureCalls(dir: string, test: Case): Promise<Result> {
  const facts: Result['facts'] = {};
  const small = [Buffer.alloc(test.batchBytes, 1)];
  const time = async (name: string, call: () => unknown, appendTo?: LogFile): Promise<void> => {
    const us: number[] = [];
    for (let i = 0; i < test.count; i++) {
      appendTo?.append(small);
      const start = performance.now();
      await call();
      us.push((performance.now() - start) * 1000);
    }
    for (const q of [50, 99]) facts[`${name}_p${q}_us`] = quantile(us, q / 100);
  };
  const grown = new LogFile(path.join(dir, 'grown'), 'grow', 0);
  const zeroed = new LogFile(path.join(dir, 'zeroed'), 'zeroed', test.count * test.batchBytes);
  await time('append_1KiB_then_fdatasyncSync', () => fs.fdatasyncSync(grown.fd), grown);
  await time('append_1KiB_then_awaited_fdatasync', () => fdatasync(grown.fd), grown);
  await time('1KiB_into_zeros_then_fdatasyncSync', () => fs.fdatasyncSync(zeroed.fd), zeroed);
  for (const kib of [1, 128]) {
    touchMemory(dir, 4000 * kib * KiB);
    const batch = [Buffer.alloc(kib * KiB, 1)];
    const fd = fs.openSync(path.join(dir, `writes-${kib}`), 'a');
    await time(`writevSync_${kib}KiB`, () => fs.writevSync(fd, batch));
    await time(`awaited_writev_${kib}KiB`, () => writev(fd, batch));
  }
  return { ms: [], facts };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** One case in a fresh process, after the removal of the previous one's files has been synced. */
function runCase(parent: string, test: Case): Result {
  using dir = fs.mkdtempDisposableSync(path.join(parent, 'case-'));
  execFileSync('sync');
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(test.variant.threads) };
  const args = [...process.execArgv, import.meta.filename, '--data-dir', dir.path, '--case', JSON.stringify(test)];
  return JSON.parse(execFileSync(process.execPath, args, { env, encoding: 'utf8', maxBuffer: 64 * MiB }));
}

function summarize({ test, results }: { test: Case; results: readonly Result[] }): Row {
  const { kind, partitions, batchBytes, variant } = test;
  const name = kind === 'calls' ? kind : `${kind} ${partitions} x ${batchBytes / KiB} KiB, ${variant.name}`;
  const all = results.flatMap((result) => result.ms);
  const times =
    all.length === 0
      ? {}
      : {
          'least ms': spread([quantile(all, 0)]),
          'median ms': spread(results.map((result) => quantile(result.ms, 0.5))),
          'p99 ms': spread([quantile(all, 0.99)]),
          'most ms': spread([quantile(all, 1)]),
        };
  const titles = Object.keys(results[0]?.facts ?? {});
  const facts = titles.map((title) => [
    title.replaceAll('_', ' '),
    spread(results.map((result) => result.facts[title] ?? Number.NaN)),
  ]);
  return { name, figures: { ...times, ...Object.fromEntries(facts) } };
}

function describeDevice(dir: string): string {
  if (fs.statfsSync(dir).type === 0x01021994) throw new Error(`${dir} is a tmpfs: name a disk with --data-dir`);
  const { dev } = fs.statSync(dir);
  const id = `${(dev >>> 8) & 0xfff}:${dev & 0xff}`;
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return `${id} ${mounts.find((line) => line.split(' ')[2] === id)?.split(' - ')[1] ?? ''}`.trim();
}

function runAll(dir: string, kinds: readonly string[], repeats: number, output: string): void {
  const device = describeDevice(dir);
  const tests = CASES.filter(({ kind }) => kinds.includes(kind));
  const runs = tests.map((test) => ({ test, results: new Array<Result>() }));
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const run of repeat % 2 === 0 ? runs : runs.toReversed()) run.results.push(runCase(dir, run.test));
  }
  const notes = [`device: ${device}, ${repeats} repeats`];
  publish({ benchmark: 'micro/commit', rows: runs.map(summarize), notes }, output);
}

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    'data-dir': { type: 'string', default: 'data-bench' },
    repeats: { type: 'string', default: '3' },
    only: { type: 'string', default: 'calls,rounds,streams' },
    case: { type: 'string', default: '' }, // `case` is how a child process learns its work
  },
});
if (flags.case !== '') {
  const test: Case = JSON.parse(flags.case);
  const measures = { calls: measureCalls, rounds: measureRounds, streams: measureStream };
  console.log(JSON.stringify(await measures[test.kind](flags['data-dir'], test)));
} else {
  const made = fs.mkdirSync(flags['data-dir'], { recursive: true });
  if (made !== undefined) process.once('exit', () => fs.rmSync(made, { recursive: true }));
  using root = fs.mkdtempDisposableSync(path.join(flags['data-dir'], 'commit-'));
  runAll(root.path, flags.only.split(','), Number(flags.repeats), flags.output);
}
