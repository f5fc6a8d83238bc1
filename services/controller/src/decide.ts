// pure
/** All decisions of the controller: what the cluster is and what happened → the transactions to commit, in order. */
import { type BrokerEpoch, type ClusterId, type NodeId, type TopicId, limits } from '@tributary/model';
import type { ClusterImage, Expectation, PartitionName } from '@tributary/metadata';
import { type ConfigChange, type ConfigResource, alterConfigs } from './alter-configs.ts';
import { type Losses, leave, registrationOf, settleBrokers } from './brokers.ts';
import { type CoordinatorLosses, settleGroupPartitions } from './coordinators.ts';
import { type FlushReports, type Reconfigured, settleEffective, settleFlushed } from './effective-settings.ts';
import { type LongestLog, electLeaders, electLongest, settleLeaderless } from './elections.ts';
import type { JudgedProposals } from './isr-proposals.ts';
import type { Step } from './step.ts';
import type { TopicDefaults } from './topic-defaults.ts';
import { type NewTopic, createPartitions, createTopic, deleteTopic, settleTopics } from './topics.ts';

export type ControllerEvent =
  /** Something may have changed: do what the image alone calls for. [] when it is at rest. */
  | {
      readonly kind: 'reconcile';
      /** Taken where the store names no cluster yet. */
      readonly freshClusterId: ClusterId;
      readonly losses: Losses;
      readonly coordinators: CoordinatorLosses;
      /** Topics whose settings may have changed since this last came to rest. */
      readonly reconfigured: Reconfigured;
      readonly defaults: TopicDefaults;
    }
  | { readonly kind: 'create-topic'; readonly topic: NewTopic; readonly defaults: TopicDefaults }
  | { readonly kind: 'delete-topic'; readonly topicId: TopicId }
  | {
      readonly kind: 'create-partitions';
      readonly topicId: TopicId;
      readonly total: number;
      readonly defaults: TopicDefaults;
    }
  | {
      readonly kind: 'alter-configs';
      readonly resource: ConfigResource;
      readonly changes: readonly ConfigChange[];
      readonly defaults: TopicDefaults;
    }
  /** Replicas have said that all is flushed (R6). */
  | {
      readonly kind: 'flushed';
      readonly names: readonly PartitionName[];
      readonly reports: FlushReports;
      readonly defaults: TopicDefaults;
    }
  /** One broker's proposals (M4), judged against this image. */
  | { readonly kind: 'change-isr'; readonly judged: JudgedProposals }
  /** A broker is about to stop. */
  | { readonly kind: 'leave'; readonly nodeId: NodeId; readonly brokerEpoch: BrokerEpoch }
  | {
      readonly kind: 'elect-leaders';
      readonly election: 'preferred' | 'unclean';
      readonly names: readonly PartitionName[];
      readonly losses: Losses;
      readonly defaults: TopicDefaults;
    }
  /** The last members of these partitions have said how far their logs reach (R7). */
  | {
      readonly kind: 'elect-longest';
      readonly winners: readonly LongestLog[];
      readonly losses: Losses;
      readonly defaults: TopicDefaults;
    }
  /** Nothing of its own: whoever asks is answered once all that the cluster itself calls for is done. */
  | { readonly kind: 'settle' }
  | { readonly kind: 'allocate-producer-ids'; readonly nodeId: NodeId; readonly brokerEpoch: BrokerEpoch };

/** Finalised version of a new cluster (M7). */
const firstClusterVersion = 1;

/** Kafka's first producer id. */
const firstProducerId = 0n;

/** @throws TributaryError when the event is refused. */
export function decide(image: ClusterImage, event: ControllerEvent): readonly Step[] {
  switch (event.kind) {
    case 'reconcile':
      return reconcile(image, event);
    case 'create-topic':
      return createTopic(image, event.topic, event.defaults);
    case 'delete-topic':
      return deleteTopic(image, event.topicId);
    case 'create-partitions':
      return createPartitions(image, event.topicId, event.total, event.defaults);
    case 'alter-configs':
      return alterConfigs(image, event.resource, event.changes, event.defaults);
    case 'flushed':
      return settleFlushed(image, event.names, event.reports, event.defaults);
    case 'change-isr':
      return event.judged.steps;
    case 'leave':
      return leave(image, event.nodeId, event.brokerEpoch);
    case 'elect-leaders':
      return electLeaders(image, event.election, event.names, event.losses, event.defaults);
    case 'elect-longest':
      return electLongest(image, event.winners, event.losses, event.defaults);
    case 'settle':
      return [];
    case 'allocate-producer-ids':
      return [allocateProducerIds(image, event.nodeId, event.brokerEpoch)];
  }
}

function reconcile(image: ClusterImage, event: ControllerEvent & { readonly kind: 'reconcile' }): readonly Step[] {
  if (image.cluster === undefined) return [nameCluster(event.freshClusterId)];
  // Leaders come before topics: somebody waits for them.
  const brokers = settleBrokers(image, event.losses, event.defaults);
  if (brokers.length > 0) return brokers;
  const groups = settleGroupPartitions(image, event.coordinators);
  if (groups.length > 0) return groups;
  const effective = settleEffective(image, event.reconfigured, event.defaults);
  if (effective.length > 0) return effective;
  const elections = settleLeaderless(image, event.reconfigured, event.losses, event.defaults);
  return elections.length > 0 ? elections : settleTopics(image, event.defaults);
}

function nameCluster(clusterId: ClusterId): Step {
  return {
    why: `cluster ${clusterId} begins`,
    transaction: {
      expect: [{ place: { kind: 'cluster' }, is: 'absent' }],
      put: [{ kind: 'cluster', value: { clusterId, version: firstClusterVersion, restoreGeneration: 0 } }],
      delete: [],
    },
  };
}

/** The block is the one below the `nextId` that it puts. */
function allocateProducerIds(image: ClusterImage, nodeId: NodeId, epoch: BrokerEpoch): Step {
  const registration = registrationOf(image, nodeId, epoch);
  const before = image.producerIds;
  const place = { kind: 'producer-ids' } as const;
  const expect: Expectation =
    before === undefined ? { place, is: 'absent' } : { place, is: 'modified-at', revision: before.modRevision };
  const nextId = (before?.nextId ?? firstProducerId) + BigInt(limits.producerIdBlock);
  return {
    why: `producer ids below ${nextId} for broker ${nodeId}`,
    transaction: {
      expect: [
        expect,
        { place: { kind: 'registration', nodeId }, is: 'created-at', revision: registration.createRevision },
      ],
      put: [{ kind: 'producer-ids', value: { nextId } }],
      delete: [],
    },
  };
}
