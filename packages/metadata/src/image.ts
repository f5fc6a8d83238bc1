// pure
import {
  type BrokerEpoch,
  type IncarnationId,
  type NodeId,
  type PartitionIndex,
  type TopicId,
  brokerEpoch,
} from '@tributary/model';
import { type BrokerImage, type ClusterDelta, type TopicRemovals, emptyDelta, partitionKey } from './delta.ts';
import { type Contents, type PartitionList, ImageDraft, noPartitions, noRemovals } from './image-draft.ts';
import { ImmutableMap } from './immutable-map.ts';
import {
  type BrokerConfigsInfo,
  type ClusterInfo,
  type ConfigScope,
  type ControllerInfo,
  type CoordinatorInfo,
  type GroupPartitionInfo,
  type PartitionInfo,
  type RegistrationInfo,
  type StateChange,
  type Stored,
  type TopicInfo,
  allBrokers,
} from './state.ts';

export interface ImageChange {
  readonly image: ClusterImage;
  readonly delta: ClusterDelta;
}

const noConfigs: Readonly<Record<string, string>> = {};

/** The whole cluster at one revision. Never changes; {@link ClusterImage.apply} makes the next one, which shares what stayed. */
export class ClusterImage {
  readonly #contents: Contents;

  private constructor(contents: Contents) {
    this.#contents = contents;
  }

  static readonly empty = new ClusterImage({
    revision: 0n,
    cluster: undefined,
    controller: undefined,
    producerIds: undefined,
    brokers: ImmutableMap.empty(),
    brokerConfigs: ImmutableMap.empty(),
    coordinators: ImmutableMap.empty(),
    groupPartitions: ImmutableMap.empty(),
    topics: ImmutableMap.empty(),
    names: ImmutableMap.empty(),
    unsettled: new Set(),
    partitions: ImmutableMap.empty(),
    partitionCount: 0,
    removals: ImmutableMap.empty(),
  });

  /** Of the store; everything up to it is in here. */
  get revision(): bigint {
    return this.#contents.revision;
  }

  get cluster(): Stored<ClusterInfo> | undefined {
    return this.#contents.cluster;
  }

  /** The elected one; undefined: nobody is. */
  get controller(): Stored<ControllerInfo> | undefined {
    return this.#contents.controller;
  }

  /** The next producer id that no broker has; undefined: none was ever given. */
  get producerIds(): Stored<{ readonly nextId: bigint }> | undefined {
    return this.#contents.producerIds;
  }

  broker(node: NodeId): BrokerImage | undefined {
    return this.#contents.brokers.get(node);
  }

  /** By ascending node id for ids below 256, else in a fixed order. */
  brokers(): Iterable<BrokerImage> {
    return this.#contents.brokers.values();
  }

  /** Dynamic settings of exactly this scope; undefined: none was ever set. */
  configsSet(scope: ConfigScope): Stored<BrokerConfigsInfo> | undefined {
    return this.#contents.brokerConfigs.get(scope);
  }

  /** Every scope that has settings. */
  allConfigsSet(): Iterable<Stored<BrokerConfigsInfo>> {
    return this.#contents.brokerConfigs.values();
  }

  /** Settings of all brokers, by name; for `withBrokerDefaults` too. */
  get clusterConfigs(): Readonly<Record<string, string>> {
    return this.configsSet(allBrokers)?.configs ?? noConfigs;
  }

  /** What is set for one broker: its own over those of all. For `brokerSettings`. */
  brokerConfigs(node: NodeId): Readonly<Record<string, string>> {
    const own = this.configsSet(node)?.configs;
    return own === undefined ? this.clusterConfigs : { ...this.clusterConfigs, ...own };
  }

  /** undefined: it is not registered. */
  coordinator(node: NodeId): Stored<CoordinatorInfo> | undefined {
    return this.#contents.coordinators.get(node);
  }

  /** The registered ones, by ascending node id for ids below 256, else in a fixed order. */
  coordinators(): Iterable<Stored<CoordinatorInfo>> {
    return this.#contents.coordinators.values();
  }

  /** Who coordinates the groups of one partition of `__consumer_offsets`; undefined: nobody ever has. */
  groupPartition(index: PartitionIndex): Stored<GroupPartitionInfo> | undefined {
    return this.#contents.groupPartitions.get(index);
  }

  /** By ascending index for those below 256, else in a fixed order. */
  groupPartitions(): Iterable<Stored<GroupPartitionInfo>> {
    return this.#contents.groupPartitions.values();
  }

  topic(id: TopicId): Stored<TopicInfo> | undefined {
    return this.#contents.topics.get(id);
  }

  /** Never one that is being deleted: its name is free. */
  topicNamed(name: string): Stored<TopicInfo> | undefined {
    const id = this.#contents.names.get(name);
    return id === undefined ? undefined : this.#contents.topics.get(id);
  }

  /** Names that are taken. */
  *topicNames(): Generator<string> {
    for (const [name] of this.#contents.names.entries()) yield name;
  }

  /** In every phase, in a fixed order. */
  topics(): Iterable<Stored<TopicInfo>> {
    return this.#contents.topics.values();
  }

  get topicCount(): number {
    return this.#contents.topics.size;
  }

  /** Topics that are being created or deleted, or lack the keys of partitions that are being added. */
  get unsettledTopics(): ReadonlySet<TopicId> {
    return this.#contents.unsettled;
  }

  partition(id: TopicId, index: PartitionIndex): Stored<PartitionInfo> | undefined {
    return this.#contents.partitions.get(id)?.[index];
  }

  /** By index; undefined where a partition of a topic in creation or deletion has no key. */
  partitionsOf(id: TopicId): PartitionList {
    return this.#contents.partitions.get(id) ?? noPartitions;
  }

  *partitions(): Generator<Stored<PartitionInfo>> {
    for (const list of this.#contents.partitions.values()) {
      for (const partition of list) if (partition !== undefined) yield partition;
    }
  }

  get partitionCount(): number {
    return this.#contents.partitionCount;
  }

  removalsOf(id: TopicId): TopicRemovals {
    return this.#contents.removals.get(id) ?? noRemovals;
  }

  /** Deleted topics of which at least one removal is confirmed. */
  *removals(): Generator<readonly [TopicId, TopicRemovals]> {
    yield* this.#contents.removals.entries();
  }

  /** The image after the changes of the revisions up to `revision`, in order. Costs what changed, not what there is. */
  apply(revision: bigint, changes: readonly StateChange[]): ImageChange {
    if (changes.length === 0) return { image: new ClusterImage({ ...this.#contents, revision }), delta: emptyDelta };
    const draft = new ImageDraft(this.#contents);
    for (const change of changes) draft.take(change);
    const { contents, delta } = draft.finish(revision);
    return { image: new ClusterImage(contents), delta };
  }
}

/** The broker's current incarnation is registered and the controller has let it in (R6). Only such a one is elected or admitted. */
export function isUnfenced(broker: BrokerImage | undefined): boolean {
  return (
    broker?.registration !== undefined &&
    broker.status !== undefined &&
    !broker.status.fenced &&
    broker.status.brokerEpoch === epochOf(broker.registration)
  );
}

/** As {@link isUnfenced}, of exactly this registration: what a broker waits for after registering. */
export function isAdmitted(image: ClusterImage, node: NodeId, epoch: BrokerEpoch, incarnation: IncarnationId): boolean {
  const broker = image.broker(node);
  return isUnfenced(broker) && broker?.status?.brokerEpoch === epoch && broker.status.incarnationId === incarnation;
}

/** The epoch of a broker, or coordinator, is the revision at which its registration was created. */
export function epochOf(registration: Stored<RegistrationInfo | CoordinatorInfo>): BrokerEpoch {
  return brokerEpoch(registration.createRevision);
}

/** The delta from an empty cluster to `image`: what a listener that has just begun takes first. */
export function deltaFromNothing(image: ClusterImage): ClusterDelta {
  const appeared = <K, V>(entries: Iterable<readonly [K, V]>): ReadonlyMap<K, { before: undefined; after: V }> =>
    new Map(Iterator.from(entries).map(([key, after]) => [key, { before: undefined, after }] as const));
  return {
    cluster: image.cluster !== undefined,
    controller: image.controller !== undefined,
    producerIds: image.producerIds !== undefined,
    brokers: appeared(Iterator.from(image.brokers()).map((broker) => [broker.nodeId, broker] as const)),
    brokerConfigs: appeared(Iterator.from(image.allConfigsSet()).map((each) => [each.scope, each] as const)),
    coordinators: appeared(Iterator.from(image.coordinators()).map((each) => [each.nodeId, each] as const)),
    groupPartitions: appeared(Iterator.from(image.groupPartitions()).map((each) => [each.partition, each] as const)),
    topics: appeared(Iterator.from(image.topics()).map((topic) => [topic.topicId, topic] as const)),
    partitions: new Map(
      image
        .partitions()
        .map((after) => [
          partitionKey(after),
          { topicId: after.topicId, partition: after.partition, before: undefined, after },
        ]),
    ),
    removals: appeared(image.removals()),
  };
}
