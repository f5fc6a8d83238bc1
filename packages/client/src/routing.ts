/** Which broker to talk to: the picture of the cluster, kept fresh, and the connections. One per cluster handle, shared by everything made from it. */
import { errorTable, limits, TributaryError } from '@tributary/model';
import type { UnaryMethod } from '@tributary/ports';
import { type GetMetadataResponse, methods, type RequestContext } from '@tributary/wire';
import { Addresses } from './addresses.ts';
import { askAround } from './ask-around.ts';
import { pauseMs } from './backoff.ts';
import { FinalError } from './final-error.ts';
import { Connections } from './connections.ts';
import { ClusterView, type PartitionView, type TopicView } from './cluster-view.ts';
import { MetadataRefresh } from './metadata-refresh.ts';
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
  readonly connections: Connections;
  readonly #view = new ClusterView();
  readonly #addresses: Addresses;
  readonly #refresh: MetadataRefresh;
  /** Topics of interest, with the number of those who are interested. */
  readonly #interest = new Map<string, number>();
  /** Rings whenever the picture may have changed. */
  readonly #changed = new Bell();
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  /** Of the metadata that this client has changed: later answers must reflect it (M4). */
  #minRevision = 0n;

  constructor(ports: ClientPorts, options: RoutingOptions) {
    this.ports = ports;
    this.options = options;
    this.#addresses = new Addresses(options.bootstrap, ports.clock);
    this.connections = new Connections(ports, this.#addresses, () => ({
      context: { ...this.context, minRevision: 0n },
      topics: [],
      allTopics: false,
      topicIds: [],
    }));
    const { retryBackoffMs, retryBackoffMsMax } = options;
    this.#refresh = new MetadataRefresh({
      clock: ports.clock,
      random: ports.random,
      retryBackoffMs,
      retryBackoffMsMax,
      topics: () => [...this.#interest.keys()],
      candidates: (turn, avoided) => this.#candidates(turn, avoided),
      ask: (address, topics, deadlineMs, signal) => this.#askForPicture(address, topics, deadlineMs, signal),
      take: (answer, topics, address) => {
        this.#take(answer, topics);
        this.connections.reached(address);
      },
      failed: (address, error) => {
        this.#addresses.failed(address);
        if (error.error === 'NETWORK_EXCEPTION') this.connections.unreachable(address);
      },
      leaderEpoch: (topic, partition) => this.leaderEpoch(topic, partition),
      isIncomplete: (topic) => this.#incomplete(topic),
      refreshed: () => {
        this.#changed.ring();
        for (const listener of this.#listeners) listener();
      },
    });
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
    const failures = new Map<string, string>();
    const found = await askAround({
      addresses: this.options.bootstrap,
      ask: (address, deadlineMs, signal) => this.#askForPicture(address, [], deadlineMs, signal),
      take: (answer: GetMetadataResponse, address) => {
        this.#take(answer, []);
        this.connections.reached(address);
        this.#addresses.enterBy(address);
      },
      failed: (address, { message }) => void failures.set(address, message),
      deadlineMs: timeoutMs,
      clock: this.ports.clock,
      signal: this.#closing.signal,
    });
    if (found !== undefined) return;
    const { bootstrap } = this.options;
    const said = bootstrap.map(
      (address) => failures.get(address) ?? `${address} did not answer within ${timeoutMs} ms.`,
    );
    throw new TributaryError(
      'BROKER_NOT_AVAILABLE',
      `No broker answers at ${bootstrap.join(', ')}: ${said.join(' ')} Is one running there? \`tributary dev\` starts one on this machine.`,
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
    return { address: this.connections.wayTo(broker.address), topicId, leaderEpoch: partition.leaderEpoch };
  }

  /** An answer told who leads now. */
  leaderMoved(topic: string, partition: number, leaderId: number, leaderEpoch: number): void {
    if (leaderEpoch > 0) this.#view.leaderMoved(topic, partition, leaderId, leaderEpoch);
  }

  /** Of the partition's leader as far as this client knows; undefined: it knows of none. */
  leaderEpoch(topic: string, partition: number): number | undefined {
    const known = this.topic(topic);
    const view = known.kind === 'known' ? known.partitions[partition] : undefined;
    return view?.leaderEpoch;
  }

  /** There is a leader, and it is newer than the one of this epoch. */
  hasNewerLeader(topic: string, partition: number, leaderEpoch: number): boolean {
    const known = this.topic(topic);
    const view = known.kind === 'known' ? known.partitions[partition] : undefined;
    return view !== undefined && view.leaderEpoch > leaderEpoch && !this.#isLeaderless(view);
  }

  /** Asks for a fresh picture, unless that is under way; listeners hear of it. */
  refresh(): void {
    this.#refresh.refresh();
  }

  /** As `refresh`, of others than the broker at this address, which may not know that it no longer leads. */
  refreshAvoiding(address: string): void {
    this.#addresses.failed(address);
    this.#refresh.refreshAvoiding(address);
  }

  /** The leader of this epoch is gone, or says that it is none: listeners hear of a newer one as soon as a broker knows of it. */
  doubtLeader(topic: string, partition: number, leaderEpoch: number): void {
    this.#refresh.doubt(topic, partition, leaderEpoch);
  }

  /** The leader has answered. */
  trustLeader(topic: string, partition: number): void {
    this.#refresh.trust(topic, partition);
  }

  /** Asks again where the picture has grown old. */
  refreshWhenOld(): void {
    if (this.ports.clock.monotonicMs() - this.#refresh.refreshedAt > limits.metadataAgeMs) this.refresh();
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

  /** The way round to the partition's leader leads nowhere either: it is down, not out of reach. */
  leaderIsDown(topic: string, partition: number): void {
    const known = this.topic(topic);
    const leaderId = known.kind === 'known' ? known.partitions[partition]?.leaderId : undefined;
    const advertised = leaderId === undefined ? undefined : this.#view.broker(leaderId)?.address;
    if (advertised !== undefined) this.#addresses.isDown(advertised);
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
    const address = this.#candidates(attempt, nobody)[0] ?? '';
    return await this.connections.ask(address, method, request, deadlineMs, signal);
  }

  /** Runs an attempt again, with backoff, while it fails retriably and there is time. @throws TributaryError: the last failure. */
  async retry<T>(options: CallOptions, attempt: (attempt: number, deadlineMs: number) => Promise<T>): Promise<T> {
    const { clock, random } = this.ports;
    const until = clock.monotonicMs() + options.deadlineMs;
    let failingSince: number | undefined;
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
      failingSince ??= clock.monotonicMs();
      const { retryBackoffMs, retryBackoffMsMax } = this.options;
      const pause = pauseMs(clock.monotonicMs() - failingSince, retryBackoffMs, retryBackoffMsMax, random);
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
    await Promise.all([this.#refresh.close(), this.connections.close()]);
  }

  async #askForPicture(
    address: string,
    topics: readonly string[],
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<GetMetadataResponse> {
    const request = { context: this.context, topics: [...topics], allTopics: false, topicIds: [] };
    return await this.connections.peer(address).unary(methods.getMetadata, request, { deadlineMs, signal });
  }

  /** @throws TributaryError when it is older than what is known: of a broker that lags behind, or is cut off. */
  #take(answer: GetMetadataResponse, topics: readonly string[]): void {
    const before = new Set(this.#view.brokers.map(({ address }) => address));
    this.#view.apply(answer, topics, this.ports.clock.monotonicMs());
    for (const { address } of this.#view.brokers) if (!before.has(address)) this.#addresses.appeared(address);
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

  #candidates(turn: number, avoided: ReadonlySet<string>): readonly string[] {
    const advertised = this.#view.brokers.map(({ address }) => address);
    return this.#addresses.candidates(advertised, turn, avoided);
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw closedError();
  }
}

const nobody: ReadonlySet<string> = new Set();

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
