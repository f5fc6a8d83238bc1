import { limits, producerEpoch, producerId, type ProducerId, TributaryError } from '@tributary/model';
import type { Stream } from '@tributary/ports';
import { Acks, methods, type ProduceRequest, type ProduceResponse, type ProduceResult } from '@tributary/wire';
import type { PartitionHistory } from '../history.ts';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { Peers } from './peers.ts';
import { contextOf, findRoutes, keyOf, type Route, untilDone } from './routes.ts';
import { makeBatch, type SentBatch } from './sent-batch.ts';

export interface RawProducerPlan {
  readonly name: string;
  readonly bootstrap: readonly [string, ...string[]];
  readonly topic: string;
  readonly partitions: number;
  /** It writes to this one alone, at its leader mostly; undefined: to all, by whichever broker it has reached. */
  readonly partition?: number;
  readonly acks: 'none' | 'leader' | 'all';
  readonly idempotent: boolean;
  /** At most so many. */
  readonly batches: number;
  /** Each record has one of so many keys; undefined: only some have a key. */
  readonly keys: number | undefined;
  /** Longest pause between two bursts. */
  readonly pauseMsMax: number;
}

export interface Observers {
  history(topic: string, partition: number): PartitionHistory;
  count(what: string): void;
  broken(rule: string, what: string): void;
  /** An `async` topic may have forgotten this producer. */
  mayForget(topic: string): boolean;
}

/** Of the streams of a client that could go to the leader; the others go by another broker (F1). */
export const DIRECT_CHANCE = 0.85;

interface InFlight {
  readonly batch: SentBatch;
  readonly sequence: number;
  /** Sent on the present stream and not answered there. */
  isOut: boolean;
}

interface Lane {
  readonly partition: number;
  readonly inFlight: InFlight[];
  nextSequence: number;
  nextOrder: number;
  /** Something failed: nothing new until all that is out is answered, then everything again from the first. */
  failed: TributaryError | undefined;
}

interface Session {
  readonly stream: Stream<ProduceRequest, ProduceResponse>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly out: Map<number, { readonly lane: Lane; readonly inFlight: InFlight }>;
  first: boolean;
}

/**
 * A producer on the bare Produce stream, as a client in any language would write it: up to five batches in flight per partition, everything
 * unanswered sent again in order, with the same bytes, until it is answered.
 */
export class RawProducer {
  readonly #plan: RawProducerPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: Observers;
  readonly #lanes: Lane[];
  #producer: ProducerId | undefined;
  #incarnation = 0;
  #nextCorrelation = 1;
  #left: number;
  #isEnough = (): boolean => false;

  constructor(plan: RawProducerPlan, ports: ProcessPorts, random: SeededRandom, observers: Observers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
    this.#left = plan.batches;
    this.#lanes =
      plan.partition === undefined
        ? Array.from({ length: plan.partitions }, (_, partition) => newLane(partition))
        : [newLane(plan.partition)];
  }

  /** Returns when every batch is sent and answered. @param isEnough nothing new is sent any more. */
  async run(stop: AbortSignal, isEnough: () => boolean): Promise<void> {
    this.#isEnough = isEnough;
    await using peers = new Peers(this.#ports.transport);
    while (!this.#isDone()) {
      const session = await untilDone(this.#ports, stop, () => this.#open(peers, stop));
      const failure = await this.#produce(session, stop);
      session.stream.cancel();
      if (failure !== undefined) {
        this.#observers.count(`producer: session ended by ${failure.error}`);
        // At once, now and then: what was sent may not be durable yet when it comes again (P2).
        await this.#ports.clock.sleep(
          this.#random.chance(0.3) ? this.#random.fraction() : this.#random.between(5, 300),
          stop,
        );
      }
    }
  }

  #isDone(): boolean {
    if (this.#isEnough()) this.#left = 0;
    return this.#left === 0 && this.#lanes.every(({ inFlight }) => inFlight.length === 0);
  }

  async #open(peers: Peers, stop: AbortSignal): Promise<Session> {
    const { name, topic, idempotent, partition } = this.#plan;
    const peer = peers.to(this.#random.pick(this.#plan.bootstrap));
    const isWanted = (_: string, each: number): boolean => partition === undefined || each === partition;
    const routes = await findRoutes(peer, name, [topic], isWanted);
    if (idempotent && this.#producer === undefined) {
      const request = { context: contextOf(name), transactionalId: '' };
      const answer = await peer.unary(methods.initProducerId, request, { deadlineMs: limits.internalCallMs });
      this.#producer = producerId(answer.producerId);
    }
    const leader = partition === undefined ? undefined : routes.get(keyOf(topic, partition))?.address;
    const isDirect = leader !== undefined && this.#random.chance(DIRECT_CHANCE);
    const stream = (isDirect ? peers.to(leader) : peer).stream(methods.produce, stop);
    return { stream, routes, out: new Map(), first: true };
  }

  /** @returns why the session ended; undefined when all is done. */
  async #produce(session: Session, stop: AbortSignal): Promise<TributaryError | undefined> {
    const over = new AbortController();
    const stopped = (): void => over.abort(new TributaryError('NETWORK_EXCEPTION', 'the producer was stopped'));
    stop.addEventListener('abort', stopped, { once: true });
    for (const lane of this.#lanes) this.#sendAgain(session, lane);
    const [, sending] = await Promise.allSettled([this.#readAnswers(session, over), this.#sendNew(session, over)]);
    stop.removeEventListener('abort', stopped);
    stop.throwIfAborted();
    if (sending.status === 'rejected' && !(sending.reason instanceof TributaryError)) throw sending.reason;
    const reason: unknown = over.signal.reason;
    return reason instanceof TributaryError ? reason : undefined;
  }

  async #sendNew(session: Session, over: AbortController): Promise<void> {
    try {
      while (!over.signal.aborted) {
        if (this.#isDone()) {
          // What acks=0 sends is not answered: it gets a moment to leave.
          await this.#ports.clock.sleep(50, over.signal);
          over.abort(new Error('done'));
          session.stream.end();
          return;
        }
        await session.stream.writable();
        const lane = this.#random.pick([this.#lanes[0] ?? newLane(0), ...this.#lanes.slice(1)]);
        if (this.#left > 0 && lane.failed === undefined && lane.inFlight.length < limits.batchesInFlight)
          this.#sendOne(session, lane);
        // In bursts, so that several batches are in flight at once.
        await this.#ports.clock.sleep(
          this.#random.chance(0.7) ? this.#random.fraction() : this.#random.between(1, this.#plan.pauseMsMax),
          over.signal,
        );
      }
    } catch (thrown) {
      if (!over.signal.aborted) throw thrown;
    }
  }

  #sendOne(session: Session, lane: Lane): void {
    const { topic, acks, name } = this.#plan;
    const batch = makeBatch(
      {
        topic,
        partition: lane.partition,
        acks,
        keys: this.#plan.keys,
        producer: `${name}.${this.#incarnation}`,
        firstOrder: lane.nextOrder,
        timestampMs: this.#ports.clock.wallMs(),
        idempotence:
          this.#producer === undefined
            ? undefined
            : { id: this.#producer, epoch: producerEpoch(0), baseSequence: lane.nextSequence },
      },
      this.#random,
    );
    this.#left -= 1;
    const inFlight: InFlight = { batch, sequence: lane.nextSequence, isOut: false };
    lane.nextSequence += batch.records.length;
    lane.nextOrder += batch.records.length;
    if (acks !== 'none') lane.inFlight.push(inFlight);
    this.#send(session, lane, inFlight);
  }

  #send(session: Session, lane: Lane, inFlight: InFlight): void {
    const { topic, name } = this.#plan;
    const { batch } = inFlight;
    const history = this.#observers.history(topic, lane.partition);
    for (const record of batch.records) history.sending(record);
    const route = session.routes.get(keyOf(topic, lane.partition));
    if (route === undefined) throw new Error(`no route to ${topic}-${lane.partition}`);
    const correlationId = this.#nextCorrelation++;
    if (this.#plan.acks !== 'none') {
      inFlight.isOut = true;
      session.out.set(correlationId, { lane, inFlight });
    }
    session.stream.send({
      context: session.first ? contextOf(name) : undefined,
      acks: this.#plan.acks === 'all' ? Acks.ALL : this.#plan.acks === 'leader' ? Acks.LEADER : Acks.NONE,
      timeoutMs: 0,
      transactionalId: '',
      batches: [
        {
          correlationId,
          topicId: route.topicId,
          partition: lane.partition,
          leaderEpoch: route.leaderEpoch,
          records: batch.bytes.slice(),
        },
      ],
    });
    session.first = false;
  }

  #sendAgain(session: Session, lane: Lane): void {
    lane.failed = undefined;
    if (lane.inFlight.length > 0) this.#observers.count('producer: batches sent again');
    for (const inFlight of lane.inFlight) this.#send(session, lane, inFlight);
  }

  async #readAnswers(session: Session, over: AbortController): Promise<void> {
    try {
      for await (const { results } of session.stream) {
        for (const result of results) this.#answered(session, result, over);
        if (over.signal.aborted) return;
      }
      over.abort(new TributaryError('NETWORK_EXCEPTION', 'the broker ended the stream'));
    } catch (thrown) {
      over.abort(TributaryError.from(thrown));
    }
  }

  #answered(session: Session, result: ProduceResult, over: AbortController): void {
    const out = session.out.get(result.correlationId);
    if (out === undefined) {
      this.#observers.broken(
        'P5',
        `${this.#plan.name} got an answer ${result.correlationId} to nothing that it had sent on this stream`,
      );
      return;
    }
    session.out.delete(result.correlationId);
    const { lane, inFlight } = out;
    inFlight.isOut = false;
    if (result.errorCode === 0) this.#acknowledged(lane, inFlight, result.baseOffset);
    else this.#refused(session, lane, inFlight, TributaryError.fromAnswer(result.errorCode, result.errorMessage), over);
    if (lane.failed === undefined || lane.inFlight.some(({ isOut }) => isOut)) return;
    // Everything that was out is answered: again, on this stream or on a new one, as the seed has it.
    if (lane.failed.refreshMetadata || this.#random.chance(0.5)) over.abort(lane.failed);
    else this.#sendAgain(session, lane);
  }

  #acknowledged(lane: Lane, inFlight: InFlight, baseOffset: bigint): void {
    const at = lane.inFlight.indexOf(inFlight);
    if (at < 0) return;
    lane.inFlight.splice(at, 1);
    const history = this.#observers.history(this.#plan.topic, lane.partition);
    for (const [i, record] of inFlight.batch.records.entries())
      history.acknowledgedAt(record.id, baseOffset + BigInt(i));
    this.#observers.count('producer: batch acknowledged');
  }

  #refused(session: Session, lane: Lane, inFlight: InFlight, error: TributaryError, over: AbortController): void {
    this.#observers.count(`producer: batch refused with ${error.error}`);
    const isHead = lane.inFlight[0] === inFlight;
    switch (error.error) {
      case 'OUT_OF_ORDER_SEQUENCE_NUMBER':
      case 'UNKNOWN_PRODUCER_ID':
        // Legitimate behind a batch that failed; at the head it means that the broker forgot what it had acknowledged.
        if (isHead && lane.failed === undefined) this.#forgotten(lane, error, over);
        else lane.failed ??= error;
        return;
      default:
        if (error.retriable) {
          lane.failed ??= error;
          return;
        }
        this.#observers.broken('judge', `${this.#plan.name} was refused: ${error.error}: ${error.message}`);
        session.stream.cancel();
    }
  }

  /** P4: what is in doubt stays in doubt, and a new producer id begins. */
  #forgotten(lane: Lane, error: TributaryError, over: AbortController): void {
    if (!this.#observers.mayForget(this.#plan.topic)) {
      const head = lane.inFlight[0]?.batch.records[0]?.id;
      this.#observers.broken(
        'P3',
        `${this.#plan.topic}-${lane.partition}: ${head} is next in order, and was refused: ${error.message}`,
      );
    }
    this.#observers.count('producer: new producer id after a lossy stop');
    this.#producer = undefined;
    this.#incarnation += 1;
    for (const each of this.#lanes) {
      each.inFlight.length = 0;
      each.nextSequence = 0;
      each.failed = undefined;
    }
    over.abort(error);
  }
}

function newLane(partition: number): Lane {
  return { partition, inFlight: [], nextSequence: 0, nextOrder: 0, failed: undefined };
}
