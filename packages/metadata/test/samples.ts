import {
  type NodeId,
  type TopicId,
  brokerEpoch,
  clusterId,
  directoryId,
  incarnationId,
  leaderEpoch,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
  writerEpoch,
} from '@tributary/model';
import {
  type BrokerStatus,
  type CoordinatorInfo,
  type PartitionInfo,
  type RegistrationInfo,
  type TopicInfo,
  type Value,
  allBrokers,
} from '../src/state.ts';

/** Values that a test needs but does not care about. */
export function aTopic(id: TopicId, more: Partial<TopicInfo> = {}): TopicInfo {
  return {
    topicId: id,
    name: `name-of-${id}`,
    partitions: 1,
    replicationFactor: 1,
    configs: {},
    phase: 'ready',
    removingReplicas: [],
    ...more,
  };
}

export function aPartition(id: TopicId, index: number, more: Partial<PartitionInfo> = {}): PartitionInfo {
  return {
    topicId: id,
    partition: partitionIndex(index),
    leader: nodeId(1),
    leaderEpoch: leaderEpoch(0),
    partitionEpoch: partitionEpoch(0),
    replicas: [{ nodeId: nodeId(1), directoryId: directoryId('directory-1') }],
    isr: [nodeId(1)],
    eligibleLeaderReplicas: [],
    lastMembers: [],
    adding: [],
    removing: [],
    effectiveMinIsr: 1,
    effectiveFlushPolicy: 'commit',
    uncleanEpoch: undefined,
    possibleLoss: false,
    ...more,
  };
}

export function aRegistration(node: NodeId, more: Partial<RegistrationInfo> = {}): RegistrationInfo {
  return {
    nodeId: node,
    incarnationId: incarnationId(`incarnation-of-${node}`),
    directoryId: directoryId(`directory-${node}`),
    address: `broker-${node}:9095`,
    host: `host-${node}`,
    rack: '',
    versionMin: 1,
    versionMax: 1,
    lossy: false,
    suspects: [],
    configs: {},
    ...more,
  };
}

export function aStatus(node: NodeId, epoch: bigint, more: Partial<BrokerStatus> = {}): BrokerStatus {
  return {
    nodeId: node,
    brokerEpoch: brokerEpoch(epoch),
    incarnationId: incarnationId(`incarnation-of-${node}`),
    directoryId: directoryId(`directory-${node}`),
    fenced: false,
    leaving: false,
    ...more,
  };
}

export function aCoordinator(node: NodeId, more: Partial<CoordinatorInfo> = {}): CoordinatorInfo {
  return {
    nodeId: node,
    incarnationId: incarnationId(`incarnation-of-${node}`),
    address: `coordinator-${node}:9097`,
    host: `host-${node}`,
    rack: '',
    versionMin: 1,
    versionMax: 1,
    ...more,
  };
}

/** One value of each kind, with every field set to something that proto3 would not leave out. */
export const oneOfEach: readonly Value[] = [
  { kind: 'cluster', value: { clusterId: clusterId('cluster'), version: 1, restoreGeneration: 2 } },
  {
    kind: 'controller',
    value: { nodeId: nodeId(3), incarnationId: incarnationId('incarnation'), address: 'host:9096' },
  },
  {
    kind: 'registration',
    value: aRegistration(nodeId(4), {
      rack: 'r1',
      lossy: true,
      suspects: [{ topicId: topicId('t'), partition: partitionIndex(5) }],
      configs: { 'max.connections': '9' },
    }),
  },
  { kind: 'broker-status', value: aStatus(nodeId(4), 2n ** 60n, { fenced: true, leaving: true }) },
  {
    kind: 'topic',
    value: aTopic(topicId('t'), {
      configs: { 'retention.ms': '1' },
      phase: 'deleting',
      removingReplicas: [{ nodeId: nodeId(1), directoryId: directoryId('d') }],
    }),
  },
  { kind: 'topic-name', value: { name: 'orders', topicId: topicId('t') } },
  {
    kind: 'partition',
    value: aPartition(topicId('t'), 7, {
      leader: nodeId(2),
      leaderEpoch: leaderEpoch(3),
      partitionEpoch: partitionEpoch(4),
      isr: [nodeId(2), nodeId(1)],
      eligibleLeaderReplicas: [nodeId(5)],
      lastMembers: [nodeId(6)],
      adding: [nodeId(7)],
      removing: [nodeId(8)],
      effectiveMinIsr: 2,
      effectiveFlushPolicy: 'async',
      uncleanEpoch: leaderEpoch(2),
      possibleLoss: true,
    }),
  },
  { kind: 'producer-ids', value: { nextId: 2n ** 62n } },
  { kind: 'removal', value: { topicId: topicId('t'), nodeId: nodeId(1), directoryId: directoryId('d') } },
  { kind: 'broker-configs', value: { scope: nodeId(4), configs: { 'max.connections': '7' } } },
  { kind: 'broker-configs', value: { scope: allBrokers, configs: { 'log.retention.ms': '9' } } },
  { kind: 'coordinator-registration', value: aCoordinator(nodeId(4), { rack: 'r1' }) },
  {
    kind: 'group-partition',
    value: {
      partition: partitionIndex(49),
      coordinator: nodeId(4),
      coordinatorEpoch: brokerEpoch(2n ** 61n),
      writerEpoch: writerEpoch(2n ** 62n),
    },
  },
];
