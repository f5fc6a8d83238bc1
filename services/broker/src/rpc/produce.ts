/**
 * LogService.Produce: pipelined, ordered per partition, each batch answered by its correlation id; ACKS_NONE is not answered (P5). What another broker
 * leads is passed on to it (F1), unless it has been passed on before.
 *
 * Errors of a batch travel in its answer: CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE,
 * MESSAGE_TOO_LARGE, UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_ENOUGH_REPLICAS,
 * REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, UNKNOWN_PRODUCER_ID, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
 * THROTTLING_QUOTA_EXCEEDED, BROKER_NOT_AVAILABLE; of internal topics (G1) INVALID_TOPIC_EXCEPTION, PRODUCER_FENCED, INVALID_REQUIRED_ACKS, and
 * INVALID_REQUEST about a writer epoch. The stream ends with
 * INCONSISTENT_CLUSTER_ID, INVALID_REQUIRED_ACKS or INVALID_REQUEST.
 */
import { limits, millis, TributaryError } from '@tributary/model';
import type { CallContext, CallMemory, Clock, Stream } from '@tributary/ports';
import { checkBatch, isTransactionalBatch } from '@tributary/record';
import {
  Acks,
  type ErrorCode,
  type ProduceBatch,
  type ProduceRequest,
  type ProduceResponse,
  type ProduceResult,
  type RequestContext,
} from '@tributary/wire';
import type { Acks as PartitionAcks } from '../partition/partition-state.ts';
import type { ProduceOutcome } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from './context.ts';
import { ForwardedProduce } from './forward-produce.ts';
import { isForwarded, type Neighbours, otherEpoch } from './neighbours.ts';

const acksOf = (acks: Acks): PartitionAcks => {
  switch (acks) {
    case Acks.NONE:
      return 'none';
    case Acks.LEADER:
      return 'leader';
    case Acks.ALL:
      return 'all';
    case Acks.UNSPECIFIED:
      throw new TributaryError(
        'INVALID_REQUIRED_ACKS',
        'A produce request names no acks: say ACKS_NONE, ACKS_LEADER or ACKS_ALL.',
      );
  }
};

/** Called with what each batch's wait for its acknowledgement took. */
export interface ProduceObserver {
  produced(bytes: number, records: number): void;
  refused(error: TributaryError): void;
  answered(ms: number): void;
}

export interface ProduceParts {
  readonly replicas: Replicas;
  readonly neighbours: Neighbours;
  readonly clock: Clock;
  readonly observer: ProduceObserver;
}

export function produceHandler(parts: ProduceParts) {
  return async (stream: Stream<ProduceResponse, ProduceRequest>, context: CallContext): Promise<void> => {
    const session = new ProduceSession(stream, parts, context.memory);
    let first = true;
    try {
      for await (const request of stream) {
        if (first) {
          checkCluster(request.context, parts.replicas.clusterId);
          session.begin(request.context, context.peer);
        }
        first = false;
        session.handle(request);
        if (session.unansweredBytes > limits.unansweredBytesPerStream) await session.relieved(context.signal);
        // What will be answered is bounded by what is not answered yet.
        const room = request.acks === Acks.NONE ? session.room() : undefined;
        if (room !== undefined) await room;
      }
      await session.drained(context.signal);
      await session.end(context.signal);
    } finally {
      session.close();
    }
  };
}

class ProduceSession {
  unansweredBytes = 0;
  readonly #stream: Stream<ProduceResponse, ProduceRequest>;
  readonly #parts: ProduceParts;
  readonly #memory: CallMemory | undefined;
  /** Ways to other brokers; undefined: the requests have been forwarded once. */
  #ways: ForwardedProduce | undefined;
  /** What the next answers ask the client to wait, ms. */
  #throttleMs = 0;
  #results: ProduceResult[] = [];
  #scheduled = false;
  #waiting: { readonly below: number; readonly resolve: () => void } | undefined;

  constructor(stream: Stream<ProduceResponse, ProduceRequest>, parts: ProduceParts, memory: CallMemory | undefined) {
    this.#stream = stream;
    this.#parts = parts;
    this.#memory = memory;
  }

  begin(context: RequestContext | undefined, peer: string): void {
    if (!isForwarded(context))
      this.#ways = new ForwardedProduce(this.#parts.neighbours, this.#parts.neighbours.forwarded(context, peer));
  }

  handle(request: ProduceRequest): void {
    if (request.transactionalId !== '')
      throw new TributaryError('INVALID_REQUEST', 'Transactions are not served yet: transactional_id must be empty.');
    const acks = acksOf(request.acks);
    const now = this.#parts.clock.monotonicMs();
    const deadline = now + (request.timeoutMs > 0 ? request.timeoutMs : limits.produceTimeoutMs);
    for (const batch of request.batches) if (!this.#passOn(batch, acks)) this.#append(batch, acks, now, deadline);
    this.#ways?.flush(request.acks, request.timeoutMs);
  }

  /** F1. @returns whether another broker, or nobody, is to append the batch. */
  #passOn(batch: ProduceBatch, acks: PartitionAcks): boolean {
    const { replicas, neighbours } = this.#parts;
    const ways = this.#ways;
    if (ways === undefined) return false;
    const { topicId, partition } = batch;
    const elsewhere = replicas.leads(topicId, partition) ? undefined : neighbours.leaderElsewhere(topicId, partition);
    if (elsewhere === undefined) {
      ways.leaveAll(batch);
      return false;
    }
    const bytes = batch.records.length;
    if (this.#memory?.take(bytes) === false) {
      this.#refuse(batch, acks);
      return true;
    }
    this.unansweredBytes += bytes;
    const failed = (error: TributaryError): void => {
      this.#settled(bytes);
      this.#parts.observer.refused(error);
      if (acks !== 'none') this.#send(this.#result(batch, { kind: 'failed', error }));
    };
    const answered = (result: ProduceResult, throttleMs: number): void => {
      this.#settled(bytes);
      this.#throttleMs = Math.max(this.#throttleMs, throttleMs);
      this.#send(result);
    };
    try {
      const refusal = otherEpoch(`Partition ${batch.partition}`, elsewhere, batch.leaderEpoch);
      if (refusal !== undefined) throw refusal;
      const dropped = (): void => this.#settled(bytes);
      ways.add(elsewhere.to, { batch, answered, failed, dropped }, acks !== 'none');
      // Nobody answers: from here on it is the network's, whose queue is bounded too (see `room`).
      if (acks === 'none') this.#settled(bytes);
    } catch (thrown) {
      failed(TributaryError.from(thrown));
    }
    return true;
  }

  #settled(bytes: number): void {
    this.#memory?.give(bytes);
    this.unansweredBytes -= bytes;
    if (this.#waiting !== undefined && this.unansweredBytes <= this.#waiting.below) this.#waiting.resolve();
  }

  #append(batch: ProduceBatch, acks: PartitionAcks, receivedMs: number, deadlineMs: number): void {
    const bytes = batch.records.length;
    if (this.#memory?.take(bytes) === false) return this.#refuse(batch, acks);
    this.unansweredBytes += bytes;
    const answer = (outcome: ProduceOutcome): void => {
      this.#settled(bytes);
      if (outcome.kind === 'failed') this.#parts.observer.refused(outcome.error);
      if (acks === 'none') return;
      this.#parts.observer.answered(this.#parts.clock.monotonicMs() - receivedMs);
      this.#send(this.#result(batch, outcome));
    };
    try {
      const size = checkBatch(batch.records, 0, bytes, 'producer');
      if (size !== bytes)
        throw new TributaryError(
          'INVALID_RECORD',
          `A produce entry holds ${bytes} bytes, its batch ${size}: exactly one batch is allowed.`,
        );
      if (isTransactionalBatch(batch.records, 0))
        throw new TributaryError(
          'INVALID_RECORD',
          'Transactions are not served yet: a batch may not be transactional.',
        );
      const partition = this.#parts.replicas.find(batch.topicId, batch.partition);
      const { records: sent, leaderEpoch, writerEpoch } = batch;
      const records = partition.produce(sent, leaderEpoch, acks, millis(deadlineMs), answer, writerEpoch);
      if (records > 0) this.#parts.observer.produced(bytes, records);
    } catch (thrown) {
      answer({ kind: 'failed', error: TributaryError.from(thrown) });
    }
  }

  #refuse(batch: ProduceBatch, acks: PartitionAcks): void {
    const error = new TributaryError(
      'THROTTLING_QUOTA_EXCEEDED',
      `This broker has no room for another ${batch.records.length} bytes that wait for the disk: try again in ${limits.throttleMs} ms.`,
    );
    this.#parts.observer.refused(error);
    if (acks === 'none') return;
    this.#throttleMs = Math.max(this.#throttleMs, limits.throttleMs);
    this.#send(this.#result(batch, { kind: 'failed', error }));
  }

  #result(batch: ProduceBatch, outcome: ProduceOutcome): ProduceResult {
    if (outcome.kind === 'appended') {
      return {
        correlationId: batch.correlationId,
        errorCode: 0,
        errorMessage: '',
        baseOffset: outcome.baseOffset,
        logAppendTimeMs: BigInt(outcome.logAppendTimeMs),
        logStartOffset: outcome.logStartOffset,
        leaderId: 0,
        leaderEpoch: 0,
      };
    }
    const leader = outcome.error.refreshMetadata
      ? this.#parts.replicas.leaderOf(batch.topicId, batch.partition)
      : undefined;
    return {
      correlationId: batch.correlationId,
      errorCode: outcome.error.code as ErrorCode,
      errorMessage: outcome.error.message,
      baseOffset: -1n,
      logAppendTimeMs: -1n,
      logStartOffset: -1n,
      leaderId: leader?.id ?? 0,
      leaderEpoch: leader?.epoch ?? 0,
    };
  }

  /** Answers that fall due together leave in one message: a message costs more than a result. */
  #send(result: ProduceResult): void {
    this.#results.push(result);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      const results = this.#results;
      this.#results = [];
      this.#scheduled = false;
      const throttleMs = this.#throttleMs;
      this.#throttleMs = 0;
      this.#stream.send({ throttleMs, results });
    });
  }

  relieved(signal: AbortSignal): Promise<void> {
    return this.#until(limits.unansweredBytesPerStream / 2, signal);
  }

  /** Resolves when other brokers take more; undefined: they do now. */
  room(): Promise<unknown> | undefined {
    return this.#ways?.room();
  }

  /** What was passed on has arrived, as far as anybody can say. */
  async end(signal: AbortSignal): Promise<void> {
    await this.#ways?.end((ms) => this.#parts.clock.sleep(ms, signal).catch(() => undefined));
  }

  close(): void {
    this.#ways?.close();
  }

  /** The client has ended its side: what it sent is still answered. */
  drained(signal: AbortSignal): Promise<void> {
    return this.#until(0, signal);
  }

  async #until(below: number, signal: AbortSignal): Promise<void> {
    if (this.unansweredBytes <= below || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting = { below, resolve };
    const over = (): void => resolve();
    signal.addEventListener('abort', over, { once: true });
    await promise;
    // A stream may wait a million times in its life.
    signal.removeEventListener('abort', over);
    this.#waiting = undefined;
  }
}
