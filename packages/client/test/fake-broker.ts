/** A small broker in memory: enough of the rules to judge a client by (P1, P2, E1), and faults on request. */
import { assert, TributaryError } from '@tributary/model';
import { decodeBatch, maxTimestampOf, nextOffsetOf, producerIdOf } from '@tributary/record';
import {
  type AbortedRange,
  Acks,
  type CreateTopicRequest,
  type DescribeTopicRequest,
  type ErrorCode,
  type FetchedPartition,
  type FetchRequest,
  type GetMetadataRequest,
  type ListOffsetsRequest,
  methods,
  OffsetSpec,
  type ProduceBatch,
  type ProduceRequest,
  type ProduceResult,
} from '@tributary/wire';
import type { FakeNetwork, FakeServer } from './fake-network.ts';
import { FakePartition, type ProduceFault } from './fake-partition.ts';

export interface FakeTopic {
  readonly id: string;
  readonly partitions: readonly FakePartition[];
}

interface Reader {
  readonly generation: number;
  offset: bigint;
  credit: number;
  sent: number;
}

export class FakeCluster {
  readonly network: FakeNetwork;
  readonly topics = new Map<string, FakeTopic>();
  readonly brokers = new Map<number, string>();
  readonly log: string[] = [];
  /** For calls that it does not know itself, by path. */
  readonly answers = new Map<string, (request: never, nodeId: number) => unknown>();
  /** The same of streams. */
  readonly streams = new Map<string, FakeServer['stream']>();
  /** Of what metadata answers tell. */
  revision = 1n;
  /** Brokers that are cut off: they go on telling, and doing, what they last heard. */
  readonly cutOff = new Map<
    number,
    { readonly revision: bigint; readonly leaders: ReadonlyMap<FakePartition, number> }
  >();
  readonly racks = new Map<number, string>();
  /** Followers in the ISR answer readers of their own rack. */
  followersServe = true;
  /** Who served, whenever that changed. */
  readonly readBy: string[] = [];
  /** Refusals name the leader. */
  hints = false;
  /** Decided for each batch as it arrives. */
  produceFault: (topic: string, batch: ProduceBatch, acks: Acks) => ProduceFault | undefined = () => undefined;
  nextProducerId = 1n;
  /** Batches of one producer id and partition that were unanswered at one time. */
  mostInFlight = 0;
  /** Whole batches sent in one frame at most. */
  fetchBytes = 4096;
  /** Bytes of records sent to readers. */
  fetched = 0;
  aborted: AbortedRange[] = [];
  readonly #inFlight = new Map<string, number>();
  #topicIds = 0;
  readonly #wakers = new Set<() => void>();

  constructor(network: FakeNetwork, addresses: readonly string[] = ['broker-1:9095']) {
    this.network = network;
    for (const [index, address] of addresses.entries()) {
      this.brokers.set(index + 1, address);
      network.servers.set(address, this.server(index + 1));
    }
  }

  createTopic(name: string, partitions: number): FakeTopic {
    this.#topicIds++;
    const topic = {
      id: `topic-${this.#topicIds}`.padEnd(22, '_'),
      partitions: Array.from({ length: partitions }, () => new FakePartition()),
    };
    this.topics.set(name, topic);
    return topic;
  }

  /** There are so many from now on. */
  grow(name: string, total: number): void {
    const topic = this.topics.get(name);
    assert(topic !== undefined, 'the test names a topic that is there');
    const added = Array.from({ length: total - topic.partitions.length }, () => new FakePartition());
    this.topics.set(name, { ...topic, partitions: [...topic.partitions, ...added] });
  }

  /** The broker hears nothing more of the cluster. */
  cut(nodeId: number): void {
    const leaders = new Map<FakePartition, number>();
    for (const { partitions } of this.topics.values())
      for (const partition of partitions) leaders.set(partition, partition.leader);
    this.cutOff.set(nodeId, { revision: this.revision, leaders });
  }

  /** Another broker leads from now on. */
  elect(partition: FakePartition, leader: number): void {
    partition.leader = leader;
    partition.epoch++;
    this.revision++;
    this.wake();
  }

  partition(name: string, index: number): FakePartition {
    const partition = this.topics.get(name)?.partitions[index];
    assert(partition !== undefined, 'the test names a partition that is there');
    return partition;
  }

  /** Tells readers that there is something new. */
  wake(): void {
    for (const waker of this.#wakers) waker();
  }

  server(nodeId: number): FakeServer {
    return {
      unary: (path, request) => this.#unary(path, request, nodeId),
      stream: (path, send, fail) => {
        const stream = this.streams.get(path);
        if (stream !== undefined) return stream(path, send, fail);
        return path === methods.produce.path ? this.#produce(send, fail, nodeId) : this.#fetch(send, nodeId);
      },
    };
  }

  #unary(path: string, request: unknown, nodeId: number): unknown {
    this.log.push(path.slice(path.lastIndexOf('/') + 1));
    switch (path) {
      case methods.getMetadata.path:
        return this.#metadata(request as GetMetadataRequest, nodeId);
      case methods.initProducerId.path:
        return { throttleMs: 0, producerId: this.nextProducerId++, producerEpoch: 0 };
      case methods.listOffsets.path:
        return this.#listOffsets(request as ListOffsetsRequest, nodeId);
      case methods.createTopic.path: {
        const { name, partitions } = request as CreateTopicRequest;
        if (this.topics.has(name)) throw new TributaryError('TOPIC_ALREADY_EXISTS', `Topic "${name}" exists.`);
        const topic = this.createTopic(name, partitions || 1);
        return {
          throttleMs: 0,
          revision: 7n,
          topicId: topic.id,
          partitions: topic.partitions.length,
          replicationFactor: 1,
        };
      }
      case methods.listTopics.path: {
        const topics = [...this.topics].map(([name, { id, partitions }]) => ({
          name,
          topicId: id,
          partitions: partitions.length,
          replicationFactor: 1,
          internal: false,
        }));
        return { throttleMs: 0, topics };
      }
      case methods.describeTopic.path: {
        const { name } = request as DescribeTopicRequest;
        const topic = this.topics.get(name);
        if (topic === undefined) throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic "${name}".`);
        const summary = {
          name,
          topicId: topic.id,
          partitions: topic.partitions.length,
          replicationFactor: 1,
          internal: false,
        };
        return { throttleMs: 0, topic: summary, configs: [], partitions: [] };
      }
      case methods.deleteTopic.path: {
        const { name } = request as DescribeTopicRequest;
        const topic = this.topics.get(name);
        if (topic === undefined) throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic "${name}".`);
        this.topics.delete(name);
        return { throttleMs: 0, revision: 8n, topicId: topic.id };
      }
      default: {
        const answer = this.answers.get(path);
        if (answer !== undefined) return answer(request as never, nodeId);
        throw new TributaryError('UNSUPPORTED_VERSION', path);
      }
    }
  }

  #metadata(request: GetMetadataRequest, asked: number): unknown {
    const old = this.cutOff.get(asked);
    const named = request.topicIds.flatMap((id) => [...this.topics].find(([, topic]) => topic.id === id)?.[0] ?? []);
    const topics = [...request.topics, ...named];
    return {
      throttleMs: 0,
      clusterId: 'cluster_______________',
      revision: old?.revision ?? this.revision,
      controllerId: 1,
      brokers: [...this.brokers].map(([nodeId, address]) => ({
        nodeId,
        address,
        host: '',
        rack: this.racks.get(nodeId) ?? '',
      })),
      topics: topics.map((name) => {
        const topic = this.topics.get(name);
        if (topic === undefined) return { name, topicId: '', errorCode: 3, errorMessage: '', partitions: [] };
        return {
          name,
          topicId: topic.id,
          errorCode: 0,
          errorMessage: '',
          partitions: topic.partitions.map((each, partition) => {
            const before = old?.leaders.get(each);
            const leader = before ?? each.leader;
            const epoch = before === undefined || before === each.leader ? each.epoch : each.epoch - 1;
            return {
              partition,
              errorCode: 0,
              errorMessage: '',
              leaderId: leader,
              leaderEpoch: epoch,
              replicas: [],
              isr: each.isr,
              eligibleLeaderReplicas: [],
            };
          }),
        };
      }),
    };
  }

  #find(
    topicId: string,
    index: number,
    nodeId: number,
    leaderEpoch: number,
  ): { name: string; partition: FakePartition } {
    for (const [name, topic] of this.topics) {
      const partition = topic.partitions[index];
      if (topic.id !== topicId || partition === undefined) continue;
      const cutOff = this.cutOff.get(nodeId);
      if (cutOff?.leaders.get(partition) === nodeId && partition.leader !== nodeId)
        return { name, partition: this.#deposed(partition) };
      if (partition.leader !== nodeId) throw new TributaryError('NOT_LEADER_OR_FOLLOWER', `${partition.leader} leads`);
      if (leaderEpoch < partition.epoch) throw new TributaryError('FENCED_LEADER_EPOCH', `epoch ${partition.epoch}`);
      if (leaderEpoch > partition.epoch) throw new TributaryError('UNKNOWN_LEADER_EPOCH', `epoch ${partition.epoch}`);
      return { name, partition };
    }
    throw new TributaryError('UNKNOWN_TOPIC_ID', 'no such topic');
  }

  /** What a leader that has not heard of its successor has: a copy that takes records nobody else will ever have. */
  #deposed(partition: FakePartition): FakePartition {
    let copy = this.#copies.get(partition);
    if (copy === undefined) {
      copy = new FakePartition();
      copy.end = partition.end;
      this.#copies.set(partition, copy);
    }
    return copy;
  }

  readonly #copies = new Map<FakePartition, FakePartition>();

  #listOffsets({ partitions }: ListOffsetsRequest, nodeId: number): unknown {
    const listed = partitions.map(({ topicId, partition: index, leaderEpoch, spec, timestampMs }) => {
      const answer = { topicId, partition: index, errorCode: 0, errorMessage: '', timestampMs: -1n, leaderEpoch };
      try {
        const { partition } = this.#find(topicId, index, nodeId, leaderEpoch);
        if (spec === OffsetSpec.EARLIEST) return { ...answer, offset: partition.start };
        if (spec === OffsetSpec.LATEST) return { ...answer, offset: partition.end };
        const batch = partition.batches.find((bytes) => maxTimestampOf(bytes, 0) >= Number(timestampMs));
        const record =
          batch === undefined
            ? undefined
            : decodeBatch(batch).records.find(({ timestamp }) => timestamp >= Number(timestampMs));
        return { ...answer, offset: record?.offset ?? -1n, timestampMs: BigInt(record?.timestamp ?? -1) };
      } catch (thrown) {
        const error = TributaryError.from(thrown);
        return { ...answer, offset: -1n, errorCode: error.code, errorMessage: error.message };
      }
    });
    return { throttleMs: 0, partitions: listed };
  }

  #produce(
    send: (message: unknown) => void,
    fail: (error: TributaryError) => void,
    nodeId: number,
  ): { message(message: unknown): void; over(): void } {
    // By correlation id.
    const mine = new Map<number, string>();
    const settled = (correlationId: number): void => {
      const key = mine.get(correlationId);
      if (key !== undefined && mine.delete(correlationId)) this.#inFlight.set(key, (this.#inFlight.get(key) ?? 1) - 1);
    };
    return {
      over: () => {
        for (const correlationId of [...mine.keys()]) settled(correlationId);
      },
      message: (message) => {
        const request = message as ProduceRequest;
        const results: ProduceResult[] = [];
        for (const batch of request.batches) {
          const key = `${batch.topicId}/${batch.partition}/${producerIdOf(batch.records, 0)}`;
          if (request.acks !== Acks.NONE) {
            mine.set(batch.correlationId, key);
            this.#inFlight.set(key, (this.#inFlight.get(key) ?? 0) + 1);
            this.mostInFlight = Math.max(this.mostInFlight, this.#inFlight.get(key) ?? 0);
          }
          const result = this.#take(batch, nodeId, request.acks);
          if (result === 'swallowed') continue;
          if (result === 'broken') {
            fail(new TributaryError('NETWORK_EXCEPTION', 'the broker broke the connection'));
            return;
          }
          results.push(result);
        }
        this.wake();
        if (request.acks === Acks.NONE || results.length === 0) return;
        // Answers of a broker take a moment: what a client has in flight is seen meanwhile.
        this.network.clock.after(0.5, () => {
          for (const { correlationId } of results) settled(correlationId);
          send({ throttleMs: 0, results });
        });
      },
    };
  }

  #take(batch: ProduceBatch, nodeId: number, acks: Acks): ProduceResult | 'swallowed' | 'broken' {
    const leader = this.hints ? this.#leaderOf(batch.topicId, batch.partition) : undefined;
    const failed = (error: TributaryError): ProduceResult => ({
      ...{ correlationId: batch.correlationId, errorCode: error.code as ErrorCode, errorMessage: error.message },
      ...{ baseOffset: -1n, logAppendTimeMs: -1n, logStartOffset: -1n },
      ...{ leaderId: leader?.leader ?? 0, leaderEpoch: leader?.epoch ?? 0 },
    });
    try {
      const { name, partition } = this.#find(batch.topicId, batch.partition, nodeId, batch.leaderEpoch);
      const fault = this.produceFault(name, batch, acks);
      switch (fault?.kind) {
        case 'refuse':
          throw new TributaryError(fault.error, 'on request of the test');
        case 'break':
          return 'broken';
        case 'swallow':
          return 'swallowed';
        case 'append-and-refuse':
          partition.take(batch.records);
          throw new TributaryError(fault.error, 'on request of the test');
        case 'append-and-break':
          partition.take(batch.records);
          return 'broken';
        case undefined:
          break;
      }
      const baseOffset = partition.take(batch.records);
      return {
        ...failed(new TributaryError('UNKNOWN_SERVER_ERROR', '')),
        errorCode: 0,
        errorMessage: '',
        baseOffset,
        logStartOffset: 0n,
      };
    } catch (thrown) {
      return failed(TributaryError.from(thrown));
    }
  }

  #leaderOf(topicId: string, index: number): FakePartition | undefined {
    for (const topic of this.topics.values()) if (topic.id === topicId) return topic.partitions[index];
    return undefined;
  }

  #fetch(send: (message: unknown) => void, nodeId: number): { message(message: unknown): void; over(): void } {
    const readers = new Map<
      string,
      Reader & { readonly topicId: string; readonly index: number; readonly leaderEpoch: number }
    >();
    let fromFollower = false;
    const pump = (): void => {
      for (const [key, reader] of readers) {
        try {
          const server = this.#servedBy(reader, nodeId, fromFollower);
          for (let frame = this.#frame(reader, server); frame !== undefined; frame = this.#frame(reader, server)) {
            const who = `${server === nodeId ? 'leader' : 'follower'} ${nodeId}`;
            if (this.readBy.at(-1) !== who) this.readBy.push(who);
            send({ throttleMs: 0, partitions: [frame] });
          }
        } catch (thrown) {
          const error = TributaryError.from(thrown);
          readers.delete(key);
          send({
            throttleMs: 0,
            partitions: [{ ...emptyFrame(reader), errorCode: error.code, errorMessage: error.message }],
          });
        }
      }
    };
    this.#wakers.add(pump);
    return {
      over: () => this.#wakers.delete(pump),
      message: (message) => {
        const request = message as FetchRequest;
        fromFollower ||= request.fromFollower;
        for (const { topicId, partition } of request.close) readers.delete(`${topicId}/${partition}`);
        for (const { topicId, partition, generation, offset: from, leaderEpoch, creditLimit } of request.open) {
          readers.set(`${topicId}/${partition}`, {
            topicId,
            index: partition,
            generation,
            offset: from,
            leaderEpoch,
            credit: Number(creditLimit),
            sent: 0,
          });
        }
        for (const { topicId, partition, generation, creditLimit } of request.credit) {
          const reader = readers.get(`${topicId}/${partition}`);
          if (reader?.generation === generation) reader.credit = Math.max(reader.credit, Number(creditLimit));
        }
        pump();
      },
    };
  }

  #servedBy({ topicId, index }: { topicId: string; index: number }, nodeId: number, fromFollower: boolean): number {
    const partition = this.#leaderOf(topicId, index);
    const serves = fromFollower && this.followersServe && partition?.isr.includes(nodeId) === true;
    return serves ? partition.leader : nodeId;
  }

  #frame(
    reader: Reader & { topicId: string; index: number; leaderEpoch: number },
    nodeId: number,
  ): FetchedPartition | undefined {
    const { partition } = this.#find(reader.topicId, reader.index, nodeId, reader.leaderEpoch);
    if (reader.offset < partition.start || reader.offset > partition.end) {
      throw new TributaryError(
        'OFFSET_OUT_OF_RANGE',
        `Offset ${reader.offset} is not in ${partition.start} … ${partition.end}.`,
      );
    }
    const chosen: Uint8Array[] = [];
    let bytes = 0;
    for (const batch of partition.batches) {
      if (nextOffsetOf(batch, 0) <= reader.offset) continue;
      if (reader.sent + bytes + batch.length > reader.credit) {
        if (chosen.length > 0) break;
        const needed = reader.sent + batch.length;
        const said = this.#needs.get(reader);
        this.#needs.set(reader, reader.credit);
        return said === reader.credit ? undefined : { ...emptyFrame(reader), creditNeeded: BigInt(needed) };
      }
      if (chosen.length > 0 && bytes + batch.length > this.fetchBytes) break;
      chosen.push(batch);
      bytes += batch.length;
    }
    const last = chosen.at(-1);
    if (last === undefined) return undefined;
    reader.sent += bytes;
    this.fetched += bytes;
    reader.offset = nextOffsetOf(last, 0);
    return {
      ...emptyFrame(reader),
      highWatermark: partition.end,
      aborted: this.aborted,
      records: Buffer.concat(chosen),
    };
  }

  readonly #needs = new WeakMap<Reader, number>();
}

const emptyFrame = (reader: { topicId: string; index: number; generation: number }): FetchedPartition => ({
  ...{ topicId: reader.topicId, partition: reader.index, generation: reader.generation, errorCode: 0 },
  ...{
    errorMessage: '',
    highWatermark: -1n,
    lastStableOffset: -1n,
    logStartOffset: -1n,
    localLogStartOffset: -1n,
    aborted: [],
  },
  ...{ records: new Uint8Array(0), leaderId: 0, leaderEpoch: 0, creditNeeded: 0n },
});
