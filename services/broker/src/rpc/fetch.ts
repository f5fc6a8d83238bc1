/**
 * LogService.Fetch: the leader pushes whole batches as they become readable, never beyond a partition's byte credit and always of the newest
 * position generation (E1). Partitions of a stream take turns, a chunk each, so that none blocks another. What another broker leads is read from it (F1),
 * unless the stream has been passed on before. Readers that ask for it are served by a follower, with what it knows to be committed.
 *
 * An error closes its partition on the stream and travels in an answer: UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
 * UNKNOWN_LEADER_EPOCH, OFFSET_OUT_OF_RANGE (also where a new leader's history has parted from what was read), OFFSET_NOT_AVAILABLE, CORRUPT_MESSAGE,
 * KAFKA_STORAGE_ERROR, BROKER_NOT_AVAILABLE. The stream ends with INCONSISTENT_CLUSTER_ID.
 */
import { leaderEpoch, limits, type Offset, offset, TributaryError } from '@tributary/model';
import type { CallContext, Stream } from '@tributary/ports';
import type {
  ErrorCode,
  FetchCredit,
  FetchedPartition,
  FetchPosition,
  FetchRequest,
  FetchResponse,
} from '@tributary/wire';
import type { Partition, Slice } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import type { Turns } from '../turns.ts';
import { checkCluster } from './context.ts';
import { ForwardedFetch } from './forward-fetch.ts';
import { isForwarded, type Neighbours, otherEpoch } from './neighbours.ts';

export interface FetchObserver {
  fetched(bytes: number): void;
  refused(error: TributaryError): void;
}

export interface FetchParts {
  readonly replicas: Replicas;
  readonly neighbours: Neighbours;
  readonly observer: FetchObserver;
  /** Of those who read from files. */
  readonly turns: Pick<Turns, 'run'>;
}

export function fetchHandler(parts: FetchParts) {
  return async (stream: Stream<FetchResponse, FetchRequest>, context: CallContext): Promise<void> => {
    const session = new FetchSession(stream, context.signal, parts);
    let first = true;
    try {
      for await (const request of stream) {
        if (context.signal.aborted) break;
        if (first) {
          checkCluster(request.context, parts.replicas.clusterId);
          session.begin(request, context.peer);
        }
        first = false;
        session.handle(request);
      }
    } finally {
      session.close();
    }
  };
}

/** One partition as this stream reads it. */
interface Reader {
  readonly topicId: string;
  readonly index: number;
  readonly generation: number;
  readonly leaderEpoch: number;
  readonly partition: Partition;
  position: Offset;
  creditLimit: number;
  sent: number;
  /** Behind the tail, as far as anybody knows: what it reads comes from a file. */
  isBehind: boolean;
  /** In the queue, or being read right now. */
  queued: boolean;
  closed: boolean;
  /** The limit that was last asked for: once is enough. */
  saidNeeded: number;
  readonly unsubscribe: () => void;
}

class FetchSession {
  readonly #stream: Stream<FetchResponse, FetchRequest>;
  /** Aborted when the stream is over, before its iteration says so: what is sent then goes nowhere, and would go on without end. */
  readonly #signal: AbortSignal;
  readonly #parts: FetchParts;
  /** What other brokers lead; undefined: the stream has been passed on once. */
  #elsewhere: ForwardedFetch | undefined;
  #fromFollower = false;
  readonly #readers = new Map<string, Reader>();
  /** Readers that may have something to send, in turn. */
  readonly #queue: Reader[] = [];
  /** Memory that the network may still be reading, in the order of sending; `end` counts as #handedOver does. */
  readonly #onTheWay: { readonly end: number; readonly release: () => void }[] = [];
  /** Bytes of answers with records that were given to the stream. */
  #handedOver = 0;
  #pumping = false;
  #closed = false;

  constructor(stream: Stream<FetchResponse, FetchRequest>, signal: AbortSignal, parts: FetchParts) {
    this.#stream = stream;
    this.#signal = signal;
    this.#parts = parts;
  }

  /** The first request says how to read. */
  begin({ context, rack, isolationLevel, fromFollower }: FetchRequest, peer: string): void {
    this.#fromFollower = fromFollower;
    if (isForwarded(context)) return;
    const how = { context: this.#parts.neighbours.forwarded(context, peer), rack, isolationLevel, fromFollower };
    this.#elsewhere = new ForwardedFetch(this.#parts.neighbours, how, this.#stream, (wanted, error) =>
      this.#refuse(wanted, error),
    );
  }

  handle(request: FetchRequest): void {
    for (const { topicId, partition } of request.close) this.#drop(`${topicId}/${partition}`);
    for (const position of request.open) this.#open(position);
    for (const credit of request.credit) this.#grant(credit);
    this.#elsewhere?.flush();
  }

  close(): void {
    this.#closed = true;
    for (const key of [...this.#readers.keys()]) this.#drop(key);
    this.#elsewhere?.close();
  }

  #open(wanted: FetchPosition): void {
    const key = `${wanted.topicId}/${wanted.partition}`;
    const before = this.#readers.get(key)?.generation ?? this.#elsewhere?.generationOf(key);
    if (before !== undefined && before > wanted.generation) return;
    this.#drop(key);
    try {
      if (this.#passOn(wanted)) return;
      const partition = this.#parts.replicas.find(wanted.topicId, wanted.partition);
      checkHistory(partition, wanted);
      const reader: Reader = {
        topicId: wanted.topicId,
        index: wanted.partition,
        generation: wanted.generation,
        leaderEpoch: wanted.leaderEpoch,
        partition,
        position: offset(wanted.offset),
        creditLimit: Number(wanted.creditLimit),
        sent: 0,
        isBehind: wanted.offset < partition.highWatermark,
        queued: false,
        closed: false,
        saidNeeded: -1,
        unsubscribe: partition.onReadable(() => this.#wake(reader)),
      };
      this.#readers.set(key, reader);
      this.#wake(reader);
    } catch (thrown) {
      this.#refuse(wanted, TributaryError.from(thrown));
    }
  }

  /** F1. @returns whether another broker answers. @throws TributaryError where it would refuse. */
  #passOn(wanted: FetchPosition): boolean {
    const { replicas, neighbours } = this.#parts;
    const { topicId, partition, leaderEpoch } = wanted;
    if (this.#elsewhere === undefined || replicas.leads(topicId, partition)) return false;
    if (this.#fromFollower && replicas.follows(topicId, partition)) return false;
    const elsewhere = neighbours.leaderElsewhere(topicId, partition);
    if (elsewhere === undefined) return false;
    const refusal = otherEpoch(`Partition ${partition}`, elsewhere, leaderEpoch);
    if (refusal !== undefined) throw refusal;
    this.#elsewhere.open(elsewhere.to, wanted);
    return true;
  }

  #grant(credit: FetchCredit): void {
    const key = `${credit.topicId}/${credit.partition}`;
    const reader = this.#readers.get(key);
    if (reader === undefined) this.#elsewhere?.grant(key, credit);
    if (reader === undefined || reader.generation !== credit.generation) return;
    const limit = Number(credit.creditLimit);
    if (limit <= reader.creditLimit) return;
    reader.creditLimit = limit;
    this.#wake(reader);
  }

  #drop(key: string): void {
    const reader = this.#readers.get(key);
    if (reader === undefined) {
      this.#elsewhere?.drop(key);
      return;
    }
    reader.closed = true;
    reader.unsubscribe();
    this.#readers.delete(key);
  }

  #wake(reader: Reader): void {
    if (reader.queued || reader.closed || this.#closed) return;
    reader.queued = true;
    this.#queue.push(reader);
    if (this.#pumping) return;
    this.#pumping = true;
    // After the tick that made it readable: several batches leave in one answer.
    queueMicrotask(() => void this.#pump());
  }

  async #pump(): Promise<void> {
    for (let reader = this.#queue.shift(); reader !== undefined; reader = this.#queue.shift()) {
      if (this.#stream.queuedBytes >= limits.streamQueue) await this.#stream.writable();
      // Many who begin far behind would keep those at the tail waiting.
      if (reader.isBehind) await this.#parts.turns.run(() => limits.fetchTurn);
      reader.queued = false;
      if (reader.closed || this.#closed || this.#signal.aborted) continue;
      this.#releaseTaken();
      try {
        // A cached slice comes without waiting: the hot path stays in one tick.
        const pending = this.#slice(reader);
        reader.isBehind = pending instanceof Promise;
        this.#deliver(reader, pending instanceof Promise ? await pending : pending);
      } catch (thrown) {
        if (reader.closed) continue;
        this.#drop(`${reader.topicId}/${reader.index}`);
        this.#refuse(
          { topicId: reader.topicId, partition: reader.index, generation: reader.generation },
          TributaryError.from(thrown),
        );
      }
    }
    this.#pumping = false;
  }

  #slice(reader: Reader): Slice | Promise<Slice> {
    const credit = reader.creditLimit - reader.sent;
    const target = Math.min(limits.fetchChunk, credit);
    return reader.partition.read(reader.position, target, credit, reader.leaderEpoch, this.#fromFollower);
  }

  #deliver(reader: Reader, slice: Slice): void {
    if (reader.closed) return;
    switch (slice.kind) {
      case 'records': {
        reader.position = slice.next;
        const answers: FetchedPartition[] = [];
        for (const records of slice.records) {
          reader.sent += records.length;
          this.#parts.observer.fetched(records.length);
          answers.push(this.#answer(reader, records, 0));
        }
        this.#send(answers, slice.release);
        this.#wake(reader);
        return;
      }
      case 'too-large': {
        const needed = reader.sent + slice.size;
        // Credit may have come while the file was read.
        if (needed <= reader.creditLimit) return this.#wake(reader);
        if (reader.saidNeeded === needed) return;
        reader.saidNeeded = needed;
        this.#stream.send({ throttleMs: 0, partitions: [this.#answer(reader, nothing, needed)] });
        return;
      }
      case 'end':
        return;
    }
  }

  /** What came from a file leaves from where it was read: its memory is free again once the network has taken it. */
  #send(answers: FetchedPartition[], release: (() => void) | undefined): void {
    const queuedBefore = this.#stream.queuedBytes;
    this.#stream.send({ throttleMs: 0, partitions: answers });
    this.#handedOver += this.#stream.queuedBytes - queuedBefore;
    if (release !== undefined) this.#onTheWay.push({ end: this.#handedOver, release });
  }

  #releaseTaken(): void {
    const taken = this.#handedOver - this.#stream.queuedBytes;
    for (let next = this.#onTheWay[0]; next !== undefined && next.end <= taken; next = this.#onTheWay[0]) {
      next.release();
      this.#onTheWay.shift();
    }
  }

  #answer(reader: Reader, records: Uint8Array, creditNeeded: number): FetchedPartition {
    const { partition } = reader;
    const highWatermark = partition.highWatermark;
    return {
      topicId: reader.topicId,
      partition: reader.index,
      generation: reader.generation,
      errorCode: 0,
      errorMessage: '',
      highWatermark,
      lastStableOffset: highWatermark,
      logStartOffset: partition.startOffset,
      localLogStartOffset: partition.startOffset,
      aborted: [],
      records,
      leaderId: 0,
      leaderEpoch: 0,
      creditNeeded: BigInt(creditNeeded),
    };
  }

  #refuse(wanted: Pick<FetchPosition, 'topicId' | 'partition' | 'generation'>, error: TributaryError): void {
    this.#parts.observer.refused(error);
    const leader = error.refreshMetadata ? this.#parts.replicas.leaderOf(wanted.topicId, wanted.partition) : undefined;
    const failed: FetchedPartition = {
      topicId: wanted.topicId,
      partition: wanted.partition,
      generation: wanted.generation,
      errorCode: error.code as ErrorCode,
      errorMessage: error.message,
      highWatermark: -1n,
      lastStableOffset: -1n,
      logStartOffset: -1n,
      localLogStartOffset: -1n,
      aborted: [],
      records: nothing,
      leaderId: leader?.id ?? 0,
      leaderEpoch: leader?.epoch ?? 0,
      creditNeeded: 0n,
    };
    this.#stream.send({ throttleMs: 0, partitions: [failed] });
  }
}

const nothing = new Uint8Array(0);

/**
 * E1: after an unclean election the log may have been written anew from below where the reader was.
 * @throws TributaryError OFFSET_OUT_OF_RANGE saying up to where both agree.
 */
function checkHistory(partition: Partition, { offset: from, lastEpoch }: FetchPosition): void {
  if (lastEpoch < 0 || partition.state.role.kind !== 'leading') return;
  const shared = partition.log.endOffsetFor(leaderEpoch(lastEpoch));
  // An epoch that is not known here may have been compacted away: what counts is where it ended.
  if (shared === undefined || from <= shared.end) return;
  throw new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `${partition.state.name}: what was read up to offset ${from}, of leader epoch ${lastEpoch}, is not what the log has there since another leader took over; both agree up to ${shared.end}.`,
  );
}
