/**
 * One round of compaction of one log: the newest offset of each key over what is dirty, then every group of segments up to there written anew, from the oldest
 * on: what a tombstone covers is gone, durably, before the tombstone may go (L5). Reading, appending, retention and checkpoints go on meanwhile.
 */
import type { Offset, TopicConfig } from '@tributary/model';
import type { Random } from '@tributary/ports';
import { type Cleanable, groupSegments } from './compaction-plan.ts';
import type { LogHome } from './log-home.ts';
import type { DamagedRange, LogReplay } from './log-types.ts';
import { findNewestKeys } from './newest-keys.ts';
import { Pace } from './pace.ts';
import type { Segment } from './segment.ts';
import { SegmentCleaner } from './segment-cleaner.ts';
import { SegmentWriter } from './segment-writer.ts';

export interface CompactionOptions {
  /** Bytes for the keys of the round. */
  readonly buffer: number;
  /** Of reads and writes; undefined: as fast as it goes. */
  readonly bytesPerSecond: number | undefined;
  readonly random: Random;
  /** The offset that every assigned replica and every link has passed (L5); for a sole replica, all that there is. */
  readonly passed: () => Offset;
  /** Ends the round early: what was replaced stays replaced. */
  readonly signal: AbortSignal;
}

export interface CompactionReport {
  readonly from: Offset;
  /** Compacted up to here. */
  readonly to: Offset;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Read in both passes. */
  readonly bytesRead: number;
  readonly recordsBefore: number;
  readonly recordsAfter: number;
  readonly tombstonesGone: number;
  readonly segmentsBefore: number;
  readonly segmentsAfter: number;
  readonly longestSliceMs: number;
}

/** A closed segment, and where the next one begins. */
export interface Candidate {
  readonly segment: Segment;
  readonly base: Offset;
  readonly end: Offset;
  readonly bytes: number;
}

/** What a round needs of its log. */
export interface CompactedLog {
  readonly home: LogHome;
  readonly config: TopicConfig;
  readonly damaged: readonly DamagedRange[];
  readonly producers: Pick<LogReplay, 'remembers'>;
  /** Puts the new segment in the place of the old ones, durably. @returns false: some are gone; the new one is of no use. */
  replace(
    group: readonly Segment[],
    writer: SegmentWriter,
    end: Offset,
    tombstonesGoneTo: Offset | undefined,
  ): Promise<boolean>;
}

/**
 * @param candidates all closed segments below `cleanable.to`, rising.
 * @returns undefined: the log changed meanwhile, and another round has to do it.
 * @throws TributaryError CORRUPT_MESSAGE: a segment is damaged, and stays as it is with all behind it; FileError `full`; the signal's reason.
 */
export async function compactOnce(
  log: CompactedLog,
  candidates: readonly Candidate[],
  cleanable: Cleanable,
  options: CompactionOptions,
): Promise<CompactionReport | undefined> {
  const { clock } = log.home.disk;
  const pace = new Pace(clock, options.signal, options.bytesPerSecond);
  const dirty = candidates.filter(({ end }) => end > cleanable.from).map(({ segment }) => segment);
  const { map, end } = await findNewestKeys(dirty, cleanable.from, cleanable.to, {
    budget: options.buffer,
    random: options.random,
    pace,
  });
  const { deleteRetentionMs, tombstoneHoldMaxMs } = log.config;
  const rule = {
    map,
    end,
    now: clock.wallMs(),
    passed: options.passed(),
    producers: log.producers,
    deleteRetentionMs,
    tombstoneHoldMaxMs,
  };
  const groups = groupSegments(
    candidates.filter(({ base }) => base < end),
    log.config.segmentBytes,
    log.damaged,
  );
  const tally = new Tally(dirty.reduce((sum, { bytes }) => sum + bytes, 0));
  for (const group of groups) {
    const segments = group.map(({ segment }) => segment);
    const first = group[0];
    const last = group.at(-1);
    if (first === undefined || last === undefined) continue;
    await using writer = await SegmentWriter.open(log.home, {
      base: first.base,
      bytes: group.reduce((sum, { bytes }) => sum + bytes, 0),
      indexIntervalBytes: log.config.indexIntervalBytes,
      pace,
    });
    const cleaner = new SegmentCleaner(rule, writer, pace);
    await cleaner.clean(segments);
    const { facts } = cleaner;
    tally.add(group, writer.segment.bytes, facts);
    if (facts.isSame && group.length === 1) continue;
    await pace.waiting(writer.sync());
    if (!(await pace.waiting(log.replace(segments, writer, last.end, facts.tombstonesGoneTo)))) return undefined;
  }
  return tally.report(cleanable.from, end, pace.longestMs);
}

class Tally {
  #bytesBefore = 0;
  #bytesAfter = 0;
  #bytesRead: number;
  #recordsBefore = 0;
  #recordsAfter = 0;
  #tombstonesGone = 0;
  #segmentsBefore = 0;
  #segmentsAfter = 0;

  /** @param bytesRead in the first pass. */
  constructor(bytesRead: number) {
    this.#bytesRead = bytesRead;
  }

  add(group: readonly Candidate[], bytesAfter: number, facts: SegmentCleaner['facts']): void {
    this.#bytesBefore += group.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#bytesAfter += bytesAfter;
    this.#bytesRead += facts.bytesRead;
    this.#recordsBefore += facts.recordsRead;
    this.#recordsAfter += facts.recordsKept;
    this.#tombstonesGone += facts.tombstonesGone;
    this.#segmentsBefore += group.length;
    this.#segmentsAfter += 1;
  }

  report(from: Offset, to: Offset, longestSliceMs: number): CompactionReport {
    return {
      from,
      to,
      bytesBefore: this.#bytesBefore,
      bytesAfter: this.#bytesAfter,
      bytesRead: this.#bytesRead,
      recordsBefore: this.#recordsBefore,
      recordsAfter: this.#recordsAfter,
      tombstonesGone: this.#tombstonesGone,
      segmentsBefore: this.#segmentsBefore,
      segmentsAfter: this.#segmentsAfter,
      longestSliceMs,
    };
  }
}
