/** Records on their way into batches: encoded straight into their partition's, or kept until the topic's partitions are known. */
import { limits, TributaryError } from '@tributary/model';
import { partitionOfKey, type Payload, type RecordHeader } from '@tributary/record';
import { Alarm } from '@tributary/metadata';
import { ProducerBatch } from './batch.ts';
import { BuilderPool } from './buffer-pool.ts';
import { BatchFate, RecordDelivery } from './delivery.ts';
import type { Outstanding } from './outstanding.ts';
import type { EndedBatch, PartitionQueue } from './partition-queue.ts';
import type { Partitioner, ProducerSettings } from './producer-options.ts';
import { type EarlyRecord, ProducerTopic } from './producer-topic.ts';
import { checkTimestamp, copied, copiedHeaders, recordSize } from './record-payload.ts';
import { absentTopicError, type Routing } from './routing.ts';
import type { Sender } from './sender.ts';
import { StickyEven } from './sticky-even.ts';

export class Accumulator implements Disposable {
  readonly #routing: Routing;
  readonly #settings: ProducerSettings;
  readonly #partitioner: Partitioner | undefined;
  readonly #outstanding: Outstanding;
  readonly #sender: Sender;
  readonly #pool: BuilderPool;
  readonly #topics = new Map<string, ProducerTopic>();
  /** Those with records that wait for the partitions to be known. */
  readonly #unknown = new Set<ProducerTopic>();
  readonly #subscription: Disposable;
  readonly #alarm: Alarm;
  #lastTopic: ProducerTopic | undefined;
  #buffered = 0;

  constructor(
    routing: Routing,
    settings: ProducerSettings,
    partitioner: Partitioner | undefined,
    outstanding: Outstanding,
    sender: Sender,
  ) {
    this.#routing = routing;
    this.#settings = settings;
    this.#partitioner = partitioner;
    this.#outstanding = outstanding;
    this.#sender = sender;
    this.#pool = new BuilderPool(settings.batchSize, settings.maxBufferedBytes);
    this.#subscription = routing.subscribe(() => this.#see());
    this.#alarm = new Alarm(routing.ports.clock, () => this.#see());
  }

  /** Encoded bytes taken and not yet ended. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  /** Some record waits for its topic's partitions to be known. */
  get waitsForTopics(): boolean {
    return this.#unknown.size > 0;
  }

  /** The last one is remembered: most producers send to one. */
  topic(name: string): ProducerTopic {
    const last = this.#lastTopic;
    if (last !== undefined && last.name === name) return last;
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      const start = this.#routing.ports.random.nextU32() % limits.partitionsPerTopic;
      const sticky = new StickyEven(Math.max(this.#settings.batchSize, 1), start);
      topic = new ProducerTopic(name, this.#settings.idempotent, sticky, this.#routing.interestIn(name));
      topic.see(this.#routing.topic(name));
      this.#topics.set(name, topic);
    }
    this.#lastTopic = topic;
    return topic;
  }

  /** @param explicit the partition that the caller named. @throws TributaryError, having kept nothing of the record. */
  add(
    topic: ProducerTopic,
    timestamp: number,
    key: Payload,
    value: Payload,
    headers: readonly RecordHeader[],
    explicit: number | undefined,
  ): RecordDelivery {
    if (topic.partitions === 0) return this.#keepEarly(topic, timestamp, key, value, headers, explicit);
    return this.#place(topic, undefined, timestamp, key, value, headers, explicit);
  }

  /** Every batch under construction is complete. */
  sealAll(): void {
    for (const topic of this.#topics.values()) for (const queue of topic.queues) this.#sender.seal(queue);
  }

  ended({ batch, outcome, unanswered }: EndedBatch): void {
    this.#buffered -= batch.charged;
    const { fate, count } = batch;
    // What the network may still be reading is left to the garbage collector.
    if (!unanswered && !batch.brokeOff) this.#pool.give(batch.builder);
    if (outcome.kind === 'failed') this.#outstanding.failed(fate, count, outcome.error);
    fate.settle(outcome);
  }

  /** Topics that are gone, and whose records have been told so, are asked for anew by the next record for them. */
  forgetAbsent(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    for (const topic of this.#topics.values()) {
      const view = this.#routing.topic(topic.name);
      if (view.kind !== 'absent' || topic.early.length > 0) continue;
      if (absentTopicError(topic.name, view, now) !== undefined) this.#forget(topic);
    }
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#alarm[Symbol.dispose]();
    const error = new TributaryError('REQUEST_TIMED_OUT', 'The producer was closed before the topic was found.');
    for (const topic of this.#unknown) this.#failEarly(topic, error);
    for (const topic of this.#topics.values()) topic[Symbol.dispose]();
    this.#topics.clear();
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
    let queue = topic.queue(explicit ?? (sticky ? topic.stickyChoice() : this.#choose(topic, key)));
    let batch = queue.open;
    let before = batch?.size ?? 0;
    if (batch !== undefined && !appended(queue, batch, timestamp, key, value, headers)) {
      this.#sender.seal(queue);
      batch = undefined;
      if (sticky) {
        queue = topic.queue(topic.stickyAfterFull());
        batch = queue.open;
        before = batch?.size ?? 0;
        if (batch !== undefined && !appended(queue, batch, timestamp, key, value, headers)) {
          this.#sender.seal(queue);
          batch = undefined;
        }
      }
    }
    if (batch === undefined) {
      batch = this.#begin(queue, timestamp, key, value, headers);
      before = 0;
    }
    const added = batch.size - before;
    batch.charged += added;
    this.#buffered += added;
    if (sticky) topic.sticky.used(added);
    const { fate, count } = batch;
    if (delivery === undefined) return new RecordDelivery(fate, count - 1, timestamp - fate.baseTimestamp);
    delivery.enter(fate, count - 1, timestamp - fate.baseTimestamp);
    return delivery;
  }

  /** A new batch in the queue, with its first record. */
  #begin(
    queue: PartitionQueue,
    timestamp: number,
    key: Payload,
    value: Payload,
    headers: readonly RecordHeader[],
  ): ProducerBatch {
    const builder = this.#pool.take();
    try {
      builder.append(timestamp, key, value, headers);
    } catch (thrown) {
      this.#pool.give(builder);
      throw thrown;
    }
    const now = this.#routing.ports.clock.monotonicMs();
    const { lingerMs, deliveryTimeoutMs } = this.#settings;
    const fate = this.#outstanding.begin(queue.topic, queue.partition, timestamp);
    const batch = new ProducerBatch(fate, builder, now + lingerMs, now + deliveryTimeoutMs);
    queue.begin(batch);
    this.#sender.began(queue, batch);
    return batch;
  }

  #choose(topic: ProducerTopic, key: Payload): number {
    const { name, partitions } = topic;
    if (this.#partitioner === undefined) return partitionOfKey(key ?? '', partitions);
    const chosen = this.#partitioner(name, key, partitions);
    if (Number.isInteger(chosen) && chosen >= 0 && chosen < partitions) return chosen;
    const sentence = `The partitioner answered ${chosen} for topic "${name}", which has ${partitions} partitions.`;
    throw new TributaryError('INVALID_RECORD', sentence);
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
    checkTimestamp(timestamp);
    const early: EarlyRecord = {
      delivery: new RecordDelivery(undefined, 0, 0),
      timestamp,
      key: copied(key),
      value: copied(value),
      headers: copiedHeaders(headers),
      partition,
      charged: recordSize(key, value, headers),
      deadline: this.#routing.ports.clock.monotonicMs() + this.#settings.deliveryTimeoutMs,
    };
    topic.early.push(early);
    this.#buffered += early.charged;
    this.#unknown.add(topic);
    this.#alarm.at(early.deadline);
    return early.delivery;
  }

  /** The picture of the cluster has changed, or early records have run out of time. */
  #see(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    for (const topic of this.#topics.values()) {
      const view = this.#routing.topic(topic.name);
      topic.see(view);
      const [first] = topic.early;
      if (first === undefined) continue;
      if (topic.partitions > 0) {
        this.#placeEarly(topic);
        continue;
      }
      const absent = view.kind === 'absent' ? absentTopicError(topic.name, view, now) : undefined;
      if (absent !== undefined) this.#failEarly(topic, absent);
      else if (first.deadline > now) this.#alarm.at(first.deadline);
      else {
        const sentence = `No broker told about topic "${topic.name}" within the delivery timeout.`;
        this.#failEarly(topic, new TributaryError('REQUEST_TIMED_OUT', sentence));
      }
    }
    this.#outstanding.progressed();
  }

  #placeEarly(topic: ProducerTopic): void {
    this.#unknown.delete(topic);
    const { early } = topic;
    topic.early = [];
    for (const { delivery, timestamp, key, value, headers, partition, charged } of early) {
      this.#buffered -= charged;
      try {
        this.#place(topic, delivery, timestamp, key, value, headers, partition);
      } catch (thrown) {
        this.#refuseEarly(topic, delivery, TributaryError.from(thrown));
      }
    }
  }

  #failEarly(topic: ProducerTopic, error: TributaryError): void {
    this.#unknown.delete(topic);
    const { early } = topic;
    topic.early = [];
    for (const { delivery, charged } of early) {
      this.#buffered -= charged;
      this.#refuseEarly(topic, delivery, error);
    }
    this.#forget(topic);
    this.#outstanding.progressed();
    this.#sender.pumpSoon();
  }

  #refuseEarly(topic: ProducerTopic, delivery: RecordDelivery, error: TributaryError): void {
    const fate = new BatchFate(topic.name, undefined, () => undefined);
    delivery.enter(fate, 0, 0);
    this.#outstanding.failed(fate, 1, error);
    fate.settle({ kind: 'failed', error });
  }

  #forget(topic: ProducerTopic): void {
    topic[Symbol.dispose]();
    this.#topics.delete(topic.name);
    if (this.#lastTopic === topic) this.#lastTopic = undefined;
  }
}

/** @returns false if the batch is full: by its own size, or by what the broker has been found to take. */
function appended(
  queue: PartitionQueue,
  { builder }: ProducerBatch,
  timestamp: number,
  key: Payload,
  value: Payload,
  headers: readonly RecordHeader[],
): boolean {
  const most = queue.batchBytesMost;
  if (most !== Number.POSITIVE_INFINITY && builder.estimatedSize + recordSize(key, value, headers) > most) return false;
  return builder.append(timestamp, key, value, headers);
}
