/** What the tests of the log need: batches, a replay that records, and data directories on the simulated disk or a real one. */
import {
  type LeaderEpoch,
  leaderEpoch,
  type Offset,
  offset,
  partitionIndex,
  producerEpoch,
  producerId,
  type TopicConfig,
  topicConfig,
  topicId,
} from '@tributary/model';
import type { Clock, FileSystem, Host, Logger, Random } from '@tributary/ports';
import { type BatchHeader, encodeBatch, type NewRecord, readBatchHeader } from '@tributary/record';
import { DataDirectory } from '../../src/log/data-directory.ts';
import type { LogBatch, LogReplay, ProducerSnapshot, ReplicaRole } from '../../src/log/log-types.ts';
import type { PartitionLog } from '../../src/log/partition-log.ts';

export const topic = topicId('AAAAAAAAAAAAAAAAAAAAAA');
export const partition = partitionIndex(0);
export const folder = `${topic}-0`;

export interface BatchShape {
  readonly at: bigint;
  readonly records?: number;
  /** Bytes of each value. */
  readonly valueBytes?: number;
  readonly epoch?: number;
  readonly timestamp?: number;
  /** Makes it one of an idempotent producer. */
  readonly producer?: bigint;
  readonly sequence?: number;
}

/** Contents depend on the offset, so that a batch in the wrong place is seen. */
export function batch({
  at,
  records = 1,
  valueBytes = 10,
  epoch = 0,
  timestamp = 1_000,
  producer,
  sequence = 0,
}: BatchShape): LogBatch {
  const all: NewRecord[] = Array.from({ length: records }, (_, index) => ({
    timestamp: timestamp + index,
    key: null,
    value: Buffer.alloc(valueBytes, Number(at + BigInt(index)) & 0xff),
  }));
  const bytes = encodeBatch(all, {
    baseOffset: offset(at),
    leaderEpoch: leaderEpoch(epoch),
    copy: true,
    ...(producer !== undefined && {
      producer: { id: producerId(producer), epoch: producerEpoch(0), baseSequence: sequence },
    }),
  });
  const header = readBatchHeader(bytes, 0);
  return {
    bytes,
    baseOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    maxTimestamp: header.maxTimestamp,
    leaderEpoch: header.leaderEpoch,
  };
}

/** Batches of one record each, from `from` up to below `to`. */
export function batches(from: number, to: number, shape: Omit<BatchShape, 'at'> = {}): LogBatch[] {
  const made: LogBatch[] = [];
  for (let at = from; at < to; at += shape.records ?? 1)
    made.push(batch({ timestamp: 1_000 + at, ...shape, at: BigInt(at) }));
  return made;
}

/** State that is nothing but the list of base offsets seen: any batch left out or seen twice shows. */
export class RecordingReplay implements LogReplay {
  seen: string[] = [];
  end: Offset = offset(0n);
  restoredAt: Offset | undefined;
  replayed = 0;

  restore(snapshot: Uint8Array | undefined, at: Offset): void {
    this.seen = snapshot === undefined ? [] : (JSON.parse(Buffer.from(snapshot).toString()) as string[]);
    this.end = at;
    this.restoredAt = snapshot === undefined ? undefined : at;
    this.replayed = 0;
  }

  batch(header: BatchHeader): void {
    this.apply(header.baseOffset, header.nextOffset);
    this.replayed++;
  }

  remembers(): boolean {
    return false;
  }

  apply(base: Offset, next: Offset): void {
    this.seen.push(base.toString());
    this.end = next;
  }

  take(): ProducerSnapshot {
    return { bytes: Buffer.from(JSON.stringify(this.seen)), end: this.end };
  }
}

export const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} };

export function config(settings: Readonly<Record<string, string>> = {}): TopicConfig {
  return topicConfig(settings);
}

/** A process that counts how often it was told to crash. */
export interface TestHost extends Host {
  bootId: string;
  readonly crashes: string[];
}

export function testHost(bootId = 'boot-1'): TestHost {
  const crashes: string[] = [];
  return { bootId, crashes, crash: (reason) => void crashes.push(reason) };
}

/** Wall time that stands still until a test moves it. */
export interface TestClock extends Clock {
  now: number;
  /** Sleepers that wait, with the time that each asked for. */
  readonly sleepers: { readonly ms: number; readonly wake: () => void }[];
}

export function testClock(now = 1_000_000): TestClock {
  const clock: TestClock = {
    now,
    sleepers: [],
    monotonicMs: () => clock.now,
    wallMs: () => clock.now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        clock.sleepers.push({ ms, wake: resolve });
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
  return clock;
}

export function testRandom(): Random {
  let state = 1;
  return {
    nextU32: () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state;
    },
  };
}

export interface Broker {
  readonly directory: DataDirectory;
  readonly log: PartitionLog;
  readonly replay: RecordingReplay;
  /** Appends as the partition does: state after log. */
  append(...batches: readonly LogBatch[]): Promise<void>;
}

export interface StartOptions {
  readonly root?: string;
  readonly host?: Host;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  readonly config?: TopicConfig;
  readonly role?: ReplicaRole;
}

/** Opens the directory and the one log that most tests are about. */
export async function start(files: FileSystem, options: StartOptions = {}): Promise<Broker> {
  const directory = await openDirectory(files, options);
  const replay = new RecordingReplay();
  const log = await directory.openLog(topic, partition, {
    config: options.config ?? config(),
    role: options.role ?? 'sole',
    replay,
  });
  return {
    directory,
    log,
    replay,
    append: async (...added) => {
      await log.append(added);
      for (const one of added) replay.apply(one.baseOffset, offset(one.lastOffset + 1n));
    },
  };
}

export async function openDirectory(files: FileSystem, options: StartOptions = {}): Promise<DataDirectory> {
  return await DataDirectory.open(files, options.root ?? 'data', {
    host: options.host ?? testHost(),
    clock: options.clock ?? testClock(),
    random: options.random ?? testRandom(),
    logger: options.logger ?? silent,
  });
}

export interface ReadBatch {
  readonly base: bigint;
  readonly next: bigint;
  readonly epoch: LeaderEpoch;
  readonly bytes: Buffer;
}

/** Everything readable from `from` below `upTo`, batch by batch, through chunks of `target` bytes. */
export async function readAll(
  log: PartitionLog,
  from: bigint = log.startOffset,
  upTo: bigint = log.endOffset,
  target = 4096,
): Promise<ReadBatch[]> {
  const found: ReadBatch[] = [];
  let at = offset(from);
  for (;;) {
    const slice = at >= upTo ? { kind: 'end' as const } : await log.read(at, target, 1 << 30, offset(upTo));
    if (slice.kind !== 'records') return found;
    for (const records of slice.records) {
      for (let position = 0; position < records.length; ) {
        const header = readBatchHeader(records, position);
        const bytes = Buffer.from(records.subarray(position, position + header.size));
        found.push({ base: header.baseOffset, next: header.nextOffset, epoch: header.leaderEpoch, bytes });
        position += header.size;
      }
    }
    at = slice.next;
  }
}

export const bases = (read: readonly ReadBatch[]): number[] => read.map(({ base }) => Number(base));

export const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
