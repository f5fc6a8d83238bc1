/**
 * Putting a rewritten segment in the place of the ones that it was made of. The name `<base>-<end>.swap` is the decision: before it is on the disk the old segments
 * are the log, from then on the new one is, and whoever finds it finishes what was begun (ADR 6).
 */
import type { Offset } from '@tributary/model';
import { type Disk, isFull } from './disk.ts';
import { fileName, parseFileName, parseSwapName, swapName } from './names.ts';

interface Range {
  readonly base: Offset;
  readonly end: Offset;
}

/** @param temporary path of the rewritten segment, synced. @throws FileError `full`; nothing has changed then. */
export async function decideSwap(disk: Disk, folder: string, temporary: string, range: Range): Promise<void> {
  const path = `${folder}/${swapName(range.base, range.end)}`;
  try {
    await disk.files.rename(temporary, path);
  } catch (thrown) {
    if (isFull(thrown)) throw thrown;
    return await disk.fail(path, thrown);
  }
  await disk.syncDirectory(folder);
}

/** Removes the old segments, then gives the new one its name. Begun again after a crash at any point it comes to the same end. */
export async function finishSwap(disk: Disk, folder: string, range: Range): Promise<void> {
  try {
    await removeReplaced(disk, folder, range);
    // Before the new name: an old index beside the new file would lead astray, an old segment behind it would be taken for what follows.
    await disk.syncDirectory(folder);
    await disk.files.rename(`${folder}/${swapName(range.base, range.end)}`, `${folder}/${fileName(range.base, 'log')}`);
  } catch (thrown) {
    // Half of it cannot be taken back, and the next start goes on with it.
    await disk.fail(folder, thrown);
  }
  await disk.syncDirectory(folder);
}

async function removeReplaced(disk: Disk, folder: string, { base, end }: Range): Promise<void> {
  for (const name of await disk.files.list(folder)) {
    const parsed = parseFileName(name);
    if (parsed === undefined || parsed.base < base || parsed.base >= end) continue;
    if (parsed.kind === 'log' || parsed.kind === 'index' || parsed.kind === 'timeindex')
      await disk.files.remove(`${folder}/${name}`);
  }
}

/** After a crash, before anybody looks at the segments. @param names in the folder. @returns whether there was anything to finish. */
export async function rollForward(disk: Disk, folder: string, names: readonly string[]): Promise<boolean> {
  let found = false;
  for (const name of names) {
    const range = parseSwapName(name);
    if (range === undefined) continue;
    disk.logger.info('compaction finished', { path: `${folder}/${name}` });
    await finishSwap(disk, folder, range);
    found = true;
  }
  return found;
}
