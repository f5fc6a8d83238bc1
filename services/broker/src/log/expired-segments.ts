/** How many segments retention may take from the front of a log. */
import type { Offset } from '@tributary/model';
import { isExpired, mayRemove, type RetentionRule } from './retention.ts';
import type { SegmentList } from './segment-list.ts';

/**
 * Looks at the segments from the oldest on, and no further than it must: the age of one may have to be read. All of them, the one that is being
 * written included, when everything has expired.
 * @param end of the log.
 */
export async function countRemovable(list: SegmentList, end: Offset, rule: RetentionRule): Promise<number> {
  const segments = [...list.all];
  let total = list.bytes;
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (isLast && segment.bytes === 0) return index;
    const { timestamp } = await segment.newest();
    const facts = {
      bytes: segment.bytes,
      // Records without a timestamp are as old as their place on the disk.
      newestMs: timestamp < 0 ? segment.touchedMs : timestamp,
      end: segments[index + 1]?.base ?? end,
    };
    if (isLast) return isExpired(facts, rule) ? segments.length : index;
    if (!mayRemove(facts, total, rule)) return index;
    total -= segment.bytes;
  }
  return segments.length;
}

/** What goes when the log begins later. */
export interface Removable {
  /** The log start afterwards. */
  readonly start: Offset;
  /** Offsets that are no longer readable. */
  readonly records: number;
  /** Of the segments that go as a whole. */
  readonly bytes: number;
}

/** @param start where the log begins. @param to where it is to begin; at `end` the segment that is being written goes too. */
export function removableBelow(list: SegmentList, start: Offset, end: Offset, to: Offset): Removable {
  if (to <= start) return { start, records: 0, bytes: 0 };
  const count = to >= end ? list.count : list.indexOf(to);
  const bytes = list.all.slice(0, count).reduce((sum, segment) => sum + segment.bytes, 0);
  return { start: to, records: Number(to - start), bytes };
}
