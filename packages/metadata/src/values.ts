/** Between the typed values and their written form: proto3 JSON of state.proto (M1). Fields that this version does not know are ignored. */
import {
  TributaryError,
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
import type { Comparison, Entry, Lease, Transaction, WatchRevision } from '@tributary/ports';
import * as wire from '@tributary/wire';
import type { MetadataKeys } from './keys.ts';
import {
  type Expectation,
  type FlushPolicy,
  type GroupPartitionInfo,
  type PartitionInfo,
  type Place,
  type Replica,
  type StateChange,
  type StateTransaction,
  type TopicPhase,
  type Value,
  allBrokers,
} from './state.ts';

/** The key that holds a value. */
export function placeOf(value: Value): Place {
  switch (value.kind) {
    case 'cluster':
    case 'controller':
    case 'producer-ids':
      return { kind: value.kind };
    case 'registration':
    case 'broker-status':
    case 'coordinator-registration':
      return { kind: value.kind, nodeId: value.value.nodeId };
    case 'group-partition':
      return { kind: 'group-partition', partition: value.value.partition };
    case 'broker-configs':
      return { kind: 'broker-configs', scope: value.value.scope };
    case 'topic':
      return { kind: 'topic', topicId: value.value.topicId };
    case 'topic-name':
      return { kind: 'topic-name', name: value.value.name };
    case 'partition':
      return { kind: 'partition', topicId: value.value.topicId, partition: value.value.partition };
    case 'removal':
      return { kind: 'removal', topicId: value.value.topicId, nodeId: value.value.nodeId };
  }
}

/** The store's form of a transaction. @param lease holds every key that is put. */
export function encodeTransaction(keys: MetadataKeys, transaction: StateTransaction, lease?: Lease): Transaction {
  return {
    compare: transaction.expect.map((each) => encodeExpectation(keys, each)),
    put: transaction.put.map((value) => ({
      key: keys.of(placeOf(value)),
      value: encodeValue(value),
      ...(lease === undefined ? {} : { lease }),
    })),
    delete: transaction.delete.map((place) => keys.of(place)),
  };
}

function encodeExpectation(keys: MetadataKeys, expectation: Expectation): Comparison {
  const key = keys.of(expectation.place);
  switch (expectation.is) {
    case 'absent':
      return { key, createRevision: 0n };
    case 'created-at':
      return { key, createRevision: expectation.revision };
    case 'modified-at':
      return { key, modRevision: expectation.revision };
  }
}

/** What a watched revision changes; keys that this version does not know are left out. @throws TributaryError naming a key it cannot read. */
export function decodeRevision(keys: MetadataKeys, revision: WatchRevision): StateChange[] {
  const changes: StateChange[] = [];
  for (const change of revision.changes) {
    if (change.kind === 'put') {
      const decoded = decodeEntry(keys, change);
      if (decoded !== undefined) changes.push(decoded);
    } else {
      const place = keys.parse(change.key);
      if (place !== undefined) changes.push({ kind: 'delete', place });
    }
  }
  return changes;
}

/** One key as read; undefined where this version does not know it. @throws TributaryError CORRUPT_MESSAGE naming the key. */
export function decodeEntry(keys: MetadataKeys, entry: Entry): (StateChange & { readonly kind: 'put' }) | undefined {
  const place = keys.parse(entry.key);
  if (place === undefined) return undefined;
  try {
    return {
      kind: 'put',
      value: decodeValue(place, JSON.parse(entry.value)),
      createRevision: entry.createRevision,
      modRevision: entry.modRevision,
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TributaryError('CORRUPT_MESSAGE', `The metadata key ${entry.key} holds no valid ${place.kind}: ${why}.`, {
      cause,
    });
  }
}

const wirePhases: Readonly<Record<TopicPhase, wire.TopicPhase>> = {
  creating: wire.TopicPhase.CREATING,
  ready: wire.TopicPhase.READY,
  deleting: wire.TopicPhase.DELETING,
};

const wireFlushPolicies: Readonly<Record<FlushPolicy, wire.FlushPolicy>> = {
  commit: wire.FlushPolicy.COMMIT,
  async: wire.FlushPolicy.ASYNC,
};

/** On the wire a partition of groups without a coordinator says so, and 0 for its epoch. */
const nobody = -1;

/** On the wire a partition without a leader says −1, and an epoch that never was 0. */
const noLeader = -1;

/** On the wire the settings of all brokers have this for a node id. */
const everyNode = -1;

export function encodeValue(value: Value): string {
  return JSON.stringify(toJson(value));
}

function toJson(value: Value): unknown {
  switch (value.kind) {
    case 'cluster':
      return wire.ClusterState.toJSON(value.value);
    case 'controller':
      return wire.ControllerElection.toJSON(value.value);
    case 'registration':
      return wire.BrokerRegistration.toJSON({ ...value.value, suspects: [...value.value.suspects] });
    case 'broker-status':
      return wire.BrokerState.toJSON(value.value);
    case 'coordinator-registration':
      return wire.CoordinatorRegistration.toJSON(value.value);
    case 'group-partition':
      return wire.GroupPartitionState.toJSON(groupPartitionToWire(value.value));
    case 'broker-configs': {
      const { scope, configs } = value.value;
      return wire.BrokerConfigState.toJSON({ nodeId: scope === allBrokers ? everyNode : scope, configs });
    }
    case 'topic':
      return wire.TopicState.toJSON({
        ...value.value,
        phase: wirePhases[value.value.phase],
        removingReplicas: [...value.value.removingReplicas],
      });
    case 'topic-name':
      return value.value.topicId;
    case 'partition':
      return wire.PartitionState.toJSON(partitionToWire(value.value));
    case 'producer-ids':
      return wire.ProducerIdState.toJSON(value.value);
    case 'removal':
      return wire.RemovalConfirmation.toJSON(value.value);
  }
}

function groupPartitionToWire(info: GroupPartitionInfo): wire.GroupPartitionState {
  const { partition, coordinator, coordinatorEpoch, writerEpoch: epoch } = info;
  return {
    partition,
    coordinatorId: coordinator ?? nobody,
    coordinatorEpoch: coordinatorEpoch ?? 0n,
    writerEpoch: epoch,
  };
}

function partitionToWire(partition: PartitionInfo): wire.PartitionState {
  return {
    topicId: partition.topicId,
    partition: partition.partition,
    leaderId: partition.leader ?? noLeader,
    leaderEpoch: partition.leaderEpoch,
    partitionEpoch: partition.partitionEpoch,
    replicas: [...partition.replicas],
    isr: [...partition.isr],
    eligibleLeaderReplicas: [...partition.eligibleLeaderReplicas],
    lastMembers: [...partition.lastMembers],
    adding: [...partition.adding],
    removing: [...partition.removing],
    effectiveMinIsr: partition.effectiveMinIsr,
    effectiveFlushPolicy: wireFlushPolicies[partition.effectiveFlushPolicy],
    uncleanEpoch: partition.uncleanEpoch ?? 0,
    possibleLoss: partition.possibleLoss,
  };
}

function decodeValue(place: Place, json: unknown): Value {
  switch (place.kind) {
    case 'cluster': {
      const read = wire.ClusterState.fromJSON(json);
      return { kind: 'cluster', value: { ...read, clusterId: clusterId(read.clusterId) } };
    }
    case 'controller': {
      const read = wire.ControllerElection.fromJSON(json);
      return {
        kind: 'controller',
        value: { ...read, nodeId: nodeId(read.nodeId), incarnationId: incarnationId(read.incarnationId) },
      };
    }
    case 'registration':
      return { kind: 'registration', value: registrationFromWire(wire.BrokerRegistration.fromJSON(json)) };
    case 'broker-status': {
      const read = wire.BrokerState.fromJSON(json);
      return {
        kind: 'broker-status',
        value: {
          ...member(read),
          brokerEpoch: brokerEpoch(read.brokerEpoch),
          incarnationId: incarnationId(read.incarnationId),
          fenced: read.fenced,
          leaving: read.leaving,
        },
      };
    }
    case 'coordinator-registration': {
      const read = wire.CoordinatorRegistration.fromJSON(json);
      return {
        kind: 'coordinator-registration',
        value: { ...read, nodeId: nodeId(read.nodeId), incarnationId: incarnationId(read.incarnationId) },
      };
    }
    case 'group-partition':
      return { kind: 'group-partition', value: groupPartitionFromWire(wire.GroupPartitionState.fromJSON(json)) };
    case 'broker-configs':
      return {
        kind: 'broker-configs',
        value: { scope: place.scope, configs: wire.BrokerConfigState.fromJSON(json).configs },
      };
    case 'topic': {
      const read = wire.TopicState.fromJSON(json);
      const phase = phaseFromWire(read.phase);
      return {
        kind: 'topic',
        value: { ...read, topicId: topicId(read.topicId), phase, removingReplicas: read.removingReplicas.map(member) },
      };
    }
    case 'topic-name':
      if (typeof json !== 'string') throw new Error('it is not a topic id');
      return { kind: 'topic-name', value: { name: place.name, topicId: topicId(json) } };
    case 'partition':
      return { kind: 'partition', value: partitionFromWire(wire.PartitionState.fromJSON(json)) };
    case 'producer-ids':
      return { kind: 'producer-ids', value: wire.ProducerIdState.fromJSON(json) };
    case 'removal':
      return { kind: 'removal', value: { ...member(wire.RemovalConfirmation.fromJSON(json)), topicId: place.topicId } };
  }
}

const member = (read: { nodeId: number; directoryId: string }): Replica => ({
  nodeId: nodeId(read.nodeId),
  directoryId: directoryId(read.directoryId),
});

function registrationFromWire(read: wire.BrokerRegistration): (Value & { readonly kind: 'registration' })['value'] {
  return {
    ...read,
    ...member(read),
    incarnationId: incarnationId(read.incarnationId),
    suspects: read.suspects.map((each) => ({
      topicId: topicId(each.topicId),
      partition: partitionIndex(each.partition),
    })),
  };
}

function partitionFromWire(read: wire.PartitionState): PartitionInfo {
  return {
    topicId: topicId(read.topicId),
    partition: partitionIndex(read.partition),
    leader: read.leaderId === noLeader ? undefined : nodeId(read.leaderId),
    leaderEpoch: leaderEpoch(read.leaderEpoch),
    partitionEpoch: partitionEpoch(read.partitionEpoch),
    replicas: read.replicas.map(member),
    isr: read.isr.map(nodeId),
    eligibleLeaderReplicas: read.eligibleLeaderReplicas.map(nodeId),
    lastMembers: read.lastMembers.map(nodeId),
    adding: read.adding.map(nodeId),
    removing: read.removing.map(nodeId),
    effectiveMinIsr: read.effectiveMinIsr,
    effectiveFlushPolicy: read.effectiveFlushPolicy === wire.FlushPolicy.ASYNC ? 'async' : 'commit',
    uncleanEpoch: read.uncleanEpoch === 0 ? undefined : leaderEpoch(read.uncleanEpoch),
    possibleLoss: read.possibleLoss,
  };
}

function groupPartitionFromWire(read: wire.GroupPartitionState): GroupPartitionInfo {
  return {
    partition: partitionIndex(read.partition),
    coordinator: read.coordinatorId === nobody ? undefined : nodeId(read.coordinatorId),
    coordinatorEpoch: read.coordinatorEpoch === 0n ? undefined : brokerEpoch(read.coordinatorEpoch),
    writerEpoch: writerEpoch(read.writerEpoch),
  };
}

function phaseFromWire(phase: wire.TopicPhase): TopicPhase {
  switch (phase) {
    case wire.TopicPhase.CREATING:
      return 'creating';
    case wire.TopicPhase.READY:
      return 'ready';
    case wire.TopicPhase.DELETING:
      return 'deleting';
    case wire.TopicPhase.UNSPECIFIED:
      throw new Error('its phase is not set');
  }
}
