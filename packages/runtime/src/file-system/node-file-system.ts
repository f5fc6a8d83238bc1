import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileSystem } from '@tributary/ports';
import { codeOf } from '../system-error.ts';
import { attempt } from './file-error.ts';
import { lockFile } from './lock-file.ts';
import { openFile } from './node-file.ts';

/** Not O_APPEND, under which Linux ignores the position: the rest of a partial write could land behind a tail that was to be replaced. */
const appendable = constants.O_RDWR | constants.O_CREAT;

/** The machine's disk. Paths are those of the system. */
export const nodeFileSystem: FileSystem = {
  open: (path, mode) => openFile(path, mode === 'read' ? constants.O_RDONLY : appendable),

  list: (directory) =>
    attempt('list', directory, async () => {
      try {
        return (await fs.readdir(directory)).sort();
      } catch (thrown) {
        if (codeOf(thrown) === 'ENOENT') return [];
        throw thrown;
      }
    }),

  makeDirectory: (path) => attempt('create folder', path, () => makeWithParents(path)),

  rename: (from, to) => attempt(`rename ${from} to`, to, () => fs.rename(from, to)),

  remove: (path) => attempt('remove', path, () => fs.rm(path, { recursive: true, force: true })),

  syncDirectory: (path) =>
    attempt('sync folder', path, async () => {
      await using folder = await fs.open(path, 'r');
      await folder.sync();
    }),

  lock: async (path) => lockFile(path),

  freeBytes: (path) =>
    attempt('measure the free space of', path, async () => {
      const volume = await fs.statfs(path);
      return volume.bavail * volume.bsize;
    }),

  // What is kept for the superuser counts neither as used nor as free: a disk is full when nobody else may write to it.
  totalBytes: (path) =>
    attempt('measure the size of', path, async () => {
      const volume = await fs.statfs(path);
      return (volume.blocks - volume.bfree + volume.bavail) * volume.bsize;
    }),
};

/** Node's own `recursive` never returns where a parent exists and still refuses with ENOENT, as /proc does. */
async function makeWithParents(path: string): Promise<void> {
  const parent = dirname(path);
  try {
    await fs.mkdir(path);
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST' && (await fs.stat(path)).isDirectory()) return;
    if (codeOf(thrown) !== 'ENOENT' || parent === path || (await exists(parent))) throw thrown;
    await makeWithParents(parent);
    await makeWithParents(path);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await fs.stat(path);
    return true;
  } catch {
    return false;
  }
}
