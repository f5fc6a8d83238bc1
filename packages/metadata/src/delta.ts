// pure
import type { NodeId, PartitionIndex, TopicId } from '@tributary/model';
import type {
  BrokerConfigsInfo,
  BrokerStatus,
  ConfigScope,
  CoordinatorInfo,
  GroupPartitionInfo,
  PartitionInfo,
  PartitionName,
  RegistrationInfo,
  RemovalInfo,
  Stored,
  TopicInfo,
} from './state.ts';

export interface BrokerImage {
  readonly nodeId: NodeId;
  /** undefined: its lease ran out, or it left. */
  readonly registration: Stored<RegistrationInfo> | undefined;
  /** undefined: the controller has not yet looked at it. */
  readonly status: Stored<BrokerStatus> | undefined;
}

/** A value before and after; undefined: absent. */
export interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** What differs between two images. */
export interface ClusterDelta {
  readonly cluster: boolean;
  readonly controller: boolean;
  readonly producerIds: boolean;
  readonly brokers: ReadonlyMap<NodeId, Change<BrokerImage>>;
  readonly brokerConfigs: ReadonlyMap<ConfigScope, Change<Stored<BrokerConfigsInfo>>>;
  readonly coordinators: ReadonlyMap<NodeId, Change<Stored<CoordinatorInfo>>>;
  /** Who owns which partition of `__consumer_offsets`. */
  readonly groupPartitions: ReadonlyMap<PartitionIndex, Change<Stored<GroupPartitionInfo>>>;
  readonly topics: ReadonlyMap<TopicId, Change<Stored<TopicInfo>>>;
  /** By {@link partitionKey}. */
  readonly partitions: ReadonlyMap<string, PartitionName & Change<Stored<PartitionInfo>>>;
  readonly removals: ReadonlyMap<TopicId, Change<TopicRemovals>>;
}

/** Confirmed removals of one deleted topic. */
export type TopicRemovals = ReadonlyMap<NodeId, Stored<RemovalInfo>>;

export const emptyDelta: ClusterDelta = {
  cluster: false,
  controller: false,
  producerIds: false,
  brokers: new Map(),
  brokerConfigs: new Map(),
  coordinators: new Map(),
  groupPartitions: new Map(),
  topics: new Map(),
  partitions: new Map(),
  removals: new Map(),
};

/** Later on top of earlier: what differs between the image before the first and after the second. */
export function mergeDeltas(first: ClusterDelta, second: ClusterDelta): ClusterDelta {
  if (first === emptyDelta) return second;
  return {
    cluster: first.cluster || second.cluster,
    controller: first.controller || second.controller,
    producerIds: first.producerIds || second.producerIds,
    brokers: mergeChanges(first.brokers, second.brokers),
    brokerConfigs: mergeChanges(first.brokerConfigs, second.brokerConfigs),
    coordinators: mergeChanges(first.coordinators, second.coordinators),
    groupPartitions: mergeChanges(first.groupPartitions, second.groupPartitions),
    topics: mergeChanges(first.topics, second.topics),
    partitions: mergeChanges(first.partitions, second.partitions),
    removals: mergeChanges(first.removals, second.removals),
  };
}

function mergeChanges<K, C extends Change<unknown>>(
  first: ReadonlyMap<K, C>,
  second: ReadonlyMap<K, C>,
): ReadonlyMap<K, C> {
  if (first.size === 0) return second;
  const merged = new Map(first);
  for (const [key, change] of second) {
    const earlier = first.get(key);
    merged.set(key, earlier === undefined ? change : { ...change, before: earlier.before });
  }
  return merged;
}

/** Name of a partition in {@link ClusterDelta.partitions}. */
export function partitionKey(name: PartitionName): string {
  return `${name.topicId}/${name.partition}`;
}
