import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { nodeFileSystem } from '@tributary/runtime';
import { fileSystemContract } from './file-system.contract.ts';

fileSystemContract("the machine's disk", async (story) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'tributary-files-'));
  try {
    await story(nodeFileSystem, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
