import assert from 'node:assert/strict';
import {
  type ClusterImage,
  type HeldRegistration,
  type ImageSource,
  confirmRemoval,
  decodeEntry,
  isAdmitted,
  metadataKeys,
  openImageSource,
  registerBroker,
  ClusterImage as Image,
} from '@tributary/metadata';
import { incarnationId, nodeId } from '@tributary/model';
import type { CallContext, Clock, Handlers, MetadataStore, Transaction, UnaryMethod } from '@tributary/ports';
import { MachineClock } from '../../../tests/simulator/clock.ts';
import { Coverage } from '../../../tests/simulator/coverage.ts';
import { SimulatedMetadataStore } from '../../../tests/simulator/metadata-store.ts';
import { Scheduler } from '../../../tests/simulator/scheduler.ts';
import { SeededRandom } from '../../../tests/simulator/seeded-random.ts';
import { type Controller, createController } from '../src/controller.ts';
import { defaults, registration } from './pure-cluster.ts';

const never = new AbortController().signal;
const keys = metadataKeys('test');

/** Two candidates, some brokers that only register and confirm, and a store with its faults, on virtual time. */
export class SimulatedCluster {
  readonly world: SimulatedMetadataStore;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly #machineClock: MachineClock;
  readonly #store: MetadataStore;
  #started = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(`controller ${seed}`);
    this.scheduler = new Scheduler(this.random.stream('scheduler'));
    this.world = new SimulatedMetadataStore(this.scheduler, this.random.stream('metadata'), new Coverage());
    this.#machineClock = new MachineClock(this.scheduler);
    this.#store = this.world.client({ machine: 'test', alive: true });
  }

  get clock(): Clock {
    return this.#machineClock.forProcess(() => true);
  }

  sleep(ms: number): Promise<void> {
    return this.clock.sleep(ms, never);
  }

  /** What the store holds, as an image. */
  async stored(): Promise<ClusterImage> {
    const { revision, entries } = await this.#store.read(keys.prefix);
    const puts = entries.map((entry) => decodeEntry(keys, entry)).filter((put) => put !== undefined);
    return Image.empty.apply(revision, puts).image;
  }

  controller(id: number): CandidateProcess {
    return new CandidateProcess(
      this,
      id,
      this.#machineClock,
      this.random.stream(`controller ${id} ${++this.#started}`),
    );
  }

  broker(id: number): BrokerProcess {
    return new BrokerProcess(this, id, this.#machineClock, ++this.#started);
  }
}

/** A controller in a process that can be killed. */
export class CandidateProcess {
  readonly id: number;
  alive = true;
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  readonly #handlers = new Map<string, (request: unknown, context: CallContext) => Promise<unknown>>();
  /** Called with each transaction, before and after it was committed. */
  beforeCommit: ((transaction: Transaction) => void) | undefined;
  afterCommit: ((transaction: Transaction) => void) | undefined;
  crashed: string | undefined;
  controller: Controller | undefined;

  constructor(cluster: SimulatedCluster, id: number, clock: MachineClock, random: SeededRandom) {
    this.id = id;
    this.#cluster = cluster;
    this.#random = random;
    this.#clock = clock.forProcess(() => this.alive);
  }

  kill(): void {
    this.alive = false;
  }

  async start(): Promise<void> {
    const client = this.#cluster.world.client({
      machine: `controller-${this.id}`,
      get alive() {
        return isAlive();
      },
    });
    const isAlive = (): boolean => this.alive;
    const store: MetadataStore = { ...client, commit: (transaction) => this.#commit(client, transaction) };
    const images = await openImageSource(store, keys, this.#clock, never);
    this.controller = createController(
      { nodeId: nodeId(this.id), address: `controller-${this.id}:9096`, defaults },
      {
        store,
        keys,
        images,
        clock: this.#clock,
        random: this.#random,
        logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
        host: {
          crash: (reason) => {
            this.crashed = reason;
            this.kill();
          },
        },
      },
    );
    const handlers: Handlers = {
      unary: (method, handler) => {
        this.#handlers.set(method.path, handler as (request: unknown, context: CallContext) => Promise<unknown>);
      },
      stream: () => assert.fail('the controller serves no streams yet'),
    };
    this.controller.service(handlers);
    await this.controller.start();
  }

  async #commit(
    client: MetadataStore,
    transaction: Transaction,
  ): Promise<Awaited<ReturnType<MetadataStore['commit']>>> {
    this.beforeCommit?.(transaction);
    const result = await client.commit(transaction);
    this.afterCommit?.(transaction);
    // A dead process hears nothing.
    if (!this.alive) return new Promise(() => undefined);
    return result;
  }

  get isActive(): boolean {
    return this.alive && this.controller?.isActive === true;
  }

  /** A call over the wire: requests and answers pass their codecs. Never settles when the process dies meanwhile. */
  async call<Request, Response>(method: UnaryMethod<Request, Response>, request: Request): Promise<Response> {
    const handler = this.#handlers.get(method.path);
    assert.ok(handler !== undefined, `${method.path} is served`);
    const read = method.request.decode(method.request.encode(request));
    const answer = (await handler(read, { peer: 'test', signal: never })) as Response;
    if (!this.alive) return new Promise(() => undefined);
    return method.response.decode(method.response.encode(answer));
  }
}

/** As much of a broker as the controller sees: it registers, and confirms the removal of deleted topics. */
export class BrokerProcess {
  readonly id: number;
  alive = true;
  registration: HeldRegistration | undefined;
  readonly #cluster: SimulatedCluster;
  readonly #number: number;
  readonly #clock: Clock;

  constructor(cluster: SimulatedCluster, id: number, clock: MachineClock, number: number) {
    this.id = id;
    this.#cluster = cluster;
    this.#number = number;
    this.#clock = clock.forProcess(() => this.alive);
  }

  kill(): void {
    this.alive = false;
  }

  /** Resolves when it has been let in. */
  async start(): Promise<void> {
    const isAlive = (): boolean => this.alive;
    const user = {
      machine: `broker-${this.id}`,
      get alive() {
        return isAlive();
      },
    };
    const store = this.#cluster.world.client(user);
    const images = await openImageSource(store, keys, this.#clock, never);
    const incarnation = incarnationId(`broker-${this.id}-${this.#number}`);
    const info = registration(this.id, { incarnationId: incarnation });
    const register = async (): Promise<HeldRegistration> => {
      const held = await registerBroker(store, keys, info, this.#clock, { signal: never });
      held.lost.addEventListener('abort', () => void register(), { once: true });
      this.registration = held;
      return held;
    };
    const { brokerEpoch } = await register();
    void this.#confirmRemovals(store, images);
    await images.until((image) => isAdmitted(image, nodeId(this.id), brokerEpoch, incarnation), never);
  }

  async #confirmRemovals(store: MetadataStore, images: ImageSource): Promise<void> {
    const mine = registration(this.id);
    for await (const { image, delta } of images.changes(never)) {
      for (const id of delta.topics.keys()) {
        const topic = image.topic(id);
        if (topic?.phase !== 'deleting' || image.removalsOf(id).has(mine.nodeId)) continue;
        if (topic.removingReplicas.some((each) => each.nodeId === mine.nodeId))
          await confirmRemoval(store, keys, topic, mine, this.#clock, never);
      }
    }
  }
}
