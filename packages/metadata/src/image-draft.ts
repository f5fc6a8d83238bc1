// pure
import type { NodeId, PartitionIndex, TopicId } from '@tributary/model';
import { type BrokerImage, type Change, type ClusterDelta, type TopicRemovals, partitionKey } from './delta.ts';
import type { ImmutableMap } from './immutable-map.ts';
import type {
  BrokerConfigsInfo,
  ClusterInfo,
  ConfigScope,
  ControllerInfo,
  CoordinatorInfo,
  GroupPartitionInfo,
  PartitionInfo,
  PartitionName,
  RemovalInfo,
  StateChange,
  Stored,
  TopicInfo,
} from './state.ts';

export type PartitionList = readonly (Stored<PartitionInfo> | undefined)[];
export const noPartitions: PartitionList = [];
export const noRemovals: TopicRemovals = new Map();

/** An image's parts. Maps and lists are shared between images and never written. */
export interface Contents {
  readonly revision: bigint;
  readonly cluster: Stored<ClusterInfo> | undefined;
  readonly controller: Stored<ControllerInfo> | undefined;
  readonly producerIds: Stored<{ readonly nextId: bigint }> | undefined;
  readonly brokers: ImmutableMap<NodeId, BrokerImage>;
  readonly brokerConfigs: ImmutableMap<ConfigScope, Stored<BrokerConfigsInfo>>;
  readonly coordinators: ImmutableMap<NodeId, Stored<CoordinatorInfo>>;
  readonly groupPartitions: ImmutableMap<PartitionIndex, Stored<GroupPartitionInfo>>;
  readonly topics: ImmutableMap<TopicId, Stored<TopicInfo>>;
  readonly names: ImmutableMap<string, TopicId>;
  readonly unsettled: ReadonlySet<TopicId>;
  readonly partitions: ImmutableMap<TopicId, PartitionList>;
  readonly partitionCount: number;
  readonly removals: ImmutableMap<TopicId, TopicRemovals>;
}

/** Collects the changes of one step; values are copied once per step, however often they change in it. */
export class ImageDraft {
  readonly #base: Contents;
  readonly #brokers = new Map<NodeId, BrokerImage | undefined>();
  readonly #brokerConfigs = new Map<ConfigScope, Stored<BrokerConfigsInfo> | undefined>();
  readonly #coordinators = new Map<NodeId, Stored<CoordinatorInfo> | undefined>();
  readonly #groupPartitions = new Map<PartitionIndex, Stored<GroupPartitionInfo> | undefined>();
  readonly #topics = new Map<TopicId, Stored<TopicInfo> | undefined>();
  readonly #names = new Map<string, TopicId | undefined>();
  readonly #partitions = new Map<TopicId, (Stored<PartitionInfo> | undefined)[]>();
  readonly #removals = new Map<TopicId, Map<NodeId, Stored<RemovalInfo>>>();
  readonly #touched = new Map<string, PartitionName>();
  #cluster: { readonly now: Stored<ClusterInfo> | undefined } | undefined;
  #controller: { readonly now: Stored<ControllerInfo> | undefined } | undefined;
  #producerIds: { readonly now: Stored<{ readonly nextId: bigint }> | undefined } | undefined;

  constructor(base: Contents) {
    this.#base = base;
  }

  take(change: StateChange): void {
    if (change.kind === 'put') this.#put(change);
    else this.#delete(change);
  }

  #put({ value, createRevision, modRevision }: StateChange & { readonly kind: 'put' }): void {
    const revisions = { createRevision, modRevision };
    switch (value.kind) {
      case 'cluster':
        this.#cluster = { now: { ...value.value, ...revisions } };
        return;
      case 'controller':
        this.#controller = { now: { ...value.value, ...revisions } };
        return;
      case 'registration':
        this.#broker(value.value.nodeId, { registration: { ...value.value, ...revisions } });
        return;
      case 'broker-status':
        this.#broker(value.value.nodeId, { status: { ...value.value, ...revisions } });
        return;
      case 'broker-configs':
        this.#brokerConfigs.set(value.value.scope, { ...value.value, ...revisions });
        return;
      case 'coordinator-registration':
        this.#coordinators.set(value.value.nodeId, { ...value.value, ...revisions });
        return;
      case 'group-partition':
        this.#groupPartitions.set(value.value.partition, { ...value.value, ...revisions });
        return;
      case 'topic':
        this.#topics.set(value.value.topicId, { ...value.value, ...revisions });
        return;
      case 'topic-name':
        this.#names.set(value.value.name, value.value.topicId);
        return;
      case 'partition':
        this.#partition(value.value, { ...value.value, ...revisions });
        return;
      case 'producer-ids':
        this.#producerIds = { now: { ...value.value, ...revisions } };
        return;
      case 'removal':
        this.#removalsOf(value.value.topicId).set(value.value.nodeId, { ...value.value, ...revisions });
        return;
    }
  }

  #delete({ place }: StateChange & { readonly kind: 'delete' }): void {
    switch (place.kind) {
      case 'cluster':
        this.#cluster = { now: undefined };
        return;
      case 'controller':
        this.#controller = { now: undefined };
        return;
      case 'registration':
        this.#broker(place.nodeId, { registration: undefined });
        return;
      case 'broker-status':
        this.#broker(place.nodeId, { status: undefined });
        return;
      case 'broker-configs':
        this.#brokerConfigs.set(place.scope, undefined);
        return;
      case 'coordinator-registration':
        this.#coordinators.set(place.nodeId, undefined);
        return;
      case 'group-partition':
        this.#groupPartitions.set(place.partition, undefined);
        return;
      case 'topic':
        this.#topics.set(place.topicId, undefined);
        return;
      case 'topic-name':
        this.#names.set(place.name, undefined);
        return;
      case 'partition':
        this.#partition(place, undefined);
        return;
      case 'producer-ids':
        this.#producerIds = { now: undefined };
        return;
      case 'removal':
        this.#removalsOf(place.topicId).delete(place.nodeId);
        return;
    }
  }

  #broker(node: NodeId, part: Partial<BrokerImage>): void {
    const now = this.#brokers.has(node) ? this.#brokers.get(node) : this.#base.brokers.get(node);
    const next: BrokerImage = { registration: undefined, status: undefined, ...now, nodeId: node, ...part };
    this.#brokers.set(node, next.registration === undefined && next.status === undefined ? undefined : next);
  }

  #partition(name: PartitionName, now: Stored<PartitionInfo> | undefined): void {
    let list = this.#partitions.get(name.topicId);
    if (list === undefined) {
      list = [...(this.#base.partitions.get(name.topicId) ?? noPartitions)];
      this.#partitions.set(name.topicId, list);
    }
    while (list.length <= name.partition) list.push(undefined);
    list[name.partition] = now;
    this.#touched.set(partitionKey(name), name);
  }

  #removalsOf(id: TopicId): Map<NodeId, Stored<RemovalInfo>> {
    let removals = this.#removals.get(id);
    if (removals === undefined) {
      removals = new Map(this.#base.removals.get(id) ?? noRemovals);
      this.#removals.set(id, removals);
    }
    return removals;
  }

  finish(revision: bigint): { readonly contents: Contents; readonly delta: ClusterDelta } {
    const base = this.#base;
    const partitions = new Map(
      [...this.#partitions].map(([id, list]) => [id, list.some((each) => each !== undefined) ? list : undefined]),
    );
    const removals = new Map([...this.#removals].map(([id, each]) => [id, each.size > 0 ? each : undefined]));
    const touched = this.#touchedPartitions();
    let partitionCount = base.partitionCount;
    for (const { before, after } of touched.values())
      partitionCount += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
    return {
      contents: {
        revision,
        cluster: this.#cluster === undefined ? base.cluster : this.#cluster.now,
        controller: this.#controller === undefined ? base.controller : this.#controller.now,
        producerIds: this.#producerIds === undefined ? base.producerIds : this.#producerIds.now,
        brokers: base.brokers.with(this.#brokers),
        brokerConfigs: base.brokerConfigs.with(this.#brokerConfigs),
        coordinators: base.coordinators.with(this.#coordinators),
        groupPartitions: base.groupPartitions.with(this.#groupPartitions),
        topics: base.topics.with(this.#topics),
        names: base.names.with(this.#names),
        unsettled: this.#unsettled(),
        partitions: base.partitions.with(partitions),
        partitionCount,
        removals: base.removals.with(removals),
      },
      delta: {
        cluster: this.#cluster !== undefined,
        controller: this.#controller !== undefined,
        producerIds: this.#producerIds !== undefined,
        brokers: changesOf(this.#brokers, (node) => base.brokers.get(node)),
        brokerConfigs: changesOf(this.#brokerConfigs, (scope) => base.brokerConfigs.get(scope)),
        coordinators: changesOf(this.#coordinators, (node) => base.coordinators.get(node)),
        groupPartitions: changesOf(this.#groupPartitions, (partition) => base.groupPartitions.get(partition)),
        topics: changesOf(this.#topics, (id) => base.topics.get(id)),
        partitions: touched,
        removals: changesOf(removals, (id) => base.removals.get(id)),
      },
    };
  }

  #touchedPartitions(): Map<string, PartitionName & Change<Stored<PartitionInfo>>> {
    const touched = new Map<string, PartitionName & Change<Stored<PartitionInfo>>>();
    for (const [key, { topicId, partition }] of this.#touched) {
      const before = this.#base.partitions.get(topicId)?.[partition];
      const after = this.#partitions.get(topicId)?.[partition];
      if (before !== undefined || after !== undefined) touched.set(key, { topicId, partition, before, after });
    }
    return touched;
  }

  #unsettled(): ReadonlySet<TopicId> {
    const { unsettled: before, topics, partitions } = this.#base;
    if (this.#topics.size === 0 && this.#partitions.size === 0) return before;
    const unsettled = new Set(before);
    for (const id of new Set([...this.#topics.keys(), ...this.#partitions.keys()])) {
      const topic = this.#topics.has(id) ? this.#topics.get(id) : topics.get(id);
      const list = this.#partitions.get(id) ?? partitions.get(id) ?? noPartitions;
      if (topic === undefined || (topic.phase === 'ready' && isComplete(topic, list))) unsettled.delete(id);
      else unsettled.add(id);
    }
    return unsettled;
  }
}

/** Every partition has its key. */
function isComplete({ partitions }: TopicInfo, list: PartitionList): boolean {
  for (let i = 0; i < partitions; i++) if (list[i] === undefined) return false;
  return true;
}

function changesOf<K, V>(
  touched: ReadonlyMap<K, V | undefined>,
  base: (key: K) => V | undefined,
): ReadonlyMap<K, Change<V>> {
  const changes = new Map<K, Change<V>>();
  for (const [key, after] of touched) {
    const before = base(key);
    if (before !== undefined || after !== undefined) changes.set(key, { before, after });
  }
  return changes;
}
