import { connectWith, type Tributary } from '../../../packages/client/src/connect.ts';
import type { Producer } from '../../../packages/client/src/producer.ts';
import { TributaryError } from '@tributary/model';
import type { SentRecord } from '../history.ts';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Observers, RawProducerPlan } from './raw-producer.ts';
import { untilDone } from './routes.ts';

/** Tries again until somebody answers: a broker may be down for longer than one attempt lasts. */
export function connected(
  name: string,
  bootstrap: readonly string[],
  ports: ProcessPorts,
  stop: AbortSignal,
): Promise<Tributary> {
  return untilDone(ports, stop, () => connectWith(ports, { bootstrap, clientId: name, connectTimeoutMs: 2_000 }));
}

/** The same work as the raw producer's, through the client library: batching, sequences and retries are its own. */
export class LibraryProducer {
  readonly #plan: RawProducerPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: Observers;
  readonly #orders: number[];

  constructor(plan: RawProducerPlan, ports: ProcessPorts, random: SeededRandom, observers: Observers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
    this.#orders = new Array<number>(plan.partitions).fill(0);
  }

  /** Returns when every record is sent and its outcome known. @param isEnough nothing new is sent any more. */
  async run(stop: AbortSignal, isEnough: () => boolean): Promise<void> {
    const { name, bootstrap, acks, idempotent, batches, pauseMsMax } = this.#plan;
    await using cluster = await connected(name, bootstrap, this.#ports, stop);
    const producer = cluster.producer({
      acks: acks === 'none' ? 0 : acks === 'leader' ? 1 : 'all',
      idempotent,
      batchSize: this.#random.pick([1, 600, 16_000]),
      lingerMs: this.#random.pick([0, 0, 5]),
      compression: this.#random.pick(['none', 'none', 'lz4', 'zstd']),
    });
    for (let batch = 0; batch < batches && !isEnough(); batch++) {
      for (let left = this.#random.between(1, 4); left > 0; left--) this.#send(producer);
      await producer.ready();
      const pauseMs = this.#random.chance(0.7) ? this.#random.fraction() : this.#random.between(1, pauseMsMax);
      await this.#ports.clock.sleep(pauseMs, stop);
    }
    try {
      await producer.close();
    } catch (thrown) {
      this.#failed(TributaryError.from(thrown));
    }
  }

  #send(producer: Producer<string, string>): void {
    const { name, topic, acks, idempotent, partitions } = this.#plan;
    const partition = this.#random.below(partitions);
    const order = this.#orders[partition] ?? 0;
    this.#orders[partition] = order + 1;
    const id = `${name}.library/${partition}#${order}`;
    const record: SentRecord = {
      id,
      producer: name,
      order,
      value: `${id} ${'y'.repeat(this.#random.below(300))}`,
      acks,
      idempotent,
      ...(this.#plan.keys !== undefined && { key: `key ${this.#random.below(this.#plan.keys)}` }),
    };
    const history = this.#observers.history(topic, partition);
    history.sending(record);
    // What it retries by itself may double records only where it does not promise otherwise.
    if (!idempotent) history.mayRepeat(id);
    const key = record.key ?? (this.#random.chance(0.5) ? name : null);
    producer.send({ topic, partition, key, value: record.value }).then(
      ({ offset }) => {
        this.#observers.count('library: record acknowledged');
        if (offset !== undefined) history.acknowledgedAt(id, offset);
      },
      (thrown: unknown) => this.#failed(TributaryError.from(thrown)),
    );
  }

  /** The outcome is unknown; why it was given up must be something that can happen. */
  #failed(error: TributaryError): void {
    this.#observers.count(`library: delivery failed with ${error.error}`);
    if (error.retriable) return;
    if (
      ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID'].includes(error.error) &&
      this.#observers.mayForget(this.#plan.topic)
    )
      return;
    this.#observers.broken('judge', `${this.#plan.name}: delivery failed with ${error.error}: ${error.message}`);
  }
}
