/**
 * A cluster of three to five brokers and two or three controllers: topics of several kinds, producers and consumers on the bare streams and by the
 * library, and everything that processes, disks, networks, clocks and the metadata store can do wrong. Each run ends healed and must converge.
 */
import { LibraryConsumer } from '../clients/library-consumer.ts';
import { LibraryProducer } from '../clients/library-producer.ts';
import { RawConsumer, type RawConsumerPlan } from '../clients/raw-consumer.ts';
import { RawProducer } from '../clients/raw-producer.ts';
import type { Coverage } from '../coverage.ts';
import { type RunResult, runIn } from '../run-result.ts';
import { World, type WorldOptions } from '../world.ts';
import { compareReplicas, notEven, notSettled, readEverything, within } from './convergence.ts';
import { expectFaults, heal, strikeAll } from './faults.ts';
import { menderProgram, operatorProgram } from './operator.ts';
import { consumerPlans, producerPlans } from './plan.ts';
import { createTopics, runClient } from './preparation.ts';
import { Stage } from './stage.ts';

/** So many of the producers are the library's; the others speak to the bare streams. */
const LIBRARY_CHANCE = 0.35;
const OPERATOR_CHANCE = 0.4;

/** @throws RunFailure. */
export function clusterStory(seed: number, options: WorldOptions = {}): Promise<RunResult> {
  const world = new World(seed, options);
  expectEverything(world.coverage);
  const stage = new Stage(world);
  return runIn(world, () => tell(stage), stage);
}

/** What a run of many seeds must have met. */
export function expectEverything(coverage: Coverage): void {
  expectFaults(coverage);
  coverage.expect(
    'producer: batches sent again',
    'producer: batch acknowledged',
    'consumer: records read',
    'library: record acknowledged',
    'checked: acknowledgement against the disks',
    'checked: high watermark against the disk of a member',
    'checked: epoch of a batch',
    'log: registered',
    'log: controller-elected',
    'operator: min.insync.replicas set',
    'election: from the ISR',
    'election: from the ELR',
    'election: nobody can lead',
    'election: unclean, of an async partition',
    'isr: grew',
    'isr: shrank',
    'isr: left for the ELR',
    'broker: began anew under its old id',
    'broker: with an older disk',
    'broker: taken for dead',
    'checked: acknowledgement of a follower',
    'checked: replicas byte by byte',
    'log: isr-proposed',
    'log: isr-refused',
    'log: replica-cut',
    'library: records read',
    'world: process paused',
    'metadata: leases short after it was away',
    'metadata: a machine cut off',
    'metadata: a machine hears nothing',
    'network: slow between machines',
    'network: silence between machines',
  );
}

async function tell(stage: Stage): Promise<void> {
  const { world } = stage;
  stage.start();
  await runClient(stage, 'admin', (ports, stop) => createTopics(stage, ports, stop));
  const faults = strikeAll(stage);
  const producing = startClients(stage);
  const operating = startOperator(stage);
  await faults;
  heal(stage);
  stage.isCalm = true;
  let isMended = false;
  const mender = menderProgram(stage, stage.random.stream('mender'), () => isMended);
  runClient(stage, 'mender', mender).catch((thrown: unknown) => world.scheduler.fail(thrown));
  await within(stage, 'the producers are done', () =>
    producing.size === 0 ? undefined : `${[...producing].join(', ')} still wait\n${notSettled(stage) ?? ''}`,
  );
  await within(stage, 'the operator is done', () => (operating.done ? undefined : 'it still waits'));
  await within(stage, 'every partition is led and all its replicas are in sync', () => notSettled(stage));
  await within(stage, 'all replicas end at the same offset', () => notEven(stage));
  await readEverything(stage, 'final');
  // Not before: what the store says may be from before everybody lost power, until it is found out.
  isMended = true;
  compareReplicas(stage);
  world.trace.add('world', 'converged');
}

/** @returns the producers that are not done. */
function startClients(stage: Stage): ReadonlySet<string> {
  const { bootstrap, random, world } = stage;
  const left = new Set<string>();
  const producers = producerPlans(bootstrap, random.stream('producers'), stage.topics);
  for (const plan of producers) {
    left.add(plan.name);
    runClient(stage, plan.name, (ports, stop) => {
      const own = random.stream(`producer ${plan.name}`);
      const Kind = own.chance(LIBRARY_CHANCE) ? LibraryProducer : RawProducer;
      return new Kind(plan, ports, own, stage.observers()).run(stop, () => stage.isCalm);
    }).then(
      () => left.delete(plan.name),
      (thrown: unknown) => world.scheduler.fail(thrown),
    );
  }
  const isCalm = (): boolean => stage.isCalm;
  for (const plan of consumerPlans(bootstrap, producers, random.stream('consumers'), isCalm))
    startConsumer(stage, plan);
  return left;
}

/** In some runs. */
function startOperator(stage: Stage): { readonly done: boolean } {
  const operating = { done: false };
  const random = stage.random.stream('operator');
  if (!random.chance(OPERATOR_CHANCE)) return { done: true };
  runClient(stage, 'operator', operatorProgram(stage, random)).then(
    () => {
      operating.done = true;
    },
    (thrown: unknown) => stage.world.scheduler.fail(thrown),
  );
  return operating;
}

function startConsumer(stage: Stage, plan: RawConsumerPlan): void {
  runClient(stage, plan.name, (ports, stop) => {
    const own = stage.random.stream(`consumer ${plan.name}`);
    const isLibrary = own.chance(0.25) && plan.name !== 'wanderer';
    const consumer = isLibrary
      ? new LibraryConsumer(plan, ports, stage.observers())
      : new RawConsumer(plan, ports, own, stage.observers());
    stage.consumers.push(consumer);
    return consumer.run(stop);
  }).catch((thrown: unknown) => stage.world.scheduler.fail(thrown));
}
