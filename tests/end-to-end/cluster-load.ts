// Records that keep coming, to every partition of a topic, and a reader of all of them: what a fault must not disturb, measured while it lasts.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, serializers, type Tributary } from '@tributary/client';

const intervalMs = 20;

/** Times since the last one, for each partition. */
class Gaps {
  readonly #last = new Map<number, number>();
  readonly #largest = new Map<number, number>();

  reset(): void {
    const now = performance.now();
    for (const partition of this.#last.keys()) this.#last.set(partition, now);
    this.#largest.clear();
  }

  heard(partition: number): void {
    const now = performance.now();
    this.#note(partition, now);
    this.#last.set(partition, now);
  }

  /** The largest of these partitions until now, ms. */
  largest(partitions: readonly number[]): number {
    for (const partition of partitions) this.#note(partition, performance.now());
    return Math.round(
      Math.max(...partitions.map((partition) => this.#largest.get(partition) ?? Number.POSITIVE_INFINITY)),
    );
  }

  #note(partition: number, now: number): void {
    const since = now - (this.#last.get(partition) ?? now);
    this.#largest.set(partition, Math.max(this.#largest.get(partition) ?? 0, since));
  }
}

export class Load implements AsyncDisposable {
  readonly partitions: readonly number[];
  /** Between acknowledgements. */
  readonly acknowledged = new Gaps();
  /** Between records read. */
  readonly read = new Gaps();
  /** What reached the sender as an error. */
  readonly failures: string[] = [];
  readonly #cluster: Tributary;
  readonly #topic: string;
  readonly #stop = new AbortController();
  readonly #sent: Promise<unknown>[] = [];
  readonly #heard = new Set<number>();
  readonly #seen = new Map<number, string[]>();
  readonly #sending: Promise<void>;
  readonly #reading: Promise<void>;
  #rounds = 0;

  private constructor(cluster: Tributary, topic: string, partitions: number) {
    this.#cluster = cluster;
    this.#topic = topic;
    this.partitions = Array.from({ length: partitions }, (_, partition) => partition);
    this.#sending = this.#send();
    this.#reading = this.#read();
  }

  /** Under way in every partition when it resolves. */
  static async begin(bootstrap: string, topic: string, partitions: number): Promise<Load> {
    const load = new Load(await connect({ bootstrap }), topic, partitions);
    while (load.partitions.some((partition) => load.#seenOf(partition).length === 0)) await sleep(20);
    load.reset();
    return load;
  }

  reset(): void {
    this.acknowledged.reset();
    this.read.reset();
    this.#heard.clear();
  }

  /** Resolves when something has been acknowledged in each of these since the reset. */
  async acknowledgedAgain(partitions: readonly number[]): Promise<void> {
    while (partitions.some((partition) => !this.#heard.has(partition))) await sleep(5);
  }

  /** Sends no more, and compares what was acknowledged with what is read: all of it, each once, in order. @returns how many records. */
  async finish(): Promise<number> {
    this.#stop.abort();
    await this.#sending;
    await Promise.all(this.#sent);
    const deadline = Date.now() + 20_000;
    while (this.partitions.some((partition) => this.#seenOf(partition).length < this.#rounds) && Date.now() < deadline)
      await sleep(20);
    for (const partition of this.partitions) {
      const seen = this.#seenOf(partition);
      const wrong = seen.findIndex((value, i) => value !== String(i));
      assert.equal(
        wrong,
        -1,
        `partition ${partition} is not in order, each once, at ${wrong}: ${seen.slice(wrong, wrong + 10).join()}`,
      );
      assert.equal(seen.length, this.#rounds, `partition ${partition}: all that was acknowledged is read`);
    }
    assert.deepEqual(this.failures, [], 'no error reached the sender');
    return this.#rounds * this.partitions.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    await this.#cluster.close().catch(() => undefined);
    await this.#reading;
  }

  async #send(): Promise<void> {
    const producer = this.#cluster.producer({ acks: 'all' });
    while (!this.#stop.signal.aborted) {
      for (const partition of this.partitions) {
        const delivery = Promise.resolve(producer.send({ topic: this.#topic, partition, value: String(this.#rounds) }));
        this.#sent.push(
          delivery.then(
            () => {
              this.acknowledged.heard(partition);
              this.#heard.add(partition);
            },
            (thrown: unknown) => void this.failures.push(String(thrown)),
          ),
        );
      }
      this.#rounds++;
      await sleep(intervalMs);
    }
  }

  async #read(): Promise<void> {
    const consumer = this.#cluster.consumer({ valueDeserializer: serializers.string });
    try {
      await consumer.assign([{ topic: this.#topic, offset: 'beginning' }]);
      for await (const { partition, value } of consumer) {
        this.read.heard(partition);
        this.#seenOf(partition).push(value ?? '');
      }
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.failures.push(`reading: ${String(thrown)}`);
    }
  }

  #seenOf(partition: number): string[] {
    const seen = this.#seen.get(partition) ?? [];
    this.#seen.set(partition, seen);
    return seen;
  }
}
