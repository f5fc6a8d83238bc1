import { limits, TributaryError } from '@tributary/model';
import type { Payload, RecordHeader } from '@tributary/record';
import { ProducerBatch } from './batch.ts';
import { BuilderPool } from './buffer-pool.ts';
import { BatchFate, type BatchOutcome, type Delivery, RecordDelivery } from './delivery.ts';
import { type HeadersInput, headerList } from './headers.ts';
import { partitionOfKey } from './key-partition.ts';
import type { EndedBatch, PartitionQueue } from './partition-queue.ts';
import { type DeliveryFailure, type Partitioner, type ProducerOptions, type ProducerSettings, producerSettings } from './producer-options.ts';
import { type EarlyRecord, ProducerTopic } from './producer-topic.ts';
import { Alarm } from './alarm.ts';
import { absentTopicError, closedError, type Routing } from './routing.ts';
import { Sender } from './sender.ts';
import { type Serializer, textOrBytes } from './serializers.ts';
import { StickyEven } from './sticky-even.ts';
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
/** Bytes that a record's frame in a batch takes at most: lengths, deltas, attributes. */
const recordOverhead = 40;

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
  readonly #partitioner: Partitioner | undefined;
  readonly #onError: ((failure: DeliveryFailure) => void) | undefined;
  readonly #sender: Sender;
  readonly #pool: BuilderPool;
  readonly #topics = new Map<string, ProducerTopic>();
  /** Those with records that wait for the partitions to be known. */
  readonly #unknownTopics = new Set<ProducerTopic>();
  readonly #subscription: Disposable;
  readonly #alarm: Alarm;
  readonly #live = new Set<BatchFate>();
  readonly #room = new Bell();
  readonly #progress = new Bell();
  readonly #unsentMost: number;
  #lastTopic: ProducerTopic | undefined;
  #buffered = 0;
  #flushes = 0;
  #unreported: { records: number; readonly first: TributaryError } | undefined;
  #closing: Promise<void> | undefined;
  #timestamp = 0;
  #timestampUses = 0;

  /** Use `cluster.producer`. @throws TributaryError INVALID_CONFIG. */
  constructor(routing: Routing, options: ProducerOptions<K, V>) {
    this.#routing = routing;
    this.#settings = producerSettings(options);
    this.#keySerializer = options.keySerializer ?? (textOrBytes as Serializer<unknown>);
    this.#valueSerializer = options.valueSerializer ?? (textOrBytes as Serializer<unknown>);
    this.#partitioner = options.partitioner;
    this.#onError = options.onError;
    this.#pool = new BuilderPool(this.#settings.batchSize, this.#settings.maxBufferedBytes);
    this.#unsentMost = Math.max(limits.producerUnsent, 2 * this.#settings.batchSize);
    this.#sender = new Sender(routing, this.#settings, { ended: (ended) => this.#ended(ended), pumped: () => this.#pumped() });
    this.#subscription = routing.subscribe(() => this.#seeTopics());
    this.#alarm = new Alarm(routing.ports.clock, () => this.#seeTopics());
  }

  /** Encoded bytes accepted and not yet acknowledged. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  /**
   * Takes a record. It is copied before this returns.
   * @throws TributaryError when it is refused, in which case nothing of it is kept: THROTTLING_QUOTA_EXCEEDED when `maxBufferedBytes` are waiting (see
   *   `ready`), MESSAGE_TOO_LARGE above `maxRequestBytes`, INVALID_RECORD when it cannot be serialised, INVALID_TIMESTAMP,
   *   UNKNOWN_TOPIC_OR_PARTITION for a partition that the topic does not have, INVALID_REQUEST once closed.
   */
  send(record: ProducerRecord<K, V>): Delivery {
    if (this.#closing !== undefined) throw closedError();
    const name = record.topic;
    const topic = this.#lastTopic?.name === name ? this.#lastTopic : this.#topic(name);
    const key = record.key === undefined || record.key === null ? null : serialized('key', this.#keySerializer, record.key, name);
    const value = record.value === null ? null : serialized('value', this.#valueSerializer, record.value, name);
    const headers = record.headers === undefined ? noHeaders : headerList(record.headers);
    const timestamp = record.timestamp ?? this.#now();
    const length = (key === null ? 0 : key.length) + (value === null ? 0 : value.length) + recordOverhead;
    // A UTF-16 unit takes three bytes of UTF-8 at most: only what might be too large is measured.
    if (length * 3 > this.#settings.maxRequestBytes || headers.length > 0) this.#checkSize(topic.name, key, value, headers);
    if (this.#buffered + length > this.#settings.maxBufferedBytes) throw this.#fullError();
    if (topic.partitions === 0) return this.#keepEarly(topic, timestamp, key, value, headers, record.partition);
    return this.#place(topic, undefined, timestamp, key, value, headers, record.partition);
  }

  /**
   * Undefined when there is room; else a promise that resolves when there is. A loop asks after each `send`; whoever does not is refused at
   * `maxBufferedBytes`. Where many callers wait at once, each asks again after waiting.
   */
  ready(): Promise<void> | undefined {
    return this.#hasRoom(this.#unsentMost) ? undefined : this.#waitForRoom();
  }

  /**
   * Sends all records, waiting as `ready` says, and waits for their acknowledgement.
   * @returns how many. @throws as `send` and `flush`.
   */
  async sendAll(records: Iterable<ProducerRecord<K, V>> | AsyncIterable<ProducerRecord<K, V>>, signal?: AbortSignal): Promise<number> {
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
   * @throws TributaryError, the first, if records failed since the last flush that nobody awaited; the signal's reason when aborted.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    this.#flushes++;
    try {
      const { clock } = this.#routing.ports;
      this.#hurry();
      while (this.#unknownTopics.size > 0) {
        signal?.throwIfAborted();
        await this.#progress.within(Number.POSITIVE_INFINITY, clock, signal);
      }
      for (const topic of this.#topics.values()) for (const queue of topic.queues) this.#sender.seal(queue);
      for (const fate of [...this.#live]) {
        while (this.#live.has(fate)) {
          signal?.throwIfAborted();
          await this.#progress.within(Number.POSITIVE_INFINITY, clock, signal);
        }
      }
    } finally {
      this.#flushes--;
      this.#hurry();
    }
    this.#report();
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
      this.#subscription[Symbol.dispose]();
      this.#alarm[Symbol.dispose]();
      const error = new TributaryError('REQUEST_TIMED_OUT', 'The producer was closed before the topic was found.');
      for (const topic of this.#unknownTopics) this.#failEarly(topic, error);
      await this.#sender[Symbol.asyncDispose]();
      for (const topic of this.#topics.values()) topic[Symbol.dispose]();
      this.#topics.clear();
      this.#room.ring();
    }
    this.#report();
  }

  #topic(name: string): ProducerTopic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      const sticky = new StickyEven(Math.max(this.#settings.batchSize, 1), this.#routing.ports.random.nextU32() % limits.partitionsPerTopic);
      topic = new ProducerTopic(name, this.#settings.idempotent, sticky, this.#routing.interestIn(name));
      topic.see(this.#routing.topic(name));
      this.#topics.set(name, topic);
    }
    this.#lastTopic = topic;
    return topic;
  }

  /** Encodes the record into the batch of its partition. */
  #place(
    topic: ProducerTopic,
    delivery: RecordDelivery | undefined,
    timestamp: number,
    key: Payload,
    value: Payload,
    headers: readonly RecordHeader[],
    explicit: number | undefined,
  ): RecordDelivery {
    const sticky = explicit === undefined && key === null && this.#partitioner === undefined;
    let queue = topic.queue(explicit ?? (sticky ? topic.sticky.choose(topic.partitions, topic.hasLeader) : this.#choose(topic, key)));
    let batch = queue.open;
    let size = batch?.size ?? 0;
    if (batch !== undefined && !batch.builder.append(timestamp, key, value, headers)) {
      this.#sender.seal(queue);
      batch = undefined;
      if (sticky) {
        queue = topic.queue(topic.sticky.full(topic.partitions, topic.hasLeader));
        batch = queue.open;
        size = batch?.size ?? 0;
        if (batch !== undefined && !batch.builder.append(timestamp, key, value, headers)) {
          this.#sender.seal(queue);
          batch = undefined;
        }
      }
    }
    if (batch === undefined) {
      batch = this.#begin(queue, timestamp, key, value, headers);
      size = 0;
    }
    const added = batch.size - size;
    batch.charged += added;
    this.#buffered += added;
    if (sticky) topic.sticky.used(added);
    const { fate, count } = batch;
    if (delivery === undefined) return new RecordDelivery(fate, count - 1, timestamp - fate.baseTimestamp);
    delivery.enter(fate, count - 1, timestamp - fate.baseTimestamp);
    return delivery;
  }

  /** A new batch in the queue, with its first record. */
  #begin(queue: PartitionQueue, timestamp: number, key: Payload, value: Payload, headers: readonly RecordHeader[]): ProducerBatch {
    const builder = this.#pool.take();
    try {
      builder.append(timestamp, key, value, headers);
    } catch (thrown) {
      this.#pool.give(builder);
      throw thrown;
    }
    const now = this.#routing.ports.clock.monotonicMs();
    const fate = new BatchFate(queue.topic, queue.partition, this.#over);
    fate.baseTimestamp = timestamp;
    this.#live.add(fate);
    const batch = new ProducerBatch(fate, builder, now + this.#settings.lingerMs, now + this.#settings.deliveryTimeoutMs);
    queue.begin(batch);
    this.#sender.began(queue, batch);
    return batch;
  }

  #choose(topic: ProducerTopic, key: Payload): number {
    if (this.#partitioner === undefined) return partitionOfKey(key ?? '', topic.partitions);
    const chosen = this.#partitioner(topic.name, key, topic.partitions);
    if (Number.isInteger(chosen) && chosen >= 0 && chosen < topic.partitions) return chosen;
    throw new TributaryError('INVALID_RECORD', `The partitioner answered ${String(chosen)} for topic "${topic.name}", which has ${topic.partitions} partitions.`);
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

  /** @throws TributaryError MESSAGE_TOO_LARGE with both sizes. */
  #checkSize(topic: string, key: Payload, value: Payload, headers: readonly RecordHeader[]): void {
    let bytes = recordOverhead + byteLength(key) + byteLength(value);
    for (const header of headers) bytes += Buffer.byteLength(header.key) + byteLength(header.value) + recordOverhead;
    const { maxRequestBytes } = this.#settings;
    if (bytes <= maxRequestBytes) return;
    throw new TributaryError(
      'MESSAGE_TOO_LARGE',
      `A record for topic "${topic}" has ${bytes} bytes; the producer's maxRequestBytes is ${maxRequestBytes}. Raise it, and max.message.bytes of the topic, or send less.`,
    );
  }

  #fullError(): TributaryError {
    return new TributaryError(
      'THROTTLING_QUOTA_EXCEEDED',
      `${this.#buffered} bytes wait for acknowledgement, maxBufferedBytes is ${this.#settings.maxBufferedBytes}: await producer.ready() between sends, or use sendAll.`,
    );
  }

  #hasRoom(unsent: number): boolean {
    const { maxBufferedBytes, maxRequestBytes } = this.#settings;
    // Room for the largest record that may come; where that is all the memory there is, room for it alone.
    return this.#sender.unsentBytes < unsent && (this.#buffered === 0 || this.#buffered + maxRequestBytes <= maxBufferedBytes);
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

  /** Keeps a copy of the record until the topic's partitions are known. */
  #keepEarly(
    topic: ProducerTopic,
    timestamp: number,
    key: Payload,
    value: Payload,
    headers: readonly RecordHeader[],
    partition: number | undefined,
  ): RecordDelivery {
    // As the batch would say; there is none yet.
    if (!Number.isSafeInteger(timestamp) || timestamp < -1) {
      throw new TributaryError('INVALID_TIMESTAMP', `timestamp ${timestamp} is not a whole number of milliseconds since 1970`);
    }
    const delivery = new RecordDelivery(undefined, 0, 0);
    const charged = recordOverhead + byteLength(key) + byteLength(value);
    const deadline = this.#routing.ports.clock.monotonicMs() + this.#settings.deliveryTimeoutMs;
    topic.early.push({ delivery, timestamp, key: copied(key), value: copied(value), headers: copiedHeaders(headers), partition, charged, deadline });
    this.#buffered += charged;
    this.#unknownTopics.add(topic);
    this.#alarm.at(deadline);
    return delivery;
  }

  /** The picture of the cluster has changed, or early records have run out of time. */
  #seeTopics(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    for (const topic of this.#topics.values()) {
      const view = this.#routing.topic(topic.name);
      topic.see(view);
      if (topic.early.length === 0) continue;
      if (topic.partitions > 0) this.#placeEarly(topic);
      else {
        const error = view.kind === 'absent' ? absentTopicError(topic.name, view, now) : undefined;
        const deadline = topic.early[0]?.deadline ?? 0;
        if (error !== undefined) this.#failEarly(topic, error);
        else if (deadline <= now) this.#failEarly(topic, new TributaryError('REQUEST_TIMED_OUT', `No broker told about topic "${topic.name}" in time.`));
        else this.#alarm.at(deadline);
      }
    }
    this.#progress.ring();
  }

  #placeEarly(topic: ProducerTopic): void {
    this.#unknownTopics.delete(topic);
    for (const { delivery, timestamp, key, value, headers, partition, charged } of topic.early) {
      this.#buffered -= charged;
      try {
        this.#place(topic, delivery, timestamp, key, value, headers, partition);
      } catch (thrown) {
        this.#refuseEarly(topic, delivery, TributaryError.from(thrown));
      }
    }
    topic.early = [];
  }

  #failEarly(topic: ProducerTopic, error: TributaryError): void {
    this.#unknownTopics.delete(topic);
    const failed: readonly EarlyRecord[] = topic.early;
    topic.early = [];
    for (const { delivery, charged } of failed) {
      this.#buffered -= charged;
      this.#refuseEarly(topic, delivery, error);
    }
    this.#forget(topic);
    this.#progress.ring();
    if (this.#hasRoom(this.#unsentMost)) this.#room.ring();
  }

  #refuseEarly(topic: ProducerTopic, delivery: RecordDelivery, error: TributaryError): void {
    const fate = new BatchFate(topic.name, -1, () => undefined);
    delivery.enter(fate, 0, 0);
    this.#failed(fate, 1, error);
    fate.settle({ kind: 'failed', error });
  }

  /** The next record for it begins with asking for the topic again. */
  #forget(topic: ProducerTopic): void {
    topic[Symbol.dispose]();
    this.#topics.delete(topic.name);
    if (this.#lastTopic === topic) this.#lastTopic = undefined;
  }

  #ended({ batch, outcome, unanswered }: EndedBatch): void {
    this.#buffered -= batch.charged;
    if (outcome.kind === 'failed') this.#failed(batch.fate, batch.count, outcome.error);
    const { fate } = batch;
    // What the network may still be reading is left to the garbage collector.
    if (!unanswered) this.#pool.give(batch.builder);
    fate.settle(outcome satisfies BatchOutcome);
  }

  readonly #over = (fate: BatchFate): void => {
    this.#live.delete(fate);
    this.#progress.ring();
  };

  #failed(fate: BatchFate, records: number, error: TributaryError): void {
    const unseen = records - fate.awaited;
    if (unseen > 0) {
      this.#unreported ??= { records: 0, first: error };
      this.#unreported.records += unseen;
    }
    this.#onError?.({ topic: fate.topic, partition: fate.partition, records, error });
  }

  #report(): void {
    const failures = this.#unreported;
    this.#unreported = undefined;
    if (failures === undefined) return;
    const { first, records } = failures;
    throw new TributaryError(first.error, records === 1 ? first.message : `${records} records were not acknowledged. The first: ${first.message}`, { cause: first });
  }

  #pumped(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    for (const topic of this.#topics.values()) {
      const view = this.#routing.topic(topic.name);
      if (view.kind === 'absent' && topic.early.length === 0 && absentTopicError(topic.name, view, now) !== undefined) this.#forget(topic);
    }
    if (this.#room.awaited && this.#hasRoom(this.#unsentMost / 2)) {
      this.#room.ring();
      this.#hurry();
    }
  }
}

const byteLength = (payload: Payload): number => {
  if (payload === null) return 0;
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
};

const copied = (payload: Payload): Payload => (payload instanceof Uint8Array ? new Uint8Array(payload) : payload);

const copiedHeaders = (headers: readonly RecordHeader[]): readonly RecordHeader[] =>
  headers.map(({ key, value }) => ({ key, value: value === null ? null : new Uint8Array(value) }));

function serialized<T>(what: string, serializer: Serializer<T>, value: T, topic: string): Payload {
  try {
    return serializer.serialize(value, topic);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new TributaryError('INVALID_RECORD', `The ${what} of a record for topic "${topic}" cannot be serialised: ${why}.`, { cause: thrown });
  }
}
