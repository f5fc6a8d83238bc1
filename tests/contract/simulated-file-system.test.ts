import { Coverage } from '../simulator/coverage.ts';
import { SimulatedDisk } from '../simulator/disk.ts';
import { Scheduler } from '../simulator/scheduler.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { fileSystemContract } from './file-system.contract.ts';

fileSystemContract('the simulated disk', async (story) => {
  const random = new SeededRandom('file system contract');
  const scheduler = new Scheduler(random.stream('scheduler'));
  const files = new SimulatedDisk(scheduler, random.stream('disk'), new Coverage()).mount();
  await scheduler.run(async () => {
    await files.makeDirectory('/folder');
    await story(files, '/folder');
  });
});
