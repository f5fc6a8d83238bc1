/** A coordinator: its place in the cluster, the partitions of `__consumer_offsets` that it owns, and what it serves. */
import { limits, type NodeId, nodeId, softwareVersion, type TopicId, TributaryError } from '@tributary/model';
import {
  type ClusterDelta,
  CoordinatorRegistration,
  type ImageSource,
  LinkedAbort,
  type MetadataKeys,
} from '@tributary/metadata';
import {
  type Clock,
  type Host,
  type Logger,
  type MetadataStore,
  MetadataStoreError,
  type Random,
  type Service,
  type Transport,
} from '@tributary/ports';
import { Attendance } from './attendance.ts';
import { CoordinatorFacts } from './facts.ts';
import { type GroupSettings, groupSettings } from './group/settings.ts';
import { compileTopicPattern } from './group/topic-pattern.ts';
import { handOver } from './handing-over.ts';
import { Beat } from './journal/beat.ts';
import { Leaders } from './journal/leaders.ts';
import { LagDesk } from './lag/lag-desk.ts';
import { LogEnds } from './lag/log-ends.ts';
import { Reception } from './rpc/reception.ts';
import { coordinatorService } from './service.ts';
import { Shards } from './shard/shards.ts';
import { ImageTopics } from './topics.ts';

export { registerCoordinatorMetrics } from './metrics.ts';
export { type GroupSettings, groupSettings } from './group/settings.ts';

export interface CoordinatorConfig {
  /** From the one namespace of all roles; `tributary dev` gives the parts of one process the same. */
  readonly nodeId: number;
  /** Name of the machine. */
  readonly host: string;
  readonly rack: string;
  /** Of its registration, ms: how long the cluster waits for it after it fell silent. */
  readonly sessionTimeoutMs: number;
  /** Default: Kafka's, and sessions of 10 s. */
  readonly groups?: GroupSettings;
  /** How often the lag of all groups is looked at, ms. Default: limits.lagPollMs. */
  readonly lagPollMs?: number;
}

export interface CoordinatorPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Pick<Transport, 'connect'>;
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** Of the same store; the coordinator does not dispose it. */
  readonly images: ImageSource;
  readonly logger: Logger;
  /** Ended when what it cannot do without has failed. */
  readonly host: Pick<Host, 'crash'>;
}

export interface Coordinator extends AsyncDisposable {
  /** GroupService and CoordinatorService. */
  readonly service: Service;
  /** Registers under `address`, where `service` is already served, and resolves once it has. @throws TributaryError DUPLICATE_BROKER_REGISTRATION. */
  start(address: string): Promise<void>;
  /** Whether it is registered, as far as it knows. */
  readonly isRegistered: boolean;
  readonly shards: Shards;
  readonly lag: LagDesk;
  /** Since its start. */
  readonly facts: CoordinatorFacts;
  /** Has what it owns given to others, and serves meanwhile; bounded. To be followed by disposal. */
  handOver(): Promise<void>;
}

export function createCoordinator(config: CoordinatorConfig, ports: CoordinatorPorts): Coordinator {
  return new GroupCoordinator(config, ports);
}

class GroupCoordinator implements Coordinator {
  readonly service: Service;
  readonly shards: Shards;
  readonly lag: LagDesk;
  readonly facts = new CoordinatorFacts();
  readonly #me: NodeId;
  readonly #config: CoordinatorConfig;
  readonly #ports: CoordinatorPorts;
  readonly #stopping = new AbortController();
  /** Of shards, which serve until the rest has stopped. */
  readonly #leaders: Leaders;
  readonly #topics: ImageTopics;
  readonly #attendance: Attendance;
  readonly #startedMs: number;
  readonly #registered = Promise.withResolvers<void>();
  #registration: CoordinatorRegistration | undefined;
  #address = '';
  #running: Promise<void>[] = [];
  #isServing = false;

  constructor(config: CoordinatorConfig, ports: CoordinatorPorts) {
    const { clock, images, logger } = ports;
    this.#config = config;
    this.#ports = ports;
    this.#me = nodeId(config.nodeId);
    this.#startedMs = clock.wallMs();
    const settings = config.groups ?? groupSettings;
    const leaders = new Leaders(ports, `coordinator-${config.nodeId}`);
    this.#leaders = leaders;
    this.#topics = new ImageTopics(images);
    const topics = this.#topics;
    const { signal } = this.#stopping;
    this.shards = new Shards(
      { settings, compile: compileTopicPattern, coordinatorId: this.#me },
      {
        ...{ clock, images, logger, leaders, beat: new Beat(clock, signal), facts: this.facts },
        topics: () => topics,
        broken: () => this.#beginAnew(),
      },
      signal,
    );
    const ends = new LogEnds(leaders, ports, signal);
    const pollMs = config.lagPollMs ?? limits.lagPollMs;
    this.lag = new LagDesk({ leaders, images, clock, logger, ends, shards: this.shards, settings, pollMs });
    const reception = new Reception({
      nodeId: this.#me,
      shards: this.shards,
      images,
      clock,
      topics,
      facts: this.facts,
    });
    this.#attendance = new Attendance(this.#me, config.sessionTimeoutMs, ports);
    const address = (): string => this.#address;
    const describing = { reception, lag: this.lag, nodeId: this.#me, address, clock };
    this.service = coordinatorService({ reception, ends, describing, images, about: () => this.#about() });
    this.#registered.promise.catch(() => undefined);
  }

  get isRegistered(): boolean {
    return this.#registration?.current !== undefined;
  }

  async start(address: string): Promise<void> {
    const { host, rack, sessionTimeoutMs } = this.#config;
    const { signal } = this.#stopping;
    this.#address = address;
    await this.#ports.images.until((image) => image.cluster !== undefined, signal);
    const registration = new CoordinatorRegistration(
      { nodeId: this.#me, address, host, rack, sessionTimeoutMs },
      this.#ports,
    );
    this.#registration = registration;
    this.#running = [
      this.#guard(registration.keep(() => this.#onRegistered(), signal)),
      this.#guard(this.#attendance.run(signal)),
      this.#guard(this.#follow(signal)),
      this.#guard(this.lag.poll(signal)),
    ];
    await this.#registered.promise;
  }

  #onRegistered(): void {
    const current = this.#registration?.current;
    if (current !== undefined) this.#attendance.registered(current);
    this.#followImage();
    this.#isServing = true;
    this.#registered.resolve();
  }

  /** A background loop that fails ends the coordinator: nothing may silently stop being done. */
  async #guard(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#ports.logger.error('coordinator-failed', { reason });
      // Whoever starts it hears of what a user can mend; all else is a bug or a lost store.
      const isMendable = thrown instanceof TributaryError || thrown instanceof MetadataStoreError;
      if (this.#isServing || !isMendable) this.#ports.host.crash(reason);
      this.#registered.reject(thrown);
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const { delta, image } of this.#ports.images.changes(signal)) {
      this.#followImage();
      const { names, ids } = topicsIn(delta);
      if (ids.size === 0) continue;
      this.#topics.changed(image.revision);
      for (const shard of this.shards)
        if (shard.phase === 'serving') shard.concerns(shard.groups.concernedBy(names, ids));
    }
  }

  #followImage(): void {
    this.shards.follow(this.#ports.images.current, this.#me, this.#registration?.current?.epoch);
  }

  /** The journal does not take this life's writes: another registration begins another. */
  #beginAnew(): void {
    if (this.#stopping.signal.aborted) return;
    this.#registration?.revoke().catch(() => undefined);
  }

  #about() {
    const serving = [...this.shards].filter(({ phase }) => phase === 'serving').length;
    return {
      nodeId: this.#me,
      coordinatorEpoch: this.#registration?.current?.epoch ?? 0n,
      address: this.#address,
      softwareVersion,
      startedMs: BigInt(Math.round(this.#startedMs)),
      partitionsOwned: this.shards.count,
      partitionsServing: serving,
    };
  }

  async handOver(): Promise<void> {
    using leaving = new LinkedAbort(this.#stopping.signal);
    await handOver(this.#attendance, this.#me, this.#ports, leaving.signal);
    this.#registration?.handedOver();
  }

  /** Leaves the cluster. What is parked is answered NOT_COORDINATOR. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error('The coordinator is stopping.'));
    await Promise.all(this.#running);
    await this.shards[Symbol.asyncDispose]();
    await this.#registration?.revoke().catch(() => undefined);
    await this.#leaders[Symbol.asyncDispose]();
  }
}

/** Topics that came, changed or went, by both names, and those that got partitions. */
function topicsIn(delta: ClusterDelta) {
  const names = new Set<string>();
  const ids = new Set<TopicId>();
  for (const [id, { before, after }] of delta.topics) {
    ids.add(id);
    if (before !== undefined) names.add(before.name);
    if (after !== undefined) names.add(after.name);
  }
  for (const { topicId, before, after } of delta.partitions.values())
    if (before === undefined || after === undefined) ids.add(topicId);
  return { names, ids };
}
