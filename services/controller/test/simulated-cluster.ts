import assert from 'node:assert/strict';
import {
  type ClusterImage,
  type ImageSource,
  decodeEntry,
  openImageSource,
  ClusterImage as Image,
} from '@tributary/metadata';
import { limits, nodeId } from '@tributary/model';
import type { CallContext, Clock, Handlers, MetadataStore, Transaction, UnaryMethod } from '@tributary/ports';
import { MachineClock } from '../../../tests/simulator/clock.ts';
import { Coverage } from '../../../tests/simulator/coverage.ts';
import { SimulatedMetadataStore } from '../../../tests/simulator/metadata-store.ts';
import { SimulatedNetwork } from '../../../tests/simulator/network.ts';
import { Scheduler } from '../../../tests/simulator/scheduler.ts';
import { SeededRandom } from '../../../tests/simulator/seeded-random.ts';
import { type Controller, createController } from '../src/controller.ts';
import type { OffsetsTopicWish } from '../src/offsets-desk.ts';
import { BrokerProcess } from './broker-process.ts';
import { CoordinatorProcess } from './coordinator-process.ts';
import { defaults, keys } from './pure-cluster.ts';

const never = new AbortController().signal;

/** Two candidates, some brokers that only register and confirm, and a store with its faults, on virtual time. */
export class SimulatedCluster {
  readonly world: SimulatedMetadataStore;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly network: SimulatedNetwork;
  readonly #machineClock: MachineClock;
  readonly #store: MetadataStore;
  readonly #candidates: CandidateProcess[] = [];
  #started = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(`controller ${seed}`);
    this.scheduler = new Scheduler(this.random.stream('scheduler'));
    this.world = new SimulatedMetadataStore(this.scheduler, this.random.stream('metadata'), new Coverage());
    this.network = new SimulatedNetwork(this.scheduler, this.random.stream('network'), new Coverage());
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

  async seenByController(revision: bigint): Promise<void> {
    const isBehind = (each: CandidateProcess): boolean => each.isActive && each.revision < revision;
    for (let i = 0; i < 100 && this.#candidates.some(isBehind); i++) await this.sleep(100);
  }

  controller(id: number): CandidateProcess {
    const candidate = new CandidateProcess(
      this,
      id,
      this.#machineClock,
      this.random.stream(`controller ${id} ${++this.#started}`),
    );
    this.#candidates.push(candidate);
    return candidate;
  }

  broker(id: number, isAttending = true): BrokerProcess {
    return new BrokerProcess(this, id, this.#machineClock, ++this.#started, isAttending);
  }

  coordinator(id: number): CoordinatorProcess {
    return new CoordinatorProcess(this, id, this.#machineClock);
  }
}

/** A controller in a process that can be killed. */
export class CandidateProcess {
  readonly id: number;
  alive = true;
  readonly machine: string;
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  readonly #handlers = new Map<string, (request: unknown, context: CallContext) => Promise<unknown>>();
  /** Called with each transaction, before and after it was committed. */
  beforeCommit: ((transaction: Transaction) => void) | undefined;
  /** How long the store takes for each transaction, ms. */
  commitMs = 0;
  afterCommit: ((transaction: Transaction) => void) | undefined;
  /** Of the election's lease; set before the start. */
  electionTimeoutMs: number = limits.sessionTimeoutMs;
  /** How often it looks for preferred leaders; undefined: never. Set before the start. */
  leaderImbalanceCheckMs: number | undefined;
  /** Set before the start. */
  offsetsTopic: OffsetsTopicWish | undefined;
  crashed: string | undefined;
  controller: Controller | undefined;
  #images: ImageSource | undefined;

  constructor(cluster: SimulatedCluster, id: number, clock: MachineClock, random: SeededRandom) {
    this.id = id;
    this.machine = `controller-${id}`;
    this.#cluster = cluster;
    this.#random = random;
    this.#clock = clock.forProcess(() => this.alive);
  }

  kill(): void {
    this.alive = false;
    this.#cluster.network.processEnded(this);
  }

  async start(): Promise<void> {
    const transport = this.#cluster.network.transport(this);
    const client = this.#cluster.world.client({
      machine: `controller-${this.id}`,
      get alive() {
        return isAlive();
      },
    });
    const isAlive = (): boolean => this.alive;
    const store: MetadataStore = { ...client, commit: (transaction) => this.#commit(client, transaction) };
    const images = await openImageSource(store, keys, this.#clock, never);
    this.#images = images;
    this.controller = createController(
      {
        nodeId: nodeId(this.id),
        address: `controller-${this.id}:9096`,
        defaults,
        electionTimeoutMs: this.electionTimeoutMs,
        ...(this.offsetsTopic === undefined ? {} : { offsetsTopic: this.offsetsTopic }),
        ...(this.leaderImbalanceCheckMs === undefined ? {} : { leaderImbalanceCheckMs: this.leaderImbalanceCheckMs }),
      },
      {
        store,
        keys,
        images,
        transport,
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
      stream: () => undefined,
    };
    this.controller.service(handlers);
    await transport.serve(`${this.machine}:9096`, this.controller.service);
    await this.controller.start();
  }

  async #commit(
    client: MetadataStore,
    transaction: Transaction,
  ): Promise<Awaited<ReturnType<MetadataStore['commit']>>> {
    this.beforeCommit?.(transaction);
    if (this.commitMs > 0) await this.#clock.sleep(this.commitMs, never);
    const result = await client.commit(transaction);
    this.afterCommit?.(transaction);
    // A dead process hears nothing.
    if (!this.alive) return new Promise(() => undefined);
    return result;
  }

  /** Of its own picture. */
  get revision(): bigint {
    return this.#images?.current.revision ?? 0n;
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
