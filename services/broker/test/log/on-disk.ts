/** Stories about a log on the simulated disk, and on the machine's own. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { nodeFileSystem } from '@tributary/runtime';
import type { FileSystem } from '@tributary/ports';
import { Coverage } from '../../../../tests/simulator/coverage.ts';
import { type DiskOptions, SimulatedDisk } from '../../../../tests/simulator/disk.ts';
import { Scheduler } from '../../../../tests/simulator/scheduler.ts';
import { SeededRandom } from '../../../../tests/simulator/seeded-random.ts';

export interface Bench {
  readonly disk: SimulatedDisk;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly scheduler: Scheduler;
}

export async function onSimulatedDisk(
  seed: number | string,
  story: (bench: Bench) => Promise<void>,
  options: DiskOptions = {},
): Promise<Coverage> {
  const random = new SeededRandom(`log test ${seed}`);
  const scheduler = new Scheduler(random.stream('scheduler'));
  const coverage = new Coverage();
  const disk = new SimulatedDisk(scheduler, random.stream('disk'), coverage, options);
  await scheduler.run(() => story({ disk, random, coverage, scheduler }));
  return coverage;
}

/** In a folder of the machine's disk that is removed afterwards. */
export async function onRealDisk(story: (files: FileSystem, root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'tributary-log-'));
  try {
    await story(nodeFileSystem, path.join(root, 'data'));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
