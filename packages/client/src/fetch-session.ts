/** One Fetch stream to one broker, with the partitions that are open on it. What many of them want in one tick goes out in one message. */
import { limits, TributaryError } from '@tributary/model';
import type { Stream } from '@tributary/ports';
import {
  type FetchCredit,
  type FetchedPartition,
  type FetchPosition,
  type FetchRequest,
  type FetchResponse,
  IsolationLevel,
  methods,
} from '@tributary/wire';
import type { ConsumerSettings } from './consumer-options.ts';
import type { PartitionFetch } from './partition-fetch.ts';
import type { Route, Routing } from './routing.ts';

export interface FetchedFrom {
  readonly address: string;
  readonly fromFollower: boolean;
}

export interface FetchListener<K, V> {
  /** Records or credit needed, of the partition's current generation. */
  received(fetch: PartitionFetch<K, V>, frame: FetchedPartition): void;
  /** The leader has closed the partition. */
  refused(fetch: PartitionFetch<K, V>, frame: FetchedPartition, error: TributaryError): void;
  /** One message has been taken in. */
  arrived(): void;
  broken(session: FetchSession<K, V>, fetches: readonly PartitionFetch<K, V>[], error: TributaryError): void;
}

export class FetchSession<K, V> {
  readonly address: string;
  /** Of the reader's rack, and not the leader. */
  readonly fromFollower: boolean;
  readonly #routing: Routing;
  readonly #stream: Stream<FetchRequest, FetchResponse>;
  readonly #isolation: IsolationLevel;
  readonly #rack: string;
  readonly #listener: FetchListener<K, V>;
  readonly #cancel = new AbortController();
  /** By topic id, then partition. */
  readonly #fetches = new Map<string, Map<number, PartitionFetch<K, V>>>();
  #open: FetchPosition[] = [];
  #credit: FetchCredit[] = [];
  #close: { topicId: string; partition: number }[] = [];
  #scheduled = false;
  #first = true;
  #over = false;
  #heard = false;
  #heardAt: number;
  /** When others were last asked about its silence. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** The newest one opened on this stream. */
  #generation = 0;
  #probing = false;

  constructor(at: FetchedFrom, routing: Routing, settings: ConsumerSettings, listener: FetchListener<K, V>) {
    this.address = at.address;
    this.fromFollower = at.fromFollower;
    this.#routing = routing;
    this.#isolation = settings.readCommitted ? IsolationLevel.READ_COMMITTED : IsolationLevel.READ_UNCOMMITTED;
    this.#rack = settings.rack;
    this.#listener = listener;
    this.#heardAt = routing.ports.clock.monotonicMs();
    this.#stream = routing.connections.peer(at.address).stream(methods.fetch, this.#cancel.signal);
    void this.#read();
  }

  /** Something came on it: the address is reachable. */
  get heard(): boolean {
    return this.#heard;
  }

  get idle(): boolean {
    return this.#fetches.size === 0;
  }

  /** The leader is to send the partition from its position on. */
  open(fetch: PartitionFetch<K, V>, route: Route, window: number): void {
    // Above those of whoever had the partition before: what is still on its way to that one is not for this one (E1).
    fetch.generation = Math.max(fetch.generation, this.#generation);
    const { generation, offset, lastEpoch, creditLimit } = fetch.opening(window);
    this.#generation = generation;
    const { topicId, leaderEpoch } = route;
    fetch.leaderEpoch = leaderEpoch;
    this.#of(topicId).set(fetch.partition, fetch);
    this.#open.push({
      topicId,
      partition: fetch.partition,
      generation,
      offset,
      lastEpoch,
      leaderEpoch,
      creditLimit: BigInt(creditLimit),
    });
    this.#flushSoon();
  }

  grant(fetch: PartitionFetch<K, V>, creditLimit: number): void {
    this.#credit.push({
      topicId: fetch.topicId ?? '',
      partition: fetch.partition,
      generation: fetch.generation,
      creditLimit: BigInt(creditLimit),
    });
    this.#flushSoon();
  }

  /** Nothing more is wanted of the partition. */
  close(fetch: PartitionFetch<K, V>): void {
    if (!this.#forget(fetch)) return;
    this.#close.push({ topicId: fetch.topicId ?? '', partition: fetch.partition });
    this.#flushSoon();
  }

  /**
   * Where nothing has come for a while asks others who leads, for a broker that is stopped or cut off does not say that it no longer does; after a longer
   * while it asks the broker itself whether it is there at all. A follower does not lead: its silence is looked into by the second way alone.
   * @returns when to look again, on the monotonic clock, ms.
   */
  probe(now: number): number {
    const { fetchSilenceMs } = limits;
    const due = Math.max(this.#heardAt, this.#lookedAt) + fetchSilenceMs;
    if (now < due) return due;
    this.#lookedAt = now;
    if (!this.fromFollower) this.#routing.refreshAvoiding(this.address);
    const probedAfterMs = this.fromFollower ? fetchSilenceMs : limits.fetchProbeMs;
    if (now >= this.#heardAt + probedAfterMs && !this.#probing) {
      this.#probing = true;
      void this.#ask();
    }
    return now + fetchSilenceMs;
  }

  /** The stream is over; its partitions are to be opened elsewhere. */
  abandon(error: TributaryError): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.cancel();
    this.#cancel.abort();
    const fetches = [...this.#fetches.values()].flatMap((partitions) => [...partitions.values()]);
    this.#fetches.clear();
    this.#listener.broken(this, fetches, error);
  }

  /** Ends without telling anybody. */
  end(): void {
    this.#over = true;
    this.#stream.end();
    this.#stream.cancel();
    this.#cancel.abort();
  }

  async #read(): Promise<void> {
    try {
      for await (const message of this.#stream) {
        if (this.#over) return;
        if (!this.#heard) this.#routing.connections.reached(this.address);
        this.#heard = true;
        this.#heardAt = this.#routing.ports.clock.monotonicMs();
        for (const frame of message.partitions) this.#take(frame);
        this.#listener.arrived();
      }
      this.abandon(new TributaryError('NETWORK_EXCEPTION', `${this.address} ended the stream.`));
    } catch (thrown) {
      // A stream breaks with a TributaryError; anything else is a bug here, not to be taken for a broken connection.
      if (!(thrown instanceof TributaryError)) throw thrown;
      this.abandon(thrown);
    }
  }

  #take(frame: FetchedPartition): void {
    const fetch = this.#fetches.get(frame.topicId)?.get(frame.partition);
    if (fetch === undefined || fetch.generation !== frame.generation) return;
    if (frame.errorCode === 0) {
      this.#listener.received(fetch, frame);
    } else {
      this.#forget(fetch);
      this.#listener.refused(fetch, frame, TributaryError.fromAnswer(frame.errorCode, frame.errorMessage));
    }
  }

  #of(topicId: string): Map<number, PartitionFetch<K, V>> {
    let partitions = this.#fetches.get(topicId);
    if (partitions === undefined) {
      partitions = new Map();
      this.#fetches.set(topicId, partitions);
    }
    return partitions;
  }

  #forget(fetch: PartitionFetch<K, V>): boolean {
    const topicId = fetch.topicId ?? '';
    const partitions = this.#fetches.get(topicId);
    if (partitions?.get(fetch.partition) !== fetch) return false;
    partitions.delete(fetch.partition);
    if (partitions.size === 0) this.#fetches.delete(topicId);
    return true;
  }

  #flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#over) return;
    const context = this.#first ? this.#routing.context : undefined;
    this.#first = false;
    this.#stream.send({
      context,
      rack: this.#rack,
      isolationLevel: this.#isolation,
      open: this.#open,
      credit: this.#credit,
      close: this.#close,
      fromFollower: this.fromFollower,
    });
    this.#open = [];
    this.#credit = [];
    this.#close = [];
  }

  async #ask(): Promise<void> {
    const { clock } = this.#routing.ports;
    try {
      const request = {
        context: { ...this.#routing.context, minRevision: 0n },
        topics: [],
        allTopics: false,
        topicIds: [],
      };
      const call = { deadlineMs: limits.answerDoubtMs, signal: this.#cancel.signal };
      await this.#routing.connections.peer(this.address).unary(methods.getMetadata, request, call);
      this.#heardAt = clock.monotonicMs();
    } catch (thrown) {
      const { message } = TributaryError.from(thrown);
      if (!this.#over) this.#routing.connections.outOfReach(this.address);
      this.abandon(
        new TributaryError('NETWORK_EXCEPTION', `${this.address} was silent and does not answer: ${message}`, {
          cause: thrown,
        }),
      );
    }
    this.#probing = false;
  }
}
