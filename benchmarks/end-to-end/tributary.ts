import { mkdtempDisposableSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, TributaryError, type Tributary as Cluster } from '@tributary/client';
import type { AckLatency, Contender, FlushPolicy, Job } from './contender.ts';
import { payloadFile } from './payload.ts';
import { freePort, residentMib, run, Started } from './processes.ts';

const cli = path.join(import.meta.dirname, '..', '..', 'packages', 'cli', 'src', 'main.ts');
const ackLatency = path.join(import.meta.dirname, 'ack-latency.ts');
/** The HTTP port lies so far above the gRPC port. */
const httpPortDistance = 100;
const startMs = 20_000;

interface Part {
  readonly role: string;
  readonly pid: number;
  readonly ports: { readonly grpc: number };
}

/** `tributary dev`, or several brokers by `tributary local`, and our client in a process of its own. */
export class Tributary implements Contender {
  readonly name = 'Tributary';
  readonly flushPolicies: readonly FlushPolicy[] = ['async', 'commit'];
  readonly #parent: string;
  readonly #profile: string | undefined;
  readonly #nodes: number;
  #brokers: readonly number[] = [];
  #folder: { readonly path: string; remove(): void } | undefined;
  #process: Started | undefined;
  #cluster: Cluster | undefined;
  #bootstrap = '';

  /** Where records are published and subscribed to. */
  get address(): string {
    return this.#bootstrap;
  }

  /** @param parent a folder on the disk that is measured. @param nodes brokers; each topic has a replica on each. @param profile folder for CPU profiles. */
  constructor(parent: string, nodes: number, profile: string | undefined) {
    this.#parent = parent;
    this.#nodes = nodes;
    this.#profile = profile;
  }

  async start(): Promise<{ metadataSeconds: number; acknowledgedSeconds: number }> {
    this.#folder = mkdtempDisposableSync(path.join(this.#parent, 'tributary-'));
    const begin = performance.now();
    await (this.#nodes === 1 ? this.#startOne(this.#folder.path) : this.#startSeveral(this.#folder.path));
    this.#cluster = await this.#connected();
    const metadataSeconds = (performance.now() - begin) / 1_000;
    await this.#createFirstTopic(this.#cluster);
    await using producer = this.#cluster.producer();
    await producer.send({ topic: 'first', value: 'hello' });
    return { metadataSeconds, acknowledgedSeconds: (performance.now() - begin) / 1_000 };
  }

  async #startOne(folder: string): Promise<void> {
    const port = await freePort(httpPortDistance);
    this.#bootstrap = `127.0.0.1:${port}`;
    const args = [...this.#profiling(), cli, 'dev', '--data-dir', folder, '--port', String(port)];
    this.#process = new Started(process.execPath, args, { UV_THREADPOOL_SIZE: '80' });
  }

  /** As Kafka's nodes, each is broker and so on in a process of its own; our controllers and etcd are further ones. */
  async #startSeveral(folder: string): Promise<void> {
    await this.#local('up', folder, '--brokers', String(this.#nodes), '--controllers', '2');
    const parts = JSON.parse(await this.#local('ps', folder, '--output', 'json')) as readonly Part[];
    const brokers = parts.filter(({ role }) => role === 'broker');
    this.#bootstrap = brokers.map(({ ports }) => `127.0.0.1:${ports.grpc}`).join(',');
    this.#brokers = brokers.map(({ pid }) => pid);
  }

  #local(command: string, folder: string, ...args: readonly string[]): Promise<string> {
    return run(process.execPath, [cli, 'local', command, '--data-dir', folder, ...args]);
  }

  /** Metadata is served a little before the broker is registered and topics can be placed. */
  async #createFirstTopic(cluster: Cluster): Promise<void> {
    for (;;) {
      try {
        await cluster.admin.createTopic({ name: 'first', partitions: 1 });
        return;
      } catch (thrown) {
        if (!(thrown instanceof TributaryError) || thrown.error !== 'INVALID_REPLICATION_FACTOR') throw thrown;
        await sleep(5);
      }
    }
  }

  async #connected(): Promise<Cluster> {
    const end = performance.now() + startMs;
    for (;;) {
      this.#process?.checkAlive();
      try {
        return await connect({ bootstrap: this.#bootstrap, retryBackoffMs: 5, retryBackoffMsMax: 5 });
      } catch (thrown) {
        if (performance.now() > end) throw thrown;
        await sleep(5);
      }
    }
  }

  async stop(): Promise<void> {
    await this.#cluster?.close();
    await this.#process?.[Symbol.asyncDispose]();
    if (this.#brokers.length > 0 && this.#folder !== undefined) await this.#local('down', this.#folder.path);
    this.#brokers = [];
    this.#folder?.remove();
    this.#cluster = undefined;
    this.#process = undefined;
    this.#folder = undefined;
  }

  async createTopic(name: string, partitions: number, policy: FlushPolicy): Promise<void> {
    await this.#cluster?.admin.createTopic({
      name,
      partitions,
      replicationFactor: this.#nodes,
      configs: { 'flush.policy': policy, ...(this.#nodes > 1 && { 'min.insync.replicas': '2' }) },
    });
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#cluster?.admin.deleteTopic(name);
  }

  async produce({ topic, records, recordBytes }: Job): Promise<number> {
    const file = payloadFile(this.#parent, recordBytes);
    const tuning = ['--acks', 'all', '--batch-size', '131072', '--linger', '10'];
    return await this.#bench(
      'produce',
      '--topic',
      topic,
      '--num-records',
      String(records),
      '--payload-file',
      file,
      ...tuning,
    );
  }

  consume({ topic, records }: Job): Promise<number> {
    return this.#bench('consume', '--topic', topic, '--num-records', String(records));
  }

  async latency({ topic, records, recordBytes }: Job): Promise<AckLatency> {
    const args = [...this.#profiling(), ackLatency, this.#bootstrap, topic, String(records), String(recordBytes)];
    return JSON.parse(await run(process.execPath, args)) as AckLatency;
  }

  memory(): number {
    return Math.max(...(this.#process === undefined ? this.#brokers : [this.#process.pid]).map(residentMib));
  }

  /** @returns MiB/s. */
  async #bench(...args: readonly string[]): Promise<number> {
    const command = [...this.#profiling(), cli, 'bench', ...args, '--bootstrap', this.#bootstrap, '--output', 'json'];
    return (JSON.parse(await run(process.execPath, command)) as { mebibytesPerSecond: number }).mebibytesPerSecond;
  }

  #profiling(): readonly string[] {
    return this.#profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${this.#profile}`];
  }
}
