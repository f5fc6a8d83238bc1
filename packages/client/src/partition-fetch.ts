// pure
/**
 * One assigned partition on the consumer's side: its position, the batches that have come and are not yet handed out, and the credit that the
 * leader has (E1). The consumer moves it between phases; its credits and records move by themselves.
 */
import { assert, type Offset, offset, TributaryError } from '@tributary/model';
import {
  BatchScanner,
  checkBatch,
  isControlBatch,
  isTransactionalBatch,
  leaderEpochOf,
  nextOffsetOf,
  openBatch,
  producerIdOf,
  type RecordCursor,
  readControlRecord,
} from '@tributary/record';
import type { AbortedRange, FetchedPartition } from '@tributary/wire';
import { ConsumerRecord, type RecordSource } from './consumer-record.ts';

/** Where reading begins. */
export type StartSpec =
  | {
      readonly kind: 'offset';
      readonly offset: Offset;
      /** Of the record before it, where that is known: the leader then sees whether its log is still the same (E1). */
      readonly leaderEpoch?: number | undefined;
    }
  | { readonly kind: 'beginning' }
  | { readonly kind: 'end' };

/**
 * - `locating`: the position is not known; the leader is to be asked → `closed`;
 * - `closed`: the position is known and no leader has been told → `open`;
 * - `open`: a leader sends → `closed` when the stream breaks or it refuses, `beyond` when the position is not in its log;
 * - `beyond`: what has come is handed out first; then the reset policy decides → `locating` or `stopped`;
 * - `stopped`: by an error that only a seek mends.
 */
export type FetchPhase =
  | { readonly kind: 'locating'; readonly start: 'beginning' | 'end' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'open' }
  | { readonly kind: 'beyond'; readonly error: TributaryError }
  | { readonly kind: 'stopped'; readonly error: TributaryError };

export interface FetchSettings {
  /** Check each batch's CRC32C. */
  readonly checkCrcs: boolean;
  /** Leave out the records of aborted transactions. */
  readonly readCommitted: boolean;
}

const closed: FetchPhase = { kind: 'closed' };
const open: FetchPhase = { kind: 'open' };

export class PartitionFetch<K, V> {
  readonly source: RecordSource<K, V>;
  readonly #settings: FetchSettings;
  #phase: FetchPhase = closed;
  /** Of the topic that the position belongs to. */
  topicId: string | undefined;
  /** Raised at each seek and each opening: what comes with an older one is dropped. */
  generation = 0;
  /** Raised at each seek only: an answer to a question asked before it no longer counts. */
  seeks = 0;
  paused = false;
  /** A member of a group may not hand out its records: not yet, or not any more. They are fetched all the same. */
  held = false;
  /** It is of this topic id alone: of a topic that is made anew the group's coordinator gives out other partitions. */
  pinned = false;
  /** On the monotonic clock, ms: since when opening or locating it has failed. */
  failingSince: number | undefined;
  /** Of the leader, or of a follower's, when it was last opened. */
  leaderEpoch = -1;
  /** On the monotonic clock, ms: until then it is read from the leader, as no follower of the rack serves it. */
  leaderUntil = 0;
  /** On the monotonic clock, ms: not to be opened or located before. */
  retryAt = 0;
  /** Offset after the last record handed out, up to `#delta` in the current batch. */
  #next: Offset = offset(0n);
  /** `#next` is an offset that was given, or found. */
  #isPlaced = false;
  #lastEpoch = -1;
  /** Of the batch that the last record handed out came from; −1: unknown. */
  #handedEpoch = -1;
  readonly #chunks: Uint8Array[] = [];
  #scanner: BatchScanner | undefined;
  #cursor: RecordCursor | undefined;
  /** Base offset of the current batch, and the delta after the last record handed out of it. */
  #base: Offset = offset(0n);
  #delta = 0;
  #batchBytes = 0;
  /** Bytes that have come and are not handed out. */
  #buffered = 0;
  /** Bytes that have come in this generation, and that the leader may send in it in all. */
  #received = 0;
  #granted = 0;
  /** What the leader needs for its next batch, if it said so. */
  #needed = 0;
  readonly #aborted = new Map<bigint, bigint>();

  constructor(source: RecordSource<K, V>, settings: FetchSettings, start: StartSpec) {
    this.source = source;
    this.#settings = settings;
    this.seek(start);
  }

  get topic(): string {
    return this.source.topic;
  }

  get partition(): number {
    return this.source.partition;
  }

  get phase(): FetchPhase {
    return this.#phase;
  }

  get bufferedBytes(): number {
    return this.#buffered;
  }

  /** Nothing that has come is left to hand out. */
  get drained(): boolean {
    return this.#buffered === 0;
  }

  /** Offset of the next record to be handed out; undefined while locating. */
  get position(): Offset | undefined {
    if (this.#phase.kind === 'locating') return undefined;
    return this.#cursor === undefined ? this.#next : this.#inBatch();
  }

  /** The position is one that may be committed: it was not made up while nobody knew where to begin. */
  get isPlaced(): boolean {
    return this.#isPlaced;
  }

  /** Leader epoch of the record before `position`; −1: unknown. */
  get positionEpoch(): number {
    return this.#handedEpoch;
  }

  /** Reading goes on there; what has come is dropped. */
  seek(start: StartSpec): void {
    this.seeks++;
    this.generation++;
    this.#drop();
    if (start.kind === 'offset') {
      this.#next = start.offset;
      this.#isPlaced = true;
      this.#phase = closed;
    } else {
      this.#isPlaced = false;
      this.#phase = { kind: 'locating', start: start.kind };
    }
    this.#lastEpoch = start.kind === 'offset' ? (start.leaderEpoch ?? -1) : -1;
    this.#handedEpoch = this.#lastEpoch;
    this.failingSince = undefined;
    this.retryAt = 0;
  }

  /** The position asked for has been found. */
  located(position: Offset): void {
    assert(this.#phase.kind === 'locating', 'only a partition that is being located can be');
    this.#next = position;
    this.#isPlaced = true;
    this.#phase = closed;
    this.failingSince = undefined;
  }

  /**
   * A leader is told to send from here on, within `window` bytes less what is still buffered.
   * @returns what the leader is told; counts from 0 in this generation.
   */
  opening(window: number): {
    readonly generation: number;
    readonly offset: Offset;
    readonly lastEpoch: number;
    readonly creditLimit: number;
  } {
    assert(this.#phase.kind === 'closed', 'only a closed partition is opened');
    this.generation++;
    this.#phase = open;
    this.#received = 0;
    this.#needed = 0;
    this.#granted = this.paused ? 0 : Math.max(0, window - this.#buffered);
    return {
      generation: this.generation,
      offset: this.#afterReceived(),
      lastEpoch: this.#lastEpoch,
      creditLimit: this.#granted,
    };
  }

  /** The stream broke, or the leader refused for a passing reason: to be opened again, after what has come. */
  closed(): void {
    if (this.#phase.kind === 'open') this.#phase = closed;
  }

  beyond(error: TributaryError): void {
    this.#phase = { kind: 'beyond', error };
  }

  stop(error: TributaryError): void {
    this.#phase = { kind: 'stopped', error };
  }

  /** What has come cannot be read: none of it is handed out any more. */
  spoilt(error: TributaryError): void {
    if (this.#cursor !== undefined) this.#next = this.#inBatch();
    this.#drop();
    this.stop(error);
  }

  /** The topic was made anew: its offsets have nothing to do with the old ones. */
  restart(start: 'beginning' | 'end'): void {
    const { seeks } = this;
    this.seek({ kind: start });
    this.seeks = seeks;
  }

  /** Records, and what the leader says about credit. @throws TributaryError INVALID_REQUEST when it sends beyond its credit (E1). */
  received(frame: FetchedPartition): void {
    const { records } = frame;
    this.failingSince = undefined;
    if (frame.creditNeeded > 0n) this.#needed = Number(frame.creditNeeded);
    if (this.#settings.readCommitted) this.#noteAborted(frame.aborted);
    if (records.length === 0) return;
    this.#received += records.length;
    this.#buffered += records.length;
    if (this.#received > this.#granted) {
      throw new TributaryError(
        'INVALID_REQUEST',
        `${this.#label()}: the broker sent ${this.#received} bytes where ${this.#granted} were granted.`,
      );
    }
    this.#chunks.push(records);
  }

  /**
   * A higher limit for the leader, once it is worth a message; undefined otherwise. None while paused.
   * @param window bytes that may be on their way or buffered.
   */
  creditDue(window: number): number | undefined {
    if (this.paused || this.#phase.kind !== 'open') return undefined;
    let limit = this.#received + Math.max(0, window - this.#buffered);
    // One batch larger than the window: it comes alone.
    if (this.#buffered === 0 && this.#needed > limit) limit = this.#needed;
    const more = limit - this.#granted;
    // What the leader waits for is worth a message however little it is: nothing else would ever move it.
    const isWaitedFor = this.#needed > this.#granted && this.#needed <= limit;
    if (more <= 0 || (!isWaitedFor && more < window / 2 && this.#granted - this.#received >= window / 2))
      return undefined;
    this.#granted = limit;
    return limit;
  }

  /**
   * Hands out up to `most` records.
   * @throws TributaryError CORRUPT_MESSAGE; the records before it have been handed out.
   */
  take(into: ConsumerRecord<K, V>[], most: number): void {
    const { source } = this;
    while (into.length < most) {
      const cursor = this.#cursor ?? this.#openNext();
      if (cursor === undefined) return;
      let delta = this.#delta;
      try {
        while (into.length < most) {
          const view = cursor.next();
          if (view === undefined) {
            this.#closeBatch();
            break;
          }
          // The first batch may begin below the position.
          if (view.offsetDelta < delta) continue;
          delta = view.offsetDelta + 1;
          into.push(new ConsumerRecord(source, view));
        }
      } finally {
        this.#delta = delta;
      }
    }
  }

  /** Hands out one record, if one has come. @throws TributaryError CORRUPT_MESSAGE. */
  next(): ConsumerRecord<K, V> | undefined {
    for (;;) {
      const cursor = this.#cursor ?? this.#openNext();
      if (cursor === undefined) return undefined;
      const view = cursor.next();
      if (view === undefined) this.#closeBatch();
      else if (view.offsetDelta >= this.#delta) {
        this.#delta = view.offsetDelta + 1;
        return new ConsumerRecord(this.source, view);
      }
    }
  }

  #inBatch(): Offset {
    return offset(this.#base + BigInt(this.#delta));
  }

  /** The next batch with records for the user, if one has come. */
  #openNext(): RecordCursor | undefined {
    for (;;) {
      const bytes = this.#chunks[0];
      if (bytes === undefined) return undefined;
      this.#scanner ??= new BatchScanner(bytes);
      const scanner = this.#scanner;
      if (!scanner.next()) {
        if (scanner.cutBytes > 0) throw this.#corrupt(`a batch is cut short by ${scanner.cutBytes} bytes`);
        this.#chunks.shift();
        this.#scanner = undefined;
        continue;
      }
      this.#batchBytes = scanner.size;
      const next = nextOffsetOf(bytes, scanner.at);
      this.#lastEpoch = leaderEpochOf(bytes, scanner.at);
      this.#handedEpoch = this.#lastEpoch;
      this.#check(bytes, scanner.at);
      if (next <= this.#next || this.#isHidden(bytes, scanner.at)) {
        if (next > this.#next) this.#next = next;
        this.#buffered -= this.#batchBytes;
        continue;
      }
      const batch = openBatch(bytes, scanner.at);
      this.#base = batch.header.baseOffset;
      this.#delta = this.#base < this.#next ? Number(this.#next - this.#base) : 0;
      this.#cursor = batch.cursor();
      return this.#cursor;
    }
  }

  #closeBatch(): void {
    const bytes = this.#chunks[0];
    if (bytes !== undefined && this.#scanner !== undefined) this.#next = nextOffsetOf(bytes, this.#scanner.at);
    this.#cursor = undefined;
    this.#buffered -= this.#batchBytes;
  }

  #check(bytes: Uint8Array, at: number): void {
    if (!this.#settings.checkCrcs) return;
    try {
      checkBatch(bytes, at, bytes.length, 'log');
    } catch (thrown) {
      throw this.#corrupt(TributaryError.from(thrown).message);
    }
  }

  /** Markers, and what an aborted transaction left. */
  #isHidden(bytes: Uint8Array, at: number): boolean {
    if (!isTransactionalBatch(bytes, at) && !isControlBatch(bytes, at)) return false;
    const producer = producerIdOf(bytes, at);
    if (isControlBatch(bytes, at)) {
      const record = openBatch(bytes, at).cursor().next();
      if (record !== undefined && readControlRecord(record).kind === 'abort') this.#aborted.delete(producer);
      return true;
    }
    const first = this.#aborted.get(producer);
    return this.#settings.readCommitted && first !== undefined && nextOffsetOf(bytes, at) > first;
  }

  #noteAborted(ranges: readonly AbortedRange[]): void {
    for (const { producerId, firstOffset } of ranges)
      if (!this.#aborted.has(producerId)) this.#aborted.set(producerId, firstOffset);
  }

  /** Offset after the last batch that has come. */
  #afterReceived(): Offset {
    let after = this.#cursor === undefined ? this.#next : undefined;
    for (const [index, bytes] of this.#chunks.entries()) {
      const scanner = new BatchScanner(bytes);
      while (isBatchNext(scanner)) {
        // The current batch is the last one before what has not been looked at.
        if (index === 0 && this.#scanner !== undefined && scanner.at < this.#scanner.at) continue;
        after = nextOffsetOf(bytes, scanner.at);
        this.#lastEpoch = leaderEpochOf(bytes, scanner.at);
      }
    }
    return after === undefined || after < this.#next ? this.#next : after;
  }

  #drop(): void {
    this.#chunks.length = 0;
    this.#scanner = undefined;
    this.#cursor = undefined;
    this.#buffered = 0;
    this.#aborted.clear();
  }

  #label(): string {
    return `Partition ${this.partition} of "${this.topic}"`;
  }

  #corrupt(what: string): TributaryError {
    return new TributaryError(
      'CORRUPT_MESSAGE',
      `${this.#label()} after offset ${this.position ?? this.#next}: ${what}. Seek beyond it to go on.`,
    );
  }
}

/** What is no batch ends the walk here; whoever comes to hand it out says so, at its place. */
function isBatchNext(scanner: BatchScanner): boolean {
  try {
    return scanner.next();
  } catch {
    return false;
  }
}
