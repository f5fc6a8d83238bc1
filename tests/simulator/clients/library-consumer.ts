import { TributaryError } from '@tributary/model';
import type { Consumer } from '../../../packages/client/src/consumer.ts';
import type { PartitionRecords } from '../../../packages/client/src/hand-out.ts';
import type { ProcessPorts } from '../process.ts';
import type { ConsumerObservers } from './raw-consumer.ts';
import { connected } from './library-producer.ts';
import { keyOf, type PartitionKey, untilDone } from './routes.ts';

export interface LibraryConsumerPlan {
  readonly name: string;
  readonly bootstrap: readonly string[];
  readonly topics: readonly string[];
  readonly windowBytes: number;
}

/** A consumer of the client library: it finds leaders, opens streams again and starts anew where retention has gone past it. */
export class LibraryConsumer {
  readonly #plan: LibraryConsumerPlan;
  readonly #ports: ProcessPorts;
  readonly #observers: ConsumerObservers;
  readonly #next = new Map<PartitionKey, bigint>();

  constructor(plan: LibraryConsumerPlan, ports: ProcessPorts, observers: ConsumerObservers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#observers = observers;
  }

  /** Next offsets by partition. */
  progress(): ReadonlyMap<PartitionKey, bigint> {
    return this.#next;
  }

  /** Reads until stopped. */
  async run(stop: AbortSignal): Promise<void> {
    const { name, bootstrap, topics, windowBytes } = this.#plan;
    await using cluster = await connected(name, bootstrap, this.#ports, stop);
    const consumer = cluster.consumer({ autoOffsetReset: 'earliest', maxPartitionFetchBytes: windowBytes });
    await untilDone(this.#ports, stop, () =>
      consumer.assign(topics.map((topic) => ({ topic, offset: 'beginning' as const }))),
    );
    for (const { topic, partition } of consumer.assignment) this.#next.set(keyOf(topic, partition), 0n);
    while (!stop.aborted) {
      try {
        for (const group of await consumer.pollGrouped({ signal: stop, timeoutMs: 500 })) this.#took(group);
        await this.#notePositions(consumer);
      } catch (thrown) {
        if (stop.aborted) return;
        this.#failed(consumer, TributaryError.from(thrown));
      }
    }
  }

  #took({ topic, partition, records }: PartitionRecords<Uint8Array, Uint8Array>): void {
    const read = records.map(({ offset, value }) => ({ offset, value: Buffer.from(value ?? []).toString('latin1') }));
    this.#observers.history(topic, partition).handedOut(this.#plan.name, read);
    this.#observers.count('library: records read');
    const last = read.at(-1);
    if (last !== undefined) this.#next.set(keyOf(topic, partition), last.offset + 1n);
  }

  /** Where everything was removed by retention there is nothing to read, and the position says so. */
  async #notePositions(consumer: Consumer): Promise<void> {
    for (const { topic, partition } of consumer.assignment) {
      const position = await consumer.position({ topic, partition }, { timeoutMs: 1 }).catch(() => undefined);
      if (position !== undefined) this.#next.set(keyOf(topic, partition), position);
    }
  }

  #failed(consumer: Consumer, error: TributaryError): void {
    this.#observers.count(`library: poll failed with ${error.error}`);
    if (error.retriable) return;
    if (error.error !== 'CORRUPT_MESSAGE') {
      this.#observers.broken('judge', `${this.#plan.name}: poll failed with ${error.error}: ${error.message}`);
      return;
    }
    // It does not say which partition: those whose disk decays are read on behind what cannot be read.
    for (const { topic, partition } of consumer.assignment) {
      const history = this.#observers.history(topic, partition);
      if (!history.isRotten) continue;
      const next = (this.#next.get(keyOf(topic, partition)) ?? 0n) + 1n;
      history.skipped(this.#plan.name);
      this.#next.set(keyOf(topic, partition), next);
      consumer.seek({ topic, partition }, next);
    }
    if (!consumer.assignment.some(({ topic, partition }) => this.#observers.history(topic, partition).isRotten)) {
      this.#observers.broken('L3', `${this.#plan.name}: ${error.message}`);
    }
  }
}
