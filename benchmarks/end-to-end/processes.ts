/** Processes that a benchmark starts, and stops again whatever happens. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a process gets to stop by itself, ms. */
const stopMs = 10_000;

/** Its output is shown when it fails. */
export class Started implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  #output = '';

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#name = [command, ...args].join(' ');
    this.#child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-4_000);
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws with what the process said, when it has ended. */
  checkAlive(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error(`${this.#name} has ended:\n${this.#output}`);
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await exited;
    clearTimeout(timer);
  }
}

/** @returns standard output. @throws with standard error when it fails. */
export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 16 * 2 ** 20 };
    execFile(command, args, options, (failure, stdout, stderr) => {
      if (failure === null) resolve(stdout);
      else reject(new Error(`${[command, ...args].join(' ')}: ${failure.message}\n${stderr}${stdout}`));
    });
  });
}

/** Ports that are free, and so is each one `distance` higher. */
export async function freePort(distance: number): Promise<number> {
  for (let port = 20_000 + (process.pid % 10_000); port < 60_000; port += 7) {
    if ((await isFree(port)) && (await isFree(port + distance))) return port;
  }
  throw new Error('no free port below 60,000');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1_024;
}

/** What earlier runs left in the page cache reaches the disk before the next one begins. */
export async function settle(): Promise<void> {
  await run('sync', []);
  await sleep(500);
}
