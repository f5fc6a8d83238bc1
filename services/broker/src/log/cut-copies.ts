/** Copies of bytes that recovery has cut from a log although they may have been acknowledged: `<base of the segment>.cut` (L3). */
import { limits, type Offset } from '@tributary/model';
import type { File } from '@tributary/ports';
import { fileName, parseFileName } from './names.ts';
import type { SegmentPlace } from './segment.ts';

/** Adds bytes [from, to) of a segment's file to its copy. @throws FileError `full`. */
export async function copyRange(
  place: SegmentPlace,
  source: File,
  base: Offset,
  from: number,
  to: number,
): Promise<void> {
  const { disk } = place;
  const path = `${place.folder}/${fileName(base, 'cut')}`;
  const target = await disk.files.open(path, 'append');
  try {
    for (let at = from; at < to; ) {
      const bytes = Buffer.allocUnsafeSlow(Math.min(limits.scanChunk, to - at));
      const got = await source.read(bytes, at);
      if (got === 0) break;
      await disk.append(target, path, [bytes.subarray(0, got)]);
      at += got;
    }
    await disk.sync(target, path);
  } finally {
    await target.close();
  }
  disk.logger.warn('bytes cut from a log are kept', { path, bytes: to - from });
}

/** Removes the oldest beyond limits.cutCopies, and makes the names durable. */
export async function keepCopies(place: SegmentPlace): Promise<void> {
  const { disk, folder } = place;
  const copies = (await disk.files.list(folder)).filter((name) => parseFileName(name)?.kind === 'cut');
  for (const name of copies.slice(0, Math.max(0, copies.length - limits.cutCopies)))
    await disk.files.remove(`${folder}/${name}`);
  await disk.syncDirectory(folder);
}
