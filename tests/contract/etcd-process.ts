/** Real etcd processes for tests: each in a folder of its own under the temporary one, on free loopback ports, ended by their ids. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdMetadataStore, type EtcdOptions } from '@tributary/runtime/etcd-store';
import { freePort } from '../end-to-end/dev-process.ts';

export interface EtcdSetup {
  /** Beside what the tests always set. */
  readonly args?: readonly string[];
  readonly tls?: boolean;
  /** Where it runs: its address, and the command that starts it there. Default: on loopback. */
  readonly place?: { readonly host: string; readonly within: readonly string[] };
}

/** etcd 3.4 runs here only when it is told that we know of its not being supported. */
const unsupported = process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {};

/** How long an etcd may take to start, ms: the machine may be busy. */
const startMs = 20_000;

/** One etcd server. Its addresses stay the same through restarts. */
export class EtcdProcess implements AsyncDisposable {
  readonly name: string;
  readonly endpoint: string;
  readonly peer: string;
  readonly #directory: string;
  readonly #setup: EtcdSetup;
  #child: ChildProcess | undefined;
  #said = '';

  private constructor(name: string, directory: string, ports: readonly [number, number], setup: EtcdSetup) {
    this.name = name;
    this.#directory = directory;
    this.#setup = setup;
    const host = setup.place?.host ?? '127.0.0.1';
    this.endpoint = `${setup.tls === true ? 'https' : 'http'}://${host}:${ports[0]}`;
    this.peer = `http://${host}:${ports[1]}`;
  }

  /** A cluster of one, that answers. */
  static async start(setup: EtcdSetup = {}): Promise<EtcdProcess> {
    const [only] = await EtcdProcess.startCluster(1, setup);
    if (only === undefined) throw new Error('no etcd was started');
    return only;
  }

  /** Members of one cluster, that all answer. */
  static async startCluster(count: number, setup: EtcdSetup = {}): Promise<EtcdProcess[]> {
    const members = await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const directory = await mkdtemp(path.join(os.tmpdir(), 'tributary-etcd-'));
        return new EtcdProcess(`etcd-${i}`, directory, [await freePort(), await freePort()], setup);
      }),
    );
    const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(',');
    try {
      await Promise.all(members.map((member) => member.#run(['--initial-cluster', cluster])));
      return members;
    } catch (thrown) {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
      throw thrown;
    }
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  /** PEM of the certificate that it made for itself. */
  async ca(): Promise<Buffer> {
    return readFile(path.join(this.#directory, 'data', 'fixtures', 'client', 'cert.pem'));
  }

  /** A store on this member alone. */
  store(options: Omit<EtcdOptions, 'endpoints'> = {}): EtcdMetadataStore {
    return new EtcdMetadataStore({ endpoints: [this.endpoint], ...options });
  }

  /** Resolves once it stands still: on a busy machine it can answer for a while after the signal. */
  async pause(): Promise<void> {
    const tasks = `/proc/${this.pid}/task`;
    process.kill(this.pid, 'SIGSTOP');
    for (let isStill = false; !isStill; await sleep(5)) {
      const states = await Promise.all(
        (await readdir(tasks).catch(() => [])).map((id) => stateOf(path.join(tasks, id, 'stat'))),
      );
      isStill = states.every((state) => state === 'T' || state === undefined);
    }
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    // One that is paused hears nothing else.
    if (signal === 'SIGTERM') child.kill('SIGCONT');
    await exited;
  }

  /** Again, with the data it had, until it answers. */
  async restart(): Promise<void> {
    await this.end();
    await this.#run([]);
  }

  /** A backup: what it has now, by a name. It is stopped for it. */
  async backUp(name: string): Promise<void> {
    await this.end('SIGTERM');
    await cp(path.join(this.#directory, 'data'), path.join(this.#directory, name), { recursive: true });
    await this.#run([]);
  }

  /** It is killed, and goes on with what it had when that backup was made. */
  async restore(name: string): Promise<void> {
    await this.end();
    const data = path.join(this.#directory, 'data');
    await rm(data, { recursive: true, force: true });
    await cp(path.join(this.#directory, name), data, { recursive: true });
    await this.#run([]);
  }

  async #run(args: readonly string[]): Promise<void> {
    const fixed = {
      name: this.name,
      'data-dir': path.join(this.#directory, 'data'),
      'listen-client-urls': this.endpoint,
      'advertise-client-urls': this.endpoint,
      'listen-peer-urls': this.peer,
      'initial-advertise-peer-urls': this.peer,
      logger: 'zap',
      'log-level': 'error',
    };
    const [command, ...within] = [...(this.#setup.place?.within ?? []), 'etcd'];
    const child = spawn(
      command,
      [
        ...within,
        ...Object.entries(fixed).flatMap(([flag, value]) => [`--${flag}`, value]),
        '--unsafe-no-fsync',
        ...(this.#setup.tls === true ? ['--auto-tls'] : []),
        ...(this.#setup.args ?? []),
        ...args,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...unsupported } },
    );
    this.#child = child;
    this.#said = '';
    child.stderr.on('data', (text: Buffer) => (this.#said = (this.#said + text.toString()).slice(-4_000)));
    // A run of the tests that is cut short leaves nothing behind.
    const orphaned = (): void => void child.kill('SIGKILL');
    process.once('exit', orphaned);
    child.once('exit', () => process.removeListener('exit', orphaned));
    await this.#answers(child);
  }

  async #answers(child: ChildProcess): Promise<void> {
    const untilMs = Date.now() + startMs;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`etcd ended: ${this.#said}`);
      const ca = this.#setup.tls === true ? await this.ca().catch(() => undefined) : undefined;
      const isReady = this.#setup.tls !== true || ca !== undefined;
      if (isReady && (await this.#isUp(ca))) return;
      if (Date.now() > untilMs) throw new Error(`etcd at ${this.endpoint} does not answer: ${this.#said}`);
      await sleep(50);
    }
  }

  async #isUp(ca: Buffer | undefined): Promise<boolean> {
    const { hostname, port } = new URL(this.endpoint);
    if (ca === undefined) {
      const answer = await fetch(`http://${hostname}:${port}/health`).catch(() => undefined);
      return answer?.ok ?? false;
    }
    await using store = this.store({ ca });
    try {
      await store.check();
      return true;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** As Linux has it, `T` for stopped; undefined for a thread that is gone. */
async function stateOf(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  // The name before it, in brackets, may hold anything.
  return (
    text
      .slice(text.lastIndexOf(')') + 1)
      .trim()
      .split(' ')[0] || undefined
  );
}
