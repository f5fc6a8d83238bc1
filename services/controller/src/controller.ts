/** The controller: elected, one at a time, the only one to decide on topics, leaders and brokers. */
import type { ImageSource, MetadataKeys } from '@tributary/metadata';
import { type IncarnationId, type NodeId, incarnationId, limits, randomId } from '@tributary/model';
import type { Clock, Host, Logger, MetadataStore, Random, Service, Transport } from '@tributary/ports';
import { keepBalance } from './balance.ts';
import { type Term, standForElection } from './election.ts';
import type { Facts } from './facts.ts';
import { Inquiry } from './inquiry.ts';
import { Office } from './office.ts';
import { type OffsetsTopicWish, usualOffsetsTopic } from './offsets-desk.ts';
import { controllerService } from './service.ts';
import type { TopicDefaults } from './topic-defaults.ts';

export { registerControllerMetrics } from './metrics.ts';
export type { TopicDefaults } from './topic-defaults.ts';

export interface ControllerConfig {
  /** From the one namespace of all roles; `tributary dev` gives controller and broker of one process the same. */
  readonly nodeId: NodeId;
  /** host:port at which AdminService and ControllerService are served. */
  readonly address: string;
  /** What a topic gets when its creator does not say. */
  readonly defaults: TopicDefaults;
  /** Of `__consumer_offsets`, when it is first asked for. Default: 50 partitions, as many copies as other topics. */
  readonly offsetsTopic?: OffsetsTopicWish;
  /** Silence of a broker, or coordinator, that is a death (R10), and the grace of absent ones after a takeover (M5), ms. Default: limits.sessionTimeoutMs. */
  readonly sessionTimeoutMs?: number;
  /** How often partitions are looked for that another than the preferred one leads, ms; absent: never. */
  readonly leaderImbalanceCheckMs?: number;
  /** Of the election's lease, ms: not above any broker's session timeout. Default: sessionTimeoutMs. */
  readonly electionTimeoutMs?: number;
}

export interface ControllerPorts {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** Of the same store; the controller does not dispose it. */
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** To brokers that fell silent, and to the elected controller. */
  readonly transport: Pick<Transport, 'connect'>;
  /** Ended when an invariant breaks or the metadata store shows an older state (M6). */
  readonly host: Pick<Host, 'crash'>;
}

export interface Controller extends AsyncDisposable {
  /** AdminService and ControllerService. Refuses with NOT_CONTROLLER, naming the active one, while this one is not. */
  readonly service: Service;
  /** Stands for election, and acts whenever it is elected, until disposed. Resolves once somebody is: this one, or another. */
  start(): Promise<void>;
  readonly isActive: boolean;
  /** Since its start, over all its terms. */
  readonly facts: Facts;
  /** Registered brokers of which nothing is heard; none while it is not active. */
  readonly silent: readonly NodeId[];
  readonly silentCoordinators: readonly NodeId[];
}

export function createController(config: ControllerConfig, ports: ControllerPorts): Controller {
  return new ElectedController(config, ports);
}

class ElectedController implements Controller {
  readonly service: Service;
  readonly #config: ControllerConfig;
  readonly #ports: ControllerPorts;
  readonly #office: Office;
  readonly #inquiry: Inquiry;
  readonly #incarnationId: IncarnationId;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(config: ControllerConfig, ports: ControllerPorts) {
    this.#config = config;
    this.#ports = ports;
    const { defaults, offsetsTopic = usualOffsetsTopic, sessionTimeoutMs = limits.sessionTimeoutMs } = config;
    this.#office = new Office(ports, defaults, sessionTimeoutMs);
    this.#inquiry = new Inquiry(ports, this.#office, defaults);
    const { images, clock, random } = ports;
    this.#incarnationId = incarnationId(randomId(() => random.nextU32()));
    const self = { nodeId: config.nodeId, incarnationId: this.#incarnationId };
    const parts = { self, office: this.#office, images, clock, random, defaults, offsetsTopic, sessionTimeoutMs };
    this.service = controllerService(parts);
  }

  get isActive(): boolean {
    return this.#office.isOpen;
  }

  get facts(): Facts {
    return this.#office.facts;
  }

  get silent(): readonly NodeId[] {
    return this.#office.silent;
  }

  get silentCoordinators(): readonly NodeId[] {
    return this.#office.silentCoordinators;
  }

  async start(): Promise<void> {
    this.#running ??= this.#run();
    await this.#ports.images.until((image) => image.controller !== undefined, this.#stopping.signal);
  }

  async #run(): Promise<void> {
    const { nodeId, address, sessionTimeoutMs = limits.sessionTimeoutMs } = this.#config;
    const incarnation = this.#incarnationId;
    const self = {
      nodeId,
      incarnationId: incarnation,
      address,
      leaseMs: this.#config.electionTimeoutMs ?? sessionTimeoutMs,
    };
    try {
      await standForElection(self, this.#ports, (term) => this.#serve(term), this.#stopping.signal);
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#ports.logger.error('controller-failed', { why });
      this.#ports.host.crash(`The controller cannot go on: ${why}`);
    }
  }

  async #serve(term: Term): Promise<never> {
    const { leaderImbalanceCheckMs: everyMs, defaults } = this.#config;
    const besides = [this.#compact(term.signal), this.#watchStore(term.signal), this.#inquiry.run(term.signal)];
    if (everyMs !== undefined) besides.push(keepBalance(this.#ports, this.#office, defaults, everyMs, term.signal));
    try {
      return await this.#office.work(term);
    } finally {
      await Promise.all(besides);
    }
  }

  /** A store that takes no writes is said at once, and not only when a decision is called for (M5). */
  async #watchStore(signal: AbortSignal): Promise<void> {
    const { clock, store, logger } = this.#ports;
    while (!signal.aborted) {
      try {
        const { writable } = await store.status();
        if (!writable && this.facts.isStoreWritable)
          logger.error('metadata-store-takes-no-writes', { why: 'etcd has raised an alarm: see etcdctl alarm list' });
        this.facts.isStoreWritable = writable;
      } catch {
        // Away: the election's lease tells.
      }
      await clock.sleep(limits.storeAlarmMs, signal).catch(() => undefined);
    }
  }

  /** The active controller keeps the store's history as long as watches may need it, and no longer (M5). */
  async #compact(signal: AbortSignal): Promise<void> {
    const { clock, store, images, logger } = this.#ports;
    while (!signal.aborted) {
      try {
        await clock.sleep(limits.compactionIntervalMs, signal);
        const keptFrom = images.current.revision - BigInt(limits.metadataHistoryRevisions);
        if (keptFrom > 1n) await store.compact(keptFrom);
      } catch (thrown) {
        if (!signal.aborted)
          logger.warn('metadata-compaction-failed', { why: thrown instanceof Error ? thrown.message : String(thrown) });
      }
    }
  }

  /** Resigns, so that another takes over at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error('The controller is stopping.'));
    await this.#running;
  }
}
