/**
 * The log and the produce and fetch path on one machine: producers and consumers on the bare streams, topics of every kind, and everything
 * that a disk, a network, a metadata store and a process can do wrong. Each run ends healed and must converge: whatever is pending gets done,
 * and everything acknowledged can be read.
 */
import { TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { LibraryConsumer } from '../clients/library-consumer.ts';
import { LibraryProducer } from '../clients/library-producer.ts';
import { Operator } from '../clients/operator.ts';
import type { RawConsumer } from '../clients/raw-consumer.ts';
import { RawProducer } from '../clients/raw-producer.ts';
import { RecordConsumer } from '../clients/record-consumer.ts';
import { RecordProducer } from '../clients/record-producer.ts';
import { contextOf, findRoutes, untilDone } from '../clients/routes.ts';
import type { Coverage } from '../coverage.ts';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import { type RunResult, runIn } from '../run-result.ts';
import { World, type WorldOptions } from '../world.ts';
import { newConsumer, observersOf, runProgram } from './client-programs.ts';
import { readEverything, within } from './convergence.ts';
import { expectFaults, heal, strikeAll } from './faults.ts';
import { Scene } from './scene.ts';
import { consumerPlans, isCompactedTopic, operatorPlan, producerPlans, topics } from './topics.ts';

const DISK_BYTES = 2_000_000;
/** So many of the clients are the library's; the others speak to the bare streams. */
const LIBRARY_CHANCE = 0.4;
/** So many know nothing but the record level. A stream of its own: what the others do stays as each seed had it. */
const RECORD_LEVEL_CHANCE = 0.2;
/** Fewer events than this met next to nothing. */
const STORY_EVENTS_MIN = 2_000;
const isRecordLevel = (scene: Scene, client: string): boolean =>
  scene.random.stream(`level of ${client}`).chance(RECORD_LEVEL_CHANCE);

/** @throws RunFailure. */
export function logAndProduce(seed: number, options: WorldOptions = {}): Promise<RunResult> {
  const world = new World(seed, options);
  expectEverything(world.coverage);
  const scene = new Scene(world, DISK_BYTES);
  return runIn(world, () => tell(scene), scene);
}

/** What a run of many seeds must have met. */
export function expectEverything(coverage: Coverage): void {
  expectFaults(coverage);
  coverage.expect('recovery: scanned', 'recovery: rewritten', 'world: process crashed itself');
  coverage.expect(
    'producer: batches sent again',
    'producer: batch acknowledged',
    'consumer: seek',
    'consumer: fetch refused with OFFSET_OUT_OF_RANGE',
  );
  coverage.expect(
    'operator: records deleted',
    'operator: too far',
    'operator: settings changed',
    'operator: partitions added',
    'operator: flush.policy=commit is in force',
    'operator: looked at brokers',
    'operator: found everything as it was acknowledged',
  );
  coverage.expect('library: record acknowledged', 'library: records read');
  coverage.expect('record level: record acknowledged', 'record level: records read');
  coverage.expect(
    'checked: acknowledgement against the disk',
    'log: retention',
    'log: compaction',
    'log: compaction finished',
    'log: registered',
    'log: controller-elected',
  );
}

async function tell(scene: Scene): Promise<void> {
  const { world } = scene;
  scene.startServers();
  const creating = runProgram(scene, 'admin', (ports, stop) => createTopics(scene, ports, stop));
  // Now and then topics are created while things already go wrong.
  if (scene.random.chance(0.8)) await creating;
  const faults = strikeAll(scene);
  await creating;
  const producing = startProducers(scene);
  startConsumers(scene);
  const operating = startOperator(scene);
  await faults;
  // What went wrong before there was a topic has kept anything from happening: that is no story yet.
  if (world.scheduler.events < STORY_EVENTS_MIN) await strikeAll(scene, 'faults once more');
  heal(scene);
  scene.isCalm = true;
  await within(
    scene,
    'the producers are done',
    () => producing.done,
    () => producing.report(),
  );
  await within(
    scene,
    'the operator is done',
    () => operating.done,
    () => '',
  );
  await readEverything(scene, 'final');
  if (scene.random.chance(0.4)) {
    // A clean stop and start: nothing may change by it.
    scene.stopServers();
    await within(
      scene,
      'the servers have stopped',
      () => !scene.broker?.alive && !scene.controller?.alive,
      () => '',
    );
    scene.restartServers();
    await readEverything(scene, 'again');
  }
  world.trace.add('world', 'converged');
}

async function createTopics(scene: Scene, ports: ProcessPorts, stop: AbortSignal): Promise<void> {
  await using peer = ports.transport.connect(scene.bootstrap);
  for (const { name, partitions, configs, flushPolicy } of topics) {
    const request = {
      context: contextOf('admin'),
      name,
      partitions,
      replicationFactor: 1,
      configs,
      validateOnly: false,
    };
    await untilDone(ports, stop, async () => {
      try {
        await peer.unary(methods.createTopic, request, { deadlineMs: 5_000 });
      } catch (thrown) {
        const { error, message } = TributaryError.from(thrown);
        // After a lost reply it is there already; while the only broker is down there is nobody to put it on.
        if (error === 'INVALID_REPLICATION_FACTOR') throw new TributaryError('BROKER_NOT_AVAILABLE', message);
        if (error !== 'TOPIC_ALREADY_EXISTS') throw thrown;
      }
    });
    const routes = await untilDone(ports, stop, () => findRoutes(peer, 'admin', [name]));
    const [route] = routes.values();
    if (route === undefined || routes.size !== partitions)
      throw new Error(`${name} was created with ${routes.size} partitions`);
    scene.topicCreated({ name, topicId: route.topicId, flushPolicy, isCompacted: isCompactedTopic(name) });
  }
}

interface Producing {
  readonly done: boolean;
  report(): string;
}

function startProducers(scene: Scene): Producing {
  const { world } = scene;
  const left = new Set<string>();
  for (const plan of producerPlans([scene.bootstrap], scene.random.stream('producers'))) {
    left.add(plan.name);
    const program: ProcessMain = (ports, stop) => {
      const observers = { ...observersOf(scene), mayForget: (topic: string) => scene.mayForget(topic) };
      const random = scene.random.stream(`producer ${plan.name}`);
      const Batches = random.chance(LIBRARY_CHANCE) ? LibraryProducer : RawProducer;
      const Kind = isRecordLevel(scene, plan.name) ? RecordProducer : Batches;
      return new Kind(plan, ports, random, observers).run(stop, () => scene.isCalm);
    };
    runProgram(scene, plan.name, program).then(
      () => left.delete(plan.name),
      (thrown: unknown) => world.scheduler.fail(thrown),
    );
  }
  return {
    get done() {
      return left.size === 0;
    },
    report: () => `${[...left].join(', ')} still wait`,
  };
}

function startOperator(scene: Scene): { readonly done: boolean } {
  const operating = { done: false };
  const random = scene.random.stream('operator');
  const plan = operatorPlan(scene.bootstrap, random);
  const losePower = async (): Promise<void> => {
    scene.losePower();
    await scene.world.scheduler.pause(random.between(20_000, 300_000));
    scene.server.powerOn();
  };
  const commitInForce = (): void => {
    // The worst moment for what was said to be flushed and is not.
    if (scene.isCalm || !scene.server.isOn || !random.chance(0.5)) return;
    losePower().catch((thrown: unknown) => scene.world.scheduler.fail(thrown));
  };
  runProgram(scene, 'operator', (ports, stop) =>
    new Operator(plan, ports, random, { ...observersOf(scene), commitInForce }).run(stop, () => scene.isCalm),
  ).then(
    () => {
      operating.done = true;
    },
    (thrown: unknown) => scene.world.scheduler.fail(thrown),
  );
  return operating;
}

function startConsumers(scene: Scene): void {
  for (const plan of consumerPlans([scene.bootstrap], scene.random.stream('consumers'), () => scene.isCalm)) {
    runProgram(scene, plan.name, (ports, stop) => {
      const isLibrary = scene.random.stream(`kind of ${plan.name}`).chance(LIBRARY_CHANCE);
      const atBatchLevel = (): RawConsumer | LibraryConsumer =>
        isLibrary ? new LibraryConsumer(plan, ports, observersOf(scene)) : newConsumer(scene, plan, ports, false);
      const random = scene.random.stream(`record consumer ${plan.name}`);
      const consumer = isRecordLevel(scene, plan.name)
        ? new RecordConsumer(plan, ports, random, observersOf(scene))
        : atBatchLevel();
      scene.consumers.push(consumer);
      return consumer.run(stop);
    }).catch((thrown: unknown) => scene.world.scheduler.fail(thrown));
  }
}
