import { TributaryError } from '@tributary/model';
import type { Peer } from '@tributary/ports';
import {
  methods,
  OffsetSpec,
  type SubscribedRecords,
  type SubscribeRequest,
  type SubscribeResponse,
} from '@tributary/wire';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { ConsumerObservers, RawConsumerPlan } from './raw-consumer.ts';
import { contextOf, findRoutes, keyOf, type PartitionKey, type Route, untilDone } from './routes.ts';

interface Session {
  readonly peer: Peer;
  readonly routes: ReadonlyMap<PartitionKey, Route>;
  id: string;
  received: number;
  limit: number;
}

/** A consumer by Subscribe alone: credits, and a new subscription from where it is whenever the old one ends. */
export class RecordConsumer {
  readonly #plan: RawConsumerPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: ConsumerObservers;
  readonly #next = new Map<PartitionKey, bigint>();

  constructor(plan: RawConsumerPlan, ports: ProcessPorts, random: SeededRandom, observers: ConsumerObservers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
  }

  /** Next offsets by partition. */
  progress(): ReadonlyMap<PartitionKey, bigint> {
    return this.#next;
  }

  /** Reads until stopped. */
  async run(stop: AbortSignal): Promise<void> {
    await using peer = this.#ports.transport.connect(this.#plan.bootstrap[0]);
    while (!stop.aborted) {
      try {
        await this.#session(peer, stop);
      } catch (thrown) {
        if (stop.aborted) return;
        const error = TributaryError.from(thrown);
        if (!error.retriable) throw error;
        this.#observers.count(`record level: subscription ended by ${error.error}`);
      }
      await this.#ports.clock.sleep(this.#random.between(1, 200), stop).catch(() => undefined);
    }
  }

  async #session(peer: Peer, stop: AbortSignal): Promise<void> {
    const routes = await untilDone(this.#ports, stop, () => findRoutes(peer, this.#plan.name, this.#plan.topics));
    for (const [key, route] of routes)
      if (!this.#next.has(key)) this.#next.set(key, await this.#listed(peer, route, OffsetSpec.EARLIEST));
    const stream = peer.stream(methods.subscribe, stop);
    // Without a bound it takes what the others have just read.
    const limit = this.#random.chance(0.5) ? Number.POSITIVE_INFINITY : this.#plan.windowBytes;
    const session: Session = { peer, routes, id: '', received: 0, limit };
    try {
      stream.send(this.#request(routes, limit));
      stream.end();
      for await (const answer of stream) await this.#answered(session, answer);
      throw new TributaryError('NETWORK_EXCEPTION', 'the subscription ended');
    } finally {
      stream.cancel();
    }
  }

  #request(routes: ReadonlyMap<PartitionKey, Route>, limit: number): SubscribeRequest {
    const topics = this.#plan.topics.map((topic) => {
      const positions = [...routes.values()]
        .filter((route) => route.topic === topic)
        .map(({ partition }) => {
          const offset = this.#next.get(keyOf(topic, partition)) ?? 0n;
          this.#observers.history(topic, partition).positioned(this.#plan.name, offset);
          return { partition, start: { position: { $case: 'offset' as const, value: offset } } };
        });
      return { topic, partitions: positions.map(({ partition }) => partition), start: undefined, positions };
    });
    const context = contextOf(this.#plan.name);
    const creditBytes = Number.isFinite(limit) ? BigInt(limit) : 0n;
    return { context, topics, isolationLevel: 0, creditBytes, stopAtEnd: false };
  }

  async #answered(session: Session, answer: SubscribeResponse): Promise<void> {
    if (answer.subscriptionId !== '') session.id = answer.subscriptionId;
    for (const partition of answer.partitions) {
      if (partition.errorCode !== 0) await this.#failed(session, partition);
      else this.#took(session, partition);
    }
    if (!Number.isFinite(session.limit)) return;
    const wanted = Math.max(session.received + this.#plan.windowBytes, Number(answer.creditNeeded));
    if (wanted - session.limit < this.#plan.windowBytes / 2 && Number(answer.creditNeeded) <= session.limit) return;
    session.limit = wanted;
    const request = { context: contextOf(''), subscriptionId: session.id, creditLimit: BigInt(wanted) };
    try {
      await session.peer.unary(methods.grantCredit, request, { deadlineMs: 5_000 });
    } catch (thrown) {
      const { error, message } = TributaryError.from(thrown);
      // Another incarnation of the broker does not know it; the stream is about to say so too.
      throw new TributaryError('NETWORK_EXCEPTION', `no credit: ${error}: ${message}`);
    }
  }

  #took(session: Session, { topic, partition, records, highWatermark, nextOffset }: SubscribedRecords): void {
    for (const { key, value } of records) session.received += (key?.length ?? 0) + (value?.length ?? 0);
    if (session.received > session.limit)
      this.#observers.broken('E1', `${this.#plan.name}: ${session.received} bytes within a credit of ${session.limit}`);
    const read = records.map(({ offset, value }) => ({ offset, value: Buffer.from(value ?? []).toString('latin1') }));
    const last = read.at(-1);
    if (last !== undefined && (last.offset >= highWatermark || last.offset >= nextOffset))
      this.#observers.broken(
        'R3',
        `${this.#plan.name} read ${topic}-${partition} ${last.offset} at high watermark ${highWatermark}`,
      );
    this.#observers.history(topic, partition).handedOut(this.#plan.name, read);
    this.#observers.count('record level: records read');
    this.#next.set(keyOf(topic, partition), nextOffset);
  }

  /** @throws TributaryError retriable: subscribe again. */
  async #failed(session: Session, failed: SubscribedRecords): Promise<void> {
    const { topic, partition } = failed;
    const error = TributaryError.fromAnswer(failed.errorCode, failed.errorMessage);
    this.#observers.count(`record level: partition ended by ${error.error}`);
    const key = keyOf(topic, partition);
    const history = this.#observers.history(topic, partition);
    switch (error.error) {
      case 'OFFSET_OUT_OF_RANGE': {
        const route = session.routes.get(key);
        if (route === undefined) throw new Error(`${key} was not asked for`);
        const earliest = await this.#listed(session.peer, route, OffsetSpec.EARLIEST);
        const latest = await this.#listed(session.peer, route, OffsetSpec.LATEST);
        const next = this.#next.get(key) ?? 0n;
        if (next >= earliest) history.endedBelow(this.#plan.name, next, latest);
        this.#next.set(key, next < earliest ? earliest : latest);
        break;
      }
      case 'CORRUPT_MESSAGE':
        if (!history.isRotten) this.#observers.broken('L3', `${key}: ${error.message}`);
        history.skipped(this.#plan.name);
        this.#next.set(
          key,
          failed.nextOffset > (this.#next.get(key) ?? 0n) ? failed.nextOffset : failed.nextOffset + 1n,
        );
        break;
      default:
        if (!error.retriable)
          this.#observers.broken('judge', `${this.#plan.name} at ${key}: ${error.error}: ${error.message}`);
    }
    throw new TributaryError('NETWORK_EXCEPTION', `${key}: ${error.error}`);
  }

  /** @throws TributaryError retriable, when the route is old: begin again with metadata. */
  async #listed(peer: Peer, { topicId, partition, leaderEpoch }: Route, spec: OffsetSpec): Promise<bigint> {
    const request = {
      context: contextOf(this.#plan.name),
      partitions: [{ topicId, partition, leaderEpoch, spec, timestampMs: 0n }],
    };
    const { partitions } = await peer.unary(methods.listOffsets, request, { deadlineMs: 5_000 });
    const [found] = partitions;
    if (found === undefined) throw new TributaryError('INVALID_REQUEST', 'ListOffsets answered nothing');
    if (found.errorCode !== 0) throw TributaryError.fromAnswer(found.errorCode, found.errorMessage);
    return found.offset;
  }
}
