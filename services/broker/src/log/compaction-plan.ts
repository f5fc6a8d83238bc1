// pure
/** What of a log compaction may take up, whether it is worth it, and which segments become one (L5). */
import type { Offset, TopicConfig } from '@tributary/model';
import { deltaMax } from './index-search.ts';
import type { DamagedRange } from './log-types.ts';

/** A segment that is not written any more. */
export interface ClosedSegment {
  readonly base: Offset;
  /** Base of the next one. */
  readonly end: Offset;
  readonly bytes: number;
}

/** The same, with the age of its records where that counts. */
export interface DirtySegment extends ClosedSegment {
  /** Wall clock, ms: its first record, and its newest. */
  readonly firstMs: number;
  readonly newestMs: number;
}

export interface Cleanable {
  /** Records below it are compacted with those above. */
  readonly from: Offset;
  /** Base of the first segment that stays as it is. */
  readonly to: Offset;
  readonly dirtyBytes: number;
  /** Share of dirty bytes in all that would be read, 0 … 1. */
  readonly ratio: number;
  /** A record has waited for max.compaction.lag.ms. */
  readonly isOverdue: boolean;
  /** The ratio or the age says that it is time. */
  readonly isDue: boolean;
}

export interface CompactionRule
  extends Pick<TopicConfig, 'minCleanableDirtyRatio' | 'minCompactionLagMs' | 'maxCompactionLagMs'> {
  /** Wall clock, ms. */
  readonly now: number;
}

/** @param closed all closed segments below what is durable and committed, rising. @param dirty those of them that reach past `firstDirty`. */
export function cleanableOf(
  closed: readonly ClosedSegment[],
  dirty: readonly DirtySegment[],
  firstDirty: Offset,
  rule: CompactionRule,
): Cleanable | undefined {
  const { minCleanableDirtyRatio, minCompactionLagMs, maxCompactionLagMs, now } = rule;
  const young = dirty.findIndex(({ newestMs }) => minCompactionLagMs > 0 && newestMs > now - minCompactionLagMs);
  const cleanable = young < 0 ? dirty : dirty.slice(0, young);
  const last = cleanable.at(-1);
  if (last === undefined) return undefined;
  const bytesOf = (segments: readonly ClosedSegment[]): number =>
    segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const dirtyBytes = bytesOf(cleanable);
  const all = bytesOf(closed.filter(({ end }) => end <= last.end));
  const ratio = all === 0 ? 0 : dirtyBytes / all;
  const isOverdue =
    maxCompactionLagMs !== undefined && cleanable.some(({ firstMs }) => firstMs < now - maxCompactionLagMs);
  const isDue = isOverdue || (dirtyBytes > 0 && ratio >= minCleanableDirtyRatio);
  return { from: firstDirty, to: last.end, dirtyBytes, ratio, isOverdue, isDue };
}

/**
 * Neighbours that become one segment: together no more than segment.bytes, offsets no further apart than an index can say. Never over a range that the disk has
 * lost, for the gap between two files is what a scan knows it by (L3).
 */
export function groupSegments<T extends ClosedSegment>(
  segments: readonly T[],
  segmentBytes: number,
  damaged: readonly DamagedRange[],
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  let group: T[] = [];
  let bytes = 0;
  for (const segment of segments) {
    const first = group[0];
    const fits =
      first !== undefined &&
      bytes + segment.bytes <= segmentBytes &&
      segment.end - first.base <= deltaMax &&
      !damaged.some(({ from, to }) => from < segment.base && segment.base <= to);
    if (!fits) {
      group = [];
      groups.push(group);
      bytes = 0;
    }
    group.push(segment);
    bytes += segment.bytes;
  }
  return groups;
}
