/** A broker: its data directory, its replicas, its place in the cluster, and what it serves. */
import { limits, nodeId, softwareVersion, TributaryError } from '@tributary/model';
import {
  type ClusterImage,
  confirmRemoval,
  type ImageChange,
  type ImageSource,
  type MetadataKeys,
  type PartitionName,
} from '@tributary/metadata';
import {
  type Clock,
  type FileSystem,
  type Host,
  type Logger,
  type MetadataStore,
  MetadataStoreError,
  type Random,
  type Service,
  type Transport,
} from '@tributary/ports';
import { methods, type ResourceUse } from '@tributary/wire';
import { adminService } from './admin-service.ts';
import { actOnEach } from './act-on-each.ts';
import { Attendance } from './attendance/attendance.ts';
import { handOver } from './attendance/handing-over.ts';
import { reportFlushed } from './flush-reports.ts';
import { keepClean } from './cleaner.ts';
import { DataDirectory } from './log/data-directory.ts';
import { type BrokerObserver, silentObserver } from './observer.ts';
import { refuseOlderEpochs, settleOlderCopy } from './older-copy.ts';
import type { Partition } from './partition/partition.ts';
import { ProducerIds } from './producer-ids.ts';
import { caughtUp, type Readiness } from './readiness.ts';
import { checkVersion, type RegisteredAs, Registration } from './registration.ts';
import { type NewlyFlushing, Replicas } from './replicas.ts';
import { ControllerClient, noContext } from './rpc/controller-client.ts';
import type { Identity } from './rpc/describe-broker.ts';
import { Neighbours } from './rpc/neighbours.ts';
import { Resources } from './resources.ts';
import { brokerService } from './service.ts';
import { Replication } from './replication/replication.ts';
import { LiveSettings } from './settings.ts';
import { upkeep } from './upkeep.ts';

export {
  decodeMeta,
  findNextBatch,
  inspectCheckpoints,
  inspectOffsetIndex,
  inspectSnapshot,
  inspectTimeIndex,
  isLeftover,
  type PartitionCheckpoint,
  parseFileName,
  parseFolderName,
  parseSwapName,
  scanFile,
} from './log/inspect.ts';
export { BrokerMetrics } from './metrics.ts';
export type { BrokerObserver } from './observer.ts';
export type { Readiness } from './readiness.ts';

export interface BrokerConfig {
  readonly nodeId: number;
  readonly dataDirectory: string;
  /** Name of the machine, for placement. */
  readonly host: string;
  readonly rack: string;
  readonly sessionTimeoutMs: number;
  /** Dynamic settings where the cluster has none, by their names, checked. */
  readonly configs: Readonly<Record<string, string>>;
  readonly checkpointMs: number;
}

export interface BrokerPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: FileSystem;
  readonly transport: Transport;
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** Of the same store; the broker does not dispose it. */
  readonly images: ImageSource;
  readonly host: Host;
  readonly logger: Logger;
  readonly observer?: BrokerObserver;
}

/** Opens the data directory and recovers every log. @throws TributaryError naming what is wrong with the directory. */
export async function createBroker(config: BrokerConfig, ports: BrokerPorts, signal: AbortSignal): Promise<Broker> {
  const stack = new AsyncDisposableStack();
  try {
    const observer = ports.observer ?? silentObserver;
    const directory = stack.use(
      await DataDirectory.open(ports.files, config.dataDirectory, { ...ports, synced: (ms) => observer.synced(ms) }),
    );
    if (ports.images.current.cluster === undefined) ports.logger.info('waiting-for-the-first-controller');
    const image = await ports.images.until((each) => each.cluster !== undefined, signal);
    checkVersion(image);
    const me = nodeId(config.nodeId);
    const cluster = clusterOf(image);
    await directory.identity.bind(cluster.clusterId, me);
    // Before a folder is put aside because this metadata does not know it: older metadata knows less (M6).
    directory.identity.noteRevision(image.revision, cluster.restoreGeneration);
    await settleOlderCopy(image, me, directory, ports);
    const settings = new LiveSettings(me, config.configs, image);
    const resources = new Resources(settings.current, directory.openFiles, ports.host.openFilesMax);
    const replicas = new Replicas(me, directory, ports, image);
    const suspects = await replicas.recover();
    refuseOlderEpochs(image, replicas);
    const { sessionTimeoutMs } = config;
    const attendance = new Attendance({ nodeId: me, clusterId: cluster.clusterId, sessionTimeoutMs }, ports);
    return new Broker({
      config,
      ports,
      settings,
      resources,
      directory,
      replicas,
      suspects,
      attendance,
      observer,
      stack: stack.move(),
    });
  } catch (thrown) {
    await stack.disposeAsync();
    throw thrown;
  }
}

function clusterOf(image: ClusterImage) {
  const { cluster } = image;
  if (cluster === undefined)
    throw new TributaryError('BROKER_NOT_AVAILABLE', 'The cluster has no id yet: is a controller running?');
  return cluster;
}

interface BrokerParts {
  readonly config: BrokerConfig;
  readonly ports: BrokerPorts;
  readonly settings: LiveSettings;
  readonly resources: Resources;
  readonly directory: DataDirectory;
  readonly replicas: Replicas;
  readonly suspects: readonly PartitionName[];
  readonly attendance: Attendance;
  readonly observer: BrokerObserver;
  /** What to close last. */
  readonly stack: AsyncDisposableStack;
}

export class Broker implements AsyncDisposable {
  readonly service: Service;
  /** Dynamic: read it anew at each use, or listen to its changes. */
  readonly settings: LiveSettings;
  /** The bounds of whoever serves `service`. */
  readonly resources: Resources;
  readonly #parts: BrokerParts;
  readonly #stopping = new AbortController();
  /** Clients whose streams would outlast this broker are to go on at another one. */
  readonly #farewell = new AbortController();
  readonly #controller: ControllerClient;
  readonly #neighbours: Neighbours;
  readonly #replication: Replication;
  #registration: Registration | undefined;
  #running: Promise<void>[] = [];
  readonly #admitted = Promise.withResolvers<void>();
  /** All replicas are opened, by the first image that shows this broker as let in. */
  #opening: Promise<void> | undefined;
  #confirming = Promise.resolve();
  #serving = false;
  #address = '';
  readonly #startedMs: number;

  constructor(parts: BrokerParts) {
    const { config, ports, replicas, observer } = parts;
    this.#parts = parts;
    this.settings = parts.settings;
    this.resources = parts.resources;
    this.settings.onChange(() => this.resources.apply(this.settings.current));
    this.#controller = new ControllerClient(ports.images, ports.transport, ports.clock);
    const producerIds = new ProducerIds(() => this.#allocateProducerIds());
    this.#startedMs = ports.clock.wallMs();
    const controller = this.#controller;
    const neighbours = new Neighbours(nodeId(config.nodeId), ports.images, ports.transport, ports.clock);
    this.#neighbours = neighbours;
    const serveData = brokerService({
      replicas,
      neighbours,
      source: ports.images,
      controller,
      producerIds,
      clock: ports.clock,
      random: ports.random,
      observer,
      stopping: this.#farewell.signal,
    });
    const serveAdmin = adminService({
      replicas,
      directory: parts.directory,
      settings: this.settings,
      controller,
      neighbours,
      described: { identity: () => this.#identity(), resources: () => this.#use() },
      clock: ports.clock,
      files: ports.files,
    });
    this.#replication = new Replication({
      ...ports,
      replicas,
      proposer: parts.attendance,
      observer: observer.isr,
      settings: this.settings,
      brokerEpoch: () => this.#registration?.epoch,
    });
    this.service = (handlers) => {
      serveData(handlers);
      serveAdmin(handlers);
      this.#replication.serve(handlers);
    };
    this.#admitted.promise.catch(() => {});
  }

  /** Registers under `address`, where `service` is already served, and resolves once the controller has let it in and its partitions are led. */
  async start(address: string): Promise<void> {
    const { config, ports, directory, replicas, suspects } = this.#parts;
    const where = {
      nodeId: nodeId(config.nodeId),
      address,
      host: config.host,
      rack: config.rack,
      sessionTimeoutMs: config.sessionTimeoutMs,
      configs: config.configs,
    };
    await directory.lookAtDisk(this.settings.current);
    this.#address = address;
    const registration = new Registration(where, directory, ports);
    this.#registration = registration;
    const { signal } = this.#stopping;
    const registered = (incarnation: RegisteredAs): void => {
      this.#parts.attendance.registered(incarnation);
      void this.#guard(this.#follow([]));
    };
    this.#running = [
      this.#guard(this.#parts.attendance.run(signal)),
      this.#guard(registration.keep(suspects, registered, signal)),
      this.#guard(this.#followAll(signal)),
      this.#guard(this.#replication.run(signal)),
      this.#guard(reportFlushed(replicas, (flushed) => this.#reportFlushed(flushed), ports, signal)),
      this.#guard(
        upkeep(replicas, directory, { settings: this.settings, checkpointMs: config.checkpointMs }, ports, signal),
      ),
      this.#guard(keepClean(replicas, this.settings, this.#parts.observer.cleaner, ports, signal)),
    ];
    await this.#admitted.promise;
  }

  /** A background loop that fails ends the broker: nothing may silently stop being done. */
  async #guard(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#parts.ports.logger.error('broker-failed', { reason });
      // Whoever starts it hears of what a user can mend; all else is a bug or a lost store.
      const isMendable = thrown instanceof TributaryError || thrown instanceof MetadataStoreError;
      if (this.#serving || !isMendable) this.#parts.ports.host.crash(reason);
      this.#admitted.reject(thrown);
    }
  }

  async #followAll(signal: AbortSignal): Promise<void> {
    // A log that takes long to be opened, or emptied, holds up no other's leader.
    await actOnEach(this.#parts.ports.images.changes(signal), limits.imagesFollowedAtOnce, (change) =>
      this.#guard(this.#follow([...touched(change)])),
    );
  }

  async #follow(names: readonly PartitionName[]): Promise<void> {
    const { directory, ports, replicas } = this.#parts;
    const image = ports.images.current;
    directory.identity.noteRevision(image.revision, image.cluster?.restoreGeneration ?? 0);
    this.settings.follow(image);
    const admitted = this.#registration?.admitted(image) ?? false;
    const following = replicas.follow(image, admitted, names);
    if (admitted) this.#opening ??= following;
    await Promise.all([following, this.#opening]);
    if (!admitted) return;
    await this.#registration?.heard();
    this.#serving = true;
    this.#admitted.resolve();
    // One look after the other: each finds what those before have confirmed.
    this.#confirming = this.#confirming.then(() => this.#confirmRemovals(ports.images.current));
    await this.#confirming;
  }

  /** M6: a deleted topic's id stays known until every replica has confirmed that its folder is gone. */
  async #confirmRemovals(image: ClusterImage): Promise<void> {
    const { config, directory, ports, replicas } = this.#parts;
    for (const id of image.unsettledTopics) {
      const topic = image.topic(id);
      if (topic?.phase !== 'deleting' || replicas.has(id) || image.removalsOf(id).has(nodeId(config.nodeId))) continue;
      const mine = topic.removingReplicas.find(
        (replica) => replica.nodeId === config.nodeId && replica.directoryId === directory.directoryId,
      );
      if (mine !== undefined)
        await confirmRemoval(ports.store, ports.keys, topic, mine, ports.clock, this.#stopping.signal);
    }
  }

  /** What each request to the controller says. @throws TributaryError BROKER_NOT_AVAILABLE before it has registered. */
  #sender() {
    const epoch = this.#registration?.epoch;
    if (epoch === undefined)
      throw new TributaryError('BROKER_NOT_AVAILABLE', 'This broker is not registered yet; try again.');
    return { context: noContext, brokerId: this.#parts.config.nodeId, brokerEpoch: epoch };
  }

  async #reportFlushed(flushed: readonly NewlyFlushing[]): Promise<void> {
    const replicas = flushed.map(({ name, leaderEpoch, revision }) => ({ ...name, leaderEpoch, revision }));
    const request = { ...this.#sender(), replicas };
    await this.#controller.call(methods.reportFlushed, request, this.#stopping.signal);
  }

  #identity(): Identity {
    const { host, rack } = this.#parts.config;
    const brokerEpoch = this.#registration?.epoch ?? 0n;
    return { address: this.#address, host, rack, brokerEpoch, softwareVersion, startedMs: this.#startedMs };
  }

  async #allocateProducerIds() {
    try {
      const request = this.#sender();
      const block = await this.#controller.call(methods.allocateProducerIds, request, this.#stopping.signal);
      return { first: block.firstId, count: block.count };
    } catch (thrown) {
      const { error, message } = TributaryError.from(thrown);
      if (error !== 'STALE_BROKER_EPOCH' && error !== 'BROKER_ID_NOT_REGISTERED') throw thrown;
      // Of this broker's own making, and over as soon as it has registered anew: whoever asked it may ask again.
      throw new TributaryError(
        'BROKER_NOT_AVAILABLE',
        `Broker ${this.#parts.config.nodeId} is being registered anew: ${message}`,
      );
    }
  }

  #use(): readonly ResourceUse[] {
    return this.resources.list().map(({ name, used, limit, refused }) => ({
      name,
      used: BigInt(used),
      limit: BigInt(limit),
      refused: BigInt(refused),
    }));
  }

  /** For metrics. */
  partitions(): Iterable<{ readonly name: PartitionName; readonly partition: Partition }> {
    return this.#parts.replicas.open();
  }

  readiness(): Readiness {
    const { config, directory, ports } = this.#parts;
    const image = ports.images.current;
    if (this.#registration?.admitted(image) !== true)
      return { ready: false, reason: 'the controller has not yet admitted this broker' };
    return caughtUp(image, nodeId(config.nodeId), directory.directoryId);
  }

  /** Has its leaderships moved to others, and serves meanwhile; bounded. To be followed by disposal. */
  async handOver(): Promise<void> {
    const { config, ports, attendance } = this.#parts;
    await handOver(attendance, nodeId(config.nodeId), ports, this.#stopping.signal);
    attendance.handedOver();
    this.#farewell.abort();
    this.#registration?.handedOver();
  }

  /** Stops taking records, writes and flushes what it took, leaves the cluster, marks a clean stop. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#farewell.abort();
    this.#stopping.abort(new Error('The broker is stopping.'));
    await Promise.all(this.#running);
    await this.#replication[Symbol.asyncDispose]();
    await this.#parts.replicas.close();
    await this.#registration?.revoke().catch(() => {});
    await this.#controller[Symbol.asyncDispose]();
    await this.#neighbours[Symbol.asyncDispose]();
    await this.#parts.stack.disposeAsync();
  }
}

function* touched({ image, delta }: ImageChange): Generator<PartitionName> {
  // The defaults of topics' settings.
  if (delta.brokerConfigs.has('all')) yield* image.partitions();
  for (const { topicId, partition } of delta.partitions.values()) yield { topicId, partition };
  for (const id of delta.topics.keys()) for (const info of image.partitionsOf(id)) if (info !== undefined) yield info;
}
