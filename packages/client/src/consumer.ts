import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import type {
  Assignment,
  CallLimits,
  CloseOptions,
  PartitionOffset,
  PollOptions,
  Position,
  TimedOffset,
} from './consumer-calls.ts';
import { type ConsumerOptions, type ConsumerSettings, consumerSettings } from './consumer-options.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import { Fetcher } from './fetcher.ts';
import {
  type CommittedOffset,
  ConsumerGroup,
  type GroupMetadata,
  type OffsetToCommit,
} from './group/consumer-group.ts';
import { groupSettings, interestOf, type Subscription } from './group/group-options.ts';
import type { GroupPartition } from './group/membership.ts';
import { HandOut, type PartitionRecords } from './hand-out.ts';
import type { TopicPartition } from './topic-partition.ts';
import { lookUpOffsets, type OffsetQuestion } from './offset-lookup.ts';
import { PartitionFetch, type StartSpec } from './partition-fetch.ts';
import { type CallOptions, closedError, noSuchPartition, type Routing } from './routing.ts';
import { type Deserializer, serializers } from './serializers.ts';

/**
 * Reads the partitions that it assigns itself, or its share of those that its group subscribes to. Made by `cluster.consumer(…)`; `await using` closes it.
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
  readonly #handOut: HandOut<K, V>;
  #interests: readonly Disposable[] = [];
  /** Topics assigned as a whole: added partitions are read too. */
  #wholeTopics: ReadonlySet<string> = new Set();
  readonly #subscription: Disposable;
  /** undefined: it has no groupId. */
  readonly #group: ConsumerGroup<K, V> | undefined;
  #polling = false;
  /** Nothing more is read. */
  #closing: Promise<void> | undefined;
  /** Nothing more is asked for. Until then its group may be told what `onRevoked` commits. */
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
    this.#handOut = new HandOut(this.#fetcher);
    this.#subscription = routing.subscribe(() => this.#takeAdded());
    const settings = groupSettings(options);
    this.#group =
      settings &&
      new ConsumerGroup<K, V>({
        ...{ routing, settings, handOut: this.#handOut, arrival: this.#fetcher.arrival },
        newFetch: (topic, place, start) => this.#memberFetch(topic, place, start),
        autoOffsetReset: this.#settings.autoOffsetReset,
      });
  }

  /** What is assigned, in the order of the assignment. */
  get assignment(): readonly TopicPartition[] {
    return this.#handOut.fetches.map(({ topic, partition }) => ({ topic, partition }));
  }

  /**
   * Reads these partitions from now on, and no others. Those that were assigned before and are named without an offset keep their positions.
   * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST for a partition named twice or once closed.
   */
  async assign(assignments: readonly Assignment[], options: CallLimits = {}): Promise<void> {
    this.#checkReading();
    if (this.#group?.participation !== undefined)
      throw new TributaryError('INVALID_REQUEST', 'The consumer subscribes: its group assigns. Unsubscribe first.');
    const interests = assignments.map(({ topic }) => this.#routing.interestIn(topic));
    try {
      const fetches: PartitionFetch<K, V>[] = [];
      for (const assignment of assignments) fetches.push(...(await this.#fetchesFor(assignment, options)));
      const names = new Set(fetches.map(({ topic, partition }) => `${topic}/${partition}`));
      if (names.size < fetches.length)
        throw new TributaryError('INVALID_REQUEST', 'A partition is named twice in the assignment.');
      this.#checkReading();
      for (const interest of this.#interests) interest[Symbol.dispose]();
      this.#interests = interests;
      this.#wholeTopics = new Set(assignments.flatMap((each) => (each.partition === undefined ? [each.topic] : [])));
      this.#handOut.assign(fetches);
    } catch (thrown) {
      for (const interest of interests) interest[Symbol.dispose]();
      throw thrown;
    }
  }

  /**
   * Joins the group `groupId`: from now on this consumer reads its share of what the group subscribes to, each partition from where the group has committed, else as
   * `autoOffsetReset` says. Again: another subscription, and other callbacks. Resolves when the coordinator has taken it in; partitions come while it polls.
   * @throws TributaryError INVALID_REQUEST without a groupId, or for a subscription to nothing; INVALID_GROUP_ID, INVALID_REGULAR_EXPRESSION,
   *   INVALID_SESSION_TIMEOUT, UNSUPPORTED_ASSIGNOR, GROUP_MAX_SIZE_REACHED; COORDINATOR_NOT_AVAILABLE when none took it in before the deadline.
   */
  async subscribe(subscription: Subscription, options: CallLimits = {}): Promise<void> {
    this.#checkReading();
    const group = this.#inGroup();
    interestOf(subscription);
    for (const interest of this.#interests) interest[Symbol.dispose]();
    this.#interests = [];
    this.#wholeTopics = new Set();
    await group.subscribe(subscription, this.#call('Subscribing', options));
  }

  /** Leaves the group, as `close` does; the consumer can then subscribe, or assign, anew. */
  async unsubscribe(options: CloseOptions = {}): Promise<void> {
    await this.#group?.leave(options.leave ?? false);
  }

  /** Who this consumer is in its group; undefined without a groupId. */
  get groupMetadata(): GroupMetadata | undefined {
    return this.#group?.metadata;
  }

  /**
   * Commits for the group, and waits until that is durable. Commits reach the coordinator in the order in which they are asked for; also backwards.
   * @param offsets default: all that was handed out, the last records included: whoever calls it has done with them.
   * @throws TributaryError INVALID_REQUEST for a partition that is not this consumer's; UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH when it no longer is;
   *   OFFSET_OUT_OF_RANGE beyond the end of the log; OFFSET_METADATA_TOO_LARGE; what lasted when the deadline came.
   */
  async commit(offsets?: readonly OffsetToCommit[], options: CallLimits = {}): Promise<void> {
    this.#checkOpen();
    const { deadlineMs } = this.#call('Committing', options);
    await this.#inGroup().commit(offsets, deadlineMs);
  }

  /** As `commit`, without waiting: what fails goes to the option `onCommitError`. */
  commitAsync(offsets?: readonly OffsetToCommit[]): void {
    const group = this.#inGroup();
    this.commit(offsets).catch((thrown: unknown) => group.commitFailed(TributaryError.from(thrown)));
  }

  /** What the group has committed, whoever did. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST without a groupId. */
  async committed(
    partitions: readonly TopicPartition[],
    options: CallLimits = {},
  ): Promise<readonly CommittedOffset[]> {
    return await this.#inGroup().committed(partitions, this.#call('Fetching committed offsets', options));
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
        this.#checkReading();
        signal?.throwIfAborted();
        if ((await this.#attended()) === 'interrupted') continue;
        const groups = this.#mayHandOut ? this.#handOut.take(maxRecords) : [];
        if (groups.length > 0) return groups;
        const now = clock.monotonicMs();
        until ??= now + timeoutMs;
        if (now >= until) return [];
        await this.#fetcher.arrivalBefore(until, signal);
      }
    } finally {
      this.#leave();
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
          if (this.#closing !== undefined) return { done: true, value: undefined };
          signal?.throwIfAborted();
          if ((await this.#attended()) === 'interrupted') continue;
          const record = this.#mayHandOut ? this.#handOut.takeOne() : undefined;
          if (record !== undefined) return { done: false, value: record };
          await this.#fetcher.arrival.nextUnless(signal);
        }
      } finally {
        this.#leave();
      }
    };
    // What has come is handed out without the cost of an async function.
    const next = (): Promise<IteratorResult<ConsumerRecord<K, V>, undefined>> => {
      const record = this.#polling || signal?.aborted === true ? undefined : this.#takeAtOnce();
      return record === undefined ? waited() : Promise.resolve({ done: false, value: record });
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Reading goes on at another position. @throws TributaryError INVALID_REQUEST when the partition is not assigned, or the offset negative. */
  seek(partition: TopicPartition, position: Position): void {
    if (typeof position === 'bigint' && position < 0n)
      throw new TributaryError('INVALID_REQUEST', `Offset ${position} is negative.`);
    const fetch = this.#handOut.find(partition);
    fetch.seek(startSpec(position));
    this.#handOut.forgetTaken(fetch);
    this.#fetcher.advanceSoon();
  }

  /** Hands out no records of these partitions, and fetches no more than has been granted, until `resume`. @throws as `seek`. */
  pause(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#handOut.find(partition).paused = true;
  }

  /** @throws as `seek`. */
  resume(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#handOut.find(partition).paused = false;
    this.#fetcher.arrival.ring();
    this.#fetcher.advanceSoon();
  }

  /** Those that are paused. */
  get paused(): readonly TopicPartition[] {
    return this.#handOut.fetches.filter(({ paused }) => paused).map(({ topic, partition }) => ({ topic, partition }));
  }

  /** Offset of the next record to be handed out; waits while the beginning or end is being looked up. @throws as `seek`; REQUEST_TIMED_OUT. */
  async position(partition: TopicPartition, options: CallLimits = {}): Promise<Offset> {
    const fetch = this.#handOut.find(partition);
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

  /**
   * Stops reading. A `poll` that waits rejects; a loop over the consumer ends. A member of a group commits what the application has taken and come back from: not the
   * records of the last `poll`, or the last record of a loop, which nobody has said to be done with (`commit` does); calls `onRevoked`, and leaves.
   * What cannot be told to the coordinator within some seconds is given up: the session then runs out. A static member keeps its place, unless told to `leave`.
   * Again: resolves with the first time; at once while a rebalance callback runs, which may be the caller. @throws TributaryError INVALID_REQUEST when such a callback,
   *   begun before, does not end within some seconds; the consumer then goes on.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    if (this.#closing !== undefined && this.#group?.participation?.isCalling === true) return;
    this.#closing ??= this.#close(options);
    await this.#closing;
  }

  async #close({ leave = false }: CloseOptions): Promise<void> {
    this.#fetcher.arrival.ring();
    try {
      await this.#group?.leave(leave);
    } catch (thrown) {
      this.#closing = undefined;
      throw thrown;
    }
    this.#closed = true;
    this.#subscription[Symbol.dispose]();
    this.#fetcher[Symbol.dispose]();
    for (const interest of this.#interests) interest[Symbol.dispose]();
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
      const before = this.#handOut.fetches.find((fetch) => fetch.topic === name && fetch.partition === index);
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

  #memberFetch(topic: string, { topicId, partition }: GroupPartition, start: StartSpec | 'none'): PartitionFetch<K, V> {
    const fetch = this.#newFetch(topic, partition, 'end');
    fetch.topicId = topicId;
    fetch.pinned = true;
    if (start !== 'none') fetch.seek(start);
    else {
      const group = this.#group?.metadata.groupId ?? '';
      const sentence = `Group "${group}" has committed no offset of partition ${partition} of "${topic}", and autoOffsetReset is 'none': commit one, or seek.`;
      fetch.stop(new TributaryError('OFFSET_OUT_OF_RANGE', sentence));
    }
    return fetch;
  }

  /** From their beginning: nobody had a position in them, and no record of the topic is to be missed. */
  #takeAdded(): void {
    const added: PartitionFetch<K, V>[] = [];
    for (const name of this.#wholeTopics) {
      const topic = this.#routing.topic(name);
      if (topic.kind !== 'known') continue;
      const known = this.#handOut.fetches.filter((fetch) => fetch.topic === name).length;
      for (let index = known; index < topic.partitions.length; index++)
        added.push(this.#newFetch(name, index, 'beginning'));
    }
    if (added.length === 0) return;
    this.#handOut.change([...this.#handOut.fetches, ...added]);
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

  #enter(): void {
    if (this.#polling)
      throw new TributaryError('INVALID_REQUEST', 'The consumer is being polled already: one reader at a time.');
    this.#polling = true;
    this.#group?.participation?.enter();
  }

  #leave(): void {
    this.#polling = false;
    this.#group?.participation?.leave();
  }

  /** Lets the group have its turn before records are handed out. @throws TributaryError what the application has to know. */
  async #attended(): Promise<'interrupted' | 'undisturbed'> {
    const participation = this.#group?.participation;
    if (participation === undefined) return 'undisturbed';
    if (participation.floor.isWanted) {
      await participation.floor.give();
      return 'interrupted';
    }
    participation.throwPending();
    return 'undisturbed';
  }

  get #mayHandOut(): boolean {
    return this.#group?.participation?.owns ?? true;
  }

  /** One record, if one may be handed out without a look at anything else. */
  #takeAtOnce(): ConsumerRecord<K, V> | undefined {
    const participation = this.#group?.participation;
    if (participation !== undefined) {
      if (participation.floor.isWanted || participation.hasPending || !participation.owns) return undefined;
      participation.tookOne();
    }
    return this.#handOut.takeFromCurrent();
  }

  #inGroup(): ConsumerGroup<K, V> {
    if (this.#group !== undefined) return this.#group;
    throw new TributaryError('INVALID_REQUEST', 'The consumer has no groupId: cluster.consumer({ groupId, … }).');
  }

  #checkReading(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }
}

function startSpec(position: Position): StartSpec {
  return typeof position === 'bigint' ? { kind: 'offset', offset: offset(position) } : { kind: position };
}
