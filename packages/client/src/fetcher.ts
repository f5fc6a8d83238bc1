/**
 * Fetching, apart from polling: finds positions and leaders for the assigned partitions, keeps a stream to each leader, and grants credit as
 * records are handed out. What has come waits in the partitions.
 */
import { limits, TributaryError } from '@tributary/model';
import type { FetchedPartition } from '@tributary/wire';
import { Alarm } from '@tributary/metadata';
import { pauseMs } from './backoff.ts';
import { type ConsumerSettings, fetchWindow } from './consumer-options.ts';
import { type FetchedFrom, FetchSession } from './fetch-session.ts';
import { lookUpOffsets } from './offset-lookup.ts';
import type { PartitionFetch } from './partition-fetch.ts';
import { type Source, sourceOf } from './rack.ts';
import { absentTopicError, noSuchPartition, type Routing } from './routing.ts';
import { Bell } from './waiting.ts';

export class Fetcher<K, V> implements Disposable {
  readonly #routing: Routing;
  readonly #settings: ConsumerSettings;
  readonly #alarm: Alarm;
  /** For those who wait for records no longer than they like: one timer for all polls, since most end long before it. */
  readonly #patience: Alarm;
  readonly #subscription: Disposable;
  readonly #sessions = new Map<string, FetchSession<K, V>>();
  readonly #sessionOf = new Map<PartitionFetch<K, V>, FetchSession<K, V>>();
  readonly #locating = new Set<PartitionFetch<K, V>>();
  readonly #closing = new AbortController();
  /** Rings when records, or an error, have come. */
  readonly arrival = new Bell();
  #fetches: readonly PartitionFetch<K, V>[] = [];
  #window: number;
  #scheduled = false;

  constructor(routing: Routing, settings: ConsumerSettings) {
    this.#routing = routing;
    this.#settings = settings;
    this.#window = fetchWindow(settings, 1);
    this.#alarm = new Alarm(routing.ports.clock, () => this.#advance());
    this.#patience = new Alarm(routing.ports.clock, () => this.arrival.ring());
    this.#subscription = routing.subscribe(() => this.advanceSoon());
  }

  /** These partitions, and no others, from now on. */
  assign(fetches: readonly PartitionFetch<K, V>[]): void {
    for (const fetch of this.#fetches) if (!fetches.includes(fetch)) this.#leave(fetch);
    this.#fetches = fetches;
    this.#window = fetchWindow(this.#settings, fetches.length);
    this.advanceSoon();
  }

  /** Resolves when something has come, at `time` or soon after, or when aborted. @param time on the monotonic clock, ms. */
  arrivalBefore(time: number, signal: AbortSignal | undefined): Promise<void> {
    if (Number.isFinite(time)) this.#patience.at(time);
    return this.arrival.nextUnless(signal);
  }

  /** Looks at every partition at the end of this tick. */
  advanceSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#advance());
  }

  /** Records of the partition have been handed out: there may be room for more. */
  handedOut(fetch: PartitionFetch<K, V>): void {
    const credit = fetch.creditDue(this.#window);
    if (credit !== undefined) this.#sessionOf.get(fetch)?.grant(fetch, credit);
    if (fetch.phase.kind === 'beyond') this.advanceSoon();
  }

  #advance(): void {
    this.#scheduled = false;
    if (this.#closing.signal.aborted) return;
    this.#routing.refreshWhenOld();
    const now = this.#routing.ports.clock.monotonicMs();
    for (const fetch of this.#fetches) {
      const phase = fetch.phase;
      switch (phase.kind) {
        case 'open':
          if (this.#isBetterElsewhere(fetch, now)) this.#reopen(fetch, now);
          else this.handedOut(fetch);
          break;
        case 'stopped':
          break;
        case 'beyond':
          if (fetch.drained) this.#reset(fetch, phase.error);
          break;
        case 'locating':
        case 'closed':
          if (phase.kind === 'closed' && this.#hasNewerLeader(fetch)) {
            fetch.failingSince = undefined;
            this.#open(fetch, now);
          } else if (now < fetch.retryAt) this.#alarm.at(fetch.retryAt);
          else if (phase.kind === 'closed') this.#open(fetch, now);
          else if (!this.#locating.has(fetch)) void this.#locate(fetch, phase.start);
          break;
      }
    }
    for (const session of this.#sessions.values()) if (!session.idle) this.#alarm.at(session.probe(now));
  }

  #hasNewerLeader(fetch: PartitionFetch<K, V>): boolean {
    return this.#routing.hasNewerLeader(fetch.topic, fetch.partition, fetch.leaderEpoch);
  }

  /** It is open, and yet another broker has taken over, or a follower of the rack may be tried again. */
  #isBetterElsewhere(fetch: PartitionFetch<K, V>, now: number): boolean {
    if (this.#hasNewerLeader(fetch)) return true;
    if (this.#settings.rack === '' || this.#sessionOf.get(fetch)?.fromFollower !== false) return false;
    if (now < fetch.leaderUntil) this.#alarm.at(fetch.leaderUntil);
    else return this.#source(fetch, now)?.fromFollower === true;
    return false;
  }

  #reopen(fetch: PartitionFetch<K, V>, now: number): void {
    this.#sessionOf.get(fetch)?.close(fetch);
    fetch.closed();
    fetch.retryAt = now;
    this.#open(fetch, now);
  }

  #open(fetch: PartitionFetch<K, V>, now: number): void {
    const source = this.#source(fetch, now);
    if (source === undefined) return;
    const before = this.#sessionOf.get(fetch);
    const key = sessionKey(source);
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = new FetchSession(source, this.#routing, this.#settings, this);
      this.#sessions.set(key, session);
    }
    if (before !== session) before?.close(fetch);
    this.#sessionOf.set(fetch, session);
    session.open(fetch, source, this.#window);
  }

  /** Where to read the partition; undefined while that is not known, or the partition has been stopped or sent back to be located. */
  #source(fetch: PartitionFetch<K, V>, now: number): Source | undefined {
    const topic = this.#routing.topic(fetch.topic);
    if (topic.kind === 'unasked') return undefined;
    if (fetch.pinned && (topic.kind === 'absent' || topic.id !== fetch.topicId)) {
      // The topic is gone, and the group's coordinator is about to say so.
      this.#sessionOf.get(fetch)?.close(fetch);
      fetch.closed();
      this.#backOff(fetch);
      return undefined;
    }
    if (topic.kind === 'absent') {
      const error = absentTopicError(fetch.topic, topic, now);
      if (error !== undefined) this.#stop(fetch, error);
      return undefined;
    }
    if (fetch.topicId !== undefined && fetch.topicId !== topic.id) {
      this.#sessionOf.get(fetch)?.close(fetch);
      fetch.topicId = topic.id;
      fetch.beyond(
        new TributaryError(
          'OFFSET_OUT_OF_RANGE',
          `Topic "${fetch.topic}" was deleted and created anew; offsets of the old one mean nothing in it.`,
        ),
      );
      this.advanceSoon();
      return undefined;
    }
    fetch.topicId = topic.id;
    const partition = topic.partitions[fetch.partition];
    if (partition === undefined) {
      this.#stop(fetch, noSuchPartition(fetch.topic, fetch.partition, topic.partitions.length));
      return undefined;
    }
    const source = sourceOf(this.#routing, topic.id, partition, now < fetch.leaderUntil ? '' : this.#settings.rack);
    if (source === undefined) this.#routing.refresh();
    return source;
  }

  async #locate(fetch: PartitionFetch<K, V>, start: 'beginning' | 'end'): Promise<void> {
    const { seeks } = fetch;
    const what = `Finding the ${start} of partition ${fetch.partition} of "${fetch.topic}"`;
    this.#locating.add(fetch);
    try {
      const options = { deadlineMs: this.#routing.options.requestTimeoutMs, signal: this.#closing.signal, what };
      const question = { topic: fetch.topic, partition: fetch.partition, wanted: { kind: start } };
      const [found] = await lookUpOffsets(this.#routing, [question], options);
      if (found === undefined) throw new TributaryError('UNKNOWN_SERVER_ERROR', `${what}: the leader named no offset.`);
      if (fetch.seeks === seeks && fetch.phase.kind === 'locating') {
        const topic = this.#routing.topic(fetch.topic);
        const isAnother = fetch.pinned && (topic.kind !== 'known' || topic.id !== fetch.topicId);
        if (topic.kind === 'known' && !fetch.pinned) fetch.topicId = topic.id;
        if (isAnother) this.#backOff(fetch);
        else fetch.located(found.offset);
      }
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (fetch.seeks === seeks && !this.#closing.signal.aborted) {
        const isGone = fetch.pinned && error.error === 'UNKNOWN_TOPIC_OR_PARTITION';
        if (error.retriable || isGone) this.#backOff(fetch);
        else this.#stop(fetch, error);
      }
    }
    this.#locating.delete(fetch);
    this.arrival.ring();
    this.advanceSoon();
  }

  /** The position is not in the log, and all before it is handed out: the policy decides. */
  #reset(fetch: PartitionFetch<K, V>, error: TributaryError): void {
    switch (this.#settings.autoOffsetReset) {
      case 'earliest':
      case 'latest':
        this.#routing.ports.logger?.warn('consumer position reset', {
          topic: fetch.topic,
          partition: fetch.partition,
          reason: error.message,
        });
        fetch.restart(this.#settings.autoOffsetReset === 'earliest' ? 'beginning' : 'end');
        this.advanceSoon();
        break;
      case 'none':
        this.#stop(fetch, error);
        break;
    }
  }

  received(fetch: PartitionFetch<K, V>, frame: FetchedPartition): void {
    this.#routing.trustLeader(fetch.topic, fetch.partition);
    try {
      fetch.received(frame);
    } catch (thrown) {
      this.#stop(fetch, TributaryError.from(thrown));
      return;
    }
    const credit = fetch.creditDue(this.#window);
    if (credit !== undefined) this.#sessionOf.get(fetch)?.grant(fetch, credit);
  }

  refused(fetch: PartitionFetch<K, V>, frame: FetchedPartition, error: TributaryError): void {
    if (this.#sessionOf.get(fetch)?.fromFollower === true) {
      // Whatever it is, the leader knows better: a follower may be behind, or no longer one.
      this.#leaveFollower(fetch);
    } else if (error.error === 'OFFSET_OUT_OF_RANGE') {
      fetch.beyond(outOfRange(fetch, frame, error));
    } else if (error.retriable) {
      fetch.closed();
      if (error.refreshMetadata) {
        this.#routing.leaderMoved(fetch.topic, fetch.partition, frame.leaderId, frame.leaderEpoch);
        this.#routing.doubtLeader(fetch.topic, fetch.partition, fetch.leaderEpoch);
        if (error.error === 'BROKER_NOT_AVAILABLE') this.#routing.leaderIsDown(fetch.topic, fetch.partition);
      }
      // Told who leads now, it does not wait: see #advance.
      this.#backOff(fetch);
    } else {
      this.#stop(fetch, error);
      return;
    }
    this.advanceSoon();
  }

  /** For a while: it goes on at the leader at once. */
  #leaveFollower(fetch: PartitionFetch<K, V>): void {
    const now = this.#routing.ports.clock.monotonicMs();
    fetch.closed();
    fetch.retryAt = now;
    fetch.leaderUntil = now + limits.rackRetryMs;
  }

  arrived(): void {
    this.arrival.ring();
  }

  broken(session: FetchSession<K, V>, fetches: readonly PartitionFetch<K, V>[], error: TributaryError): void {
    const key = sessionKey(session);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    if (this.#closing.signal.aborted) return;
    if (!session.heard && error.error === 'NETWORK_EXCEPTION') this.#routing.connections.unreachable(session.address);
    this.#routing.refreshAvoiding(session.address);
    for (const fetch of fetches) {
      this.#sessionOf.delete(fetch);
      if (session.fromFollower) this.#leaveFollower(fetch);
      else if (error.retriable || error.error === 'UNKNOWN_SERVER_ERROR') {
        fetch.closed();
        this.#routing.doubtLeader(fetch.topic, fetch.partition, fetch.leaderEpoch);
        this.#backOff(fetch);
      } else {
        this.#stop(fetch, error);
      }
    }
    this.advanceSoon();
  }

  #backOff(fetch: PartitionFetch<K, V>): void {
    const { clock, random } = this.#routing.ports;
    const { retryBackoffMs, retryBackoffMsMax } = this.#routing.options;
    const now = clock.monotonicMs();
    fetch.failingSince ??= now;
    fetch.retryAt = now + pauseMs(now - fetch.failingSince, retryBackoffMs, retryBackoffMsMax, random);
    this.#alarm.at(fetch.retryAt);
  }

  /** What has come of the partition cannot be read. */
  spoilt(fetch: PartitionFetch<K, V>, error: TributaryError): void {
    this.#sessionOf.get(fetch)?.close(fetch);
    fetch.spoilt(error);
    this.arrival.ring();
  }

  #stop(fetch: PartitionFetch<K, V>, error: TributaryError): void {
    this.#sessionOf.get(fetch)?.close(fetch);
    fetch.stop(error);
    this.arrival.ring();
  }

  #leave(fetch: PartitionFetch<K, V>): void {
    this.#sessionOf.get(fetch)?.close(fetch);
    this.#sessionOf.delete(fetch);
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
    this.#subscription[Symbol.dispose]();
    this.#alarm[Symbol.dispose]();
    this.#patience[Symbol.dispose]();
    for (const session of this.#sessions.values()) session.end();
    this.#sessions.clear();
    this.arrival.ring();
  }
}

const sessionKey = ({ address, fromFollower }: FetchedFrom): string =>
  `${fromFollower ? 'follower' : 'leader'} ${address}`;

function outOfRange<K, V>(fetch: PartitionFetch<K, V>, frame: FetchedPartition, error: TributaryError): TributaryError {
  const begins = frame.logStartOffset >= 0n ? ` The log begins at ${frame.logStartOffset}.` : '';
  return new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `Partition ${fetch.partition} of "${fetch.topic}": ${error.message}${begins} Seek to where reading should go on.`,
    {
      cause: error,
    },
  );
}
