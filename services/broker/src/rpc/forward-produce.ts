/**
 * Produce for partitions that other brokers lead (F1): one ordered stream to each of them per stream of a client. Batches go on as they came, and answers
 * back as they came. A partition's batches stay on the way that its unanswered ones have taken; when its leader changes those are answered first, in doubt,
 * and the next ones take the new way. What is unanswered is counted where the client's stream is.
 */
import { limits, type NodeId, TributaryError } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { Stream } from '@tributary/ports';
import {
  type Acks,
  methods,
  type ProduceBatch,
  type ProduceRequest,
  type ProduceResponse,
  type ProduceResult,
  type RequestContext,
} from '@tributary/wire';
import { type InUse, type Neighbours, unanswered } from './neighbours.ts';

/** A batch of which nobody has yet said what became of it. */
interface Pending {
  readonly batch: ProduceBatch;
  readonly answered: (result: ProduceResult, throttleMs: number) => void;
  readonly failed: (error: TributaryError) => void;
  /** Nobody will say: the client's stream is over. */
  readonly dropped: () => void;
}

/** All ways of one client's stream. */
export class ForwardedProduce {
  readonly #neighbours: Neighbours;
  readonly #context: RequestContext;
  readonly #ways = new Map<NodeId, Way>();
  readonly #stopping = new AbortController();

  /** @param context that the others are given. */
  constructor(neighbours: Neighbours, context: RequestContext) {
    this.#neighbours = neighbours;
    this.#context = context;
  }

  /** Puts the batch into the message that `flush` sends there. @throws TributaryError BROKER_NOT_AVAILABLE. */
  add(to: NodeId, pending: Pending, isAnswered: boolean): void {
    for (const other of this.#ways.values()) if (other.to !== to) other.leave(pending.batch);
    let way = this.#ways.get(to);
    if (way === undefined || way.isOver) {
      way = new Way(to, this.#neighbours, this.#context, this.#stopping.signal);
      this.#ways.set(to, way);
    }
    way.add(pending, isAnswered);
  }

  /** The batch's partition is led here now. */
  leaveAll(batch: ProduceBatch): void {
    for (const way of this.#ways.values()) way.leave(batch);
  }

  flush(acks: Acks, timeoutMs: number): void {
    for (const way of this.#ways.values()) way.flush(acks, timeoutMs);
  }

  /** Resolves when every way takes more: undefined if all do. */
  room(): Promise<unknown> | undefined {
    const full = [...this.#ways.values()].filter((way) => way.isFull);
    return full.length === 0 ? undefined : Promise.all(full.map((way) => way.writable()));
  }

  /** The client has ended its side, and all is answered that will be: the others have had everything once they end theirs. */
  async end(sleep: (ms: number) => Promise<void>): Promise<void> {
    const ending = [...this.#ways.values()].map((way) => way.end());
    if (ending.length > 0) await Promise.race([Promise.all(ending), sleep(limits.forwardEndMs)]);
  }

  /** Nobody waits for answers any more. */
  close(): void {
    this.#stopping.abort(new Error('The stream of the client is over.'));
    for (const way of this.#ways.values()) way.close();
  }
}

/** Correlation ids are the client's own; these are unique on the way even where a client's are not. */
const correlationIds = 2 ** 32;

class Way {
  readonly to: NodeId;
  readonly #neighbours: Neighbours;
  readonly #context: RequestContext;
  readonly #used: InUse;
  readonly #stream: Stream<ProduceRequest, ProduceResponse>;
  readonly #pending = new Map<number, Pending>();
  readonly #over = new AbortController();
  readonly #reading: Promise<void>;
  #batches: ProduceBatch[] = [];
  #next = 0;
  #first = true;

  constructor(to: NodeId, neighbours: Neighbours, context: RequestContext, signal: AbortSignal) {
    this.to = to;
    this.#neighbours = neighbours;
    this.#context = context;
    this.#used = neighbours.use(to);
    this.#stream = this.#used.peer.stream(methods.produce, signal);
    this.#reading = this.#read();
    void this.#followLeaders();
  }

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  get isFull(): boolean {
    return !this.isOver && this.#stream.queuedBytes >= limits.streamQueue;
  }

  writable(): Promise<void> {
    return this.#stream.writable();
  }

  add(pending: Pending, isAnswered: boolean): void {
    const correlationId = this.#next;
    this.#next = (correlationId + 1) % correlationIds;
    if (isAnswered) this.#pending.set(correlationId, pending);
    this.#batches.push({ ...pending.batch, correlationId });
  }

  flush(acks: Acks, timeoutMs: number): void {
    if (this.#batches.length === 0) return;
    const batches = this.#batches;
    this.#batches = [];
    const context = this.#first ? this.#context : undefined;
    this.#first = false;
    this.#stream.send({ context, acks, timeoutMs, transactionalId: '', batches });
  }

  /** Answers here about the batch's partition are not waited for: another broker gets its next batches. */
  leave({ topicId, partition }: ProduceBatch): void {
    if (this.#pending.size > 0) this.#leave((batch) => batch.topicId === topicId && batch.partition === partition);
  }

  end(): Promise<void> {
    this.#stream.end();
    return this.#reading;
  }

  close(): void {
    this.#over.abort();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#stream.cancel();
    for (const { dropped } of pending) dropped();
  }

  async #read(): Promise<void> {
    let error: TributaryError;
    try {
      for await (const { throttleMs, results } of this.#stream)
        for (const result of results) this.#answered(result, throttleMs);
      error = new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${this.to} ended the stream.`);
    } catch (thrown) {
      error = unanswered(this.to, thrown);
    }
    this.#over.abort();
    this.#used[Symbol.dispose]();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { failed } of pending) failed(error);
  }

  #answered(result: ProduceResult, throttleMs: number): void {
    const pending = this.#pending.get(result.correlationId);
    if (pending === undefined) return;
    this.#pending.delete(result.correlationId);
    pending.answered({ ...result, correlationId: pending.batch.correlationId }, throttleMs);
  }

  /** A leader that is stopped or cut off answers nothing: once another one leads, nobody need wait for it. */
  async #followLeaders(): Promise<void> {
    try {
      for (;;) {
        await this.#neighbours.source.until((image) => this.#isLeft(image), this.#over.signal);
        const image = this.#neighbours.source.current;
        this.#leave((batch) => !this.#leads(image, batch));
      }
    } catch {
      // The way is over, or this broker's picture of the cluster is.
    }
  }

  #isLeft(image: ClusterImage): boolean {
    for (const { batch } of this.#pending.values()) if (!this.#leads(image, batch)) return true;
    return false;
  }

  #leads(image: ClusterImage, { topicId, partition }: ProduceBatch): boolean {
    return this.#neighbours.leaderElsewhere(topicId, partition, image)?.to === this.to;
  }

  #leave(isLeft: (batch: ProduceBatch) => boolean): void {
    for (const [correlationId, { batch, failed }] of this.#pending) {
      if (!isLeft(batch)) continue;
      this.#pending.delete(correlationId);
      failed(
        new TributaryError(
          'NOT_LEADER_OR_FOLLOWER',
          `Broker ${this.to}, to which the batch was passed on, no longer leads: whether it was appended is not known.`,
        ),
      );
    }
  }
}
