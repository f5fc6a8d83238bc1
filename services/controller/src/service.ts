/**
 * AdminService and ControllerService, served by the active controller only, but for DescribeController, which any answers.
 *
 * Every other call: NOT_CONTROLLER naming the active one while this one is not; INCONSISTENT_CLUSTER_ID when the request names another cluster (F2);
 * REQUEST_TIMED_OUT when `min_revision` is not reached in time (M4).
 * - CreateTopic: answers once the topic can be used. INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS,
 *   INVALID_REPLICATION_FACTOR, INVALID_CONFIG.
 * - DeleteTopic: answers once the name is free. UNKNOWN_TOPIC_OR_PARTITION.
 * - ListTopics, DescribeTopic: UNKNOWN_TOPIC_OR_PARTITION.
 * - CreatePartitions: answers once all of them can be used. UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
 * - AlterConfigs, DescribeConfigs: see config-desk.ts.
 * - DescribeCluster, ElectLeaders: see cluster-desk.ts.
 * - ReportFlushed: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH; what the replicas' words do not suffice for yet is no error.
 * - Attend: see attendance.ts.
 * - EnsureOffsetsTopic: see offsets-desk.ts. Users neither create nor delete internal topics, nor add partitions: INVALID_TOPIC_EXCEPTION.
 * - AllocateProducerIds: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH.
 */
import type { ImageSource } from '@tributary/metadata';
import {
  type IncarnationId,
  type NodeId,
  type TopicId,
  TributaryError,
  brokerEpoch,
  leaderEpoch,
  limits,
  nodeId,
  partitionIndex,
  randomId,
  topicId,
} from '@tributary/model';
import type { CallContext, Clock, Handlers, Random, Service } from '@tributary/ports';
import {
  type AllocateProducerIdsRequest,
  type AllocateProducerIdsResponse,
  type CreatePartitionsRequest,
  type CreatePartitionsResponse,
  type CreateTopicRequest,
  type CreateTopicResponse,
  type DeleteTopicRequest,
  type DeleteTopicResponse,
  type DescribeTopicRequest,
  type DescribeTopicResponse,
  type ListTopicsRequest,
  type ListTopicsResponse,
  type ReportFlushedRequest,
  type ReportFlushedResponse,
  methods,
} from '@tributary/wire';
import { Attendance } from './attendance.ts';
import { registrationOf } from './brokers.ts';
import { ClusterDesk } from './cluster-desk.ts';
import { ConfigDesk } from './config-desk.ts';
import { describePartitions, describeTopicConfigs, listTopics, summary } from './describe.ts';
import { FlushReports } from './effective-settings.ts';
import type { Office, Order } from './office.ts';
import { type OffsetsTopicWish, OffsetsDesk, refuseInternal } from './offsets-desk.ts';
import { Reception, shownTopic } from './reception.ts';
import type { TopicDefaults } from './topic-defaults.ts';
import { type NewTopic, checkNewTopic, checkPartitionCount } from './topics.ts';

interface Parts {
  readonly self: { readonly nodeId: NodeId; readonly incarnationId: IncarnationId };
  readonly office: Office;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly defaults: TopicDefaults;
  readonly offsetsTopic: OffsetsTopicWish;
  readonly sessionTimeoutMs: number;
}

export function controllerService(parts: Parts): Service {
  const reception = new Reception(parts);
  const desk = new Desk(parts, reception);
  const configs = new ConfigDesk(parts, reception);
  const cluster = new ClusterDesk(parts, reception);
  const offsets = new OffsetsDesk(parts, reception);
  const attendance = new Attendance(parts, reception);
  return (handlers: Handlers) => {
    handlers.unary(methods.createTopic, (request, context) => desk.createTopic(request, context));
    handlers.unary(methods.deleteTopic, (request, context) => desk.deleteTopic(request, context));
    handlers.unary(methods.listTopics, (request, context) => desk.listTopics(request, context));
    handlers.unary(methods.describeTopic, (request, context) => desk.describeTopic(request, context));
    handlers.unary(methods.createPartitions, (request, context) => desk.createPartitions(request, context));
    handlers.unary(methods.alterConfigs, (request, context) => configs.alter(request, context));
    handlers.unary(methods.describeConfigs, (request, context) => configs.describe(request, context));
    handlers.unary(methods.describeCluster, (request, context) => cluster.describe(request, context));
    handlers.unary(methods.electLeaders, (request, context) => cluster.electLeaders(request, context));
    handlers.unary(methods.reportFlushed, (request, context) => desk.reportFlushed(request, context));
    handlers.unary(methods.ensureOffsetsTopic, (request, context) => offsets.ensure(request, context));
    handlers.stream(methods.attend, (stream, context) => attendance.attend(stream, context));
    handlers.unary(methods.describeController, async () => ({ throttleMs: 0, ...parts.self }));
    handlers.unary(methods.allocateProducerIds, (request, context) => desk.allocateProducerIds(request, context));
  };
}

class Desk {
  readonly #parts: Parts;

  readonly #reception: Reception;
  readonly #flushReports = new FlushReports();

  constructor(parts: Parts, reception: Reception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  async createTopic(request: CreateTopicRequest, { signal }: CallContext): Promise<CreateTopicResponse> {
    const { random, defaults, images } = this.#parts;
    const before = await this.#reception.imageFor(request.context, signal);
    refuseInternal(request.name, 'create it');
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
    return this.#reception.inTime(what, signal, async (limited) => {
      await this.#reception.order({ event: () => ({ kind: 'create-topic', topic, defaults }), signal: limited });
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
    await this.#reception.imageFor(request.context, signal);
    refuseInternal(request.name, 'delete it');
    return this.#reception.inTime(`deleting topic "${request.name}"`, signal, async (limited) => {
      // Once it is known which topic is meant, a repetition must not take a younger one of that name.
      let meant: TopicId | undefined;
      const event: Order['event'] = (image) => {
        meant ??= shownTopic(image, request.name).topicId;
        return { kind: 'delete-topic', topicId: meant };
      };
      const { revision } = await this.#reception.order({ event, signal: limited });
      return { throttleMs: 0, revision, topicId: meant ?? '' };
    });
  }

  async createPartitions(request: CreatePartitionsRequest, { signal }: CallContext): Promise<CreatePartitionsResponse> {
    const { defaults, images } = this.#parts;
    const image = await this.#reception.imageFor(request.context, signal);
    const { totalCount: total } = request;
    const topic = shownTopic(image, request.name);
    refuseInternal(topic.name, 'add partitions to it: groups belong to partitions by their number');
    checkPartitionCount(image, topic, total);
    const answer = { throttleMs: 0, partitionsBefore: topic.partitions, partitions: total };
    if (request.validateOnly) return { ...answer, revision: image.revision };
    return this.#reception.inTime(`adding partitions to topic "${request.name}"`, signal, async (limited) => {
      const { topicId: id } = topic;
      await this.#reception.order({
        event: () => ({ kind: 'create-partitions', topicId: id, total, defaults }),
        signal: limited,
      });
      const settled = await images.until((each) => !each.unsettledTopics.has(id), limited);
      if (settled.topic(id)?.phase === 'ready') return { ...answer, revision: settled.revision };
      throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `Topic "${request.name}" was deleted meanwhile.`);
    });
  }

  async reportFlushed(request: ReportFlushedRequest, { signal }: CallContext): Promise<ReportFlushedResponse> {
    const image = await this.#reception.imageFor(request.context, signal, request.brokerEpoch);
    const { defaults, images } = this.#parts;
    const node = nodeId(request.brokerId);
    const registered = registrationOf(image, node, request.brokerEpoch).createRevision;
    const names = request.replicas
      .map((each) => ({ topicId: topicId(each.topicId), partition: partitionIndex(each.partition), report: each }))
      // What is not there, or flushes already, needs no memory.
      .filter((each) => image.partition(each.topicId, each.partition)?.effectiveFlushPolicy === 'async');
    for (const { report, ...name } of names) {
      this.#flushReports.note(name, node, {
        brokerEpoch: brokerEpoch(registered),
        leaderEpoch: leaderEpoch(report.leaderEpoch),
        revision: report.revision,
      });
    }
    return this.#reception.inTime(`taking note of what broker ${node} flushed`, signal, async (limited) => {
      const reports = this.#flushReports;
      const event: Order['event'] = () => ({ kind: 'flushed', names, reports, defaults });
      const { revision } = await this.#reception.order({ event, signal: limited });
      reports.forget(images.current, names);
      return { throttleMs: 0, revision };
    });
  }

  async listTopics(request: ListTopicsRequest, { signal }: CallContext): Promise<ListTopicsResponse> {
    const image = await this.#reception.imageFor(request.context, signal);
    return { throttleMs: 0, topics: listTopics(image) };
  }

  async describeTopic(request: DescribeTopicRequest, { signal }: CallContext): Promise<DescribeTopicResponse> {
    const image = await this.#reception.imageFor(request.context, signal);
    const topic = shownTopic(image, request.name);
    const configs = describeTopicConfigs(image, topic, this.#parts.defaults);
    return { throttleMs: 0, topic: summary(topic), configs, partitions: describePartitions(image, topic) };
  }

  async allocateProducerIds(
    request: AllocateProducerIdsRequest,
    { signal }: CallContext,
  ): Promise<AllocateProducerIdsResponse> {
    // The broker may have registered a moment ago.
    await this.#reception.imageFor(request.context, signal, request.brokerEpoch);
    const event: Order['event'] = () => {
      return {
        kind: 'allocate-producer-ids',
        nodeId: nodeId(request.brokerId),
        brokerEpoch: brokerEpoch(request.brokerEpoch),
      };
    };
    return this.#reception.inTime(`allocating producer ids for broker ${request.brokerId}`, signal, async (limited) => {
      const { steps } = await this.#reception.order({ event, signal: limited });
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
}
