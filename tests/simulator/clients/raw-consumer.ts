import { TributaryError } from '@tributary/model';
import type { Peer, Stream } from '@tributary/ports';
import { checkBatch, openBatch, scanBatches } from '@tributary/record';
import { type FetchedPartition, type FetchRequest, type FetchResponse, methods, OffsetSpec } from '@tributary/wire';
import type { PartitionHistory, ReadRecord } from '../history.ts';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { Peers } from './peers.ts';
import { DIRECT_CHANCE } from './raw-producer.ts';
import { contextOf, findRoutes, type PartitionKey, type Route, untilDone } from './routes.ts';

export interface RawConsumerPlan {
  readonly name: string;
  readonly bootstrap: readonly [string, ...string[]];
  readonly topics: readonly string[];
  /** It reads this one alone, at its leader mostly; undefined: all, by whichever broker it has reached. */
  readonly partition?: number;
  /** Bytes granted beyond what was read. */
  readonly windowBytes: number;
  /** Chance after each answer to go back to an earlier offset. */
  readonly seekChance: () => number;
}

export interface ConsumerObservers {
  history(topic: string, partition: number): PartitionHistory;
  count(what: string): void;
  broken(rule: string, what: string): void;
}

interface Position {
  readonly key: PartitionKey;
  route: Route;
  generation: number;
  /** Next offset to read; undefined: ask for the earliest. */
  next: bigint | undefined;
  received: number;
  limit: number;
  isOpen: boolean;
  logStart: bigint;
  highWatermark: bigint;
}

/** A consumer on the bare Fetch stream: credits, generations, and a new stream whenever the old one breaks. */
export class RawConsumer {
  readonly #plan: RawConsumerPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: ConsumerObservers;
  readonly #positions = new Map<PartitionKey, Position>();
  /** What it has read, in the order of offsets, where that is asked for. */
  readonly #kept: Map<PartitionKey, ReadRecord[]> | undefined;

  constructor(
    plan: RawConsumerPlan,
    ports: ProcessPorts,
    random: SeededRandom,
    observers: ConsumerObservers,
    keep = false,
  ) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
    this.#kept = keep ? new Map() : undefined;
  }

  /** Reads until stopped. */
  async run(stop: AbortSignal): Promise<void> {
    await using peers = new Peers(this.#ports.transport);
    while (!stop.aborted) {
      try {
        await this.#session(peers, stop);
      } catch (thrown) {
        if (stop.aborted) return;
        const error = TributaryError.from(thrown);
        if (!error.retriable) throw error;
        this.#observers.count(`consumer: session ended by ${error.error}`);
      }
      await this.#ports.clock.sleep(this.#random.between(1, 200), stop).catch(() => undefined);
    }
  }

  /** Next offsets by partition. */
  progress(): ReadonlyMap<PartitionKey, bigint> {
    return new Map([...this.#positions].map(([key, { next }]) => [key, next ?? 0n]));
  }

  kept(key: PartitionKey): readonly ReadRecord[] {
    return this.#kept?.get(key) ?? [];
  }

  logStart(key: PartitionKey): bigint {
    return this.#positions.get(key)?.logStart ?? 0n;
  }

  /** Where the fetch stream and what belongs to it go. */
  async #way(peers: Peers): Promise<{ readonly peer: Peer; readonly routes: ReadonlyMap<PartitionKey, Route> }> {
    const { name, topics, partition, bootstrap } = this.#plan;
    const peer = peers.to(this.#random.pick(bootstrap));
    const isWanted = (_: string, each: number): boolean => partition === undefined || each === partition;
    const routes = await findRoutes(peer, name, topics, isWanted);
    const [first] = routes.values();
    const isDirect = partition !== undefined && first !== undefined && this.#random.chance(DIRECT_CHANCE);
    return { peer: isDirect ? peers.to(first.address) : peer, routes };
  }

  async #session(peers: Peers, stop: AbortSignal): Promise<void> {
    const { peer, routes } = await untilDone(this.#ports, stop, () => this.#way(peers));
    const stream = peer.stream(methods.fetch, stop);
    try {
      let context = contextOf(this.#plan.name);
      for (const [key, route] of routes) {
        const position = await this.#position(peer, key, route, stop);
        position.isOpen = false;
        this.#open(stream, position, context);
        context = contextOf('');
      }
      for await (const { partitions } of stream) {
        for (const answer of partitions) await this.#answered(peer, stream, answer, stop);
        if (this.#random.chance(this.#plan.seekChance())) this.#seek(stream);
      }
      throw new TributaryError('NETWORK_EXCEPTION', 'the broker ended the stream');
    } finally {
      stream.cancel();
    }
  }

  async #position(peer: Peer, key: PartitionKey, route: Route, stop: AbortSignal): Promise<Position> {
    let position = this.#positions.get(key);
    if (position === undefined) {
      position = {
        key,
        route,
        generation: 0,
        next: undefined,
        received: 0,
        limit: 0,
        isOpen: false,
        logStart: 0n,
        highWatermark: 0n,
      };
      this.#positions.set(key, position);
    }
    position.route = route;
    if (position.next === undefined) {
      position.logStart = await this.#listed(peer, route, OffsetSpec.EARLIEST, stop);
      position.next = position.logStart;
    }
    return position;
  }

  /** @throws TributaryError retriable, when the route is old: begin again with metadata. */
  async #listed(peer: Peer, route: Route, spec: OffsetSpec, stop: AbortSignal): Promise<bigint> {
    const { topicId, partition, leaderEpoch } = route;
    const request = {
      context: contextOf(this.#plan.name),
      partitions: [{ topicId, partition, leaderEpoch, spec, timestampMs: 0n }],
    };
    const { partitions } = await peer.unary(methods.listOffsets, request, { deadlineMs: 5_000, signal: stop });
    const [found] = partitions;
    if (found === undefined) throw new TributaryError('INVALID_REQUEST', 'ListOffsets answered nothing');
    if (found.errorCode !== 0) throw TributaryError.fromAnswer(found.errorCode, found.errorMessage);
    return found.offset;
  }

  #open(stream: Stream<FetchRequest, FetchResponse>, position: Position, context = contextOf('')): void {
    const { topic, topicId, partition, leaderEpoch } = position.route;
    const next = position.next ?? 0n;
    position.generation += 1;
    position.received = 0;
    position.limit = this.#plan.windowBytes;
    position.isOpen = true;
    this.#observers.history(topic, partition).positioned(this.#plan.name, next);
    stream.send({
      context,
      rack: '',
      isolationLevel: 1,
      open: [
        {
          topicId,
          partition,
          generation: position.generation,
          offset: next,
          lastEpoch: -1,
          leaderEpoch,
          creditLimit: BigInt(position.limit),
        },
      ],
      credit: [],
      close: [],
      fromFollower: false,
    });
  }

  async #answered(
    peer: Peer,
    stream: Stream<FetchRequest, FetchResponse>,
    answer: FetchedPartition,
    stop: AbortSignal,
  ): Promise<void> {
    const position = [...this.#positions.values()].find(
      ({ route }) => route.topicId === answer.topicId && route.partition === answer.partition,
    );
    if (position === undefined || answer.generation !== position.generation || !position.isOpen) return;
    if (answer.errorCode !== 0) {
      await this.#failed(
        peer,
        stream,
        position,
        TributaryError.fromAnswer(answer.errorCode, answer.errorMessage),
        stop,
      );
      return;
    }
    position.received += answer.records.length;
    if (position.received > position.limit) {
      this.#observers.broken(
        'E1',
        `${position.key}: ${position.received} bytes were sent within a credit of ${position.limit}`,
      );
    }
    if (!this.#read(position, answer)) {
      this.#open(stream, position);
      return;
    }
    const needed = Math.max(position.received + this.#plan.windowBytes, Number(answer.creditNeeded));
    // Credit is given in halves of the window, as a client that counts its messages would.
    if (needed - position.limit < this.#plan.windowBytes / 2 && Number(answer.creditNeeded) <= position.limit) return;
    position.limit = needed;
    const { topicId, partition } = position.route;
    const credit = [{ topicId, partition, generation: position.generation, creditLimit: BigInt(needed) }];
    stream.send({ context: undefined, rack: '', isolationLevel: 1, open: [], credit, close: [], fromFollower: false });
  }

  /** @returns false: it met what is no whole batch, and the position is behind that. */
  #read(position: Position, answer: FetchedPartition): boolean {
    position.logStart = answer.logStartOffset;
    position.highWatermark = answer.highWatermark;
    const records: ReadRecord[] = [];
    const batches = batchesOf(answer.records);
    const bad = batches.findIndex((batch) => !isWhole(batch));
    for (const batch of bad < 0 ? batches : batches.slice(0, bad))
      records.push(...recordsOf(batch, position.next ?? 0n));
    this.#took(position, records, answer);
    if (bad >= 0) this.#skip(position);
    return bad < 0;
  }

  #took(position: Position, records: readonly ReadRecord[], answer: FetchedPartition): void {
    const { topic, partition, leaderEpoch } = position.route;
    this.#observers
      .history(topic, partition)
      .read(this.#plan.name, records, answer.highWatermark, answer.logStartOffset, leaderEpoch);
    const last = records.at(-1);
    if (last === undefined) return;
    position.next = last.offset + 1n;
    this.#observers.count('consumer: records read');
    const kept = this.#kept?.get(position.key) ?? [];
    kept.push(...records);
    this.#kept?.set(position.key, kept);
  }

  /** The broker serves what it finds; the CRC is the client's to check. */
  #skip(position: Position): void {
    const { topic, partition } = position.route;
    const history = this.#observers.history(topic, partition);
    const next = position.next ?? 0n;
    this.#observers.count('consumer: batch with a wrong CRC');
    if (!history.isRotten) this.#observers.broken('L3', `${position.key}: at ${next} comes a batch with a wrong CRC`);
    // Its own header may be what is wrong: only where it must begin is sure.
    history.damagedAt(next);
    position.next = next + 1n;
  }

  async #failed(
    peer: Peer,
    stream: Stream<FetchRequest, FetchResponse>,
    position: Position,
    error: TributaryError,
    stop: AbortSignal,
  ): Promise<void> {
    this.#observers.count(`consumer: fetch refused with ${error.error}`);
    position.isOpen = false;
    const { topic, partition } = position.route;
    switch (error.error) {
      case 'OFFSET_OUT_OF_RANGE': {
        const earliest = await this.#listed(peer, position.route, OffsetSpec.EARLIEST, stop);
        const latest = await this.#listed(peer, position.route, OffsetSpec.LATEST, stop);
        const next = position.next ?? 0n;
        // Below the log start retention has gone past it; above the end the log has lost what was read.
        if (next >= earliest) this.#observers.history(topic, partition).endedBelow(this.#plan.name, next, latest);
        position.next = next < earliest ? earliest : latest;
        position.logStart = earliest;
        this.#open(stream, position);
        return;
      }
      case 'CORRUPT_MESSAGE':
        if (!this.#observers.history(topic, partition).isRotten)
          this.#observers.broken('L3', `${position.key} at ${position.next}: ${error.message}`);
        this.#observers.history(topic, partition).damagedAt(position.next ?? 0n);
        position.next = (position.next ?? 0n) + 1n;
        this.#open(stream, position);
        return;
      default:
        if (error.retriable) throw error;
        this.#observers.broken(
          'judge',
          `${this.#plan.name} at ${position.key} ${position.next} was refused: ${error.error}: ${error.message}`,
        );
    }
  }

  /** Back to somewhere between the log start and where it is; answers of the older generation are dropped. */
  #seek(stream: Stream<FetchRequest, FetchResponse>): void {
    const [first, ...others] = [...this.#positions.values()].filter(
      ({ isOpen, next, logStart }) => isOpen && (next ?? 0n) > logStart,
    );
    if (first === undefined) return;
    const position = this.#random.pick([first, ...others]);
    const span = Number((position.next ?? 0n) - position.logStart);
    position.next = position.logStart + BigInt(this.#random.below(span + 1));
    this.#observers.count('consumer: seek');
    this.#open(stream, position);
  }
}

/** @returns also what is behind the last whole batch, where that is no batch. */
function batchesOf(bytes: Uint8Array): Uint8Array[] {
  const batches: Uint8Array[] = [];
  let end = 0;
  try {
    for (const { at, size } of scanBatches(bytes)) {
      batches.push(bytes.subarray(at, at + size));
      end = at + size;
    }
  } catch {
    // Whoever looks at the rest sees that it is not whole.
  }
  if (end < bytes.length) batches.push(bytes.subarray(end));
  return batches;
}

/** The first batch may begin before what was asked for. */
function recordsOf(batch: Uint8Array, from: bigint): ReadRecord[] {
  const records: ReadRecord[] = [];
  for (const record of openBatch(batch)) {
    if (record.offset >= from)
      records.push({ offset: record.offset, value: Buffer.from(record.value ?? []).toString('latin1') });
  }
  return records;
}

function isWhole(batch: Uint8Array): boolean {
  try {
    return checkBatch(batch, 0, batch.length, 'log') === batch.length;
  } catch {
    return false;
  }
}
