/**
 * RecordService.Publish: records in, offsets out, for clients that know nothing of batches. The broker picks partitions (the record's own, the
 * request's, by key as Kafka's clients do, or for keyless records one for the request, in turn), makes the batches and appends them as Produce does.
 * The records of partitions that other brokers lead are passed on to them (F1), and all is answered together. At least once, unless it carries a sequence (P1): then it is one batch of one partition, and its retry is answered as the original was (P2).
 *
 * What is wrong with a record or its partition travels in the record's metadata, and the others go on: INVALID_RECORD, INVALID_TIMESTAMP,
 * MESSAGE_TOO_LARGE, UNKNOWN_TOPIC_OR_PARTITION, and the errors of Produce. After a failed batch nothing more of the same partition is
 * appended, so that what is sent again cannot change the order. The whole call fails with UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_TOPIC_EXCEPTION, INVALID_REQUEST, INVALID_REQUIRED_ACKS, RECORD_LIST_TOO_LARGE, INCONSISTENT_CLUSTER_ID or REQUEST_TIMED_OUT (M4).
 */
import type { ImageSource, TopicInfo } from '@tributary/metadata';
import {
  assert,
  isInternalTopic,
  limits,
  type Millis,
  type NodeId,
  producerEpoch,
  producerId,
  TributaryError,
} from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import { type BatchProducer, partitionOfKey } from '@tributary/record';
import {
  Acks,
  type ErrorCode,
  methods,
  type PublishRecord,
  type PublishRequest,
  type PublishResponse,
  type RecordMetadata,
} from '@tributary/wire';
import { notForClients } from '../partition/fence.ts';
import type { Acks as PartitionAcks } from '../partition/partition-state.ts';
import type { Partition, ProduceOutcome } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import type { Turns } from '../turns.ts';
import { checkCluster } from './context.ts';
import { imageAtLeast } from './least-revision.ts';
import { currentEpoch, deadlineAfter, isMine, ledPartition, topicByName } from './named-topic.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import type { ProduceObserver } from './produce.ts';
import { builtBatches, type BuiltBatch } from './publish-batches.ts';

export interface PublishParts {
  readonly replicas: Replicas;
  readonly neighbours: Neighbours;
  readonly source: ImageSource;
  readonly clock: Clock;
  readonly turns: Turns;
  readonly observer: ProduceObserver;
}

export function publishHandler(parts: PublishParts) {
  /** Of each topic, as metadata has it now: the partition that the next request's keyless records begin to look at. */
  const turns = new WeakMap<TopicInfo, number>();
  return async (request: PublishRequest, context: CallContext): Promise<PublishResponse> => {
    const { replicas, source, clock } = parts;
    checkCluster(request.context, replicas.clusterId);
    if (request.records.length === 0)
      throw new TributaryError('INVALID_REQUEST', 'A Publish without records does nothing: name at least one.');
    const acks = acksOf(request);
    const deadline = deadlineAfter(clock.monotonicMs(), request.timeoutMs);
    const image = await imageAtLeast(source, clock, request.context?.minRevision ?? 0n, context.signal);
    const topic = topicByName(image, request.topic);
    // Its leaders would refuse each record (G1).
    if (isInternalTopic(topic.name)) throw notForClients(topic.name);
    const keyless = (): number => {
      const turn = turns.get(topic) ?? 0;
      const chosen = nextLed(parts, topic, turn);
      turns.set(topic, chosen + 1);
      return chosen;
    };
    const publication = new Publication(parts, request, topic, { acks, deadline, producer: producerOf(request, acks) });
    const byPartition = [...placed(request, topic, keyless)];
    await publication.appendAll(byPartition, context);
    return { throttleMs: 0, topicId: topic.topicId, records: await publication.outcome() };
  };
}

function acksOf({ acks }: PublishRequest): PartitionAcks {
  switch (acks) {
    case Acks.UNSPECIFIED:
    case Acks.ALL:
      return 'all';
    case Acks.LEADER:
      return 'leader';
    case Acks.NONE:
      return 'none';
    default:
      throw new TributaryError(
        'INVALID_REQUIRED_ACKS',
        `acks is ${String(acks)}: say ACKS_NONE, ACKS_LEADER or ACKS_ALL.`,
      );
  }
}

const int16Max = 2 ** 15 - 1;

/** @throws TributaryError INVALID_REQUEST, INVALID_REQUIRED_ACKS. */
function producerOf(request: PublishRequest, acks: PartitionAcks): BatchProducer | undefined {
  const { sequence, records, partition } = request;
  if (sequence === undefined) return undefined;
  const { producerId: id, producerEpoch: epoch, firstSequence: baseSequence } = sequence;
  if (id < 0n || epoch < 0 || epoch > int16Max || baseSequence < 0) {
    throw new TributaryError(
      'INVALID_REQUEST',
      `A sequence has a producer id, an epoch (at most ${int16Max}) and a first sequence, none of them negative; got ${id}, ${epoch} and ${baseSequence}.`,
    );
  }
  if (acks !== 'all')
    throw new TributaryError(
      'INVALID_REQUIRED_ACKS',
      'A Publish with a sequence needs ACKS_ALL: idempotence holds for it only.',
    );
  const named = records[0]?.partition ?? partition;
  if (named === undefined || records.some((record) => (record.partition ?? partition) !== named)) {
    throw new TributaryError(
      'INVALID_REQUEST',
      'A Publish with a sequence is one batch of one partition: name it for all records (its retry must go there too).',
    );
  }
  return { id: producerId(id), epoch: producerEpoch(epoch), baseSequence };
}

/** Indices of the records by partition, in the order of the request. */
function placed(
  request: PublishRequest,
  topic: TopicInfo,
  keyless: () => number,
): ReadonlyMap<number, readonly number[]> {
  const byPartition = new Map<number, number[]>();
  let together: number | undefined;
  for (const [index, record] of request.records.entries()) {
    let partition = record.partition ?? request.partition;
    if (partition === undefined && record.key !== undefined) partition = partitionOfKey(record.key, topic.partitions);
    partition ??= together ??= keyless();
    const indices = byPartition.get(partition);
    if (indices === undefined) byPartition.set(partition, [index]);
    else indices.push(index);
  }
  return byPartition;
}

/** The first partition from `turn` on, round in a ring, that this broker leads; where it leads none, the one whose turn it is. */
function nextLed(parts: PublishParts, topic: TopicInfo, turn: number): number {
  for (let step = 0; step < topic.partitions; step++) {
    const index = (turn + step) % topic.partitions;
    if (isMine(parts, topic.topicId, index)) return index;
  }
  return turn % topic.partitions;
}

interface PublishOptions {
  readonly acks: PartitionAcks;
  readonly deadline: Millis;
  readonly producer: BatchProducer | undefined;
}

/** One request on its way. */
class Publication {
  readonly #parts: PublishParts;
  readonly #request: PublishRequest;
  readonly #topic: TopicInfo;
  readonly #options: PublishOptions;
  readonly #receivedMs: number;
  /** undefined: not yet answered. */
  readonly #metadata: (RecordMetadata | undefined)[];
  /** 1: in a batch, or refused. */
  readonly #handled: Uint8Array;
  readonly #nowMs: number;
  readonly #partitionOf: Int32Array;
  #unanswered = 0;
  #answered: (() => void) | undefined;

  constructor(parts: PublishParts, request: PublishRequest, topic: TopicInfo, options: PublishOptions) {
    this.#parts = parts;
    this.#request = request;
    this.#topic = topic;
    this.#options = options;
    this.#receivedMs = parts.clock.monotonicMs();
    this.#nowMs = parts.clock.wallMs();
    this.#metadata = request.records.map(() => undefined);
    this.#handled = new Uint8Array(request.records.length);
    this.#partitionOf = new Int32Array(request.records.length);
  }

  /** Appends the records here, or passes them on; when it resolves those that are here may still wait for their acknowledgement. Never rejects. */
  async appendAll(byPartition: readonly (readonly [number, readonly number[]])[], context: CallContext): Promise<void> {
    const elsewhere = new Map<NodeId, number[]>();
    const working: Promise<void>[] = [];
    for (const [index, records] of byPartition) {
      const to = isForwarded(this.#request.context)
        ? undefined
        : this.#parts.neighbours.leaderElsewhere(this.#topic.topicId, index)?.to;
      if (to === undefined) {
        working.push(this.#append(index, records, context.signal));
        continue;
      }
      for (const record of records) this.#partitionOf[record] = index;
      elsewhere.set(to, [...(elsewhere.get(to) ?? []), ...records]);
    }
    for (const [to, records] of elsewhere) working.push(this.#passOn(to, records, context));
    await Promise.all(working);
  }

  /** F1. Never rejects. */
  async #passOn(to: NodeId, indices: readonly number[], context: CallContext): Promise<void> {
    const { clock, neighbours, observer } = this.#parts;
    const records: PublishRecord[] = [];
    for (const index of indices) {
      const record = this.#request.records[index];
      if (record !== undefined) records.push({ ...record, partition: this.#partitionOf[index] });
    }
    const timeoutMs = Math.max(1, Math.ceil(this.#options.deadline - clock.monotonicMs()));
    // The leader answers within its time; what may pass on the way comes on top.
    const deadlineMs = timeoutMs + limits.internalCallMs;
    try {
      const request = { ...this.#request, records, timeoutMs };
      const answer = await neighbours.forward(to, methods.publish, request, context, deadlineMs);
      for (const [place, index] of indices.entries()) {
        const metadata = answer.records[place];
        if (metadata === undefined)
          throw new TributaryError(
            'UNKNOWN_SERVER_ERROR',
            `Broker ${to} answered about ${answer.records.length} of ${indices.length} records.`,
          );
        this.#handled[index] = 1;
        this.#metadata[index] = metadata;
      }
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      observer.refused(error);
      for (const index of indices) this.#fail(index, this.#partitionOf[index] ?? -1, error);
    }
  }

  /** Appends the records of one partition; when it resolves they may still wait for their acknowledgement. Never rejects. */
  async #append(index: number, records: readonly number[], signal: AbortSignal): Promise<void> {
    const { observer } = this.#parts;
    try {
      const partition = await ledPartition(this.#parts, this.#topic.topicId, index, signal);
      await this.#appendAll(partition, index, records);
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      observer.refused(error);
      for (const record of records) if (this.#handled[record] === 0) this.#fail(record, index, error);
    }
  }

  /** @throws TributaryError why the records that are not handled yet cannot be appended. */
  async #appendAll(partition: Partition, index: number, records: readonly number[]): Promise<void> {
    const { turns, observer } = this.#parts;
    const { config, name } = partition.state;
    const rules = { name, config, nowMs: this.#nowMs, producer: this.#options.producer };
    const batches = builtBatches(this.#request.records, records, rules, (record, error) => {
      observer.refused(error);
      this.#fail(record, index, error);
    });
    let failed: TributaryError | undefined;
    const appendNext = (): number => {
      const { value: batch } = batches.next();
      if (batch === undefined) return 0;
      this.#produce(partition, index, batch, (error) => (failed = error));
      return batch.bytes.length;
    };
    // Few requests have a second batch, and the others need not wait for them.
    let size = appendNext();
    while (size > 0) {
      if (failed !== undefined) throw failed;
      await turns.run(() => (size = appendNext()));
    }
  }

  #produce(partition: Partition, index: number, batch: BuiltBatch, onFailure: (error: TributaryError) => void): void {
    const { acks, deadline } = this.#options;
    const { observer } = this.#parts;
    const bytes = batch.bytes.length;
    for (const record of batch.indices) {
      this.#handled[record] = 1;
      this.#partitionOf[record] = index;
    }
    this.#unanswered++;
    const answer = (outcome: ProduceOutcome): void => {
      this.#unanswered--;
      if (outcome.kind === 'failed') {
        observer.refused(outcome.error);
        onFailure(outcome.error);
      }
      this.#answer(index, batch.indices, outcome);
      if (this.#unanswered === 0) this.#answered?.();
    };
    const appended = partition.produce(batch.bytes, currentEpoch(partition), acks, deadline, answer);
    if (appended > 0) observer.produced(bytes, appended);
  }

  #answer(partition: number, indices: readonly number[], outcome: ProduceOutcome): void {
    if (outcome.kind === 'failed') {
      for (const index of indices) this.#fail(index, partition, outcome.error);
      return;
    }
    const { baseOffset, logAppendTimeMs } = outcome;
    let offset: bigint = baseOffset;
    for (const index of indices) {
      const timestampMs =
        logAppendTimeMs >= 0
          ? BigInt(logAppendTimeMs)
          : (this.#request.records[index]?.timestampMs ?? BigInt(this.#nowMs));
      this.#metadata[index] = { partition, offset, timestampMs, errorCode: 0, errorMessage: '' };
      offset += 1n;
    }
  }

  #fail(index: number, partition: number, error: TributaryError): void {
    this.#handled[index] = 1;
    this.#metadata[index] = {
      partition,
      offset: -1n,
      timestampMs: -1n,
      errorCode: error.code as ErrorCode,
      errorMessage: error.message,
    };
  }

  /** What became of each record, once it is known; with ACKS_NONE what is known now (P5). */
  async outcome(): Promise<RecordMetadata[]> {
    if (this.#options.acks !== 'none' && this.#unanswered > 0) {
      await new Promise<void>((resolve) => {
        this.#answered = resolve;
      });
    }
    if (this.#options.acks !== 'none')
      this.#parts.observer.answered(this.#parts.clock.monotonicMs() - this.#receivedMs);
    return this.#metadata.map((known, index) => this.#known(known, index));
  }

  #known(metadata: RecordMetadata | undefined, index: number): RecordMetadata {
    if (this.#options.acks !== 'none' || (metadata !== undefined && metadata.errorCode !== 0)) {
      assert(metadata !== undefined, `record ${index} of a Publish was not answered`);
      return metadata;
    }
    const timestampMs = this.#request.records[index]?.timestampMs ?? BigInt(this.#nowMs);
    return { partition: this.#partitionOf[index] ?? -1, offset: -1n, timestampMs, errorCode: 0, errorMessage: '' };
  }
}
