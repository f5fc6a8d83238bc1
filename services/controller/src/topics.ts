// pure
/** Topics from their creation to the last trace of them. Every sequence can be taken up from the store alone (M3). */
import {
  type NodeId,
  type TopicId,
  TributaryError,
  checkTopicName,
  leaderEpoch,
  limits,
  partitionEpoch,
  partitionIndex,
} from '@tributary/model';
import type {
  ClusterImage,
  Expectation,
  PartitionInfo,
  Place,
  Replica,
  Stored,
  TopicInfo,
  Value,
} from '@tributary/metadata';
import { canLead, noLosses } from './brokers.ts';
import { type Grounds, packed } from './partition-changes.ts';
import { type Load, type Site, place } from './placement.ts';
import { type Step, changesPerStep, chunks } from './step.ts';
import { type TopicDefaults, checkOwnConfigs, defaultsNow, effectiveOf } from './topic-defaults.ts';

export interface NewTopic {
  readonly topicId: TopicId;
  readonly name: string;
  /** 0: the default. */
  readonly partitions: number;
  /** 0: the default. */
  readonly replicationFactor: number;
  readonly configs: Readonly<Record<string, string>>;
}

/**
 * The beginning of a topic, or all of it where one transaction holds it; {@link settleTopics} does the rest. [] when it has begun already.
 * @throws TributaryError saying what is wrong with the wish, and what is possible.
 */
export function createTopic(image: ClusterImage, wish: NewTopic, defaults: TopicDefaults): readonly Step[] {
  if (image.topicNamed(wish.name)?.topicId === wish.topicId) return [];
  const topic = checkNewTopic(image, wish, defaults);
  const expect: readonly Expectation[] = [
    { place: { kind: 'topic-name', name: topic.name }, is: 'absent' },
    { place: { kind: 'topic', topicId: topic.topicId }, is: 'absent' },
  ];
  const name: Value = { kind: 'topic-name', value: { name: topic.name, topicId: topic.topicId } };
  const placed = topic.partitions <= changesPerStep ? placePartitions(image, topic, defaults) : [];
  const [first, ...more] = packed(placed, expect, leadersIn(image));
  const inOne = first !== undefined && more.length === 0;
  const partitions = inOne ? first.changes : [];
  const phase = inOne ? 'ready' : 'creating';
  return [
    {
      why: `topic ${topic.name} ${phase}`,
      transaction: {
        expect: [...(inOne ? first.expect : expect), ...partitions.map(partitionAbsent)],
        put: [
          { kind: 'topic', value: { ...topic, phase } },
          name,
          ...partitions.map((value): Value => ({ kind: 'partition', value })),
        ],
        delete: [],
      },
    },
  ];
}

/** @throws TributaryError, see {@link createTopic}. */
export function checkNewTopic(image: ClusterImage, wish: NewTopic, started: TopicDefaults): TopicInfo {
  const defaults = defaultsNow(image, started);
  checkTopicName(wish.name);
  const existing = image.topicNamed(wish.name);
  if (existing !== undefined) {
    const still = existing.phase === 'creating' ? ' and is still being created' : '';
    throw new TributaryError('TOPIC_ALREADY_EXISTS', `Topic "${wish.name}" exists already${still}.`);
  }
  checkOwnConfigs(image, wish.configs, started);
  const partitions = wish.partitions === 0 ? defaults.partitions : wish.partitions;
  if (partitions < 1 || partitions > limits.partitionsPerTopic) {
    throw new TributaryError(
      'INVALID_PARTITIONS',
      `Topic "${wish.name}" cannot have ${partitions} partitions: 1 to ${limits.partitionsPerTopic} are allowed.`,
    );
  }
  const replicationFactor = wish.replicationFactor === 0 ? defaults.replicationFactor : wish.replicationFactor;
  checkReplicationFactor(wish.name, replicationFactor, sitesIn(image));
  const { topicId, name, configs } = wish;
  return { topicId, name, partitions, replicationFactor, configs, phase: 'creating', removingReplicas: [] };
}

function checkReplicationFactor(name: string, replicationFactor: number, sites: readonly Site[]): void {
  if (replicationFactor < 1) {
    throw new TributaryError(
      'INVALID_REPLICATION_FACTOR',
      `Topic "${name}" cannot have ${replicationFactor} replicas of each partition: at least 1 is needed.`,
    );
  }
  if (replicationFactor <= sites.length) return;
  const running =
    sites.length === 0
      ? 'none is running'
      : `running ${sites.length === 1 ? 'is only' : 'are'} ${sites.map((site) => site.nodeId).join(', ')}`;
  throw new TributaryError(
    'INVALID_REPLICATION_FACTOR',
    `Topic "${name}" with replication factor ${replicationFactor} needs as many brokers; ${running}. Start more brokers, or ask for fewer replicas.`,
  );
}

/** Frees the name at once; {@link settleTopics} removes the rest. [] when it is being deleted, or gone, already. */
export function deleteTopic(image: ClusterImage, topicId: TopicId): readonly Step[] {
  const topic = image.topic(topicId);
  if (topic === undefined || topic.phase === 'deleting') return [];
  const removing = new Map<NodeId, Replica>();
  for (const partition of image.partitionsOf(topicId))
    for (const replica of partition?.replicas ?? []) removing.set(replica.nodeId, replica);
  const removingReplicas = [...removing.values()].sort((a, b) => a.nodeId - b.nodeId);
  return [
    {
      why: `topic ${topic.name} deleting`,
      transaction: {
        expect: [topicUnchanged(topic)],
        put: [{ kind: 'topic', value: { ...infoOf(topic), phase: 'deleting', removingReplicas } }],
        delete: [{ kind: 'topic-name', name: topic.name }],
      },
    },
  ];
}

/**
 * The first of the added partitions, with the new count; {@link settleTopics} adds the rest. [] when there are so many already, or the topic is gone.
 * @throws TributaryError INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
 */
export function createPartitions(
  image: ClusterImage,
  topicId: TopicId,
  total: number,
  defaults: TopicDefaults,
): readonly Step[] {
  const topic = image.topic(topicId);
  if (topic?.phase !== 'ready' || topic.partitions === total) return [];
  checkPartitionCount(image, topic, total);
  const grown = { ...infoOf(topic), partitions: total };
  const [first] = packed(placePartitions(image, grown, defaults), [topicUnchanged(topic)], leadersIn(image));
  const partitions = first?.changes ?? [];
  return [
    {
      why: `topic ${topic.name} gets ${total} partitions`,
      transaction: {
        expect: [...(first?.expect ?? []), ...partitions.map(partitionAbsent)],
        put: [{ kind: 'topic', value: grown }, ...partitions.map((value): Value => ({ kind: 'partition', value }))],
        delete: [],
      },
    },
  ];
}

/** @throws TributaryError, see {@link createPartitions}. */
export function checkPartitionCount(image: ClusterImage, topic: TopicInfo, total: number): void {
  const { name, partitions, replicationFactor } = topic;
  if (total > limits.partitionsPerTopic || total < 1) {
    throw new TributaryError(
      'INVALID_PARTITIONS',
      `Topic "${name}" cannot have ${total} partitions: 1 to ${limits.partitionsPerTopic} are allowed.`,
    );
  }
  if (total <= partitions) {
    throw new TributaryError(
      'INVALID_PARTITIONS',
      `Topic "${name}" has ${partitions} partitions already; ${total} ${total === partitions ? 'adds none' : 'is fewer, and partitions cannot be taken away'}: ask for more than ${partitions}.`,
    );
  }
  checkReplicationFactor(name, replicationFactor, sitesIn(image));
}

/** Goes on with one topic that is being created, extended or deleted; [] when none can go on. */
export function settleTopics(image: ClusterImage, defaults: TopicDefaults): readonly Step[] {
  for (const topicId of image.unsettledTopics) {
    const topic = image.topic(topicId);
    if (topic === undefined) continue;
    const steps = topic.phase === 'deleting' ? goOnDeleting(image, topic) : goOnCreating(image, topic, defaults);
    if (steps.length > 0) return steps;
  }
  return dropStrayRemovals(image);
}

/** Or adding partitions to one that is ready. */
function goOnCreating(image: ClusterImage, topic: Stored<TopicInfo>, defaults: TopicDefaults): readonly Step[] {
  // Fewer brokers than when it began: it waits for them.
  if (sitesIn(image).length < topic.replicationFactor) return [];
  const missing = placePartitions(image, topic, defaults);
  const steps = packed(missing, [topicUnchanged(topic)], leadersIn(image)).map(
    ({ changes, expect }): Step => ({
      why: `${changes.length} partitions of topic ${topic.name}`,
      transaction: {
        expect: [...expect, ...changes.map(partitionAbsent)],
        put: changes.map((value) => ({ kind: 'partition', value })),
        delete: [],
      },
    }),
  );
  if (topic.phase === 'ready') return steps;
  const ready: Step = {
    why: `topic ${topic.name} ready`,
    transaction: {
      expect: [topicUnchanged(topic)],
      put: [{ kind: 'topic', value: { ...infoOf(topic), phase: 'ready' } }],
      delete: [],
    },
  };
  return [...steps, ready];
}

/** The partitions that have no key yet. */
function placePartitions(image: ClusterImage, topic: TopicInfo, defaults: TopicDefaults): PartitionInfo[] {
  const existing = image.partitionsOf(topic.topicId);
  const missing = Array.from({ length: topic.partitions }, (_, i) => i).filter((i) => existing[i] === undefined);
  const placed = place(sitesIn(image), loadIn(image), missing.length, topic.replicationFactor);
  const { minIsr, flushPolicy } = effectiveOf(image, topic, defaults);
  return missing.map((index, i): PartitionInfo => {
    const nodes = placed[i] ?? [];
    return {
      topicId: topic.topicId,
      partition: partitionIndex(index),
      leader: nodes[0],
      leaderEpoch: leaderEpoch(0),
      partitionEpoch: partitionEpoch(0),
      replicas: nodes.map((nodeId) => replicaAt(image, nodeId)),
      isr: nodes,
      eligibleLeaderReplicas: [],
      lastMembers: [],
      adding: [],
      removing: [],
      effectiveMinIsr: minIsr,
      effectiveFlushPolicy: flushPolicy,
      uncleanEpoch: undefined,
      possibleLoss: false,
    };
  });
}

function goOnDeleting(image: ClusterImage, topic: Stored<TopicInfo>): readonly Step[] {
  const partitions = image.partitionsOf(topic.topicId).filter((each) => each !== undefined);
  if (partitions.length > 0) {
    return chunks(partitions).map((part) => ({
      why: `${part.length} partitions of the deleted topic ${topic.name} go`,
      transaction: {
        expect: part.map(({ topicId, partition, modRevision }) => ({
          place: { kind: 'partition', topicId, partition },
          is: 'modified-at',
          revision: modRevision,
        })),
        put: [],
        delete: part.map(({ topicId, partition }): Place => ({ kind: 'partition', topicId, partition })),
      },
    }));
  }
  return takeConfirmations(image, topic);
}

/** Confirmed replicas are crossed off together with their confirmations; with the last one the topic goes. */
function takeConfirmations(image: ClusterImage, topic: Stored<TopicInfo>): readonly Step[] {
  const confirmations = image.removalsOf(topic.topicId);
  const confirmed = topic.removingReplicas
    .filter(({ nodeId, directoryId }) => {
      // A broker that has come back with another directory holds nothing of it.
      const registered = image.broker(nodeId)?.registration?.directoryId;
      return (
        confirmations.get(nodeId)?.directoryId === directoryId ||
        (registered !== undefined && registered !== directoryId)
      );
    })
    .slice(0, changesPerStep);
  const waitingFor = topic.removingReplicas.filter((replica) => !confirmed.includes(replica));
  if (confirmed.length === 0 && waitingFor.length > 0) return [];
  const written = confirmed.filter(({ nodeId }) => confirmations.has(nodeId));
  const places = written.map(({ nodeId }): Place => ({ kind: 'removal', topicId: topic.topicId, nodeId }));
  return [
    {
      why:
        waitingFor.length === 0
          ? `the deleted topic ${topic.name} is gone`
          : `${confirmed.length} replicas of the deleted topic ${topic.name} are gone`,
      transaction: {
        expect: [topicUnchanged(topic)],
        put:
          waitingFor.length === 0 ? [] : [{ kind: 'topic', value: { ...infoOf(topic), removingReplicas: waitingFor } }],
        delete: waitingFor.length === 0 ? [...places, { kind: 'topic', topicId: topic.topicId }] : places,
      },
    },
  ];
}

/** A confirmation that came when its topic, or its part in it, was gone already. */
function dropStrayRemovals(image: ClusterImage): readonly Step[] {
  const stray: Place[] = [];
  for (const [topicId, removals] of image.removals()) {
    const awaited = image.topic(topicId)?.removingReplicas ?? [];
    for (const nodeId of removals.keys()) {
      if (!awaited.some((replica) => replica.nodeId === nodeId)) stray.push({ kind: 'removal', topicId, nodeId });
    }
  }
  return chunks(stray).map((part) => ({
    why: `${part.length} stray confirmations`,
    transaction: { expect: [], put: [], delete: part },
  }));
}

/** Whoever is to lead has not been seen out since: a late copy of the transaction would put a partition where nobody looks for its leader any more. */
function leadersIn(image: ClusterImage): Grounds<PartitionInfo> {
  return {
    brokersOf: ({ leader }) => (leader === undefined ? [] : [leader]),
    expect: (nodeId) => {
      const registration = image.broker(nodeId)?.registration;
      if (registration === undefined) return [];
      return [{ place: { kind: 'registration', nodeId }, is: 'created-at', revision: registration.createRevision }];
    },
  };
}

/** Brokers that may get replicas. */
function sitesIn(image: ClusterImage): Site[] {
  const sites: Site[] = [];
  for (const { nodeId, registration } of image.brokers()) {
    if (registration === undefined || !canLead(image, noLosses, registration)) continue;
    sites.push({ nodeId, host: registration.host, rack: registration.rack });
  }
  return sites.sort((a, b) => a.nodeId - b.nodeId);
}

function loadIn(image: ClusterImage): ReadonlyMap<NodeId, Load> {
  const load = new Map<NodeId, { replicas: number; preferred: number }>();
  for (const { replicas } of image.partitions()) {
    for (const [i, { nodeId }] of replicas.entries()) {
      const has = load.get(nodeId) ?? { replicas: 0, preferred: 0 };
      has.replicas++;
      if (i === 0) has.preferred++;
      load.set(nodeId, has);
    }
  }
  return load;
}

function replicaAt(image: ClusterImage, nodeId: NodeId): Replica {
  const registration = image.broker(nodeId)?.registration;
  if (registration === undefined)
    throw new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${nodeId} is no longer registered.`);
  return { nodeId, directoryId: registration.directoryId };
}

const partitionAbsent = ({ topicId, partition }: PartitionInfo): Expectation => ({
  place: { kind: 'partition', topicId, partition },
  is: 'absent',
});

const topicUnchanged = ({ topicId, modRevision }: Stored<TopicInfo>): Expectation => {
  return { place: { kind: 'topic', topicId }, is: 'modified-at', revision: modRevision };
};

function infoOf({ createRevision: _created, modRevision: _modified, ...info }: Stored<TopicInfo>): TopicInfo {
  return info;
}
