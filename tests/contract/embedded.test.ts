import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { EmbeddedMetadataStore } from '@tributary/metadata';
import { nodeClock, nodeFileSystem, nodeRandom } from '@tributary/runtime';
import { MachineClock } from '../simulator/clock.ts';
import { Coverage } from '../simulator/coverage.ts';
import { SimulatedDisk } from '../simulator/disk.ts';
import { Scheduler } from '../simulator/scheduler.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { metadataStoreContract } from './metadata-store.contract.ts';

metadataStoreContract('the embedded store on a real disk', async (story) => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'tributary-metadata-'));
  try {
    await using store = await EmbeddedMetadataStore.open(
      nodeFileSystem,
      path.join(directory, 'metadata'),
      nodeClock,
      nodeRandom,
    );
    await story({ store, clock: nodeClock });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

metadataStoreContract('the embedded store on a simulated disk', async (story) => {
  const random = new SeededRandom('embedded store contract');
  const scheduler = new Scheduler(random.stream('scheduler'));
  const disk = new SimulatedDisk(scheduler, random.stream('disk'), new Coverage());
  const clock = new MachineClock(scheduler).forProcess(() => true);
  await scheduler.run(async () => {
    await using store = await EmbeddedMetadataStore.open(disk.mount(), 'data/metadata', clock, random.stream('store'));
    await story({ store, clock });
  });
});
