/** One Subscribe on its way: its partitions take turns, a slice of log each, within one credit and one bound on what is on its way (E1). */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { Stream } from '@tributary/ports';
import {
  encodeOnce,
  type ErrorCode,
  type GroupAssignment,
  type SubscribedRecords,
  type SubscribeRequest,
  type SubscribeResponse,
} from '@tributary/wire';
import type { Slice } from '../partition/partition.ts';
import type { Turns } from '../turns.ts';
import type { FetchObserver } from './fetch.ts';
import type { LeaderParts } from './named-topic.ts';
import { OpenSlice, type Taken } from './open-slice.ts';
import type { ReadElsewhere } from './read-elsewhere.ts';
import type { SharedChunks } from './shared-chunks.ts';
import type { SourceParts, SubscribedPartition } from './subscribed-partition.ts';

export interface SubscriptionParts extends LeaderParts {
  readonly turns: Turns;
  readonly chunks: SharedChunks;
  readonly observer: FetchObserver;
}

/** Who follows what is sent, and what becomes of each partition: a member of a group. */
export interface Follower {
  /** Its position is known. */
  begun(reader: SubscribedPartition): void;
  /** Records up to its position are in the queue of the transport. @param bytes of these. */
  sent(reader: SubscribedPartition, bytes: number): void;
  /** @returns true: the client need not hear of it. */
  failed(reader: SubscribedPartition, error: TributaryError): boolean;
}

type Answers = Stream<SubscribeResponse, SubscribeRequest>;

export class Subscription {
  readonly id: string;
  readonly stopAtEnd: boolean;
  readonly #parts: SubscriptionParts;
  readonly #sources: SourceParts;
  readonly #stream: Answers;
  readonly #signal: AbortSignal;
  readonly #follower: Follower | undefined;
  readonly #creditBegan: number;
  readonly #readers = new Set<SubscribedPartition>();
  /** Those that may have something to send, in turn. */
  readonly #queue: SubscribedPartition[] = [];
  /** Those whose next record waits for credit, in the order in which they met its end. */
  #thirsty: SubscribedPartition[] = [];
  /** Bytes of records; undefined: no bound. */
  #creditLimit: number | undefined;
  #sent = 0;
  /** The limit under which the client was last told what is needed: once is enough. */
  #toldAt = -1;
  #pumping = false;
  #awaitsMore = true;
  #isHeldBack = false;
  readonly #over = Promise.withResolvers<void>();

  /** @param creditBytes 0: no bound. @param signal of the call. @param elsewhere what other brokers lead; absent: only what this one does is read. */
  constructor(
    id: string,
    { creditBytes, stopAtEnd }: Pick<SubscribeRequest, 'creditBytes' | 'stopAtEnd'>,
    stream: Answers,
    parts: SubscriptionParts,
    signal: AbortSignal,
    elsewhere?: ReadElsewhere,
    follower?: Follower,
  ) {
    this.id = id;
    this.stopAtEnd = stopAtEnd;
    this.#stream = stream;
    this.#parts = parts;
    this.#sources = { ...parts, elsewhere };
    this.#signal = signal;
    this.#follower = follower;
    this.#creditBegan = Number(creditBytes);
    this.#creditLimit = creditBytes === 0n ? undefined : Number(creditBytes);
    if (signal.aborted) this.#over.resolve();
    signal.addEventListener('abort', () => this.#over.resolve(), { once: true });
  }

  get partitions(): number {
    return this.#readers.size;
  }

  /** Resolves when the client is gone or nothing can come any more. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Bytes of records beyond what the credit was at first: whoever grants more of it has handled as much. undefined: there is no bound. */
  get granted(): number | undefined {
    return this.#creditLimit === undefined ? undefined : this.#creditLimit - this.#creditBegan;
  }

  /** @throws TributaryError INVALID_REQUEST where there is no bound to raise. */
  grant(limit: bigint): void {
    if (this.#creditLimit === undefined)
      throw new TributaryError(
        'INVALID_REQUEST',
        'This subscription asked for no bound (credit_bytes was 0): there is no credit to raise.',
      );
    if (Number(limit) <= this.#creditLimit) return;
    this.#creditLimit = Number(limit);
    const thirsty = this.#thirsty;
    this.#thirsty = [];
    for (const reader of thirsty) {
      if (reader.state !== 'thirsty') continue;
      reader.state = 'reads';
      this.wake(reader);
    }
  }

  /** Reads one more partition. Resolves when it has begun, or cannot. */
  async add(reader: SubscribedPartition): Promise<void> {
    if (reader.state === 'over') return;
    this.#readers.add(reader);
    await this.#begin(reader);
  }

  /** Nothing more of it is sent. */
  remove(reader: SubscribedPartition): void {
    reader.end();
    this.#readers.delete(reader);
  }

  /** What was held may be sent. */
  letGo(reader: SubscribedPartition): void {
    reader.isHeld = false;
    this.wake(reader);
  }

  /** @param awaitsMore partitions may still be added: the subscription is not over for want of any. */
  settle(awaitsMore: boolean): void {
    this.#awaitsMore = awaitsMore;
    if (this.#readers.size === 0 && !awaitsMore) this.#over.resolve();
  }

  readonly wake = (reader: SubscribedPartition): void => {
    // Who waits for credit hears at once that there is nothing left to wait for.
    if (reader.state === 'thirsty' && !reader.isLed) reader.state = 'reads';
    if (reader.queued || reader.isHeld || reader.state !== 'reads') return;
    reader.queued = true;
    this.#queue.push(reader);
    this.#pumpSoon();
  };

  #pumpSoon(): void {
    if (this.#pumping || this.#isHeldBack) return;
    this.#pumping = true;
    // After the tick that made it readable: several batches leave in one answer.
    queueMicrotask(() => void this.#pump());
  }

  /** Says nothing before `announce`. */
  holdBack(): void {
    this.#isHeldBack = true;
  }

  /** The first answer, which names the subscription. */
  announce(): void {
    if (this.#isHeldBack) this.tell(undefined);
  }

  /** The same, of a member of a group; and whenever its assignment has changed. */
  tell(assignment: GroupAssignment | undefined): void {
    const subscriptionId = this.#isHeldBack ? this.id : '';
    this.#isHeldBack = false;
    this.#stream.send({ throttleMs: 0, subscriptionId, partitions: [], creditNeeded: 0n, assignment });
    if (this.#queue.length > 0) this.#pumpSoon();
  }

  close(): void {
    this.#over.resolve();
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  async #begin(reader: SubscribedPartition): Promise<void> {
    try {
      await reader.begin(this.#sources, this.stopAtEnd, this.#signal);
      if (reader.state !== 'reads') return;
      reader.share(this.#parts.chunks);
      this.#follower?.begun(reader);
      this.wake(reader);
    } catch (thrown) {
      if (!this.#signal.aborted && this.#readers.has(reader)) this.#fail(reader, TributaryError.from(thrown));
    }
  }

  async #pump(): Promise<void> {
    for (let reader = this.#queue.shift(); reader !== undefined; reader = this.#queue.shift()) {
      reader.queued = false;
      if (reader.state !== 'reads' || this.#signal.aborted) continue;
      if (this.#isFull) await this.#stream.writable();
      if (reader.state !== 'reads') continue;
      try {
        await this.#read(reader);
      } catch (thrown) {
        this.#failedToRead(reader, TributaryError.from(thrown));
      }
    }
    this.#pumping = false;
  }

  get #isFull(): boolean {
    return this.#stream.queuedBytes >= limits.streamQueue;
  }

  async #read(reader: SubscribedPartition): Promise<void> {
    if (reader.hasReachedEnd) return this.#end(reader);
    if (await this.#readShared(reader)) return;
    const pending = reader.source.read(reader.position);
    const slice: Slice = pending instanceof Promise ? await pending : pending;
    if (slice.kind !== 'records') return;
    try {
      await this.#send(
        reader,
        new OpenSlice(slice.records, { from: reader.position, next: slice.next, until: reader.until }),
      );
    } finally {
      slice.release?.();
    }
    if (reader.hasReachedEnd) this.#end(reader);
    else this.wake(reader);
  }

  /** What another subscription has just read here saves reading it. @returns false: there is nothing of the kind. */
  async #readShared(reader: SubscribedPartition): Promise<boolean> {
    const { here } = reader.source;
    if (here === undefined || this.#parts.chunks.find(here, reader.position) === undefined) return false;
    let isRead = false;
    await this.#parts.turns.run(() => {
      const cost = this.#takeShared(reader);
      isRead = cost !== undefined;
      return cost ?? 0;
    });
    if (isRead) this.wake(reader);
    return isRead;
  }

  /** @returns what it cost; undefined: there is none, or not within the credit and the bound. */
  #takeShared(reader: SubscribedPartition): number | undefined {
    if (reader.state !== 'reads' || reader.until !== undefined || this.#signal.aborted) return undefined;
    const { here } = reader.source;
    const chunk = here === undefined ? undefined : this.#parts.chunks.find(here, reader.position);
    if (chunk === undefined || chunk.bytes > this.#credit) return undefined;
    reader.position = chunk.next;
    this.#sent += chunk.bytes;
    this.#parts.observer.fetched(chunk.bytes);
    this.#follower?.sent(reader, chunk.bytes);
    this.#stream.send({ throttleMs: 0, subscriptionId: '', partitions: [chunk.answer], creditNeeded: 0n });
    return chunk.bytes / 8;
  }

  get #credit(): number {
    return this.#creditLimit === undefined ? Number.POSITIVE_INFINITY : this.#creditLimit - this.#sent;
  }

  /** All of the slice, a chunk at a time, as far as the client takes it. */
  async #send(reader: SubscribedPartition, open: OpenSlice): Promise<void> {
    for (;;) {
      // What is large is read again rather than kept while a slow client makes up its mind.
      if (this.#isFull && open.bytes > limits.subscribeHeld) return;
      if (this.#isFull) await this.#stream.writable();
      const taken = await this.#take(reader, open);
      if (taken === undefined || taken.why.kind !== 'full') return;
    }
  }

  /** @returns undefined when the reader is over, or went on by what another one had read. */
  async #take(reader: SubscribedPartition, open: OpenSlice): Promise<Taken | undefined> {
    let taken: Taken | undefined;
    await this.#parts.turns.run(() => {
      if (reader.state !== 'reads' || this.#signal.aborted) return 0;
      // Those who were woken together have all read the log: only the first need decode it.
      const shared = this.#takeShared(reader);
      if (shared !== undefined) return shared;
      const from = reader.position;
      taken = open.take(this.#credit);
      reader.position = open.position;
      this.#sent += taken.bytes;
      this.#parts.observer.fetched(taken.bytes);
      if (taken.records.length > 0) {
        this.#follower?.sent(reader, taken.bytes);
        this.#answer(reader, from, taken);
      }
      this.#notAll(reader, taken.why);
      return taken.cost;
    });
    return taken;
  }

  #notAll(reader: SubscribedPartition, why: Taken['why']): void {
    switch (why.kind) {
      case 'full':
      case 'end':
        return;
      case 'credit':
        reader.state = 'thirsty';
        this.#thirsty.push(reader);
        this.#askForCredit(this.#sent + why.bytes);
        return;
      case 'broken':
        this.#fail(reader, why.error, why.next);
    }
  }

  #askForCredit(needed: number): void {
    if (this.#creditLimit === undefined || this.#toldAt === this.#creditLimit) return;
    this.#toldAt = this.#creditLimit;
    this.#stream.send({ throttleMs: 0, subscriptionId: '', partitions: [], creditNeeded: BigInt(needed) });
  }

  #answer(reader: SubscribedPartition, from: Offset, { records, bytes, why }: Taken): void {
    const { source, position } = reader;
    const { chunks } = this.#parts;
    const answer: SubscribedRecords = {
      topic: reader.topic.name,
      partition: reader.index,
      errorCode: 0,
      errorMessage: '',
      highWatermark: source.highWatermark,
      records,
      nextOffset: position,
      topicId: reader.topic.topicId,
    };
    const isWhole = (why.kind === 'full' || why.kind === 'end') && reader.until === undefined;
    const sharedBy = isWhole && source.here !== undefined && chunks.isShared(source.here) ? source.here : undefined;
    if (sharedBy !== undefined) {
      encodeOnce(answer);
      // Their memory is the log's, or is used again soon.
      answer.records = [];
    }
    this.#stream.send({ throttleMs: 0, subscriptionId: '', partitions: [answer], creditNeeded: 0n });
    if (sharedBy !== undefined) chunks.keep(sharedBy, { answer, from, next: position, bytes });
  }

  /** A leader that begins a new epoch only pauses; for one that has moved away, or a topic that is gone, beginning again finds the error. */
  #failedToRead(reader: SubscribedPartition, error: TributaryError): void {
    if (reader.state !== 'reads' || this.#signal.aborted) return;
    const isMoved = this.#sources.elsewhere !== undefined && reader.mayRetry(error, this.#sources);
    if (isMoved || error.error === 'NOT_LEADER_OR_FOLLOWER') void this.#begin(reader);
    else this.#fail(reader, error, error.error === 'CORRUPT_MESSAGE' ? reader.behindDamage : reader.position);
  }

  /** The partition is over, the others go on. @param next where reading could go on. */
  #fail(reader: SubscribedPartition, error: TributaryError, next: bigint = reader.position): void {
    this.#parts.observer.refused(error);
    if (this.#follower?.failed(reader, error) === true) {
      this.remove(reader);
      return;
    }
    this.announce();
    this.#stream.send({
      throttleMs: 0,
      subscriptionId: '',
      partitions: [
        {
          topic: reader.topic.name,
          partition: reader.index,
          errorCode: error.code as ErrorCode,
          errorMessage: error.message,
          highWatermark: -1n,
          records: [],
          nextOffset: next,
          topicId: reader.topic.topicId,
        },
      ],
      creditNeeded: 0n,
    });
    this.#end(reader);
  }

  #end(reader: SubscribedPartition): void {
    this.remove(reader);
    this.settle(this.#awaitsMore);
  }
}
