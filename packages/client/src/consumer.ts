import { assert, limits, type Offset, offset, TributaryError } from '@tributary/model';
import { type ConsumerOptions, type ConsumerSettings, consumerSettings } from './consumer-options.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import { Fetcher } from './fetcher.ts';
import { lookUpOffsets, type OffsetQuestion } from './offset-lookup.ts';
import { PartitionFetch, type StartSpec } from './partition-fetch.ts';
import { type CallOptions, closedError, noSuchPartition, type Routing } from './routing.ts';
import { type Deserializer, serializers } from './serializers.ts';

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A position: an offset, or where the log begins or ends when it is asked for. */
export type Position = bigint | 'beginning' | 'end';

export interface Assignment {
  readonly topic: string;
  /** If absent, all partitions of the topic: those that it has now, and, from their beginning, those that are added later. */
  readonly partition?: number | undefined;
  /** Default: as `autoOffsetReset` says. */
  readonly offset?: Position | undefined;
}

export interface PollOptions {
  /** Default 500. */
  readonly maxRecords?: number | undefined;
  /** How long to wait for the first record, ms. Default 1,000; Infinity waits for good. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Records of one partition, in offset order. */
export interface PartitionRecords<K, V> extends TopicPartition {
  readonly records: readonly ConsumerRecord<K, V>[];
}

export interface PartitionOffset extends TopicPartition {
  readonly offset: Offset;
}

export interface TimedOffset extends TopicPartition {
  /** Of the first record that is not older; undefined if there is none. */
  readonly offset: Offset | undefined;
  /** Its timestamp, milliseconds since 1970. */
  readonly timestamp: number | undefined;
}

export interface CallLimits {
  /** Default: the client's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the partitions that it is assigned. Made by `cluster.consumer(…)`; `await using` closes it.
 * ```ts
 * await consumer.assign([{ topic: 'events', offset: 'beginning' }]);
 * for await (const record of consumer) console.log(record.offset, record.value);
 * ```
 * or, many at a time, `await consumer.poll()`. A position moves when a record is handed out, so what one reader of this consumer got no other gets.
 */
export class Consumer<K = Uint8Array, V = Uint8Array> implements AsyncDisposable, AsyncIterable<ConsumerRecord<K, V>> {
  readonly #routing: Routing;
  readonly #settings: ConsumerSettings;
  readonly #keyDeserializer: Deserializer<K>;
  readonly #valueDeserializer: Deserializer<V>;
  readonly #fetcher: Fetcher<K, V>;
  readonly #onClosed: () => void;
  #fetches: readonly PartitionFetch<K, V>[] = [];
  #interests: readonly Disposable[] = [];
  /** Topics assigned as a whole: added partitions are read too. */
  #wholeTopics: ReadonlySet<string> = new Set();
  readonly #subscription: Disposable;
  /** Whose turn it is to hand out records. */
  #turn = 0;
  /** Where iteration takes records from, and how many more before it is another one's turn. */
  #current: PartitionFetch<K, V> | undefined;
  #currentLeft = 0;
  /** Errors of partitions that have been thrown once. */
  readonly #told = new WeakSet<TributaryError>();
  #polling = false;
  #closed = false;

  /** Use `cluster.consumer`. @throws TributaryError INVALID_CONFIG. */
  constructor(routing: Routing, options: ConsumerOptions<K, V>, onClosed: () => void) {
    this.#onClosed = onClosed;
    this.#routing = routing;
    this.#settings = consumerSettings(options);
    this.#keyDeserializer = options.keyDeserializer ?? (serializers.bytes as Deserializer<unknown> as Deserializer<K>);
    this.#valueDeserializer =
      options.valueDeserializer ?? (serializers.bytes as Deserializer<unknown> as Deserializer<V>);
    this.#fetcher = new Fetcher(routing, this.#settings);
    this.#subscription = routing.subscribe(() => this.#takeAdded());
  }

  /** What is assigned, in the order of the assignment. */
  get assignment(): readonly TopicPartition[] {
    return this.#fetches.map(({ topic, partition }) => ({ topic, partition }));
  }

  /**
   * Reads these partitions from now on, and no others. Those that were assigned before and are named without an offset keep their positions.
   * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST for a partition named twice or once closed.
   */
  async assign(assignments: readonly Assignment[], options: CallLimits = {}): Promise<void> {
    this.#checkOpen();
    const interests = assignments.map(({ topic }) => this.#routing.interestIn(topic));
    try {
      const fetches: PartitionFetch<K, V>[] = [];
      for (const assignment of assignments) fetches.push(...(await this.#fetchesFor(assignment, options)));
      const names = new Set(fetches.map(({ topic, partition }) => `${topic}/${partition}`));
      if (names.size < fetches.length)
        throw new TributaryError('INVALID_REQUEST', 'A partition is named twice in the assignment.');
      this.#checkOpen();
      for (const interest of this.#interests) interest[Symbol.dispose]();
      this.#interests = interests;
      this.#wholeTopics = new Set(assignments.flatMap((each) => (each.partition === undefined ? [each.topic] : [])));
      this.#fetches = fetches;
      this.#turn = 0;
      this.#current = undefined;
      this.#fetcher.assign(fetches);
    } catch (thrown) {
      for (const interest of interests) interest[Symbol.dispose]();
      throw thrown;
    }
  }

  /**
   * Records that have come, waiting for the first if there are none.
   * @returns [] when none came in time. @throws TributaryError of a partition that cannot go on: OFFSET_OUT_OF_RANGE (with `autoOffsetReset: 'none'`),
   *   CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION; once, unless no partition can: other partitions go on, and a seek mends it. The signal's reason when
   *   aborted.
   */
  async poll(options: PollOptions = {}): Promise<readonly ConsumerRecord<K, V>[]> {
    const groups = await this.pollGrouped(options);
    return groups.length === 1 && groups[0] !== undefined
      ? groups[0].records
      : groups.flatMap(({ records }) => records);
  }

  /** As `poll`, with the records of each partition apart. */
  async pollGrouped(options: PollOptions = {}): Promise<readonly PartitionRecords<K, V>[]> {
    const { maxRecords = limits.pollRecords, timeoutMs = limits.pollTimeoutMs, signal } = options;
    const { clock } = this.#routing.ports;
    this.#enter();
    try {
      let until: number | undefined;
      for (;;) {
        this.#checkOpen();
        signal?.throwIfAborted();
        const groups = this.#take(maxRecords);
        if (groups.length > 0) return groups;
        const now = clock.monotonicMs();
        until ??= now + timeoutMs;
        if (now >= until) return [];
        await this.#fetcher.arrivalBefore(until, signal);
      }
    } finally {
      this.#polling = false;
    }
  }

  /** Record after record, until the consumer is closed or the loop is left. */
  [Symbol.asyncIterator](): AsyncIterator<ConsumerRecord<K, V>, undefined> {
    return this.records()[Symbol.asyncIterator]();
  }

  /** As iterating over the consumer itself, ended by a signal too: the loop then throws its reason. */
  records(signal?: AbortSignal): AsyncIterable<ConsumerRecord<K, V>, undefined> {
    const waited = async (): Promise<IteratorResult<ConsumerRecord<K, V>, undefined>> => {
      this.#enter();
      try {
        for (;;) {
          if (this.#closed) return { done: true, value: undefined };
          signal?.throwIfAborted();
          const record = this.#takeOne();
          if (record !== undefined) return { done: false, value: record };
          await this.#fetcher.arrival.nextUnless(signal);
        }
      } finally {
        this.#polling = false;
      }
    };
    // What has come is handed out without the cost of an async function.
    const next = (): Promise<IteratorResult<ConsumerRecord<K, V>, undefined>> => {
      const record = this.#polling || signal?.aborted === true ? undefined : this.#takeFromCurrent();
      return record === undefined ? waited() : Promise.resolve({ done: false, value: record });
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Reading goes on at another position. @throws TributaryError INVALID_REQUEST when the partition is not assigned, or the offset negative. */
  seek(partition: TopicPartition, position: Position): void {
    if (typeof position === 'bigint' && position < 0n)
      throw new TributaryError('INVALID_REQUEST', `Offset ${position} is negative.`);
    this.#find(partition).seek(startSpec(position));
    this.#fetcher.advanceSoon();
  }

  /** Hands out no records of these partitions, and fetches no more than has been granted, until `resume`. @throws as `seek`. */
  pause(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#find(partition).paused = true;
  }

  /** @throws as `seek`. */
  resume(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#find(partition).paused = false;
    this.#fetcher.arrival.ring();
    this.#fetcher.advanceSoon();
  }

  /** Those that are paused. */
  get paused(): readonly TopicPartition[] {
    return this.#fetches.filter(({ paused }) => paused).map(({ topic, partition }) => ({ topic, partition }));
  }

  /** Offset of the next record to be handed out; waits while the beginning or end is being looked up. @throws as `seek`; REQUEST_TIMED_OUT. */
  async position(partition: TopicPartition, options: CallLimits = {}): Promise<Offset> {
    const fetch = this.#find(partition);
    const { clock } = this.#routing.ports;
    const timeoutMs = options.timeoutMs ?? this.#routing.options.requestTimeoutMs;
    const until = clock.monotonicMs() + timeoutMs;
    for (;;) {
      this.#checkOpen();
      options.signal?.throwIfAborted();
      if (fetch.phase.kind === 'stopped') throw fetch.phase.error;
      if (fetch.position !== undefined) return fetch.position;
      const left = until - clock.monotonicMs();
      if (left <= 0)
        throw new TributaryError(
          'REQUEST_TIMED_OUT',
          `The position of partition ${partition.partition} of "${partition.topic}" was not found within ${timeoutMs} ms.`,
        );
      await this.#fetcher.arrival.within(left, clock, options.signal);
    }
  }

  /** Offsets of the first records that are still there. Assigned or not. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  async beginningOffsets(
    partitions: readonly TopicPartition[],
    options: CallLimits = {},
  ): Promise<readonly PartitionOffset[]> {
    return await this.#edges(partitions, 'beginning', options);
  }

  /** Offsets after the last records that consumers may read. Assigned or not. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  async endOffsets(
    partitions: readonly TopicPartition[],
    options: CallLimits = {},
  ): Promise<readonly PartitionOffset[]> {
    return await this.#edges(partitions, 'end', options);
  }

  /** The first records whose timestamp is at least the one given, ms since 1970. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  async offsetsForTimes(
    times: readonly (TopicPartition & { readonly timestamp: number })[],
    options: CallLimits = {},
  ): Promise<readonly TimedOffset[]> {
    const questions = times.map(
      ({ topic, partition, timestamp }): OffsetQuestion => ({
        topic,
        partition,
        wanted: { kind: 'time', timestampMs: timestamp },
      }),
    );
    const found = await lookUpOffsets(this.#routing, questions, this.#call('Finding offsets by time', options));
    return times.map(({ topic, partition }, index) => ({
      topic,
      partition,
      offset: found[index]?.offset,
      timestamp: found[index]?.timestampMs,
    }));
  }

  /** Stops reading. A `poll` that waits rejects; a loop over the consumer ends. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#subscription[Symbol.dispose]();
    this.#fetcher[Symbol.dispose]();
    for (const interest of this.#interests) interest[Symbol.dispose]();
    this.#fetches = [];
    this.#current = undefined;
    this.#onClosed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #fetchesFor(
    { topic: name, partition, offset: position }: Assignment,
    options: CallLimits,
  ): Promise<readonly PartitionFetch<K, V>[]> {
    const topic = await this.#routing.waitForTopic(name, this.#call(`Assigning topic "${name}"`, options));
    const wanted = partition === undefined ? topic.partitions.map((view) => view.partition) : [partition];
    return wanted.map((index) => {
      if (!Number.isInteger(index) || topic.partitions[index] === undefined)
        throw noSuchPartition(name, index, topic.partitions.length);
      const before = this.#fetches.find((fetch) => fetch.topic === name && fetch.partition === index);
      if (before !== undefined && position === undefined) return before;
      const fetch = this.#newFetch(
        name,
        index,
        position ?? (this.#settings.autoOffsetReset === 'earliest' ? 'beginning' : 'end'),
      );
      if (position === undefined && this.#settings.autoOffsetReset === 'none') {
        const sentence = `No offset is given for partition ${index} of "${name}" and autoOffsetReset is 'none': give one, or seek.`;
        fetch.stop(new TributaryError('OFFSET_OUT_OF_RANGE', sentence));
      }
      return fetch;
    });
  }

  #newFetch(topic: string, partition: number, position: Position): PartitionFetch<K, V> {
    const deserializers = { keyDeserializer: this.#keyDeserializer, valueDeserializer: this.#valueDeserializer };
    return new PartitionFetch<K, V>({ topic, partition, ...deserializers }, this.#settings, startSpec(position));
  }

  /** From their beginning: nobody had a position in them, and no record of the topic is to be missed. */
  #takeAdded(): void {
    const added: PartitionFetch<K, V>[] = [];
    for (const name of this.#wholeTopics) {
      const topic = this.#routing.topic(name);
      if (topic.kind !== 'known') continue;
      const known = this.#fetches.filter((fetch) => fetch.topic === name).length;
      for (let index = known; index < topic.partitions.length; index++)
        added.push(this.#newFetch(name, index, 'beginning'));
    }
    if (added.length === 0) return;
    this.#fetches = [...this.#fetches, ...added];
    this.#fetcher.assign(this.#fetches);
  }

  /** Up to `most` records, from one partition after another. */
  #take(most: number): readonly PartitionRecords<K, V>[] {
    const groups: PartitionRecords<K, V>[] = [];
    const count = this.#fetches.length;
    let left = most;
    let stopped: TributaryError | undefined;
    for (let step = 0; step < count && left > 0; step++) {
      const fetch = this.#fetches[this.#turn];
      assert(fetch !== undefined, 'the turn is one of the partitions');
      this.#turn = (this.#turn + 1) % count;
      if (!fetch.drained && !fetch.paused) {
        const records: ConsumerRecord<K, V>[] = [];
        this.#takeFrom(fetch, records, left);
        left -= records.length;
        if (records.length > 0) groups.push({ topic: fetch.topic, partition: fetch.partition, records });
      }
      if (fetch.phase.kind === 'stopped' && fetch.drained) stopped = this.#untold(fetch.phase.error, stopped);
    }
    if (groups.length === 0 && stopped !== undefined) this.#tell(stopped);
    return groups;
  }

  #takeFrom(fetch: PartitionFetch<K, V>, into: ConsumerRecord<K, V>[], most: number): void {
    try {
      fetch.take(into, most);
    } catch (thrown) {
      this.#fetcher.spoilt(fetch, TributaryError.from(thrown));
    }
    this.#fetcher.handedOut(fetch);
  }

  /** Of two errors the one that has not been thrown yet. */
  #untold(error: TributaryError, other: TributaryError | undefined): TributaryError {
    return other !== undefined && !this.#told.has(other) ? other : error;
  }

  /** Throws what has not been thrown; and what has, when nothing goes on any more. */
  #tell(error: TributaryError): void {
    if (this.#told.has(error) && this.#fetches.some(({ phase }) => phase.kind !== 'stopped')) return;
    this.#told.add(error);
    throw error;
  }

  /** One record of the partition that the last one came from, while its turn lasts. */
  #takeFromCurrent(): ConsumerRecord<K, V> | undefined {
    const fetch = this.#current;
    if (fetch === undefined || fetch.paused || this.#currentLeft === 0) return undefined;
    this.#currentLeft--;
    const before = fetch.bufferedBytes;
    const record = this.#nextOf(fetch);
    if (fetch.bufferedBytes !== before) this.#fetcher.handedOut(fetch);
    return record;
  }

  #nextOf(fetch: PartitionFetch<K, V>): ConsumerRecord<K, V> | undefined {
    try {
      return fetch.next();
    } catch (thrown) {
      this.#fetcher.spoilt(fetch, TributaryError.from(thrown));
      return undefined;
    }
  }

  /** One record of whichever partition has some. */
  #takeOne(): ConsumerRecord<K, V> | undefined {
    const record = this.#takeFromCurrent();
    if (record !== undefined) return record;
    const group = this.#take(1)[0];
    this.#current = this.#fetches.find((fetch) => fetch.topic === group?.topic && fetch.partition === group.partition);
    this.#currentLeft = limits.pollRecords;
    return group?.records[0];
  }

  async #edges(
    partitions: readonly TopicPartition[],
    kind: 'beginning' | 'end',
    options: CallLimits,
  ): Promise<readonly PartitionOffset[]> {
    const questions = partitions.map(
      ({ topic, partition }): OffsetQuestion => ({ topic, partition, wanted: { kind } }),
    );
    const found = await lookUpOffsets(
      this.#routing,
      questions,
      this.#call(`Finding the ${kind} of partitions`, options),
    );
    return partitions.map(({ topic, partition }, index) => ({
      topic,
      partition,
      offset: found[index]?.offset ?? offset(0n),
    }));
  }

  #call(what: string, options: CallLimits): CallOptions {
    return { deadlineMs: options.timeoutMs ?? this.#routing.options.requestTimeoutMs, signal: options.signal, what };
  }

  #find({ topic, partition }: TopicPartition): PartitionFetch<K, V> {
    const found = this.#fetches.find((fetch) => fetch.topic === topic && fetch.partition === partition);
    if (found === undefined)
      throw new TributaryError(
        'INVALID_REQUEST',
        `Partition ${partition} of "${topic}" is not assigned to this consumer.`,
      );
    return found;
  }

  #enter(): void {
    if (this.#polling)
      throw new TributaryError('INVALID_REQUEST', 'The consumer is being polled already: one reader at a time.');
    this.#polling = true;
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }
}

function startSpec(position: Position): StartSpec {
  return typeof position === 'bigint' ? { kind: 'offset', offset: offset(position) } : { kind: position };
}
