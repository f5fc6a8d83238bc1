/** `tributary dev` on one data directory, stopped, killed and started again. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Tributary as Cluster } from '@tributary/client';
import { freePort, residentMib, run, Started } from '../end-to-end/processes.ts';

const root = path.join(import.meta.dirname, '..', '..');
const cli = path.join(root, 'packages', 'cli', 'src', 'main.ts');
const compileCache = path.join(root, 'node_modules', '.cache', 'node-compile');
/** The HTTP port lies so far above the gRPC port. */
const httpPortDistance = 100;
const startMsMax = 120_000;
/** Exists from the first start on: a record in it says that the broker is back. */
const canary = 'canary';

export class Server implements AsyncDisposable {
  readonly #folder: string;
  #process: Started | undefined;
  #cluster: Cluster | undefined;
  #port = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get cluster(): Cluster {
    if (this.#cluster === undefined) throw new Error('the server is not running');
    return this.#cluster;
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get memoryMib(): number {
    return residentMib(this.#process?.pid ?? 0);
  }

  /** @returns seconds from the start of the process to the first acknowledged record. */
  async start(): Promise<number> {
    this.#port = await freePort(httpPortDistance);
    const begin = performance.now();
    const args = [cli, 'dev', '--data-dir', this.#folder, '--port', String(this.#port)];
    this.#process = new Started(process.execPath, args, {
      UV_THREADPOOL_SIZE: '80',
      NODE_COMPILE_CACHE: compileCache,
    });
    this.#cluster = await this.#retried(() =>
      connect({ bootstrap: this.bootstrap, retryBackoffMs: 5, retryBackoffMsMax: 20 }),
    );
    const { admin } = this.#cluster;
    const names = (await admin.listTopics()).map(({ name }) => name);
    if (!names.includes(canary)) await this.#retried(() => admin.createTopic({ name: canary, partitions: 1 }));
    await using producer = this.#cluster.producer();
    await producer.send({ topic: canary, value: 'back' });
    return (performance.now() - begin) / 1_000;
  }

  async #retried<T>(attempt: () => Promise<T>): Promise<T> {
    const end = performance.now() + startMsMax;
    for (;;) {
      this.#process?.checkAlive();
      try {
        return await attempt();
      } catch (thrown) {
        if (performance.now() > end) throw thrown;
        await sleep(5);
      }
    }
  }

  /** @returns seconds until the process has ended by itself. */
  async stop(): Promise<number> {
    await this.#cluster?.close();
    const begin = performance.now();
    await this.#process?.[Symbol.asyncDispose]();
    this.#process = undefined;
    return (performance.now() - begin) / 1_000;
  }

  async kill(): Promise<void> {
    const ended = this.#process?.kill();
    await ended;
    this.#process = undefined;
    await this.#cluster?.close().catch(() => undefined);
  }

  /** `tributary bench …`. @returns MiB/s. */
  async bench(...args: readonly string[]): Promise<number> {
    const command = [cli, 'bench', ...args, '--bootstrap', this.bootstrap, '--output', 'json'];
    const said = await run(process.execPath, command, { NODE_COMPILE_CACHE: compileCache });
    return (JSON.parse(said) as { mebibytesPerSecond: number }).mebibytesPerSecond;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
