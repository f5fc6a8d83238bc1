/** Recovery's reading: every batch from the recovery point on is checked and noted in fresh indexes; what is whole comes back as runs. */
import { leaderEpoch, type LeaderEpoch, limits, type Offset, type TopicConfig } from '@tributary/model';
import type { File } from '@tributary/ports';
import { baseOffsetOf, leaderEpochOf, newestTimestampOf, nextOffsetOf } from '@tributary/record';
import type { EpochStart } from './epochs.ts';
import type { Run, Survey } from './recovery-plan.ts';
import { findNextBatch, scanFile } from './scan.ts';
import { Segment, type SegmentPlace } from './segment.ts';

export interface SurveyOptions {
  /** Where the first segment should begin; undefined: where it does. */
  readonly start: Offset | undefined;
  readonly recoveryPoint: Offset;
  readonly config: TopicConfig;
  /** What lies past the recovery point is to be a run of its own, for it gets a new file (L2). */
  readonly splitAtRecoveryPoint: boolean;
}

export interface SurveyedSegment {
  readonly segment: Segment;
  /** Bytes of the file, damaged ones included. */
  readonly fileBytes: number;
  /** Bytes before this were not read. */
  readonly from: number;
}

export interface SurveyedLog extends Survey {
  /** Those that were read, in order. */
  readonly read: readonly SurveyedSegment[];
  /** Those wholly below the recovery point. */
  readonly trusted: readonly Segment[];
  /** First batch of each leader epoch that was met. */
  readonly epochs: readonly EpochStart[];
  readonly bytesRead: number;
}

/** @param bases of all segments, rising, at least one. */
export async function surveyLog(
  place: SegmentPlace,
  bases: readonly Offset[],
  options: SurveyOptions,
): Promise<SurveyedLog> {
  // Strictly below: a repair that split a segment at the recovery point may have left the older half uncut.
  const first = Math.max(
    0,
    bases.findLastIndex((base) => base < options.recoveryPoint),
  );
  const trusted = await openClosed(place, bases.slice(0, first));
  const surveyor = new Surveyor(options);
  for (const [index, base] of bases.entries()) {
    if (index < first) continue;
    await surveyor.visit(
      new Segment(place, base, index === first ? 'stored' : 'reset'),
      index === first,
      bases[index + 1],
    );
  }
  return surveyor.result(trusted);
}

/** Only their sizes are wanted: a few at a time, and none stays open. */
async function openClosed(place: SegmentPlace, bases: readonly Offset[]): Promise<readonly Segment[]> {
  const segments: Segment[] = [];
  for (let at = 0; at < bases.length; at += limits.syncsInFlight) {
    const some = bases.slice(at, at + limits.syncsInFlight).map(async (base) => {
      const segment = await Segment.openClosed(place, base);
      await segment.release();
      return segment;
    });
    segments.push(...(await Promise.all(some)));
  }
  return segments;
}

class Surveyor {
  readonly #options: SurveyOptions;
  readonly #runs: Run[] = [];
  readonly #read: SurveyedSegment[] = [];
  readonly #epochs: EpochStart[] = [];
  #start: Offset | undefined;
  #bytesRead = 0;

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#start = options.start;
  }

  result(trusted: readonly Segment[]): SurveyedLog {
    const start = this.#start ?? this.#options.recoveryPoint;
    return { trusted, start, runs: this.#runs, read: this.#read, epochs: this.#epochs, bytesRead: this.#bytesRead };
  }

  /** @param limit base of the next segment: what this one holds from there on was left by a repair that a crash cut short. */
  async visit(segment: Segment, isFirst: boolean, limit: Offset | undefined): Promise<void> {
    await segment.use(async (file) => {
      const fileBytes = file.size;
      let from = { position: 0, offset: segment.base };
      if (isFirst) from = await segment.cutIndex(fileBytes + 1, (this.#options.recoveryPoint + 1n) as Offset);
      let pass = await this.#scan(segment, file, from, fileBytes, limit);
      if (from.position > 0 && pass.isDoubtful) {
        // Rather the index is wrong than the log: before anything is cut the log itself is asked.
        segment.resetIndex();
        from = { position: 0, offset: segment.base };
        pass = await this.#scan(segment, file, from, fileBytes, limit);
      }
      this.#start ??= from.offset;
      this.#runs.push(...pass.runs);
      for (const start of pass.epochs) this.#noteEpoch(start.epoch, start.start);
      this.#read.push({ segment, fileBytes, from: from.position });
      segment.bytes = fileBytes;
    });
  }

  async #scan(
    segment: Segment,
    file: File,
    start: { readonly position: number; readonly offset: Offset },
    to: number,
    limit: Offset | undefined,
  ): Promise<Pass> {
    const pass = new Pass(segment, start, limit, this.#options);
    let position: number | undefined = start.position;
    while (position !== undefined) {
      const ended = await scanFile(file, { from: position, to, check: true }, (bytes, at, where, size) =>
        pass.batch(bytes, at, where, size),
      );
      this.#bytesRead += ended.position - position;
      if (ended.kind === 'end' || pass.reachedLimit) break;
      position = await findNextBatch(file, ended.position, to, pass.expected);
      if (position !== undefined) pass.interrupt(position);
    }
    pass.finish(to);
    return pass;
  }

  #noteEpoch(epoch: LeaderEpoch, start: Offset): void {
    const latest = this.#epochs.at(-1);
    if (latest === undefined || latest.epoch < epoch) this.#epochs.push({ epoch, start });
  }
}

/** One walk through one segment. */
class Pass {
  readonly #segment: Segment;
  readonly #limit: Offset | undefined;
  readonly #options: SurveyOptions;
  readonly runs: Run[] = [];
  readonly epochs: EpochStart[] = [];
  /** The offset after the last batch so far. */
  expected: Offset;
  reachedLimit = false;
  /** The walk began inside the file and did not meet there what the index had said. */
  isDoubtful = false;
  #from: number;
  #to: number;
  #begins: Offset | undefined;
  #batches = 0;
  #split = false;
  #epoch: LeaderEpoch = leaderEpoch(-1);

  constructor(
    segment: Segment,
    start: { readonly position: number; readonly offset: Offset },
    limit: Offset | undefined,
    options: SurveyOptions,
  ) {
    this.#segment = segment;
    this.#limit = limit;
    this.#options = options;
    this.expected = start.offset;
    this.#from = start.position;
    this.#to = start.position;
    this.#begins = start.offset;
  }

  /** @returns false: it does not belong here. */
  batch(bytes: Uint8Array, at: number, position: number, size: number): boolean {
    const baseOffset = baseOffsetOf(bytes, at);
    if (this.#batches === 0 && this.runs.length === 0 && baseOffset !== this.expected) this.isDoubtful = true;
    if (baseOffset < this.expected) return false;
    if (this.#limit !== undefined && baseOffset >= this.#limit) {
      this.reachedLimit = true;
      return false;
    }
    if (this.#options.splitAtRecoveryPoint && !this.#split && nextOffsetOf(bytes, at) > this.#options.recoveryPoint)
      this.#splitAt(position);
    this.#begins ??= baseOffset;
    this.#segment.note(
      { baseOffset, maxTimestamp: newestTimestampOf(bytes, at) },
      position,
      this.#options.config.indexIntervalBytes,
    );
    const epoch = leaderEpochOf(bytes, at);
    if (epoch > this.#epoch) {
      this.#epoch = epoch;
      this.epochs.push({ epoch, start: baseOffset });
    }
    this.expected = nextOffsetOf(bytes, at);
    this.#to = position + size;
    this.#batches++;
    return true;
  }

  #splitAt(position: number): void {
    this.#split = true;
    if (position === 0 || (this.#batches === 0 && this.runs.length > 0)) return;
    this.#close();
    this.#from = position;
    this.#begins = this.expected;
    this.#batches = 0;
  }

  /** Damage lies behind what was seen; whole batches begin again at `position`. */
  interrupt(position: number): void {
    if (this.#batches === 0 && this.runs.length === 0) this.isDoubtful = true;
    this.#close();
    this.#from = position;
    this.#to = position;
    this.#begins = undefined;
    this.#batches = 0;
  }

  /** @param to where the file ends. */
  finish(to: number): void {
    if (this.#batches === 0 && this.runs.length === 0 && this.#from < to && !this.reachedLimit) this.isDoubtful = true;
    this.#close();
  }

  #close(): void {
    // A file without a batch is still a segment: where it begins says where the log went on.
    if (this.#batches === 0 && this.runs.length > 0) return;
    this.runs.push({
      segment: this.#segment.base,
      from: this.#from,
      to: this.#to,
      begins: this.#begins ?? this.expected,
      end: this.expected,
    });
  }
}
