// pure
/** Ranges of offsets that the disk has lost (L3). */
import { type Offset, TributaryError } from '@tributary/model';
import type { DamagedRange } from './log-types.ts';

/** Whether all of the gap is known to be lost. */
export function isDamaged(gap: DamagedRange, damaged: readonly DamagedRange[]): boolean {
  return gap.to > gap.from && damaged.some(({ from, to }) => from <= gap.from && to >= gap.to);
}

/** Sorted, those that touch joined, what lies below the log's start left out. */
export function joinRanges(ranges: readonly DamagedRange[], start: Offset): readonly DamagedRange[] {
  const joined: DamagedRange[] = [];
  for (const range of ranges.filter(({ to }) => to > start).sort((a, b) => (a.from < b.from ? -1 : 1))) {
    const last = joined.at(-1);
    if (last !== undefined && range.from <= last.to) {
      joined[joined.length - 1] = { from: last.from, to: range.to > last.to ? range.to : last.to };
    } else joined.push(range);
  }
  return joined;
}

/** @param name of the log, for the sentence. @throws TributaryError CORRUPT_MESSAGE naming the range that `offset` lies in. */
export function refuseDamaged(name: string, damaged: readonly DamagedRange[], offset: Offset): void {
  const range = damaged.find(({ from, to }) => from <= offset && offset < to);
  if (range === undefined) return;
  throw new TributaryError(
    'CORRUPT_MESSAGE',
    `${name}: offsets ${range.from} to ${range.to - 1n} are lost, the disk was damaged; reading goes on at ${range.to}.`,
  );
}

/** What compaction says of a segment that it cannot read. */
export const damagedAt = (path: string, position: number, why: string): TributaryError =>
  new TributaryError('CORRUPT_MESSAGE', `${path} is damaged at byte ${position}: ${why}.`);

export function outOfRange(folder: string, start: Offset, end: Offset, asked: Offset): TributaryError {
  return new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `${folder} holds offsets ${start} to ${end}; asked for was ${asked}.`,
  );
}

/** @throws TributaryError where the log start would pass what is committed (L4). */
export function refuseBeyond(folder: string, start: Offset, highWatermark: Offset, end: Offset): void {
  if (start <= highWatermark && start <= end) return;
  throw new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `${folder}: the log start cannot pass the high watermark ${highWatermark} to ${start}.`,
  );
}
