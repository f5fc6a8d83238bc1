import { limits, type ProducerId, producerId, TributaryError } from '@tributary/model';
import type { Peer } from '@tributary/ports';
import { Acks, methods, type PublishRequest, type RecordMetadata } from '@tributary/wire';
import type { SentRecord } from '../history.ts';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Observers, RawProducerPlan } from './raw-producer.ts';
import { contextOf, untilDone } from './routes.ts';

const RECORDS_MAX = 6;
const PADDING_MAX = 300;

interface Lane {
  readonly partition: number;
  nextOrder: number;
  nextSequence: number;
}

/** The same work as the raw producer's, by Publish alone: one request at a time, sent again until it is answered; with a sequence where it promises not to repeat. */
export class RecordProducer {
  readonly #plan: RawProducerPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: Observers;
  readonly #lanes: readonly [Lane, ...Lane[]];
  #producer: ProducerId | undefined;
  #incarnation = 0;

  constructor(plan: RawProducerPlan, ports: ProcessPorts, random: SeededRandom, observers: Observers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
    const lane = (partition: number): Lane => ({ partition, nextOrder: 0, nextSequence: 0 });
    this.#lanes = [lane(0), ...Array.from({ length: plan.partitions - 1 }, (_, index) => lane(index + 1))];
  }

  /** Returns when every record is sent and its outcome known. @param isEnough nothing new is sent any more. */
  async run(stop: AbortSignal, isEnough: () => boolean): Promise<void> {
    await using peer = this.#ports.transport.connect(this.#plan.bootstrap[0]);
    for (let request = 0; request < this.#plan.batches && !isEnough(); request++) {
      await this.#publish(peer, this.#random.pick(this.#lanes), stop);
      const pauseMs = this.#random.chance(0.7)
        ? this.#random.fraction()
        : this.#random.between(1, this.#plan.pauseMsMax);
      await this.#ports.clock.sleep(pauseMs, stop);
    }
  }

  async #publish(peer: Peer, lane: Lane, stop: AbortSignal): Promise<void> {
    const { idempotent } = this.#plan;
    if (idempotent) this.#producer ??= await this.#newProducer(peer, stop);
    const records = this.#newRecords(lane);
    const request = this.#request(lane, records);
    for (;;) {
      const history = this.#observers.history(this.#plan.topic, lane.partition);
      for (const record of records) history.sending(record);
      const failure = await this.#attempt(peer, request, records, lane);
      if (failure === undefined) break;
      this.#observers.count(`record level: publish failed with ${failure.error}`);
      if (!this.#isForAgain(failure, lane)) return;
      await this.#ports.clock.sleep(
        this.#random.chance(0.3) ? this.#random.fraction() : this.#random.between(5, 300),
        stop,
      );
    }
    lane.nextSequence += records.length;
  }

  #newRecords(lane: Lane): readonly SentRecord[] {
    const { name, acks, idempotent } = this.#plan;
    return Array.from({ length: this.#random.between(1, RECORDS_MAX) }, () => {
      const producer = `${name}.records.${this.#incarnation}`;
      const order = lane.nextOrder++;
      const id = `${producer}/${lane.partition}#${order}`;
      const value = `${id} ${'z'.repeat(this.#random.below(PADDING_MAX))}`;
      const key = this.#plan.keys === undefined ? undefined : `key ${this.#random.below(this.#plan.keys)}`;
      return { id, producer, order, value, acks, idempotent, ...(key !== undefined && { key }) };
    });
  }

  #request(lane: Lane, records: readonly SentRecord[]): PublishRequest {
    const { name, topic, acks } = this.#plan;
    const id = this.#producer;
    return {
      context: contextOf(name),
      topic,
      records: records.map(({ value, key }) => ({
        key: key !== undefined ? Buffer.from(key) : this.#random.chance(0.5) ? Buffer.from(name) : undefined,
        value: Buffer.from(value, 'latin1'),
        headers: [],
        timestampMs: undefined,
        partition: undefined,
      })),
      partition: lane.partition,
      acks: acks === 'all' ? Acks.ALL : acks === 'leader' ? Acks.LEADER : Acks.NONE,
      timeoutMs: 0,
      sequence: id === undefined ? undefined : { producerId: id, producerEpoch: 0, firstSequence: lane.nextSequence },
    };
  }

  /** @returns why some record is not known to be there. */
  async #attempt(
    peer: Peer,
    request: PublishRequest,
    records: readonly SentRecord[],
    lane: Lane,
  ): Promise<TributaryError | undefined> {
    try {
      const answer = await peer.unary(methods.publish, request, { deadlineMs: limits.requestTimeoutMs });
      return this.#answered(records, answer.records, lane);
    } catch (thrown) {
      return TributaryError.from(thrown);
    }
  }

  #answered(
    records: readonly SentRecord[],
    answers: readonly RecordMetadata[],
    lane: Lane,
  ): TributaryError | undefined {
    if (answers.length !== records.length)
      this.#observers.broken('judge', `${answers.length} answers to ${records.length} records of ${this.#plan.name}`);
    let failure: TributaryError | undefined;
    for (const [index, { partition, offset, errorCode, errorMessage }] of answers.entries()) {
      const record = records[index];
      if (partition !== lane.partition)
        this.#observers.broken('judge', `${record?.id} was sent to ${lane.partition} and is in ${partition}`);
      if (errorCode !== 0) failure ??= TributaryError.fromAnswer(errorCode, errorMessage);
      else if (record !== undefined && offset >= 0n) {
        this.#observers.history(this.#plan.topic, partition).acknowledgedAt(record.id, offset);
        this.#observers.count('record level: record acknowledged');
      }
    }
    return failure;
  }

  /** @returns false: these records stay in doubt. */
  #isForAgain(failure: TributaryError, lane: Lane): boolean {
    const isForgotten = ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID'].includes(failure.error);
    if (isForgotten) {
      if (!this.#observers.mayForget(this.#plan.topic))
        this.#observers.broken(
          'P3',
          `${this.#plan.topic}-${lane.partition}: next in order, and refused: ${failure.message}`,
        );
      // P4: a new producer id begins.
      this.#producer = undefined;
      this.#incarnation += 1;
      for (const each of this.#lanes) each.nextSequence = 0;
      return false;
    }
    if (!failure.retriable)
      this.#observers.broken('judge', `${this.#plan.name} was refused: ${failure.error}: ${failure.message}`);
    return failure.retriable;
  }

  #newProducer(peer: Peer, stop: AbortSignal): Promise<ProducerId> {
    return untilDone(this.#ports, stop, async () => {
      const request = { context: contextOf(this.#plan.name), transactionalId: '' };
      const answer = await peer.unary(methods.initProducerId, request, { deadlineMs: limits.internalCallMs });
      return producerId(answer.producerId);
    });
  }
}
