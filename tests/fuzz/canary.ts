/** A client that behaves, beside those that do not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { serializers, type Tributary } from '@tributary/client';

const pauseMs = 2;
const settleMs = 20_000;

/** Produces one record after the other with acks=all, and reads them. */
export class Canary implements AsyncDisposable {
  readonly sent: string[] = [];
  readonly read: string[] = [];
  /** ms from each send to its acknowledgement. */
  readonly latencies: number[] = [];
  #stopped = false;
  readonly #working: Promise<unknown>[];

  private constructor(cluster: Tributary, topic: string) {
    this.#working = [this.#produce(cluster, topic), this.#consume(cluster, topic)];
    for (const work of this.#working) work.catch(() => undefined);
  }

  static async begin(cluster: Tributary, topic = 'canary'): Promise<Canary> {
    await cluster.admin.createTopic({ name: topic, partitions: 1 });
    return new Canary(cluster, topic);
  }

  get acknowledged(): number {
    return this.sent.length;
  }

  async #produce(cluster: Tributary, topic: string): Promise<void> {
    await using producer = cluster.producer({ lingerMs: 0 });
    for (let index = 0; !this.#stopped; index++) {
      const value = `record ${index}`;
      const began = performance.now();
      await producer.send({ topic, value });
      this.latencies.push(performance.now() - began);
      this.sent.push(value);
      await sleep(pauseMs);
    }
  }

  async #consume(cluster: Tributary, topic: string): Promise<void> {
    await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
    await consumer.assign([{ topic, offset: 'beginning' }]);
    while (!this.#stopped || this.read.length < this.sent.length)
      for (const { value } of await consumer.poll({ timeoutMs: 50 })) this.read.push(String(value));
  }

  /** Sends no more, and reads to the end. @throws what went wrong on the way. */
  async settle(): Promise<void> {
    this.#stopped = true;
    const late = new AbortController();
    try {
      await Promise.race([
        Promise.all(this.#working),
        sleep(settleMs, undefined, { signal: late.signal }).then(() => {
          throw new Error(`the canary has read ${this.read.length} of ${this.sent.length} records and got no further`);
        }),
      ]);
    } finally {
      late.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle().catch(() => undefined);
  }
}
