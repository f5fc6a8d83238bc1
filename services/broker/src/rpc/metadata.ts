/**
 * MetadataService: what a client needs to find its way, from this broker's image of the cluster. A request may ask for a least revision (M4):
 * REQUEST_TIMED_OUT when the image does not get there in time. Errors of a topic or partition travel in the answer:
 * UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, LEADER_NOT_AVAILABLE.
 */
import { limits, topicId, TributaryError } from '@tributary/model';
import {
  type ClusterImage,
  type ImageSource,
  isUnfenced,
  type PartitionInfo,
  type TopicInfo,
} from '@tributary/metadata';
import type { CallContext, Clock } from '@tributary/ports';
import type {
  BrokerEndpoint,
  ErrorCode,
  GetMetadataRequest,
  GetMetadataResponse,
  InitProducerIdRequest,
  InitProducerIdResponse,
  PartitionMetadata,
  TopicMetadata,
} from '@tributary/wire';
import type { ProducerIds } from '../producer-ids.ts';
import { imageAtLeast } from './least-revision.ts';

export function getMetadataHandler(source: ImageSource, clock: Clock) {
  return async (request: GetMetadataRequest, context: CallContext): Promise<GetMetadataResponse> => {
    const image = await imageAtLeast(source, clock, request.context?.minRevision ?? 0n, context.signal);
    return {
      throttleMs: 0,
      clusterId: image.cluster?.clusterId ?? '',
      revision: image.revision,
      brokers: endpoints(image),
      controllerId: image.controller?.nodeId ?? -1,
      topics: request.allTopics
        ? allTopics(image)
        : [
            ...request.topics.map((name) => topicNamed(image, name)),
            ...request.topicIds.map((id) => topicWithId(image, id)),
          ],
    };
  };
}

function endpoints(image: ClusterImage): BrokerEndpoint[] {
  const found: BrokerEndpoint[] = [];
  for (const broker of image.brokers()) {
    if (!isUnfenced(broker) || broker.registration === undefined) continue;
    const { nodeId, address, host, rack } = broker.registration;
    found.push({ nodeId, address, host, rack });
  }
  return found;
}

function allTopics(image: ClusterImage): TopicMetadata[] {
  return [...image.topics()].filter((topic) => topic.phase === 'ready').map((topic) => describe(image, topic));
}

function topicNamed(image: ClusterImage, name: string): TopicMetadata {
  const topic = image.topicNamed(name);
  if (topic?.phase === 'ready') return describe(image, topic);
  const error = new TributaryError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `There is no topic "${name.slice(0, limits.topicNameLength)}": create it first.`,
  );
  return { name, topicId: '', errorCode: error.code as ErrorCode, errorMessage: error.message, partitions: [] };
}

function topicWithId(image: ClusterImage, id: string): TopicMetadata {
  const topic = image.topic(topicId(id));
  if (topic?.phase === 'ready') return describe(image, topic);
  const error = new TributaryError('UNKNOWN_TOPIC_ID', 'There is no topic of this id.');
  return { name: '', topicId: id, errorCode: error.code as ErrorCode, errorMessage: error.message, partitions: [] };
}

function describe(image: ClusterImage, topic: TopicInfo): TopicMetadata {
  const partitions: PartitionMetadata[] = [];
  for (const info of image.partitionsOf(topic.topicId)) if (info !== undefined) partitions.push(partition(topic, info));
  return { name: topic.name, topicId: topic.topicId, errorCode: 0, errorMessage: '', partitions };
}

function partition(topic: TopicInfo, info: PartitionInfo): PartitionMetadata {
  const leaderless = new TributaryError(
    'LEADER_NOT_AVAILABLE',
    `${topic.name}-${info.partition} has no leader now: none of ${info.isr.join(', ')} is up.`,
  );
  return {
    partition: info.partition,
    errorCode: info.leader === undefined ? (leaderless.code as ErrorCode) : 0,
    errorMessage: info.leader === undefined ? leaderless.message : '',
    leaderId: info.leader ?? -1,
    leaderEpoch: info.leaderEpoch,
    replicas: info.replicas.map((replica) => replica.nodeId),
    isr: [...info.isr],
    eligibleLeaderReplicas: [...info.eligibleLeaderReplicas],
  };
}

export function initProducerIdHandler(ids: ProducerIds) {
  return async (request: InitProducerIdRequest): Promise<InitProducerIdResponse> => {
    if (request.transactionalId !== '') {
      throw new TributaryError('INVALID_REQUEST', 'Transactions are not served yet: transactional_id must be empty.');
    }
    return { throttleMs: 0, producerId: await ids.next(), producerEpoch: 0 };
  };
}
