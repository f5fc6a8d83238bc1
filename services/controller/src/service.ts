/**
 * AdminService and ControllerService, served by the active controller only.
 *
 * Every call: NOT_CONTROLLER naming the active one while this one is not; INCONSISTENT_CLUSTER_ID when the request names another cluster (F2);
 * REQUEST_TIMED_OUT when `min_revision` is not reached in time (M4).
 * - CreateTopic: answers once the topic can be used. INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS,
 *   INVALID_REPLICATION_FACTOR, INVALID_CONFIG.
 * - DeleteTopic: answers once the name is free. UNKNOWN_TOPIC_OR_PARTITION.
 * - ListTopics, DescribeTopic: UNKNOWN_TOPIC_OR_PARTITION.
 * - AllocateProducerIds: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH.
 */
import { type ClusterImage, type ImageSource, type Stored, type TopicInfo, unlessAborted } from '@tributary/metadata';
import { type TopicId, TributaryError, brokerEpoch, limits, nodeId, randomId, topicId } from '@tributary/model';
import type { CallContext, Clock, Handlers, Random, Service } from '@tributary/ports';
import {
  type AllocateProducerIdsRequest,
  type AllocateProducerIdsResponse,
  type CreateTopicRequest,
  type CreateTopicResponse,
  type DeleteTopicRequest,
  type DeleteTopicResponse,
  type DescribeTopicRequest,
  type DescribeTopicResponse,
  type ListTopicsRequest,
  type ListTopicsResponse,
  type RequestContext,
  methods,
} from '@tributary/wire';
import { within } from './deadline.ts';
import { describeConfigs, describePartitions, listTopics, summary } from './describe.ts';
import type { Done, Office, Order } from './office.ts';
import { type NewTopic, type TopicDefaults, checkNewTopic } from './topics.ts';

interface Parts {
  readonly office: Office;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly defaults: TopicDefaults;
}

export function controllerService(parts: Parts): Service {
  const desk = new Desk(parts);
  return (handlers: Handlers) => {
    handlers.unary(methods.createTopic, (request, context) => desk.createTopic(request, context));
    handlers.unary(methods.deleteTopic, (request, context) => desk.deleteTopic(request, context));
    handlers.unary(methods.listTopics, (request, context) => desk.listTopics(request, context));
    handlers.unary(methods.describeTopic, (request, context) => desk.describeTopic(request, context));
    handlers.unary(methods.allocateProducerIds, (request, context) => desk.allocateProducerIds(request, context));
  };
}

class Desk {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async createTopic(request: CreateTopicRequest, { signal }: CallContext): Promise<CreateTopicResponse> {
    const { random, defaults, images } = this.#parts;
    const before = await this.#imageFor(request.context, signal);
    const topic: NewTopic = {
      topicId: topicId(randomId(() => random.nextU32())),
      name: request.name,
      partitions: request.partitions,
      replicationFactor: request.replicationFactor,
      configs: request.configs,
    };
    const { partitions, replicationFactor } = checkNewTopic(before, topic, defaults);
    const answer = { throttleMs: 0, topicId: topic.topicId, partitions, replicationFactor };
    if (request.validateOnly) return { ...answer, revision: before.revision };
    const what = `creating topic "${topic.name}"`;
    return this.#inTime(what, signal, async (limited) => {
      await this.#order({ event: () => ({ kind: 'create-topic', topic, defaults }), signal: limited });
      const settled = await images.until((image) => image.topic(topic.topicId)?.phase !== 'creating', limited);
      const created = settled.topic(topic.topicId);
      if (created === undefined)
        throw new TributaryError(
          'UNKNOWN_TOPIC_OR_PARTITION',
          `Topic "${topic.name}" was deleted right after it was created.`,
        );
      return { ...answer, revision: created.modRevision };
    });
  }

  async deleteTopic(request: DeleteTopicRequest, { signal }: CallContext): Promise<DeleteTopicResponse> {
    await this.#imageFor(request.context, signal);
    return this.#inTime(`deleting topic "${request.name}"`, signal, async (limited) => {
      // Once it is known which topic is meant, a repetition must not take a younger one of that name.
      let meant: TopicId | undefined;
      const event: Order['event'] = (image) => {
        meant ??= shownTopic(image, request.name).topicId;
        return { kind: 'delete-topic', topicId: meant };
      };
      const { revision } = await this.#order({ event, signal: limited });
      return { throttleMs: 0, revision, topicId: meant ?? '' };
    });
  }

  async listTopics(request: ListTopicsRequest, { signal }: CallContext): Promise<ListTopicsResponse> {
    const image = await this.#imageFor(request.context, signal);
    return { throttleMs: 0, topics: listTopics(image) };
  }

  async describeTopic(request: DescribeTopicRequest, { signal }: CallContext): Promise<DescribeTopicResponse> {
    const image = await this.#imageFor(request.context, signal);
    const topic = shownTopic(image, request.name);
    const configs = describeConfigs(topic, this.#parts.defaults);
    return { throttleMs: 0, topic: summary(topic), configs, partitions: describePartitions(image, topic) };
  }

  async allocateProducerIds(
    request: AllocateProducerIdsRequest,
    { signal }: CallContext,
  ): Promise<AllocateProducerIdsResponse> {
    // The broker may have registered a moment ago.
    await this.#imageFor(request.context, signal, request.brokerEpoch);
    const event: Order['event'] = () => {
      return {
        kind: 'allocate-producer-ids',
        nodeId: nodeId(request.brokerId),
        brokerEpoch: brokerEpoch(request.brokerEpoch),
      };
    };
    return this.#inTime(`allocating producer ids for broker ${request.brokerId}`, signal, async (limited) => {
      const { steps } = await this.#order({ event, signal: limited });
      const put = steps[0]?.transaction.put[0];
      if (put?.kind !== 'producer-ids')
        throw new TributaryError('UNKNOWN_SERVER_ERROR', 'No producer ids were allocated.');
      return {
        throttleMs: 0,
        firstId: put.value.nextId - BigInt(limits.producerIdBlock),
        count: limits.producerIdBlock,
      };
    });
  }

  /** The image that the answer rests on, once this controller may answer at all. */
  async #imageFor(context: RequestContext | undefined, signal: AbortSignal, leastRevision = 0n): Promise<ClusterImage> {
    const { images, clock } = this.#parts;
    this.#refuseUnlessActive();
    const asked = context?.minRevision ?? 0n;
    const revision = asked > leastRevision ? asked : leastRevision;
    const sentence = `The controller's image is at revision ${images.current.revision} and did not reach ${revision} in time; try again.`;
    const image =
      images.current.revision >= revision
        ? images.current
        : await within(clock, limits.minRevisionWaitMs, signal, sentence, (limited) =>
            images.reached(revision, limited),
          );
    const mine = image.cluster?.clusterId;
    const theirs = context?.clusterId ?? '';
    if (theirs !== '' && theirs !== mine) {
      throw new TributaryError(
        'INCONSISTENT_CLUSTER_ID',
        `The request is for cluster ${theirs}; this is ${mine ?? 'a cluster without an id yet'}.`,
      );
    }
    return image;
  }

  async #order(order: Order): Promise<Done> {
    this.#refuseUnlessActive();
    return unlessAborted(this.#parts.office.place(order), order.signal);
  }

  #refuseUnlessActive(): void {
    if (this.#parts.office.isOpen) return;
    const active = this.#parts.images.current.controller;
    const who =
      active === undefined
        ? 'none is elected at the moment'
        : `the active one is node ${active.nodeId} at ${active.address}`;
    throw new TributaryError('NOT_CONTROLLER', `This controller is not active; ${who}.`);
  }

  #inTime<T>(what: string, signal: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const seconds = limits.controllerRequestMs / 1_000;
    const sentence = `${what} took longer than ${seconds} s; whether it takes effect is open. Describe the topic to see.`;
    return within(this.#parts.clock, limits.controllerRequestMs, signal, sentence, act);
  }
}

function shownTopic(image: ClusterImage, name: string): Stored<TopicInfo> {
  const topic = image.topicNamed(name);
  if (topic?.phase !== 'ready') throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic "${name}".`);
  return topic;
}
