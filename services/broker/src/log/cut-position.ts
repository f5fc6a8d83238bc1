/** Where in a segment's file a log is to be cut. */
import { type Offset, TributaryError } from '@tributary/model';
import { baseOffsetOf, lastOffsetOf } from '@tributary/record';
import { scanFile } from './scan.ts';
import type { Segment } from './segment.ts';

export interface CutPosition {
  readonly position: number;
  /** What the log then ends at: `offset`, or the base of the batch that holds it, which goes as a whole. */
  readonly end: Offset;
}

/** Finds the first batch that reaches `offset` or beyond. @throws TributaryError CORRUPT_MESSAGE where the walk there meets damage. */
export async function findEnd(segment: Segment, offset: Offset): Promise<CutPosition> {
  const position = await segment.positionBefore(offset);
  let end = offset;
  const ended = await segment.use((file) =>
    scanFile(file, { from: position, to: segment.bytes, check: false }, (bytes, at) => {
      if (lastOffsetOf(bytes, at) < offset) return true;
      const base = baseOffsetOf(bytes, at);
      if (base < end) end = base;
      return false;
    }),
  );
  if (ended.kind === 'damaged') {
    throw new TributaryError('CORRUPT_MESSAGE', `${segment.path} is damaged at byte ${ended.position}: ${ended.why}.`);
  }
  return { position: ended.position, end };
}
