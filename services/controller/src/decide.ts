// pure
/** All decisions of the controller: what the cluster is and what happened → the transactions to commit, in order. */
import { type BrokerEpoch, type ClusterId, type NodeId, type TopicId, TributaryError, limits } from '@tributary/model';
import type { ClusterImage, Expectation } from '@tributary/metadata';
import { settleBrokers } from './brokers.ts';
import type { Step } from './step.ts';
import { type NewTopic, type TopicDefaults, createTopic, deleteTopic, settleTopics } from './topics.ts';

export type ControllerEvent =
  /** Something may have changed: do what the image alone calls for. [] when it is at rest. */
  | {
      readonly kind: 'reconcile';
      /** Taken where the store names no cluster yet. */
      readonly freshClusterId: ClusterId;
      /** Brokers whose absence is a death (M5). */
      readonly gone: ReadonlySet<NodeId>;
      readonly defaults: TopicDefaults;
    }
  | { readonly kind: 'create-topic'; readonly topic: NewTopic; readonly defaults: TopicDefaults }
  | { readonly kind: 'delete-topic'; readonly topicId: TopicId }
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
    case 'allocate-producer-ids':
      return [allocateProducerIds(image, event.nodeId, event.brokerEpoch)];
  }
}

function reconcile(image: ClusterImage, event: ControllerEvent & { readonly kind: 'reconcile' }): readonly Step[] {
  if (image.cluster === undefined) return [nameCluster(event.freshClusterId)];
  // Leaders come before topics: somebody waits for them.
  const brokers = settleBrokers(image, event.gone);
  return brokers.length > 0 ? brokers : settleTopics(image, event.defaults);
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
