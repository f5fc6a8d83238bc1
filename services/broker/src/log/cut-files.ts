/** What a cut does to the files of a log, once it is written down. */
import type { CutPosition } from './cut-position.ts';
import type { Disk } from './disk.ts';
import type { Flusher } from './flusher.ts';
import type { Segment, SegmentPlace } from './segment.ts';

/** @param removed segments behind the cut, rising. @param segment the one that is cut, and the last from now on. No flush is under way. */
export async function cutFiles(
  { disk, folder }: SegmentPlace,
  flusher: Flusher,
  removed: readonly Segment[],
  segment: Segment,
  cut: CutPosition,
  indexIntervalBytes: number,
): Promise<void> {
  for (const gone of removed.toReversed()) {
    flusher.forget(gone);
    await gone.remove();
  }
  // Names first: a removed segment that came back would follow a gap.
  await disk.syncDirectory(folder);
  await shorten(disk, flusher, segment, cut, indexIntervalBytes);
}

async function shorten(
  disk: Disk,
  flusher: Flusher,
  segment: Segment,
  { position, end }: CutPosition,
  indexIntervalBytes: number,
): Promise<void> {
  segment.bytes = position;
  try {
    await segment.truncate(position);
  } catch (thrown) {
    await disk.fail(segment.path, thrown);
  }
  flusher.wrote(segment, end);
  await segment.reindexTail(end, indexIntervalBytes);
}
