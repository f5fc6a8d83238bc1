/**
 * The log and the produce and fetch path on one machine: producers and consumers on the bare streams, topics of every kind, and everything
 * that a disk, a network, a metadata store and a process can do wrong. Each run ends healed and must converge: whatever is pending gets done,
 * and everything acknowledged can be read.
 */
import { TributaryError } from '@tributary/model';
import { nextOffsetOf, scanBatches } from '@tributary/record';
import { methods, OffsetSpec } from '@tributary/wire';
import { LibraryConsumer } from '../clients/library-consumer.ts';
import { LibraryProducer } from '../clients/library-producer.ts';
import { RawConsumer } from '../clients/raw-consumer.ts';
import { RawProducer } from '../clients/raw-producer.ts';
import { contextOf, findRoutes, type Route, untilDone } from '../clients/routes.ts';
import { DATA_DIRECTORY } from '../cluster.ts';
import type { Coverage } from '../coverage.ts';
import { folderOf } from '../invariants.ts';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import { World, type WorldOptions } from '../world.ts';
import { expectFaults, heal, strikeAll } from './faults.ts';
import { type Reading, Scene } from './scene.ts';
import { consumerPlans, producerPlans, topics } from './topics.ts';

export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly crashes: number;
  readonly virtualMs: number;
  readonly acknowledged: number;
  readonly coverage: readonly (readonly [string, number])[];
}

/** Virtual time after the last fault within which everything must have come right. */
const CONVERGENCE_MS = 240_000;
const DISK_BYTES = 2_000_000;
/** So many of the clients are the library's; the others speak to the bare streams. */
const LIBRARY_CHANCE = 0.4;

/** @throws BrokenRule, and whatever else shows that something is wrong. */
export async function logAndProduce(seed: number, options: WorldOptions = {}): Promise<RunResult> {
  const world = new World(seed, options);
  expectEverything(world.coverage);
  const scene = new Scene(world, DISK_BYTES);
  try {
    await world.run(() => tell(scene));
  } catch (thrown) {
    throw withTrace(world, thrown);
  }
  let acknowledged = 0;
  for (const history of scene.histories) acknowledged += history.acknowledged;
  return {
    seed,
    hash: world.trace.hash(),
    events: world.scheduler.events,
    crashes: scene.crashes,
    virtualMs: Math.round(world.scheduler.nowMicros / 1_000),
    acknowledged,
    coverage: world.coverage.entries(),
  };
}

/** What a run of many seeds must have met. */
export function expectEverything(coverage: Coverage): void {
  expectFaults(coverage);
  coverage.expect('recovery: scanned', 'recovery: rewritten', 'world: process crashed itself');
  coverage.expect('producer: batches sent again', 'producer: batch acknowledged', 'consumer: seek', 'consumer: fetch refused with OFFSET_OUT_OF_RANGE');
  coverage.expect('library: record acknowledged', 'library: records read');
  coverage.expect('checked: acknowledgement against the disk', 'log: retention', 'log: registered', 'log: controller-elected');
}

export class RunFailure extends Error {
  override readonly name = 'RunFailure';
  readonly tail: readonly string[];

  constructor(message: string, tail: readonly string[], cause: unknown) {
    super(message, { cause });
    this.tail = tail;
  }
}

function withTrace(world: World, thrown: unknown): RunFailure {
  const what = thrown instanceof Error ? (thrown.name === 'BrokenRule' ? thrown.message : (thrown.stack ?? thrown.message)) : String(thrown);
  return new RunFailure(what, world.trace.tail(60), thrown);
}

async function tell(scene: Scene): Promise<void> {
  const { world } = scene;
  scene.startServers();
  const creating = run(scene, 'admin', (ports, stop) => createTopics(scene, ports, stop));
  // Now and then topics are created while things already go wrong.
  if (scene.random.chance(0.8)) await creating;
  const faults = strikeAll(scene);
  await creating;
  const producing = startProducers(scene);
  startConsumers(scene);
  await faults;
  heal(scene);
  scene.isCalm = true;
  await within(scene, 'the producers are done', () => producing.done, () => producing.report());
  await readEverything(scene, 'final');
  if (scene.random.chance(0.4)) {
    // A clean stop and start: nothing may change by it.
    scene.stopServers();
    await within(scene, 'the servers have stopped', () => !scene.broker?.alive && !scene.controller?.alive, () => '');
    scene.restartServers();
    await readEverything(scene, 'again');
  }
  world.trace.add('world', 'converged');
}

/** Runs a client program to its end. */
async function run(scene: Scene, name: string, program: ProcessMain): Promise<void> {
  const end = await scene.clients.start(name, program).ended;
  if (end.how === 'failed') throw end.thrown;
}

async function createTopics(scene: Scene, ports: ProcessPorts, stop: AbortSignal): Promise<void> {
  await using peer = ports.transport.connect(scene.bootstrap);
  for (const { name, partitions, configs, flushPolicy } of topics) {
    const request = { context: contextOf('admin'), name, partitions, replicationFactor: 1, configs, validateOnly: false };
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
    if (route === undefined || routes.size !== partitions) throw new Error(`${name} was created with ${routes.size} partitions`);
    scene.topicCreated({ name, topicId: route.topicId, flushPolicy });
  }
}

interface Producing {
  readonly done: boolean;
  report(): string;
}

function startProducers(scene: Scene): Producing {
  const { world } = scene;
  const left = new Set<string>();
  for (const plan of producerPlans(scene.bootstrap, scene.random.stream('producers'))) {
    left.add(plan.name);
    const program: ProcessMain = (ports, stop) => {
      const observers = { ...observersOf(scene), mayForget: (topic: string) => scene.mayForget(topic) };
      const random = scene.random.stream(`producer ${plan.name}`);
      const Kind = random.chance(LIBRARY_CHANCE) ? LibraryProducer : RawProducer;
      return new Kind(plan, ports, random, observers).run(stop, () => scene.isCalm);
    };
    run(scene, plan.name, program).then(
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

function startConsumers(scene: Scene): void {
  for (const plan of consumerPlans(scene.bootstrap, scene.random.stream('consumers'), () => scene.isCalm)) {
    run(scene, plan.name, (ports, stop) => {
      const isLibrary = scene.random.stream(`kind of ${plan.name}`).chance(LIBRARY_CHANCE);
      const consumer = isLibrary ? new LibraryConsumer(plan, ports, observersOf(scene)) : newConsumer(scene, plan, ports, false);
      scene.consumers.push(consumer);
      return consumer.run(stop);
    }).catch((thrown: unknown) => scene.world.scheduler.fail(thrown));
  }
}

function newConsumer(scene: Scene, plan: ConstructorParameters<typeof RawConsumer>[0], ports: ProcessPorts, keep: boolean): RawConsumer {
  return new RawConsumer(plan, ports, scene.random.stream(`consumer ${plan.name}`), observersOf(scene), keep);
}

function observersOf(scene: Scene) {
  return {
    history: (topic: string, partition: number) => scene.history(topic, partition),
    count: (what: string) => scene.world.coverage.count(what),
    broken: (rule: string, what: string) => scene.world.broken(rule, what),
  };
}

/** One more reader, from the beginning to the end of every partition, and everybody else's progress. */
async function readEverything(scene: Scene, name: string): Promise<void> {
  const plan = { name, bootstrap: scene.bootstrap, topics: topics.map((topic) => topic.name), windowBytes: 500_000, seekChance: () => 0 };
  let ends = new Map<string, bigint>();
  let reader: RawConsumer | undefined;
  let hasRead = false;
  const program: ProcessMain = async (ports, stop) => {
    ends = await untilDone(ports, stop, () => latestOffsets(plan.bootstrap, plan.topics, ports));
    checkEnds(scene, ends);
    const own = newConsumer(scene, plan, ports, true);
    reader = own;
    const done = new AbortController();
    stop.addEventListener('abort', () => done.abort());
    const reading = own.run(done.signal);
    while (!hasReached(own, ends) && !stop.aborted) await ports.clock.sleep(20, stop);
    done.abort();
    await reading;
    hasRead = true;
  };
  run(scene, name, program).catch((thrown: unknown) => scene.world.scheduler.fail(thrown));
  const everybodyIsThere = (): boolean => hasRead && scene.consumers.every((consumer) => hasReached(consumer, ends, consumer.progress()));
  await within(scene, `${name} and all consumers have read everything`, everybodyIsThere, () =>
    [...ends].map(([key, end]) => `${key} ends at ${end}; ${[reader, ...scene.consumers].map((each) => each?.progress().get(key) ?? '-').join(' ')}`).join('\n'),
  );
  for (const [key, end] of ends) {
    const at = key.lastIndexOf('-');
    scene.history(key.slice(0, at), Number(key.slice(at + 1))).finish(reader?.kept(key) ?? [], reader?.logStart(key) ?? 0n, end);
  }
}

function hasReached(consumer: Reading, ends: ReadonlyMap<string, bigint>, keys?: ReadonlyMap<string, bigint>): boolean {
  const progress = consumer.progress();
  const wanted = keys === undefined ? [...ends.keys()] : [...keys.keys()];
  return wanted.every((key) => (progress.get(key) ?? -1n) >= (ends.get(key) ?? 0n));
}

async function latestOffsets(bootstrap: string, names: readonly string[], ports: ProcessPorts): Promise<Map<string, bigint>> {
  await using peer = ports.transport.connect(bootstrap);
  const routes = await findRoutes(peer, 'final', names);
  const spec = OffsetSpec.LATEST;
  const partitions = [...routes.values()].map(({ topicId, partition, leaderEpoch }: Route) => ({ topicId, partition, leaderEpoch, spec, timestampMs: 0n }));
  const answer = await peer.unary(methods.listOffsets, { context: contextOf('final'), partitions }, { deadlineMs: 5_000 });
  const ends = new Map<string, bigint>();
  for (const [i, key] of [...routes.keys()].entries()) {
    const found = answer.partitions[i];
    if (found === undefined || found.errorCode !== 0) throw TributaryError.fromAnswer(found?.errorCode ?? -1, found?.errorMessage ?? '');
    ends.set(key, found.offset);
  }
  return ends;
}

/** What nobody waits for any more is durable: the high watermark is where the last batch on the disk ends. */
function checkEnds(scene: Scene, ends: ReadonlyMap<string, bigint>): void {
  for (const { name, topicId } of scene.created) {
    const partitions = topics.find((topic) => topic.name === name)?.partitions ?? 1;
    for (let partition = 0; partition < partitions; partition++) {
      if (scene.history(name, partition).isRotten) continue;
      let end = 0n;
      for (const [file, bytes] of scene.server.disk.cachedFilesIn(`${DATA_DIRECTORY}/${folderOf(topicId, partition)}`)) {
        if (!file.endsWith('.log')) continue;
        const fileEnd = endOf(bytes);
        if (fileEnd === undefined) scene.world.broken('L3', `${name}-${partition}: ${file} is open for reading, and holds what is no batch`);
        else if (fileEnd > end) end = fileEnd;
      }
      const latest = ends.get(`${name}-${partition}`);
      if (end > 0n && latest !== end) scene.world.broken('R3', `${name}-${partition}: the log ends at ${end}, and the high watermark stays at ${latest}`);
    }
  }
}

/** The offset after the last batch; undefined: something in between is none. */
function endOf(bytes: Uint8Array): bigint | undefined {
  let end = 0n;
  let position = 0;
  try {
    for (const { at, size } of scanBatches(bytes)) {
      end = nextOffsetOf(bytes, at);
      position = at + size;
    }
  } catch {
    return undefined;
  }
  return position === bytes.length ? end : undefined;
}

async function within(scene: Scene, what: string, isSo: () => boolean, report: () => string): Promise<void> {
  const until = scene.world.scheduler.nowMicros + CONVERGENCE_MS * 1_000;
  while (!isSo()) {
    if (scene.world.scheduler.nowMicros > until) {
      scene.world.broken('convergence', `healed, and after ${CONVERGENCE_MS} ms it is still not so that ${what}\n${report()}`);
    }
    await scene.world.scheduler.pause(20_000);
  }
}
