/** Three brokers, two controllers and an etcd, each in a network namespace of its own (tests/chaos). */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectWith, type Producer, type Tributary as Client } from '@tributary/client';
import { grpcTransport, nodeClock, nodeRandom } from '@tributary/runtime';
import { ChaosCluster } from '../../tests/chaos/cluster.ts';
import { Traffic } from '../../tests/chaos/traffic.ts';
import { type Contender, type Gap, replicas } from './contender.ts';

const intervalMs = 5;

/** Time since the last one, and the longest that there has been. */
class Stopwatch {
  #last = performance.now();
  #largest = 0;
  count = 0;

  heard(): void {
    const now = performance.now();
    this.#largest = Math.max(this.#largest, now - this.#last);
    this.#last = now;
    this.count++;
  }

  reset(): void {
    this.#last = performance.now();
    this.#largest = 0;
    this.count = 0;
  }

  get largestMs(): number {
    return Math.max(this.#largest, performance.now() - this.#last);
  }
}

export class Tributary implements Contender {
  readonly name = 'Tributary';
  readonly cluster: ChaosCluster;
  readonly #topic: string;
  readonly #client: Client;
  readonly #traffic: Traffic;
  readonly #acknowledged = new Stopwatch();
  readonly #delivered = new Stopwatch();
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  #errors = 0;
  #retriesBefore = 0;

  private constructor(cluster: ChaosCluster, topic: string, client: Client, traffic: Traffic) {
    this.cluster = cluster;
    this.#topic = topic;
    this.#client = client;
    this.#traffic = traffic;
    this.#running = Promise.all([this.#send(client.producer({ acks: 'all' })), this.#read()]);
  }

  static async begin(sessionMs: number): Promise<Tributary> {
    await using stack = new AsyncDisposableStack();
    const settings = { 'session.timeout.ms': sessionMs };
    const cluster = stack.use(
      await ChaosCluster.begin({
        brokers: replicas,
        controllers: 2,
        partitions: 1,
        replicationFactor: replicas,
        minInsyncReplicas: 2,
        settings,
      }),
    );
    const topic = await cluster.newTopic();
    const traffic = new Traffic();
    const ports = { clock: nodeClock, random: nodeRandom, transport: traffic.counted(grpcTransport) };
    const client = await connectWith(ports, { bootstrap: cluster.processes.bootstrap });
    const tributary = new Tributary(cluster, topic, client, traffic);
    tributary.#stack = stack.move();
    return tributary;
  }

  #stack: AsyncDisposableStack | undefined;

  async leader(): Promise<number> {
    for (;;) {
      const [partition] = await this.cluster.partitionsOf(this.#topic);
      if (partition?.leader !== undefined) return partition.leader;
      await sleep(20);
    }
  }

  async inSync(): Promise<number> {
    return (await this.cluster.partitionsOf(this.#topic))[0]?.isr.length ?? 0;
  }

  reset(): Promise<void> {
    this.#acknowledged.reset();
    this.#delivered.reset();
    this.#errors = 0;
    this.#retriesBefore = this.#traffic.retries;
    return Promise.resolve();
  }

  gap(): Promise<Gap> {
    return Promise.resolve({
      gapMs: this.#acknowledged.largestMs,
      deliveryGapMs: this.#delivered.largestMs,
      acknowledged: this.#acknowledged.count,
      errors: this.#errors,
      retries: this.#traffic.retries - this.#retriesBefore,
    });
  }

  async signal(node: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): Promise<void> {
    const broker = this.cluster.processes.broker(node);
    switch (signal) {
      case 'SIGKILL':
      case 'SIGTERM':
        await broker.end(signal);
        return;
      case 'SIGSTOP':
        return broker.pause();
      case 'SIGCONT':
        return broker.resume();
    }
  }

  async start(node: number): Promise<void> {
    await this.cluster.processes.broker(node).start();
  }

  /** How long until a change of a setting has been made, ms. */
  async decision(): Promise<number> {
    const begin = performance.now();
    const change = { operation: 'set', name: 'retention.ms', value: String(1e9 + Math.round(begin)) } as const;
    await this.#client.admin.alterConfigs({ kind: 'topic', name: this.#topic }, [change]);
    return performance.now() - begin;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#client.close();
    await this.#stack?.[Symbol.asyncDispose]();
  }

  async #send(producer: Producer): Promise<void> {
    const value = Buffer.alloc(100);
    while (!this.#stop.signal.aborted) {
      producer.send({ topic: this.#topic, partition: 0, value }).then(
        () => this.#acknowledged.heard(),
        () => void this.#errors++,
      );
      await sleep(intervalMs);
    }
  }

  async #read(): Promise<void> {
    const consumer = this.#client.consumer();
    await consumer.assign([{ topic: this.#topic, offset: 'end' }]);
    while (!this.#stop.signal.aborted) {
      const records = await consumer.poll({ signal: this.#stop.signal }).catch(() => []);
      if (records.length > 0) this.#delivered.heard();
    }
  }
}
