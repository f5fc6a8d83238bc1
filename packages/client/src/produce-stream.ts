/** One Produce stream to one broker: batches out in coalesced messages, answers in by correlation id. */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { Stream } from '@tributary/ports';
import {
  type Acks,
  methods,
  type ProduceBatch,
  type ProduceRequest,
  type ProduceResponse,
  type ProduceResult,
} from '@tributary/wire';
import type { ProducerBatch } from './batch.ts';
import type { BatchAnswer, PartitionQueue } from './partition-queue.ts';
import type { Route, Routing } from './routing.ts';

interface Flight {
  readonly queue: PartitionQueue;
  readonly batch: ProducerBatch;
  /** On the monotonic clock, ms. */
  readonly sentAt: number;
}

export interface ProduceStreamListener {
  answered(queue: PartitionQueue, batch: ProducerBatch, answer: BatchAnswer, result: ProduceResult): void;
  /** The stream is over; every queue that had something on it is named once. */
  broken(stream: ProduceStream, queues: ReadonlySet<PartitionQueue>, error: TributaryError): void;
  /** Answers of one message have all been told, or there is room again. */
  ready(): void;
}

/** Correlation ids are 32 bits and need to be unique among what is in flight only. */
const correlationIds = 2 ** 32;

export class ProduceStream {
  readonly address: string;
  readonly #stream: Stream<ProduceRequest, ProduceResponse>;
  readonly #routing: Routing;
  readonly #acks: Acks;
  readonly #listener: ProduceStreamListener;
  readonly #flights = new Map<number, Flight>();
  readonly #cancel = new AbortController();
  readonly #reading: Promise<void>;
  #nextCorrelationId = 0;
  #batches: ProduceBatch[] = [];
  #batchBytes = 0;
  #first = true;
  #heard = false;
  #heardAt: number;
  /** On the monotonic clock, ms: when others were last asked who leads. */
  doubtedAt = Number.NEGATIVE_INFINITY;
  #over = false;
  #waitingForRoom = false;
  /** The broker has asked for a pause. */
  #throttled = false;

  constructor(address: string, routing: Routing, acks: Acks, listener: ProduceStreamListener) {
    this.address = address;
    this.#routing = routing;
    this.#acks = acks;
    this.#listener = listener;
    this.#heardAt = routing.ports.clock.monotonicMs();
    this.#stream = routing.connections.peer(address).stream(methods.produce, this.#cancel.signal);
    this.#reading = this.#read();
  }

  /** Something was answered on it: the address is reachable. */
  get heard(): boolean {
    return this.#heard;
  }

  /** The network takes more. When not, `ready` is called once it does. */
  hasRoom(): boolean {
    if (this.#throttled) return false;
    if (this.#stream.queuedBytes + this.#batchBytes < limits.streamQueue) return true;
    if (!this.#waitingForRoom) {
      this.#waitingForRoom = true;
      void this.#waitForRoom();
    }
    return false;
  }

  /** Puts a batch into the message that `flush` sends. @param records stay as they are until the batch is answered. */
  add(
    queue: PartitionQueue,
    batch: ProducerBatch,
    records: Uint8Array,
    route: Route,
    now: number,
    answered: boolean,
  ): void {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = (correlationId + 1) % correlationIds;
    if (answered) this.#flights.set(correlationId, { queue, batch, sentAt: now });
    this.#batches.push({
      correlationId,
      topicId: route.topicId,
      partition: queue.partition,
      leaderEpoch: route.leaderEpoch,
      records,
    });
    this.#batchBytes += records.length;
    if (this.#batchBytes >= limits.produceMessage) this.flush();
  }

  /** Sends what was added. */
  flush(): void {
    if (this.#batches.length === 0) return;
    const context = this.#first ? this.#routing.context : undefined;
    this.#first = false;
    const batches = this.#batches;
    this.#batches = [];
    this.#batchBytes = 0;
    this.#stream.send({
      context,
      acks: this.#acks,
      timeoutMs: this.#routing.options.requestTimeoutMs,
      transactionalId: '',
      batches,
    });
  }

  /** On the monotonic clock, ms: since when the oldest batch is unanswered. */
  get oldestSentAt(): number {
    // Ids are added in order of sending and removed anywhere: the first one left is the oldest.
    for (const { sentAt } of this.#flights.values()) return sentAt;
    return Number.POSITIVE_INFINITY;
  }

  /** On the monotonic clock, ms: when the last answer came, or it was opened. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** On the monotonic clock, ms: since when the queue's oldest batch is unanswered. */
  oldestOf(queue: PartitionQueue): number {
    for (const flight of this.#flights.values()) if (flight.queue === queue) return flight.sentAt;
    return Number.POSITIVE_INFINITY;
  }

  /** Answers about the queue's batches mean nothing any more. */
  release(queue: PartitionQueue): void {
    for (const [correlationId, flight] of this.#flights)
      if (flight.queue === queue) this.#flights.delete(correlationId);
  }

  /** Breaks the stream: everything unanswered on it is in doubt. */
  abandon(error: TributaryError): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.cancel();
    this.#cancel.abort();
    const queues = new Set([...this.#flights.values()].map(({ queue }) => queue));
    this.#flights.clear();
    this.#batches = [];
    this.#batchBytes = 0;
    this.#listener.broken(this, queues, error);
  }

  /** Nothing more will be sent. Resolves when the broker has had everything (nothing else says so with acks=0), within a bounded time. */
  async close(): Promise<void> {
    this.#over = true;
    this.#stream.end();
    const enough = new AbortController();
    const bounded = this.#routing.ports.clock.sleep(limits.closeTimeoutMs, enough.signal).catch(() => undefined);
    await Promise.race([this.#reading, bounded]);
    enough.abort();
    this.#cancel.abort();
  }

  async #read(): Promise<void> {
    try {
      for await (const message of this.#stream) {
        if (!this.#heard) this.#routing.connections.reached(this.address);
        this.#heard = true;
        this.#heardAt = this.#routing.ports.clock.monotonicMs();
        if (message.throttleMs > 0) this.#pause(message.throttleMs);
        for (const result of message.results) this.#take(result);
        this.#listener.ready();
      }
      this.abandon(new TributaryError('NETWORK_EXCEPTION', `${this.address} ended the stream.`));
    } catch (thrown) {
      // A stream breaks with a TributaryError; anything else is a bug here, not to be taken for a broken connection.
      if (!(thrown instanceof TributaryError)) throw thrown;
      this.abandon(thrown);
    }
  }

  #take(result: ProduceResult): void {
    const flight = this.#flights.get(result.correlationId);
    if (flight === undefined) return;
    this.#flights.delete(result.correlationId);
    this.#listener.answered(flight.queue, flight.batch, answerOf(result), result);
  }

  /** Nothing is sent for so long: the broker has no room. */
  #pause(ms: number): void {
    if (this.#throttled) return;
    this.#throttled = true;
    const over = (): void => {
      this.#throttled = false;
      if (!this.#over) this.#listener.ready();
    };
    this.#routing.ports.clock
      .sleep(Math.min(ms, limits.throttleMsMax), this.#cancel.signal)
      .then(over, () => undefined);
  }

  async #waitForRoom(): Promise<void> {
    await this.#stream.writable();
    this.#waitingForRoom = false;
    if (!this.#over) this.#listener.ready();
  }
}

function answerOf(result: ProduceResult): BatchAnswer {
  if (result.errorCode !== 0)
    return { kind: 'refused', error: TributaryError.fromAnswer(result.errorCode, result.errorMessage) };
  const logAppendTimeMs = result.logAppendTimeMs < 0n ? undefined : Number(result.logAppendTimeMs);
  return { kind: 'acknowledged', baseOffset: result.baseOffset as Offset, logAppendTimeMs };
}
