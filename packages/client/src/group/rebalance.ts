/**
 * Brings what this consumer reads in line with what its coordinator gives it (G5): what goes is no longer handed out, committed, told to the application, and only
 * then said to be given up; what comes is read from where the group has committed. What stays does not notice.
 */
import { limits, TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { pauseMs } from '../backoff.ts';
import type { HandOut } from '../hand-out.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { PartitionFetch, StartSpec } from '../partition-fetch.ts';
import type { Routing } from '../routing.ts';
import { Bell } from '../waiting.ts';
import type { Commits } from './commits.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import type { Floor } from './floor.ts';
import type { RebalanceCallbacks } from './group-options.ts';
import { type GroupPartition, keyOf, type Membership } from './membership.ts';
import type { TopicNames } from './topic-names.ts';

/** A partition that this consumer has. */
export interface Share<K, V> {
  readonly place: GroupPartition;
  readonly fetch: PartitionFetch<K, V>;
  /** Keeps its topic in the picture. */
  readonly interest: Disposable;
  /** The application knows of it. */
  announced: boolean;
}

export interface RebalanceParts<K, V> {
  readonly routing: Routing;
  readonly link: CoordinatorLink;
  readonly handOut: HandOut<K, V>;
  readonly floor: Floor;
  readonly commits: Commits;
  readonly names: TopicNames;
  readonly maxPollIntervalMs: number;
  callbacks(): RebalanceCallbacks;
  membership(): Membership;
  newFetch(topic: string, place: GroupPartition, start: StartSpec | 'none'): PartitionFetch<K, V>;
  /** Where reading begins without a commit. */
  reset(place: GroupPartition): 'beginning' | 'end' | 'none';
  /** Commits what the application has come back from. Never rejects. */
  commitReturned(shares: readonly Share<K, V>[]): Promise<void>;
  /** The membership may have something to say. */
  speak(): void;
  /** The application is to be told, once. */
  failed(error: TributaryError): void;
}

export class Rebalance<K, V> {
  readonly #parts: RebalanceParts<K, V>;
  readonly #shares = new Map<string, Share<K, V>>();
  readonly #wanted = new Bell();
  #isWanted = false;
  #isLost = false;
  #isClosing = false;
  #failingSince: number | undefined;
  /** Aborted when everything is lost, or the consumer closes. */
  #membership = new AbortController();
  /** Aborted when the assignment changes. */
  #assignment = new AbortController();
  #running: Promise<void> | undefined;
  /** The application is being called; resolves when that is over. */
  #calling: PromiseWithResolvers<'over'> | undefined;

  constructor(parts: RebalanceParts<K, V>) {
    this.#parts = parts;
  }

  get shares(): readonly Share<K, V>[] {
    return [...this.#shares.values()];
  }

  get isCalling(): boolean {
    return this.#calling !== undefined;
  }

  begin(): void {
    this.#running ??= this.#run();
  }

  /** Waits for the callback that runs. @returns false: it takes longer. */
  async outlast(ms: number): Promise<boolean> {
    if (this.#calling === undefined) return true;
    const enough = new AbortController();
    const late = this.#parts.routing.ports.clock.sleep(ms, enough.signal).catch(() => undefined);
    const outcome = await Promise.race([this.#calling.promise, late]);
    enough.abort();
    return outcome === 'over';
  }

  /** There is another assignment: what it takes away is not handed out from now on. */
  changed(): void {
    const assigned = assignedBy(this.#parts.membership());
    for (const [key, { fetch }] of this.#shares) if (!assigned.has(key)) fetch.held = true;
    this.#assignment.abort();
    this.#assignment = new AbortController();
    this.#wake();
  }

  /** The membership is over, and nothing is this consumer's any more. */
  lost(): void {
    for (const { fetch } of this.#shares.values()) fetch.held = true;
    this.#isLost = true;
    this.#membership.abort();
    this.#membership = new AbortController();
    this.#wake();
  }

  /** Gives everything up, as when all were revoked, and ends. */
  async close(): Promise<void> {
    for (const { fetch } of this.#shares.values()) fetch.held = true;
    this.#isClosing = true;
    this.#membership.abort();
    this.#membership = new AbortController();
    this.#wake();
    await this.#running;
  }

  #wake(): void {
    this.#isWanted = true;
    this.#wanted.ring();
  }

  async #run(): Promise<void> {
    for (;;) {
      if (this.#isLost) {
        await this.#giveUpLost();
        continue;
      }
      if (this.#isClosing) {
        await this.#giveUp([...this.#shares.values()], this.#membership.signal);
        if (this.#isLost) continue;
        return;
      }
      this.#isWanted = false;
      const membership = this.#parts.membership();
      const { version } = membership;
      const assigned = assignedBy(membership);
      const { signal } = this.#membership;
      const revoked = [...this.#shares].flatMap(([key, share]) => (assigned.has(key) ? [] : [share]));
      if (revoked.length > 0) {
        await this.#giveUp(revoked, signal);
        continue;
      }
      membership.carriedOut(version);
      this.#parts.speak();
      const added = [...assigned].flatMap(([key, place]) => (this.#shares.has(key) ? [] : [place]));
      const isComplete = added.length === 0 || (await this.#takeOver(added, signal));
      if (!this.#isWanted) await this.#announce(this.#assignment.signal);
      if (this.#isWanted) continue;
      if (isComplete) await this.#wanted.next();
      else await this.#pause();
    }
  }

  /** What was told to the application goes back with its knowledge, once it has come back from the records that it took. */
  async #giveUp(revoked: readonly Share<K, V>[], signal: AbortSignal): Promise<void> {
    const { floor, handOut } = this.#parts;
    const { onRevoked } = this.#parts.callbacks();
    const announced = revoked.filter((share) => share.announced);
    const isAsked = announced.length > 0 && onRevoked !== undefined;
    if (isAsked || revoked.some(({ fetch }) => handOut.isTaken(fetch))) {
      if (!(await floor.take(signal))) return;
    }
    try {
      await this.#parts.commitReturned(announced);
      if (this.#isLost) return;
      if (isAsked) await this.#call('onRevoked', onRevoked, announced);
      this.#drop(revoked);
    } finally {
      floor.back();
    }
  }

  async #giveUpLost(): Promise<void> {
    const { floor } = this.#parts;
    const { onRevoked, onLost = onRevoked } = this.#parts.callbacks();
    const lost = [...this.#shares.values()];
    const announced = lost.filter((share) => share.announced);
    this.#isLost = false;
    if (announced.length > 0 && onLost !== undefined && (await floor.take(new AbortController().signal))) {
      try {
        await this.#call('onLost', onLost, announced);
      } finally {
        floor.back();
      }
    }
    this.#drop(lost);
  }

  #drop(shares: readonly Share<K, V>[]): void {
    const { handOut, commits } = this.#parts;
    const gone = new Set(shares.map(({ fetch }) => fetch));
    handOut.change(handOut.fetches.filter((fetch) => !gone.has(fetch)));
    for (const { place, interest } of shares) {
      this.#shares.delete(keyOf(place));
      commits.forget(place);
      interest[Symbol.dispose]();
    }
  }

  /** @returns false: some of it is to be tried again. */
  async #takeOver(added: readonly GroupPartition[], signal: AbortSignal): Promise<boolean> {
    const { names, handOut, routing } = this.#parts;
    try {
      await names.learn(
        added.map(({ topicId }) => topicId),
        signal,
      );
      const known = added.filter(({ topicId }) => names.get(topicId) !== undefined);
      if (known.length > 0) {
        const starts = await this.#starts(known, signal);
        if (signal.aborted) return true;
        const assigned = assignedBy(this.#parts.membership());
        const shares = known
          .filter((place) => assigned.has(keyOf(place)))
          .map((place): Share<K, V> => {
            const topic = names.get(place.topicId) ?? '';
            const fetch = this.#parts.newFetch(topic, place, starts.get(keyOf(place)) ?? 'none');
            fetch.held = this.#parts.callbacks().onAssigned !== undefined;
            return { place, fetch, interest: routing.interestIn(topic), announced: !fetch.held };
          });
        for (const share of shares) this.#shares.set(keyOf(share.place), share);
        handOut.change([...handOut.fetches, ...shares.map(({ fetch }) => fetch)]);
      }
      const isComplete = known.length === added.length;
      if (isComplete) this.#failingSince = undefined;
      return isComplete;
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      // Who is out hears so from its session.
      if (!signal.aborted && error.error !== 'UNKNOWN_MEMBER_ID') this.#parts.failed(error);
      return false;
    }
  }

  /** Where to begin: what the group has committed, else as the policy says. */
  async #starts(
    places: readonly GroupPartition[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, StartSpec | 'none'>> {
    const { routing, link, commits } = this.#parts;
    const starts = new Map<string, StartSpec | 'none'>();
    for (let at = 0; at < places.length; at += limits.offsetsPerCommit) {
      const partitions = places.slice(at, at + limits.offsetsPerCommit);
      const request = () => {
        const { memberId, epoch } = this.#parts.membership();
        return { context: routing.context, groupId: link.groupId, partitions, memberId, memberEpoch: epoch };
      };
      const what = `Fetching the offsets of group "${link.groupId}"`;
      const call = { deadlineMs: routing.options.requestTimeoutMs, signal, what };
      const { offsets } = await link.call(methods.fetchOffsets, request, () => undefined, call);
      for (const { topicId, partition, offset, leaderEpoch } of offsets) {
        if (offset < 0n) continue;
        const place = { topicId, partition };
        const start: StartSpec = { kind: 'offset', offset: offset as never, leaderEpoch };
        starts.set(keyOf(place), start);
        commits.known(place, start.offset);
      }
    }
    for (const place of places) {
      if (starts.has(keyOf(place))) continue;
      const reset = this.#parts.reset(place);
      starts.set(keyOf(place), reset === 'none' ? 'none' : { kind: reset });
    }
    return starts;
  }

  /** Tells the application what has come; until then none of it is handed out. */
  async #announce(signal: AbortSignal): Promise<void> {
    const { floor } = this.#parts;
    const { onAssigned } = this.#parts.callbacks();
    const shares = [...this.#shares.values()].filter((share) => !share.announced);
    if (shares.length === 0) return;
    if (onAssigned !== undefined) {
      if (!(await floor.take(signal))) return;
      // As good as told: whoever threw in the middle of it may have set up a part of it.
      for (const share of shares) share.announced = true;
      try {
        await this.#call('onAssigned', onAssigned, shares);
      } finally {
        floor.back();
      }
    }
    const assigned = assignedBy(this.#parts.membership());
    for (const share of shares) {
      share.announced = true;
      share.fetch.held = this.#isLost || this.#isClosing || !assigned.has(keyOf(share.place));
    }
  }

  async #call(
    name: keyof RebalanceCallbacks,
    callback: (partitions: readonly TopicPartition[]) => void | Promise<void>,
    shares: readonly Share<K, V>[],
  ): Promise<void> {
    const { maxPollIntervalMs, routing } = this.#parts;
    const { clock } = routing.ports;
    const partitions = shares.map(({ fetch: { topic, partition } }) => ({ topic, partition }));
    const enough = new AbortController();
    const late = async (): Promise<'late'> => {
      await clock.sleep(maxPollIntervalMs, enough.signal);
      return 'late';
    };
    const calling = Promise.withResolvers<'over'>();
    this.#calling = calling;
    try {
      const called = (async () => await callback(partitions))();
      const outcome = await Promise.race([called, late()]);
      if (outcome === 'late') {
        called.catch(() => undefined);
        const sentence = `${name} takes longer than maxPollIntervalMs, ${maxPollIntervalMs} ms: the group goes on without it.`;
        this.#parts.failed(new TributaryError('REQUEST_TIMED_OUT', sentence));
      }
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      const sentence = `${name} threw: ${why}. The group goes on.`;
      this.#parts.failed(new TributaryError('UNKNOWN_SERVER_ERROR', sentence, { cause: thrown }));
    } finally {
      this.#calling = undefined;
      calling.resolve('over');
      enough.abort();
    }
  }

  async #pause(): Promise<void> {
    const { clock, random } = this.#parts.routing.ports;
    const { retryBackoffMs, retryBackoffMsMax } = this.#parts.routing.options;
    const now = clock.monotonicMs();
    this.#failingSince ??= now;
    const ms = pauseMs(now - this.#failingSince, retryBackoffMs, retryBackoffMsMax, random);
    await this.#wanted.within(ms, clock, undefined);
  }
}

const nothing: ReadonlyMap<string, GroupPartition> = new Map();

const assignedBy = (membership: Membership): ReadonlyMap<string, GroupPartition> =>
  membership.isOver ? nothing : membership.assigned;
