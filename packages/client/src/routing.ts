/** Which broker to talk to: the picture of the cluster, kept fresh, and the connections. One per cluster handle, shared by everything made from it. */
import { errorTable, limits, TributaryError } from '@tributary/model';
import type { Peer, UnaryMethod } from '@tributary/ports';
import { type GetMetadataResponse, methods, type RequestContext } from '@tributary/wire';
import { backoffMs } from './backoff.ts';
import { FinalError } from './final-error.ts';
import { ClusterView, type PartitionView, type TopicView } from './cluster-view.ts';
import type { ClientPorts } from './ports.ts';
import { Bell } from './waiting.ts';

export interface RoutingOptions {
  readonly bootstrap: readonly string[];
  readonly clientId: string;
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMsMax: number;
}

/** Where a partition's leader can be reached. */
export interface Route {
  readonly address: string;
  readonly topicId: string;
  readonly leaderEpoch: number;
}

export interface CallOptions {
  /** For the whole call, retries included, ms. */
  readonly deadlineMs: number;
  /** For one attempt, ms; limits.attemptTimeoutMs if absent. */
  readonly attemptMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** What it is about, for the error: `Creating topic "a"`. */
  readonly what: string;
}

export class Routing implements AsyncDisposable {
  readonly ports: ClientPorts;
  readonly options: RoutingOptions;
  readonly #view = new ClusterView();
  readonly #peers = new Map<string, Peer>();
  /** Topics of interest, with the number of those who are interested. */
  readonly #interest = new Map<string, number>();
  /** Rings whenever the picture may have changed. */
  readonly #changed = new Bell();
  readonly #listeners = new Set<() => void>();
  /** Advertised addresses that could not be reached, and until when they are not tried again. */
  readonly #detours = new Map<string, number>();
  /** Addresses that have answered. */
  readonly #reached = new Set<string>();
  readonly #closing = new AbortController();
  #bootstrap: string;
  #refreshing: Promise<void> | undefined;
  #refreshWanted = false;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  /** Answers in a row that failed or left something open, for the backoff. */
  #unsettled = 0;
  /** Of the metadata that this client has changed: later answers must reflect it (M4). */
  #minRevision = 0n;

  constructor(ports: ClientPorts, options: RoutingOptions) {
    this.ports = ports;
    this.options = options;
    this.#bootstrap = options.bootstrap[0] ?? '';
  }

  get clusterId(): string {
    return this.#view.clusterId;
  }

  get view(): ClusterView {
    return this.#view;
  }

  get context(): RequestContext {
    const { clientId } = this.options;
    return {
      clusterId: this.#view.clusterId,
      clientId,
      principal: '',
      originalPrincipal: '',
      host: '',
      hops: 0,
      minRevision: this.#minRevision,
    };
  }

  /** Finds a broker that answers. @throws TributaryError BROKER_NOT_AVAILABLE naming every address and why it failed. */
  async connect(timeoutMs: number): Promise<void> {
    const { clock } = this.ports;
    const until = clock.monotonicMs() + timeoutMs;
    const failures: string[] = [];
    for (const [index, address] of this.options.bootstrap.entries()) {
      const left = until - clock.monotonicMs();
      // Each address gets its share of the time that is left, so that a silent first one does not use up all of it.
      const share = left / (this.options.bootstrap.length - index);
      if (share <= 0) break;
      try {
        const answer = await this.peer(address).unary(
          methods.getMetadata,
          { context: this.context, topics: [], allTopics: false },
          { deadlineMs: share },
        );
        this.#bootstrap = address;
        this.#apply(answer, []);
        return;
      } catch (thrown) {
        failures.push(TributaryError.from(thrown).message);
      }
    }
    throw new TributaryError(
      'BROKER_NOT_AVAILABLE',
      `No broker answers at ${this.options.bootstrap.join(', ')}: ${failures.join(' ')} Is one running there? \`tributary dev\` starts one on this machine.`,
    );
  }

  /** Keeps the topic in the picture until disposed. Ask `topic` for it, and `subscribe` to learn of changes. */
  interestIn(topic: string): Disposable {
    const count = this.#interest.get(topic) ?? 0;
    this.#interest.set(topic, count + 1);
    if (count === 0) this.refresh();
    return {
      [Symbol.dispose]: () => {
        const left = (this.#interest.get(topic) ?? 1) - 1;
        if (left > 0) this.#interest.set(topic, left);
        else {
          this.#interest.delete(topic);
          this.#view.forget(topic);
        }
      },
    };
  }

  topic(name: string): TopicView {
    return this.#view.topic(name);
  }

  /** Called whenever the picture may have changed, until disposed. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Where the leader is; undefined while there is none, or it is not known. */
  route(topicId: string, partition: PartitionView): Route | undefined {
    if (partition.leaderId === undefined) return undefined;
    const broker = this.#view.broker(partition.leaderId);
    if (broker === undefined) return undefined;
    return { address: this.#reachable(broker.address), topicId, leaderEpoch: partition.leaderEpoch };
  }

  /** An answer told who leads now. */
  leaderMoved(topic: string, partition: number, leaderId: number, leaderEpoch: number): void {
    if (leaderEpoch > 0) this.#view.leaderMoved(topic, partition, leaderId, leaderEpoch);
  }

  /** Asks for a fresh picture, unless that is under way; listeners hear of it. */
  refresh(): void {
    this.#refreshWanted = true;
    if (this.#refreshing !== undefined || this.#closing.signal.aborted) return;
    this.#refreshing = this.#refreshLoop().finally(() => {
      this.#refreshing = undefined;
    });
  }

  /** Asks again where the picture has grown old. */
  refreshWhenOld(): void {
    if (this.ports.clock.monotonicMs() - this.#refreshedAt > limits.metadataAgeMs) this.refresh();
  }

  /** Later pictures reflect at least this revision (M4). */
  changedAt(revision: bigint): void {
    if (revision > this.#minRevision) this.#minRevision = revision;
  }

  /** Waits until the topic is known. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION after the bounded wait for one in creation. */
  async waitForTopic(name: string, options: CallOptions): Promise<TopicView & { kind: 'known' }> {
    const { clock } = this.ports;
    const until = clock.monotonicMs() + options.deadlineMs;
    using _ = this.interestIn(name);
    for (;;) {
      const topic = this.topic(name);
      if (topic.kind === 'known') return topic;
      const now = clock.monotonicMs();
      const error = topic.kind === 'absent' ? absentTopicError(name, topic, now) : undefined;
      if (error !== undefined) throw error;
      options.signal?.throwIfAborted();
      if (now >= until)
        throw new TributaryError(
          'REQUEST_TIMED_OUT',
          `${options.what}: no broker told about topic "${name}" within ${options.deadlineMs} ms.`,
        );
      this.refresh();
      await this.#changed.within(Math.min(until - now, limits.topicWaitMs), clock, options.signal);
    }
  }

  /** The connection to an address; made if need be. */
  peer(address: string): Peer {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = this.ports.transport.connect(address);
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /** The way to a broker, by the address that it advertises. */
  wayTo(advertised: string): string {
    return this.#reachable(advertised);
  }

  /** A connection to this address failed; if none ever carried anything, the way by the bootstrap address is taken for a while. */
  unreachable(address: string): void {
    // A broker that was reached before is down, not out of reach: no other address leads to it either.
    if (address === this.#bootstrap || this.#reached.has(address)) return;
    this.#detours.set(address, this.ports.clock.monotonicMs() + limits.detourMs);
  }

  /** A connection to this address carried an answer. */
  reached(address: string): void {
    this.#reached.add(address);
    this.#detours.delete(address);
  }

  /** A call that any broker answers: retried on other brokers while it fails retriably. @throws TributaryError. */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: () => Request,
    options: CallOptions,
  ): Promise<Response> {
    return await this.retry(
      options,
      async (attempt, deadlineMs) => await this.callOnce(method, request(), attempt, deadlineMs, options.signal),
    );
  }

  /** One attempt: each goes to another broker than the one before. @throws TributaryError. */
  async callOnce<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    attempt: number,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const address = this.#candidate(attempt);
    try {
      return await this.peer(address).unary(method, request, {
        deadlineMs,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (error.error === 'NETWORK_EXCEPTION') this.unreachable(address);
      throw error;
    }
  }

  /** Runs an attempt again, with backoff, while it fails retriably and there is time. @throws TributaryError: the last failure. */
  async retry<T>(options: CallOptions, attempt: (attempt: number, deadlineMs: number) => Promise<T>): Promise<T> {
    const { clock, random } = this.ports;
    const until = clock.monotonicMs() + options.deadlineMs;
    /** What an attempt was told that had the time to be answered. */
    let told = '';
    for (let failures = 0; ; ) {
      options.signal?.throwIfAborted();
      this.#checkOpen();
      let error: TributaryError;
      try {
        const left = Math.max(until - clock.monotonicMs(), 1);
        return await attempt(failures, Math.min(left, options.attemptMs ?? limits.attemptTimeoutMs));
      } catch (thrown) {
        error = TributaryError.from(thrown);
      }
      failures++;
      options.signal?.throwIfAborted();
      if (!error.retriable) throw error;
      if (error.error !== 'REQUEST_TIMED_OUT') told = '';
      const pause = backoffMs(failures, this.options.retryBackoffMs, this.options.retryBackoffMsMax, random);
      if (clock.monotonicMs() + pause >= until) {
        throw new TributaryError(
          error.error,
          `${options.what} did not succeed within ${options.deadlineMs} ms. Last: ${error.message}${told}`,
          { cause: error },
        );
      }
      if (error.error !== 'REQUEST_TIMED_OUT') told = ` Before that: ${error.message}`;
      await clock.sleep(pause, options.signal ?? this.#closing.signal).catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled([...this.#peers.values()].map((peer) => peer[Symbol.asyncDispose]()));
    await this.#refreshing;
  }

  async #refreshLoop(): Promise<void> {
    const { clock, random } = this.ports;
    while (this.#refreshWanted && !this.#closing.signal.aborted) {
      this.#refreshWanted = false;
      // A cluster in trouble must not be asked by all its clients in a loop.
      const pause =
        this.#unsettled === 0
          ? 0
          : backoffMs(this.#unsettled, this.options.retryBackoffMs, this.options.retryBackoffMsMax, random);
      const wait = this.#refreshedAt + pause - clock.monotonicMs();
      if (wait > 0) await clock.sleep(wait, this.#closing.signal).catch(() => undefined);
      if (this.#closing.signal.aborted) return;
      const topics = [...this.#interest.keys()];
      const address = this.#candidate(this.#unsettled);
      const request = { context: this.context, topics, allTopics: false };
      const call = { deadlineMs: limits.attemptTimeoutMs, signal: this.#closing.signal };
      try {
        const answer = await this.peer(address).unary(methods.getMetadata, request, call);
        this.reached(address);
        this.#apply(answer, topics);
        const incomplete = topics.some((name) => this.#incomplete(name));
        this.#unsettled = incomplete ? this.#unsettled + 1 : 0;
        if (incomplete) this.#refreshWanted = true;
      } catch (thrown) {
        this.#unsettled++;
        this.#refreshWanted = true;
        if (TributaryError.from(thrown).error === 'NETWORK_EXCEPTION') this.unreachable(address);
      }
      this.#refreshedAt = clock.monotonicMs();
      this.#changed.ring();
      for (const listener of this.#listeners) listener();
    }
  }

  #apply(answer: GetMetadataResponse, topics: readonly string[]): void {
    const before = new Set(this.#view.brokers.map(({ address }) => address));
    this.#view.apply(answer, topics, this.ports.clock.monotonicMs());
    // One that has come, or come back, may be reached by now.
    for (const { address } of this.#view.brokers) if (!before.has(address)) this.#detours.delete(address);
  }

  /** Worth asking again soon: somebody waits for what is not there yet. */
  #incomplete(name: string): boolean {
    if (!this.#interest.has(name)) return false;
    const topic = this.topic(name);
    if (topic.kind === 'absent') return absentTopicError(name, topic, this.ports.clock.monotonicMs()) === undefined;
    return topic.kind === 'known' && topic.partitions.some((partition) => this.#isLeaderless(partition));
  }

  /** Nobody leads it, or nobody knows where the leader is: it may be on its way back. */
  #isLeaderless({ leaderId }: PartitionView): boolean {
    return leaderId === undefined || this.#view.broker(leaderId) === undefined;
  }

  /** Bootstrap addresses and brokers in turn. */
  #candidate(attempt: number): string {
    const addresses = [
      ...new Set([
        this.#bootstrap,
        ...this.options.bootstrap,
        ...this.#view.brokers.map(({ address }) => this.#reachable(address)),
      ]),
    ];
    return addresses[attempt % addresses.length] ?? this.#bootstrap;
  }

  #reachable(address: string): string {
    const until = this.#detours.get(address);
    if (until === undefined) return address;
    if (until > this.ports.clock.monotonicMs()) return this.#bootstrap;
    this.#detours.delete(address);
    return address;
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw closedError();
  }
}

export const closedError = (): TributaryError =>
  new TributaryError('INVALID_REQUEST', 'This connection to the cluster is closed.');

/** The error once a missing topic has been waited for long enough, or its name can never be one; undefined until then. */
export function absentTopicError(
  name: string,
  topic: TopicView & { kind: 'absent' },
  now: number,
): TributaryError | undefined {
  // Of UNKNOWN_TOPIC_OR_PARTITION the broker has no more to say than this.
  const because = topic.message === '' || topic.error === 'UNKNOWN_TOPIC_OR_PARTITION' ? '' : ` (${topic.message})`;
  if (topic.error !== 'UNKNOWN_TOPIC_OR_PARTITION' && !errorTable[topic.error].retriable)
    return new TributaryError(topic.error, topic.message || topic.error);
  if (now - topic.since < limits.topicWaitMs) return undefined;
  return new FinalError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `There is no topic "${name}"${because}. Create it: tributary topic create ${name}`,
  );
}

/** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION for a partition beyond the topic's, LEADER_NOT_AVAILABLE while it has no leader. */
export function routeOf(
  routing: Routing,
  name: string,
  topic: TopicView & { kind: 'known' },
  partition: number,
): Route {
  const view = topic.partitions[partition];
  if (view === undefined) throw noSuchPartition(name, partition, topic.partitions.length);
  const route = routing.route(topic.id, view);
  if (route !== undefined) return route;
  routing.refresh();
  throw new TributaryError(
    'LEADER_NOT_AVAILABLE',
    view.reason || `Partition ${partition} of "${name}" has no leader now.`,
  );
}

/** Not to be retried: the topic is known, and the partition is none of its. */
export function noSuchPartition(name: string, partition: number, partitions: number): TributaryError {
  const range = partitions === 1 ? 'one partition, 0' : `${partitions} partitions, 0 to ${partitions - 1}`;
  return new FinalError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `Partition ${partition} of topic "${name}" does not exist: the topic has ${range}.`,
  );
}
