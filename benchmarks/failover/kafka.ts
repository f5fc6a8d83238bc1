/** Three nodes of Apache Kafka, each broker and controller, driven by a script: benchmarks/README.md says what it must understand. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempDisposableSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, run } from '../end-to-end/processes.ts';
import { type Contender, type Gap, replicas } from './contender.ts';

const nodes = [1, 2, 3];
const topic = 'failover';

export class Kafka implements Contender {
  readonly name: string;
  readonly #script: string;
  readonly #folder: { readonly path: string; remove(): void };
  readonly #port: number;
  #client: ChildProcess | undefined;
  #answers: AsyncIterator<string> | undefined;

  private constructor(name: string, script: string, folder: { readonly path: string; remove(): void }, port: number) {
    this.name = name;
    this.#script = script;
    this.#folder = folder;
    this.#port = port;
  }

  /** @param sessionMs instead of Kafka's default, with heartbeats to match. @param parent a folder on the disk for its data. */
  static async begin(script: string, parent: string, sessionMs: number | undefined): Promise<Kafka> {
    const folder = mkdtempDisposableSync(path.join(path.resolve(parent), 'kafka-'));
    const name = sessionMs === undefined ? 'Kafka' : `Kafka, session ${sessionMs} ms`;
    const kafka = new Kafka(name, path.resolve(script), folder, await freePort(100));
    try {
      await kafka.#begin(sessionMs);
      return kafka;
    } catch (thrown) {
      await kafka[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async #begin(sessionMs: number | undefined): Promise<void> {
    await this.#call('start', String(nodes.length));
    if (sessionMs !== undefined) {
      await this.#call('stop');
      const settings = `broker.session.timeout.ms=${sessionMs}\nbroker.heartbeat.interval.ms=${Math.round(sessionMs / 6)}\n`;
      for (const node of nodes) appendFileSync(this.#fileOf(node, 'server.properties'), settings);
      for (const node of nodes) await this.#call('restart-node', String(node));
    }
    await this.#call('topic', topic, '1', String(replicas));
    const classpath = (await this.#call('cp')).trim();
    const bootstrap = nodes.map((node) => `127.0.0.1:${this.#port + node - 1}`).join(',');
    const program = path.join(import.meta.dirname, 'AckGap.java');
    const client = spawn('java', ['-cp', classpath, program, bootstrap, topic], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#client = client;
    this.#answers = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  }

  async leader(): Promise<number> {
    return Number(await this.#ask('leader'));
  }

  async inSync(): Promise<number> {
    return Number(await this.#ask('insync'));
  }

  async reset(): Promise<void> {
    await this.#ask('reset');
  }

  async gap(): Promise<Gap> {
    return JSON.parse(await this.#ask('gap')) as Gap;
  }

  async signal(node: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): Promise<void> {
    const pid = Number(readFileSync(this.#fileOf(node, 'pid'), 'utf8'));
    process.kill(pid, signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') while (isAlive(pid)) await sleep(20);
  }

  async start(node: number): Promise<void> {
    await this.#call('restart-node', String(node));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client;
    if (client !== undefined && client.exitCode === null) {
      const exited = once(client, 'exit');
      client.kill('SIGKILL');
      await exited;
    }
    await this.#call('clean');
    this.#folder.remove();
  }

  async #ask(question: string): Promise<string> {
    this.#client?.stdin?.write(`${question}\n`);
    const answer = await this.#answers?.next();
    if (answer === undefined || answer.done === true) throw new Error('the client of Kafka has ended');
    return answer.value;
  }

  #fileOf(node: number, file: string): string {
    return path.join(this.#folder.path, `node${node}`, file);
  }

  #call(command: string, ...args: readonly string[]): Promise<string> {
    return run(this.#script, [command, this.#folder.path, ...args], { BASE_PORT: String(this.#port) });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
