/**
 * How far readers are behind (G7): bytes from an offset to the high watermark, the time of the first record that was not read, and when retention takes
 * it. The tail in memory answers at once; what lies in files is looked up through the index, by one short read, as long as the request may read; beyond that
 * the indexes in memory, or the segments' ends, say about where it is.
 */
import type { Offset, TopicConfig } from '@tributary/model';
import { FileError } from '@tributary/ports';
import {
  attribute,
  attributesOf,
  baseOffsetOf,
  baseTimestampOf,
  lastOffsetDeltaOf,
  lastOffsetOf,
  maxTimestampOf,
  recordsCountOf,
} from '@tributary/record';
import { onCurrentSegments } from './log-reader.ts';
import type { LogTail } from './tail-cache.ts';
import { scanFile } from './scan.ts';
import type { Segment } from './segment.ts';
import { SegmentRetired } from './segment-file.ts';
import type { SegmentList } from './segment-list.ts';

/** Batches near an index entry are few: small reads do. */
const chunk = 16 * 1024;

export interface ReaderLag {
  readonly bytes: number;
  /** −1: there is no record, or it has no timestamp. */
  readonly timestampMs: number;
  readonly isEstimated: boolean;
  /** Wall clock, ms; undefined: nothing will delete it, or nobody can say when. */
  readonly lostAtMs: number | undefined;
}

/** What one request may cost. */
export interface LagBudget {
  /** Called before each read. @returns false: no more of them. */
  mayRead(): boolean;
  /** Called after each offset. @returns to be awaited: others wait for the event loop. */
  breathe(): Promise<void> | undefined;
}

export interface LagQuestion {
  /** Those below the log start count from there. */
  readonly offsets: readonly Offset[];
  /** The high watermark. */
  readonly upTo: Offset;
  /** Wall clock, ms. */
  readonly nowMs: number;
}

/** Where the batch that an offset belongs to begins. */
interface Spot {
  readonly segment: Segment;
  readonly position: number;
  readonly base: Offset;
  readonly timestampMs: number;
  readonly isEstimated: boolean;
}

interface Parts {
  readonly segments: SegmentList;
  readonly tail: LogTail;
  readonly start: () => Offset;
  readonly end: () => Offset;
  readonly config: () => TopicConfig;
}

const nothing: ReaderLag = { bytes: 0, timestampMs: -1, isEstimated: false, lostAtMs: undefined };
const never = Number.POSITIVE_INFINITY;

export class LagMeter {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @returns in the order of the offsets. @throws TributaryError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR; FileError. */
  async measure(question: LagQuestion, budget: LagBudget): Promise<ReaderLag[]> {
    return await onCurrentSegments(() => this.#measure(question, budget));
  }

  async #measure({ offsets, upTo, nowMs }: LagQuestion, budget: LagBudget): Promise<ReaderLag[]> {
    const { start } = this.#parts;
    const to = this.#now(upTo) ?? (await this.#find(upTo, budget));
    const losses = new Losses(this.#parts, upTo, nowMs, budget);
    const lags: ReaderLag[] = [];
    for (const asked of offsets) {
      const from = asked > start() ? asked : start();
      if (from >= upTo) lags.push(nothing);
      else {
        const spot = this.#now(from) ?? (await this.#find(from, budget));
        const lostAtMs = losses.known(spot.segment) ?? (await losses.of(spot.segment));
        const bytes = this.#between(spot, to);
        // Compaction may have left nothing below the high watermark.
        if (spot.base >= upTo) lags.push(nothing);
        else lags.push(lagAt(spot, to, bytes, lostAtMs));
      }
      const pause = budget.breathe();
      if (pause !== undefined) await pause;
    }
    return lags;
  }

  /** As far as memory knows. */
  #now(offset: Offset): Spot | undefined {
    const { segments, tail, end } = this.#parts;
    if (offset >= end()) return atEnd(segments, 0, { base: offset, timestampMs: -1, isExact: true });
    const held = tail.place(offset);
    return held && atEnd(segments, held.bytesToEnd, told(held.batch.bytes, 0, offset));
  }

  async #find(offset: Offset, budget: LagBudget): Promise<Spot> {
    const { segments, end } = this.#parts;
    for (let index = segments.indexOf(offset); ; index++) {
      const segment = segments.at(index);
      // All behind it was emptied by compaction: what is wanted lies where the log ends.
      if (segment === undefined) return atEnd(segments, 0, { base: end(), timestampMs: -1, isExact: true });
      if (segment.bytes === 0) continue;
      if (!budget.mayRead()) return estimated(segment, offset, segments.endOf(index, end()));
      const found = await this.#unlessGone(segment, () => spotIn(segment, offset));
      // Whoever reads there is told so; here it is only measured.
      if (found === 'damaged') return estimated(segment, offset, segments.endOf(index, end()));
      if (found !== undefined) return found;
    }
  }

  /** Retention may take the segment while it is being read. */
  async #unlessGone<T>(segment: Segment, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof FileError && !this.#parts.segments.has([segment])) throw new SegmentRetired(segment.path);
      throw thrown;
    }
  }

  /** Of what lies in the files now. @throws SegmentRetired where one of the two has gone since. */
  #between(from: Spot, to: Spot): number {
    const { segments } = this.#parts;
    const first = segments.indexOf(from.segment.base);
    const last = segments.indexOf(to.segment.base);
    if (segments.at(first) !== from.segment) throw new SegmentRetired(from.segment.path);
    if (segments.at(last) !== to.segment) throw new SegmentRetired(to.segment.path);
    let bytes = to.position - from.position;
    for (let index = first; index < last; index++) bytes += segments.at(index)?.bytes ?? 0;
    return Math.max(0, bytes);
  }
}

function lagAt({ timestampMs, isEstimated }: Spot, to: Spot, bytes: number, lostAtMs: number): ReaderLag {
  return {
    bytes,
    timestampMs,
    isEstimated: isEstimated || to.isEstimated,
    lostAtMs: lostAtMs === never ? undefined : lostAtMs,
  };
}

/** The place so many bytes before the end of the log. */
function atEnd(segments: SegmentList, bytesToEnd: number, { base, timestampMs, isExact }: Told): Spot {
  let index = segments.count - 1;
  let left = bytesToEnd;
  for (let bytes = segments.at(index)?.bytes ?? 0; left > bytes && index > 0; bytes = segments.at(index)?.bytes ?? 0) {
    left -= bytes;
    index--;
  }
  const segment = segments.at(index) ?? segments.active;
  return { segment, position: Math.max(0, segment.bytes - left), base, timestampMs, isEstimated: !isExact };
}

/** undefined: no batch of the segment reaches the offset. */
async function spotIn(segment: Segment, offset: Offset): Promise<Spot | 'damaged' | undefined> {
  const from = await segment.positionBefore(offset);
  let position = -1;
  let found: Told = { base: offset, timestampMs: -1, isExact: false };
  const ended = await segment.use((file) =>
    scanFile(file, { from, to: segment.bytes, check: false, chunk }, (bytes, at, here) => {
      if (lastOffsetOf(bytes, at) < offset) return true;
      if (position < 0) position = here;
      // What compaction has emptied tells of no record, but of about when: there may be many of them.
      found = told(bytes, at, offset);
      return found.timestampMs < 0 && here - position < chunk;
    }),
  );
  if (position >= 0) return { segment, position, ...found, isEstimated: !found.isExact };
  return ended.kind === 'damaged' ? 'damaged' : undefined;
}

function estimated(segment: Segment, offset: Offset, end: Offset): Spot {
  const { position, timestampMs } = segment.estimate(offset, end);
  return { segment, position, base: offset, timestampMs, isEstimated: true };
}

/** By a batch about an offset. */
interface Told {
  readonly base: Offset;
  readonly timestampMs: number;
  readonly isExact: boolean;
}

/** Of the first record of the batch that is not below the offset, as far as its header says. */
function told(bytes: Uint8Array, at: number, offset: Offset): Told {
  const base = baseOffsetOf(bytes, at);
  const first = baseTimestampOf(bytes, at);
  const newest = maxTimestampOf(bytes, at);
  const lastDelta = lastOffsetDeltaOf(bytes, at);
  if (recordsCountOf(bytes, at) === 0) return { base, timestampMs: newest, isExact: false };
  if ((attributesOf(bytes, at) & attribute.logAppendTime) !== 0) return { base, timestampMs: newest, isExact: true };
  if (first === newest) return { base, timestampMs: first, isExact: true };
  const delta = Number(offset - base);
  // Where compaction has taken records the first of them may be gone.
  if (delta <= 0) return { base, timestampMs: first, isExact: recordsCountOf(bytes, at) === lastDelta + 1 };
  return { base, timestampMs: Math.round(first + ((newest - first) * delta) / lastDelta), isExact: false };
}

/**
 * When retention takes a segment, as things stand now: whole ones go, from the front. By time each goes once its newest record is too old; by size those
 * that are too many already go at the next round, and of the others nobody can say when, because that depends on what is still to be written.
 */
class Losses {
  readonly #parts: Parts;
  readonly #upTo: Offset;
  readonly #nowMs: number;
  readonly #budget: LagBudget;
  readonly #at = new Map<Segment, number>();
  #next = 0;
  #bytesLeft = -1;
  #latest: number;

  constructor(parts: Parts, upTo: Offset, nowMs: number, budget: LagBudget) {
    this.#parts = parts;
    this.#upTo = upTo;
    this.#nowMs = nowMs;
    this.#budget = budget;
    this.#latest = parts.config().cleanup.delete ? nowMs : never;
  }

  /** @returns undefined: it is to be asked for by {@link of}. */
  known(segment: Segment): number | undefined {
    return this.#latest === never && this.#at.size === 0 ? never : this.#at.get(segment);
  }

  async of(segment: Segment): Promise<number> {
    const { segments } = this.#parts;
    if (this.#bytesLeft < 0) this.#bytesLeft = segments.bytes;
    for (;;) {
      const found = this.#at.get(segment);
      if (found !== undefined) return found;
      const index = this.#next++;
      const next = segments.at(index);
      // The list has changed under this walk.
      if (next === undefined) throw new SegmentRetired(segment.path);
      const at = this.#latest === never ? never : await this.#lossOf(next, index);
      if (at > this.#latest) this.#latest = at;
      this.#at.set(next, this.#latest);
      this.#bytesLeft -= next.bytes;
    }
  }

  async #lossOf(segment: Segment, index: number): Promise<number> {
    const { segments, config, end } = this.#parts;
    const { retentionMs, retentionBytes } = config();
    const isClosed = index < segments.count - 1 && segments.endOf(index, end()) <= this.#upTo;
    if (isClosed && retentionBytes !== undefined && this.#bytesLeft - segment.bytes >= retentionBytes)
      return this.#nowMs;
    if (retentionMs === undefined) return never;
    const newest = segment.newestNow ?? (this.#budget.mayRead() ? (await segment.newest()).timestamp : undefined);
    if (newest === undefined) return never;
    return (newest < 0 ? segment.touchedMs : newest) + retentionMs;
  }
}
