import { limits, TributaryError } from '@tributary/model';
import type { RecordHeader } from '@tributary/record';
import { Accumulator } from './accumulator.ts';
import type { Delivery } from './delivery.ts';
import { type HeadersInput, headerList } from './headers.ts';
import { Outstanding } from './outstanding.ts';
import { type ProducerOptions, type ProducerSettings, producerSettings } from './producer-options.ts';
import { checkRecordSize, recordOverhead, recordSize, serialized } from './record-payload.ts';
import { closedError, type Routing } from './routing.ts';
import type { ProducerMetrics } from './send-metrics.ts';
import { Sender } from './sender.ts';
import { type Serializer, textOrBytes } from './serializers.ts';
import { Bell } from './waiting.ts';

/** What a user sends. */
export interface ProducerRecord<K = Uint8Array | string, V = Uint8Array | string> {
  readonly topic: string;
  /** null makes a tombstone: compaction removes the key. */
  readonly value: V | null;
  /** Records of one key go to one partition, in order. */
  readonly key?: K | null | undefined;
  /** Instead of what the partitioner would choose. */
  readonly partition?: number | undefined;
  readonly headers?: HeadersInput | undefined;
  /** Milliseconds since 1970; now if absent. */
  readonly timestamp?: number | undefined;
}

const noHeaders: readonly RecordHeader[] = [];
/** Sends that share one reading of the wall clock at most. */
const timestampUses = 64;

/**
 * Sends records. Made by `cluster.producer(…)`; `await using` closes it, after everything sent has been acknowledged.
 *
 * `send` encodes the record into its partition's batch and returns at once. Await its answer to learn the offset, or send on and `flush` at the
 * end. A loop that sends much asks `ready` to wait while enough is on its way:
 * ```ts
 * for (const value of values) {
 *   producer.send({ topic: 'events', value });
 *   const full = producer.ready();
 *   if (full) await full;
 * }
 * await producer.flush();
 * ```
 * or leaves all of that to `sendAll`.
 */
export class Producer<K = Uint8Array | string, V = Uint8Array | string> implements AsyncDisposable {
  readonly #routing: Routing;
  readonly #settings: ProducerSettings;
  readonly #keySerializer: Serializer<K>;
  readonly #valueSerializer: Serializer<V>;
  readonly #outstanding: Outstanding;
  readonly #sender: Sender;
  readonly #accumulator: Accumulator;
  readonly #room = new Bell();
  readonly #unsentMost: number;
  readonly #onClosed: () => void;
  #flushes = 0;
  #closing: Promise<void> | undefined;
  #timestamp = 0;
  #timestampUses = 0;

  /** Use `cluster.producer`. @throws TributaryError INVALID_CONFIG. */
  constructor(routing: Routing, options: ProducerOptions<K, V>, onClosed: () => void) {
    const settings = producerSettings(options);
    this.#onClosed = onClosed;
    this.#routing = routing;
    this.#settings = settings;
    this.#keySerializer = options.keySerializer ?? (textOrBytes as Serializer<unknown>);
    this.#valueSerializer = options.valueSerializer ?? (textOrBytes as Serializer<unknown>);
    this.#unsentMost = Math.max(limits.producerUnsent, 2 * settings.batchSize);
    this.#outstanding = new Outstanding(options.onError);
    this.#sender = new Sender(routing, settings, {
      ended: (ended) => this.#accumulator.ended(ended),
      pumped: () => this.#pumped(),
    });
    this.#accumulator = new Accumulator(routing, settings, options.partitioner, this.#outstanding, this.#sender);
  }

  /** Encoded bytes accepted and not yet acknowledged. */
  get bufferedBytes(): number {
    return this.#accumulator.bufferedBytes;
  }

  /** What was sent so far. */
  get metrics(): ProducerMetrics {
    return this.#sender.metrics.current;
  }

  /**
   * Takes a record. It is copied before this returns.
   * @throws TributaryError when it is refused, in which case nothing of it is kept: THROTTLING_QUOTA_EXCEEDED when
   *   `maxBufferedBytes` are waiting (see `ready`), MESSAGE_TOO_LARGE above `maxRequestBytes`, INVALID_RECORD when it
   *   cannot be serialised, INVALID_TIMESTAMP, UNKNOWN_TOPIC_OR_PARTITION for a partition that the topic does not have,
   *   INVALID_REQUEST once closed.
   */
  send(record: ProducerRecord<K, V>): Delivery {
    if (this.#closing !== undefined) throw closedError();
    const topic = this.#accumulator.topic(record.topic);
    const { name } = topic;
    const key =
      record.key === undefined || record.key === null ? null : serialized('key', this.#keySerializer, record.key, name);
    const value = record.value === null ? null : serialized('value', this.#valueSerializer, record.value, name);
    const headers = record.headers === undefined ? noHeaders : headerList(record.headers);
    const { maxRequestBytes, maxBufferedBytes } = this.#settings;
    let length = (key === null ? 0 : key.length) + (value === null ? 0 : value.length) + recordOverhead;
    // A UTF-16 unit takes three bytes of UTF-8 at most: only what might be too large is measured.
    if (length * 3 > maxRequestBytes || headers.length > 0) {
      length = recordSize(key, value, headers);
      checkRecordSize(name, length, maxRequestBytes);
    }
    if (this.#accumulator.bufferedBytes + length > maxBufferedBytes) throw this.#fullError();
    return this.#accumulator.add(topic, record.timestamp ?? this.#now(), key, value, headers, record.partition);
  }

  /**
   * Undefined when there is room; else a promise that resolves when there is. A loop asks after each `send`; whoever does
   * not is refused at `maxBufferedBytes`. Where many callers wait at once, each asks again after waiting.
   */
  ready(): Promise<void> | undefined {
    return this.#hasRoom(this.#unsentMost) ? undefined : this.#waitForRoom();
  }

  /**
   * Sends all records, waiting as `ready` says, and waits for their acknowledgement.
   * @returns how many. @throws as `send` and `flush`; the signal's reason when aborted.
   */
  async sendAll(
    records: Iterable<ProducerRecord<K, V>> | AsyncIterable<ProducerRecord<K, V>>,
    signal?: AbortSignal,
  ): Promise<number> {
    let count = 0;
    const take = (record: ProducerRecord<K, V>): Promise<void> | undefined => {
      signal?.throwIfAborted();
      this.send(record);
      count++;
      return this.ready();
    };
    if (Symbol.asyncIterator in records) {
      for await (const record of records) {
        const full = take(record);
        if (full !== undefined) await full;
      }
    } else {
      for (const record of records) {
        const full = take(record);
        if (full !== undefined) await full;
      }
    }
    await this.flush(signal);
    return count;
  }

  /**
   * Sends what is waiting, without lingering, and resolves when everything sent before has been acknowledged.
   * @throws TributaryError, the first, if records failed since the last flush that nobody awaited; the signal's reason when
   *   aborted.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    this.#flushes++;
    try {
      this.#hurry();
      await this.#outstanding.until(() => !this.#accumulator.waitsForTopics, signal);
      this.#accumulator.sealAll();
      await this.#outstanding.settled(signal);
    } finally {
      this.#flushes--;
      this.#hurry();
    }
    this.#outstanding.report();
  }

  /**
   * Takes no more records, flushes, and lets go of the connections. What `signal` cuts off fails.
   * @throws as `flush`; closed it is in any case.
   */
  async close(signal?: AbortSignal): Promise<void> {
    this.#closing ??= this.#close(signal);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.flush(signal);
    } catch (thrown) {
      if (signal?.aborted !== true) throw thrown;
    } finally {
      this.#accumulator[Symbol.dispose]();
      await this.#sender[Symbol.asyncDispose]();
      this.#room.ring();
      this.#onClosed();
    }
    this.#outstanding.report();
  }

  /** Wall clock, read once for the sends of a tick, a few at a time. */
  #now(): number {
    if (this.#timestampUses === 0) {
      this.#timestamp = this.#routing.ports.clock.wallMs();
      this.#timestampUses = timestampUses;
      queueMicrotask(this.#forgetTimestamp);
    }
    this.#timestampUses--;
    return this.#timestamp;
  }

  readonly #forgetTimestamp = (): void => {
    this.#timestampUses = 0;
  };

  #fullError(): TributaryError {
    return new TributaryError(
      'THROTTLING_QUOTA_EXCEEDED',
      `${this.bufferedBytes} bytes wait for acknowledgement, maxBufferedBytes is ${this.#settings.maxBufferedBytes}: await producer.ready() between sends, or use sendAll.`,
    );
  }

  #hasRoom(unsentMost: number): boolean {
    const { maxBufferedBytes, maxRequestBytes } = this.#settings;
    const buffered = this.bufferedBytes;
    // Room for the largest record that may come; where that is all the memory there is, room for it alone.
    return this.#sender.unsentBytes < unsentMost && (buffered === 0 || buffered + maxRequestBytes <= maxBufferedBytes);
  }

  #waitForRoom(): Promise<void> {
    const room = this.#room.next();
    this.#hurry();
    this.#sender.pumpSoon();
    return room;
  }

  /** Lingering batches go out when somebody waits for them, or for their memory. */
  #hurry(): void {
    this.#sender.hurried = this.#flushes > 0 || this.#room.awaited;
    if (this.#sender.hurried) this.#sender.pumpSoon();
  }

  #pumped(): void {
    this.#accumulator.forgetAbsent();
    if (this.#room.awaited && this.#hasRoom(this.#unsentMost / 2)) {
      this.#room.ring();
      this.#hurry();
    }
  }
}
