/** The cluster as `cluster describe` and `cluster health` show it. */
import {
  type BrokerImage,
  type ClusterImage,
  type CoordinatorInfo,
  type Stored,
  isUnfenced,
} from '@tributary/metadata';
import { type BrokerEpoch, type NodeId, limits } from '@tributary/model';
import {
  type BrokerDescription,
  type CoordinatorDescription,
  type DescribeClusterResponse,
  type PartitionTrouble,
  BrokerStanding,
  CoordinatorStanding,
} from '@tributary/wire';
import { livePartitions } from './brokers.ts';
import { ownership } from './coordinators.ts';
import { type Trouble, troubleOf } from './leaderless.ts';

interface Share {
  replicas: number;
  leading: number;
  inSync: number;
}

/** What the controller has heard of coordinators. */
export interface HeardCoordinators {
  readonly silent: readonly NodeId[];
  /** By their epoch. */
  readonly leaving: ReadonlyMap<NodeId, BrokerEpoch>;
}

const worst: Readonly<Record<Trouble, number>> = { offline: 0, under_min_isr: 1, under_replicated: 2 };

export function describeCluster(image: ClusterImage, heard: HeardCoordinators): DescribeClusterResponse {
  const shares = new Map<NodeId, Share>();
  const shareOf = (node: NodeId): Share => {
    const share = shares.get(node) ?? { replicas: 0, leading: 0, inSync: 0 };
    shares.set(node, share);
    return share;
  };
  const counts: Record<Trouble, number> = { offline: 0, under_min_isr: 0, under_replicated: 0 };
  const troubles: (PartitionTrouble & { readonly kind: Trouble })[] = [];
  let partitions = 0;
  for (const partition of livePartitions(image)) {
    partitions++;
    for (const { nodeId } of partition.replicas) shareOf(nodeId).replicas++;
    for (const node of partition.isr) shareOf(node).inSync++;
    if (partition.leader !== undefined) shareOf(partition.leader).leading++;
    // Counted each for itself: an offline partition is under-replicated, too.
    if (partition.leader === undefined) counts.offline++;
    if (partition.isr.length < partition.replicas.length) counts.under_replicated++;
    if (partition.isr.length < partition.effectiveMinIsr) counts.under_min_isr++;
    const found = troubleOf(image, partition);
    if (found === undefined) continue;
    const topic = image.topic(partition.topicId)?.name ?? '';
    const { trouble, reason } = found;
    troubles.push({
      topic,
      topicId: partition.topicId,
      partition: partition.partition,
      trouble,
      reason,
      kind: trouble,
    });
  }
  troubles.sort(
    (a, b) =>
      worst[a.kind] - worst[b.kind] || (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition),
  );
  const groups = ownership(image);
  return {
    throttleMs: 0,
    clusterId: image.cluster?.clusterId ?? '',
    revision: image.revision,
    controllerId: image.controller?.nodeId ?? -1,
    controllerAddress: image.controller?.address ?? '',
    version: image.cluster?.version ?? 0,
    brokers: [...image.brokers()]
      .map((broker) => describeBroker(broker, shareOf(broker.nodeId)))
      .sort((a, b) => a.nodeId - b.nodeId),
    partitions,
    offline: counts.offline,
    underReplicated: counts.under_replicated,
    underMinIsr: counts.under_min_isr,
    troubles: troubles.slice(0, limits.troublesShown).map(({ kind: _kind, ...trouble }) => trouble),
    coordinators: [...image.coordinators()]
      .map((each) => describeCoordinator(each, groups.owned.get(each.nodeId) ?? 0, heard))
      .sort((a, b) => a.nodeId - b.nodeId),
    groupPartitions: groups.partitions,
    groupPartitionsWithoutOwner: groups.withoutOwner,
  };
}

function describeCoordinator(
  { nodeId, address, host, rack, createRevision }: Stored<CoordinatorInfo>,
  partitionsOwned: number,
  { silent, leaving }: HeardCoordinators,
): CoordinatorDescription {
  const standing = silent.includes(nodeId)
    ? CoordinatorStanding.SILENT
    : leaving.get(nodeId) === createRevision
      ? CoordinatorStanding.LEAVING
      : CoordinatorStanding.REGISTERED;
  return { nodeId, address, host, rack, standing, coordinatorEpoch: createRevision, partitionsOwned };
}

function describeBroker(broker: BrokerImage, { replicas, leading, inSync }: Share): BrokerDescription {
  const { nodeId, registration, status } = broker;
  return {
    nodeId,
    address: registration?.address ?? '',
    host: registration?.host ?? '',
    rack: registration?.rack ?? '',
    standing: standingOf(broker),
    brokerEpoch: registration?.createRevision ?? status?.brokerEpoch ?? 0n,
    replicas,
    leading,
    inSync,
    directoryId: registration?.directoryId ?? status?.directoryId ?? '',
  };
}

function standingOf(broker: BrokerImage): BrokerStanding {
  if (broker.registration === undefined) return BrokerStanding.ABSENT;
  if (!isUnfenced(broker)) return BrokerStanding.FENCED;
  return broker.status?.leaving === true ? BrokerStanding.LEAVING : BrokerStanding.ACTIVE;
}
