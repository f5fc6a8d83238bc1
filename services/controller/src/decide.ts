// pure
/** All decisions of the controller: what the cluster is and what happened → the transactions to commit, in order. */
import { type BrokerEpoch, type ClusterId, type NodeId, type TopicId, TributaryError, limits } from '@tributary/model';
import type { ClusterImage, Expectation, PartitionName } from '@tributary/metadata';
import { type ConfigChange, type ConfigResource, alterConfigs } from './alter-configs.ts';
import { settleBrokers } from './brokers.ts';
import { type FlushReports, type Reconfigured, settleEffective, settleFlushed } from './effective-settings.ts';
import type { Step } from './step.ts';
import type { TopicDefaults } from './topic-defaults.ts';
import { type NewTopic, createPartitions, createTopic, deleteTopic, settleTopics } from './topics.ts';

export type ControllerEvent =
  /** Something may have changed: do what the image alone calls for. [] when it is at rest. */
  | {
      readonly kind: 'reconcile';
      /** Taken where the store names no cluster yet. */
      readonly freshClusterId: ClusterId;
      /** Brokers whose absence is a death (M5). */
      readonly gone: ReadonlySet<NodeId>;
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
    case 'allocate-producer-ids':
      return [allocateProducerIds(image, event.nodeId, event.brokerEpoch)];
  }
}

function reconcile(image: ClusterImage, event: ControllerEvent & { readonly kind: 'reconcile' }): readonly Step[] {
  if (image.cluster === undefined) return [nameCluster(event.freshClusterId)];
  // Leaders come before topics: somebody waits for them.
  const brokers = settleBrokers(image, event.gone);
  if (brokers.length > 0) return brokers;
  const effective = settleEffective(image, event.reconfigured, event.defaults);
  return effective.length > 0 ? effective : settleTopics(image, event.defaults);
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
  const registration = image.broker(nodeId)?.registration;
  if (registration === undefined)
    throw new TributaryError('BROKER_ID_NOT_REGISTERED', `Broker ${nodeId} is not registered.`);
  if (registration.createRevision !== epoch) {
    throw new TributaryError(
      'STALE_BROKER_EPOCH',
      `Broker ${nodeId} asked for producer ids in epoch ${epoch}; its registration has epoch ${registration.createRevision}.`,
    );
  }
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
