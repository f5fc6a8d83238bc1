import type { Clock, MetadataStore } from '@tributary/ports';
import { MachineClock } from '../../../tests/simulator/clock.ts';
import { Coverage } from '../../../tests/simulator/coverage.ts';
import { type SimulatedMetadataStore, createSimulatedMetadataStore } from '../../../tests/simulator/metadata-store.ts';
import { Scheduler } from '../../../tests/simulator/scheduler.ts';
import { SeededRandom } from '../../../tests/simulator/seeded-random.ts';

export interface SimulatedBench {
  /** The faults. */
  readonly world: SimulatedMetadataStore;
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly scheduler: Scheduler;
}

/** A simulated store on virtual time, for one story. */
export async function simulated(seed: number, story: (bench: SimulatedBench) => Promise<void>): Promise<void> {
  const random = new SeededRandom(`metadata package ${seed}`);
  const scheduler = new Scheduler(random.stream('scheduler'));
  const { world, store } = createSimulatedMetadataStore(scheduler, random.stream('metadata'), new Coverage());
  const clock = new MachineClock(scheduler).forProcess(() => true);
  await scheduler.run(() => story({ world, store, clock, random: random.stream('story'), scheduler }));
}
