/**
 * LogService.Produce: pipelined, ordered per partition, each batch answered by its correlation id; ACKS_NONE is not answered (P5).
 *
 * Errors of a batch travel in its answer: CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE,
 * MESSAGE_TOO_LARGE, UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_ENOUGH_REPLICAS,
 * REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, UNKNOWN_PRODUCER_ID, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
 * THROTTLING_QUOTA_EXCEEDED. The stream ends with
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
} from '@tributary/wire';
import type { Acks as PartitionAcks } from '../partition/partition-state.ts';
import type { ProduceOutcome } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from './context.ts';

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

export function produceHandler(replicas: Replicas, clock: Clock, observer: ProduceObserver) {
  return async (stream: Stream<ProduceResponse, ProduceRequest>, context: CallContext): Promise<void> => {
    const session = new ProduceSession(stream, replicas, clock, observer, context.memory);
    let first = true;
    for await (const request of stream) {
      if (first) checkCluster(request.context, replicas.clusterId);
      first = false;
      session.handle(request);
      if (session.unansweredBytes > limits.unansweredBytesPerStream) await session.relieved(context.signal);
    }
    await session.drained(context.signal);
  };
}

class ProduceSession {
  unansweredBytes = 0;
  readonly #stream: Stream<ProduceResponse, ProduceRequest>;
  readonly #replicas: Replicas;
  readonly #clock: Clock;
  readonly #observer: ProduceObserver;
  readonly #memory: CallMemory | undefined;
  /** An answer among the next ones says that there was no room. */
  #isThrottled = false;
  #results: ProduceResult[] = [];
  #scheduled = false;
  #waiting: { readonly below: number; readonly resolve: () => void } | undefined;

  constructor(
    stream: Stream<ProduceResponse, ProduceRequest>,
    replicas: Replicas,
    clock: Clock,
    observer: ProduceObserver,
    memory: CallMemory | undefined,
  ) {
    this.#stream = stream;
    this.#replicas = replicas;
    this.#clock = clock;
    this.#observer = observer;
    this.#memory = memory;
  }

  handle(request: ProduceRequest): void {
    if (request.transactionalId !== '')
      throw new TributaryError('INVALID_REQUEST', 'Transactions are not served yet: transactional_id must be empty.');
    const acks = acksOf(request.acks);
    const now = this.#clock.monotonicMs();
    const deadline = now + (request.timeoutMs > 0 ? request.timeoutMs : limits.produceTimeoutMs);
    for (const batch of request.batches) this.#append(batch, acks, now, deadline);
  }

  #append(batch: ProduceBatch, acks: PartitionAcks, receivedMs: number, deadlineMs: number): void {
    const bytes = batch.records.length;
    if (this.#memory?.take(bytes) === false) return this.#refuse(batch, acks);
    this.unansweredBytes += bytes;
    const answer = (outcome: ProduceOutcome): void => {
      this.#memory?.give(bytes);
      this.unansweredBytes -= bytes;
      if (this.#waiting !== undefined && this.unansweredBytes <= this.#waiting.below) this.#waiting.resolve();
      if (outcome.kind === 'failed') this.#observer.refused(outcome.error);
      if (acks === 'none') return;
      this.#observer.answered(this.#clock.monotonicMs() - receivedMs);
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
      const partition = this.#replicas.find(batch.topicId, batch.partition);
      const records = partition.produce(batch.records, batch.leaderEpoch, acks, millis(deadlineMs), answer);
      if (records > 0) this.#observer.produced(bytes, records);
    } catch (thrown) {
      answer({ kind: 'failed', error: TributaryError.from(thrown) });
    }
  }

  #refuse(batch: ProduceBatch, acks: PartitionAcks): void {
    const error = new TributaryError(
      'THROTTLING_QUOTA_EXCEEDED',
      `This broker has no room for another ${batch.records.length} bytes that wait for the disk: try again in ${limits.throttleMs} ms.`,
    );
    this.#observer.refused(error);
    if (acks === 'none') return;
    this.#isThrottled = true;
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
    const leader = outcome.error.refreshMetadata ? this.#replicas.leaderOf(batch.topicId, batch.partition) : undefined;
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
      const throttleMs = this.#isThrottled ? limits.throttleMs : 0;
      this.#isThrottled = false;
      this.#stream.send({ throttleMs, results });
    });
  }

  relieved(signal: AbortSignal): Promise<void> {
    return this.#until(limits.unansweredBytesPerStream / 2, signal);
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
