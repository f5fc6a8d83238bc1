/**
 * What a subscription reads of partitions that other brokers lead (F1): by Fetch, as any consumer would, one stream to each of them. What comes waits here
 * until the subscription's turn, within a window for each partition; a batch larger than that is asked for when there is room for it.
 */
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import type { TopicInfo } from '@tributary/metadata';
import type { Clock, Stream } from '@tributary/ports';
import { BatchScanner, nextOffsetOf } from '@tributary/record';
import {
  type FetchedPartition,
  type FetchRequest,
  type FetchResponse,
  IsolationLevel,
  methods,
  OffsetSpec,
  type RequestContext,
} from '@tributary/wire';
import type { Slice } from '../partition/partition.ts';
import { ForwardedFetch } from './forward-fetch.ts';
import type { Elsewhere, Neighbours } from './neighbours.ts';
import type { ReadSource } from './read-source.ts';
import type { Start } from './subscribe-request.ts';

const noRecords: Slice = { kind: 'end' };

/** Of one subscription. */
export class ReadElsewhere implements Disposable {
  readonly neighbours: Neighbours;
  readonly clock: Clock;
  readonly context: RequestContext;
  readonly signal: AbortSignal;
  readonly #fetch: ForwardedFetch;
  readonly #sources = new Map<string, LedElsewhere>();
  /** Those that wait until there is room for a large batch. */
  readonly #hungry = new Set<LedElsewhere>();
  #buffered = 0;
  #generation = 0;

  /** @param context that the others are given. @param signal of the subscription. */
  constructor(neighbours: Neighbours, clock: Clock, context: RequestContext, signal: AbortSignal) {
    this.neighbours = neighbours;
    this.clock = clock;
    this.context = context;
    this.signal = signal;
    const how = { context, rack: '', isolationLevel: IsolationLevel.READ_UNCOMMITTED, fromFollower: false };
    const taking = takingFrom((frame) => this.#sources.get(keyOf(frame.topicId, frame.partition))?.take(frame));
    this.#fetch = new ForwardedFetch(neighbours, how, taking, ({ topicId, partition }, error) =>
      this.#sources.get(keyOf(topicId, partition))?.fail(error),
    );
  }

  /** undefined: no other broker leads it. */
  find({ topicId }: TopicInfo, index: number): ReadSource | undefined {
    const elsewhere = this.neighbours.leaderElsewhere(topicId, index);
    return elsewhere === undefined ? undefined : new LedElsewhere(this, topicId, index, elsewhere);
  }

  /** Bytes that each partition may have on its way or waiting. */
  get window(): number {
    const share = Math.floor(limits.subscribeElsewhere / Math.max(this.#sources.size, 1));
    return Math.min(limits.fetchChunk, Math.max(share, limits.subscribeWindowMin));
  }

  /** @throws TributaryError BROKER_NOT_AVAILABLE. @returns the generation. */
  open(source: LedElsewhere, { to, leaderEpoch }: Elsewhere, from: Offset): number {
    const { topicId, partition } = source;
    this.#sources.set(keyOf(topicId, partition), source);
    const generation = ++this.#generation;
    const creditLimit = BigInt(this.window);
    this.#fetch.open(to, { topicId, partition, generation, offset: from, lastEpoch: -1, leaderEpoch, creditLimit });
    this.#fetch.flush();
    return generation;
  }

  grant({ topicId, partition, generation }: LedElsewhere, creditLimit: number): void {
    this.#fetch.grant(keyOf(topicId, partition), { topicId, partition, generation, creditLimit: BigInt(creditLimit) });
    this.#fetch.flush();
  }

  leave(source: LedElsewhere): void {
    const key = keyOf(source.topicId, source.partition);
    this.#hungry.delete(source);
    if (this.#sources.get(key) !== source) return;
    this.#sources.delete(key);
    this.#fetch.drop(key);
    this.#fetch.flush();
  }

  /** What waits here has grown, or shrunk. */
  buffered(bytes: number): void {
    this.#buffered += bytes;
    if (bytes >= 0) return;
    const hungry = [...this.#hungry];
    this.#hungry.clear();
    for (const source of hungry) source.wake();
  }

  /** @returns false: later, when it is woken. */
  hasRoomFor(source: LedElsewhere, bytes: number): boolean {
    if (this.#buffered === 0 || this.#buffered + bytes <= limits.subscribeElsewhere) return true;
    this.#hungry.add(source);
    return false;
  }

  [Symbol.dispose](): void {
    this.#fetch.close();
    this.#sources.clear();
  }
}

const keyOf = (topicId: string, partition: number): string => `${topicId}/${partition}`;

/** The end of a stream that takes what comes at once: its bound is the credit. */
function takingFrom(take: (frame: FetchedPartition) => void): Stream<FetchResponse, FetchRequest> {
  return {
    send: ({ partitions }) => partitions.forEach(take),
    queuedBytes: 0,
    writable: async () => undefined,
    end: () => undefined,
    cancel: () => undefined,
    async *[Symbol.asyncIterator]() {},
  };
}

class LedElsewhere implements ReadSource {
  readonly here: undefined;
  readonly topicId: string;
  readonly partition: number;
  generation = 0;
  readonly #all: ReadElsewhere;
  readonly #leader: Elsewhere;
  readonly #waiting: { readonly records: Uint8Array; readonly next: Offset }[] = [];
  readonly #listeners = new Set<() => void>();
  #isOpen = false;
  #error: TributaryError | undefined;
  #highWatermark: Offset = offset(0n);
  /** Bytes that have come, that wait, and that the leader may send in all. */
  #received = 0;
  #buffered = 0;
  #granted = 0;
  /** What the leader needs for its next batch, if it said so. */
  #needed = 0;

  constructor(all: ReadElsewhere, topicId: string, partition: number, leader: Elsewhere) {
    this.#all = all;
    this.topicId = topicId;
    this.partition = partition;
    this.#leader = leader;
  }

  get highWatermark(): Offset {
    return this.#highWatermark;
  }

  get isLed(): boolean {
    return this.#error === undefined;
  }

  async locate(start: Start, signal: AbortSignal): Promise<Offset> {
    switch (start.kind) {
      case 'beginning':
        return await this.#ask(OffsetSpec.EARLIEST, 0n, signal);
      case 'end':
        return await this.#ask(OffsetSpec.LATEST, 0n, signal);
      case 'offset':
        // Reading finds out whether it is there.
        return start.offset;
      case 'timestamp': {
        const found = await this.#ask(OffsetSpec.TIMESTAMP, BigInt(start.timestampMs), signal);
        return found >= 0n ? found : await this.#ask(OffsetSpec.LATEST, 0n, signal);
      }
    }
  }

  async #ask(spec: OffsetSpec, timestampMs: bigint, signal: AbortSignal): Promise<Offset> {
    const { neighbours, context } = this.#all;
    const { to, leaderEpoch } = this.#leader;
    const wanted = { topicId: this.topicId, partition: this.partition, leaderEpoch, spec, timestampMs };
    // The context is the one for the other broker already: as its first hop it is passed on from here.
    const request = { context: { ...context, hops: 0 }, partitions: [wanted] };
    const { partitions } = await neighbours.forward(to, methods.listOffsets, request, { signal });
    const answer = partitions[0];
    if (answer === undefined) throw new TributaryError('UNKNOWN_SERVER_ERROR', `Broker ${to} named no offset.`);
    if (answer.errorCode !== 0) throw TributaryError.fromAnswer(answer.errorCode, answer.errorMessage);
    return offset(answer.offset);
  }

  read(from: Offset): Slice {
    if (this.#error !== undefined) throw this.#error;
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#granted = this.#all.window;
      this.generation = this.#all.open(this, this.#leader, from);
      return noRecords;
    }
    this.#dropBefore(from);
    this.#askForMore();
    const first = this.#waiting[0];
    return first === undefined ? noRecords : { kind: 'records', records: [first.records], next: first.next };
  }

  #dropBefore(from: Offset): void {
    let bytes = 0;
    for (let first = this.#waiting[0]; first !== undefined && first.next <= from; first = this.#waiting[0]) {
      bytes += first.records.length;
      this.#waiting.shift();
    }
    if (bytes === 0) return;
    this.#buffered -= bytes;
    this.#all.buffered(-bytes);
  }

  #askForMore(): void {
    const { window } = this.#all;
    let limit = this.#received + Math.max(0, window - this.#buffered);
    const isWaitedFor = this.#needed > limit && this.#buffered === 0;
    if (isWaitedFor && this.#all.hasRoomFor(this, this.#needed - this.#received)) limit = this.#needed;
    if (limit <= this.#granted || (limit - this.#granted < window / 2 && this.#needed <= this.#granted)) return;
    this.#granted = limit;
    this.#all.grant(this, limit);
  }

  take({ generation, errorCode, errorMessage, highWatermark, records, creditNeeded }: FetchedPartition): void {
    if (generation !== this.generation) return;
    if (errorCode !== 0) {
      this.fail(TributaryError.fromAnswer(errorCode, errorMessage));
      return;
    }
    if (highWatermark >= 0n) this.#highWatermark = offset(highWatermark);
    if (creditNeeded > 0n) this.#needed = Number(creditNeeded);
    if (records.length > 0) {
      this.#received += records.length;
      this.#buffered += records.length;
      this.#all.buffered(records.length);
      this.#waiting.push({ records, next: endOf(records) });
    }
    this.wake();
  }

  /** What has come and was not read is read again, from the next leader. */
  fail(error: TributaryError): void {
    this.#error = error;
    this.wake();
  }

  wake(): void {
    for (const listener of this.#listeners) listener();
  }

  onReadable(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  behindDamage(position: Offset): Offset {
    return position;
  }

  close(): void {
    this.#all.leave(this);
    if (this.#buffered > 0) this.#all.buffered(-this.#buffered);
    this.#buffered = 0;
    this.#waiting.length = 0;
  }
}

/** @throws TributaryError CORRUPT_MESSAGE when these are no whole batches. */
function endOf(records: Uint8Array): Offset {
  const scanner = new BatchScanner(records);
  let next = offset(0n);
  while (scanner.next()) next = nextOffsetOf(records, scanner.at);
  return next;
}
