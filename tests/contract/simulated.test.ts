import { MachineClock } from '../simulator/clock.ts';
import { Coverage } from '../simulator/coverage.ts';
import { createSimulatedMetadataStore } from '../simulator/metadata-store.ts';
import { Scheduler } from '../simulator/scheduler.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { metadataStoreContract } from './metadata-store.contract.ts';

metadataStoreContract('the simulated store', async (story) => {
  const random = new SeededRandom('simulated store contract');
  const scheduler = new Scheduler(random.stream('scheduler'));
  const { store } = createSimulatedMetadataStore(scheduler, random.stream('metadata'), new Coverage());
  const clock = new MachineClock(scheduler).forProcess(() => true);
  await scheduler.run(() => story({ store, clock }));
});
