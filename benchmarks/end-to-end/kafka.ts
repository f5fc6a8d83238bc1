import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AckLatency, Contender, FlushPolicy, Job } from './contender.ts';
import { payloadFile } from './payload.ts';
import { freePort, residentMib, run } from './processes.ts';

/** The script's controllers listen so far above its brokers. */
const controllerDistance = 100;
const startMs = 60_000;
const tools = 'org.apache.kafka.tools';

/** Apache Kafka, one node or several, driven by a script: benchmarks/README.md says what it must understand. */
export class Kafka implements Contender {
  readonly name = 'Kafka';
  /** It flushes when the page cache does. */
  readonly flushPolicies: readonly FlushPolicy[] = ['async'];
  readonly #script: string;
  readonly #folder: { readonly path: string; remove(): void };
  readonly #nodes: number;
  #port = 0;

  /** @param parent a folder on the disk that is measured. @param nodes each topic has a replica on each. */
  constructor(script: string, nodes: number, parent: string) {
    this.#nodes = nodes;
    this.#script = path.resolve(script);
    this.#folder = mkdtempDisposableSync(path.join(path.resolve(parent), 'kafka-'));
  }

  /** Its first start formats the data directory; what counts is a second one. */
  async start(): Promise<{ metadataSeconds: number }> {
    if (this.#port === 0) this.#port = await freePort(controllerDistance);
    await this.#call('clean');
    await this.#call('start', String(this.#nodes));
    if (this.#nodes > 1) return { metadataSeconds: 0 };
    await this.#call('stop');
    const begin = performance.now();
    await this.#call('restart-node', '1');
    while (!(await answersMetadata(this.#port))) {
      if (performance.now() > begin + startMs)
        throw new Error(`Kafka did not start: see ${this.#folder.path}/node1/out.log`);
      await sleep(5);
    }
    return { metadataSeconds: (performance.now() - begin) / 1_000 };
  }

  async stop(): Promise<void> {
    await this.#call('clean');
  }

  /** After the last stop. */
  remove(): void {
    this.#folder.remove();
  }

  async createTopic(name: string, partitions: number): Promise<void> {
    const settings = this.#nodes > 1 ? ['min.insync.replicas=2'] : [];
    await this.#call('topic', name, String(partitions), String(this.#nodes), ...settings);
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#tool('TopicCommand', '--bootstrap-server', this.#bootstrap, '--delete', '--topic', name);
  }

  async produce({ topic, records, recordBytes }: Job): Promise<number> {
    const file = payloadFile(this.#folder.path, recordBytes);
    const tuning = ['acks=all', 'batch.size=131072', 'linger.ms=10', 'buffer.memory=67108864'];
    const job = ['--topic', topic, '--num-records', String(records), '--payload-file', file, '--throughput', '-1'];
    const output = await this.#tool(
      'ProducerPerformance',
      ...job,
      '--producer-props',
      `bootstrap.servers=${this.#bootstrap}`,
      ...tuning,
    );
    return found(/\(([\d.]+) MB\/sec\)/, output.trim().split('\n').at(-1) ?? '');
  }

  /** Without the time that joining a group takes, which ours does not do. */
  async consume({ topic, records }: Job): Promise<number> {
    const job = ['--bootstrap-server', this.#bootstrap, '--topic', topic, '--num-records', String(records)];
    const [titles = '', values = ''] = (await this.#tool('ConsumerPerformance', ...job)).trim().split('\n');
    const column = titles.split(',').findIndex((title) => title.trim() === 'fetch.MB.sec');
    return Number(values.split(',')[column]);
  }

  async latency({ topic, records, recordBytes }: Job): Promise<AckLatency> {
    const classpath = (await this.#call('cp')).trim();
    const program = path.join(import.meta.dirname, 'AckLatency.java');
    const args = ['-cp', classpath, program, this.#bootstrap, topic, String(records), String(recordBytes)];
    return JSON.parse(await run('java', args)) as AckLatency;
  }

  memory(): number {
    const nodes = Array.from({ length: this.#nodes }, (_, i) => path.join(this.#folder.path, `node${i + 1}`, 'pid'));
    return Math.max(...nodes.map((file) => residentMib(Number(readFileSync(file, 'utf8')))));
  }

  get #bootstrap(): string {
    return `127.0.0.1:${this.#port}`;
  }

  #tool(name: string, ...args: readonly string[]): Promise<string> {
    return this.#call('tool', `${tools}.${name}`, ...args);
  }

  #call(command: string, ...args: readonly string[]): Promise<string> {
    return run(this.#script, [command, this.#folder.path, ...args], { BASE_PORT: String(this.#port) });
  }
}

function found(pattern: RegExp, text: string): number {
  const value = pattern.exec(text)?.[1];
  if (value === undefined) throw new Error(`no ${pattern} in: ${text}`);
  return Number(value);
}

/** True when the broker names itself in a Metadata answer of version 4. */
function answersMetadata(port: number): Promise<boolean> {
  // Length, API 3, version 4, correlation id, no client id, all topics, none created.
  const request = Buffer.from('0000000f0003000400000001ffffffffffff00', 'hex');
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(request));
    socket.setTimeout(1_000, () => socket.destroy());
    let answer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) return;
      // Correlation id and throttle time come before the count of brokers.
      resolve(answer.readInt32BE(12) > 0);
      socket.destroy();
    });
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
  });
}
