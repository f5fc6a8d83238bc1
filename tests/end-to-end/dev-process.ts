// `tributary dev` as a process of its own, and the `tributary` command beside it, on free ports and in a folder that goes afterwards. Only
// processes started here are ever ended.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.dirname(path.dirname(import.meta.dirname));
export const main = path.join(root, 'packages', 'cli', 'src', 'main.ts');
/** Compiled sources are kept between the many processes of these tests. */
const compileCache = path.join(root, 'node_modules', '.cache', 'node-compile');
/** Metrics and health are served so far above the gRPC port. */
const httpDistance = 100;
const startMsMax = 30_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: Uint8Array | string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** A command on its way. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts `tributary …`; standard input is left open. */
export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, [main, ...args], { env: environment(env), stdio: ['pipe', 'pipe', 'pipe'] });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // A command that ends before it has read everything closes the pipe: that is its right.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout), stderr }));
  });
  return { child, ended };
}

/** Runs `tributary …` to its end. */
export async function tributary(
  args: readonly string[],
  { input = '', env = {}, timeoutMs = 120_000 }: CommandOptions = {},
): Promise<Ended> {
  const { child, ended } = start(args, env);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  child.stdin?.end(input);
  const result = await ended;
  clearTimeout(timer);
  return result;
}

export interface DevOptions {
  /** For `tributary dev`. */
  readonly args?: readonly string[];
  /** Not removed afterwards. */
  readonly dataDirectory?: string;
}

export class DevProcess implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly dataDirectory: string;
  readonly #args: readonly string[];
  #running: Running | undefined;
  #said = '';

  private constructor(folder: string, port: number, { args = [], dataDirectory }: DevOptions) {
    this.folder = folder;
    this.port = port;
    this.dataDirectory = dataDirectory ?? path.join(folder, 'data');
    this.#args = args;
  }

  /** Starts one with an empty data folder. */
  static async begin(options: DevOptions = {}): Promise<DevProcess> {
    const dev = new DevProcess(mkdtempSync(path.join(tmpdir(), 'tributary-')), await freePort(), options);
    try {
      await dev.start();
    } catch (thrown) {
      await dev[Symbol.asyncDispose]();
      throw thrown;
    }
    return dev;
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`;
  }

  get http(): string {
    return `http://127.0.0.1:${this.port + httpDistance}`;
  }

  /** Of the process that runs. */
  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  /** A path in the folder that goes with it. */
  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** On the data that is there. Resolves once records can be produced. */
  async start(): Promise<void> {
    const where = ['--data-dir', this.dataDirectory, '--port', String(this.port)];
    const running = start(['dev', ...where, '--output', 'json', ...this.#args]);
    this.#running = running;
    const { child, ended } = running;
    child.stderr?.on('data', (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-10_000)));
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`tributary dev is not ready after ${startMsMax} ms. It said:\n${this.#said}`)),
        startMsMax,
      );
      child.stdout?.once('data', () => {
        clearTimeout(timer);
        resolve();
      });
      void ended.then(({ code, stderr }) => {
        clearTimeout(timer);
        reject(new Error(`tributary dev ended with ${code} before it was ready. It said:\n${stderr}`));
      });
    });
  }

  /** As a power cut for the process alone: no chance to tidy up. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    return await this.#end(signal);
  }

  /** Runs a command against it. */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    return await tributary(args, { ...options, env: { TRIBUTARY_BOOTSTRAP: this.bootstrap, ...options.env } });
  }

  /** As `run`, and @throws when it fails. @returns standard output. */
  async ok(args: readonly string[], options: CommandOptions = {}): Promise<Buffer> {
    const { code, signal, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`tributary ${args.join(' ')} ended with ${code ?? signal}:\n${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running !== undefined) await this.#end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<Ended> {
    const running = this.#running;
    if (running === undefined) throw new Error('tributary dev does not run');
    this.#running = undefined;
    running.child.kill(signal);
    return await running.ended;
  }
}

/** As outside `npm test`: nothing of this run's settings. */
function environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|TRIBUTARY_|INIT_CWD)/.test(name));
  return { ...Object.fromEntries(kept), NODE_COMPILE_CACHE: compileCache, ...more };
}

/** Below the ports that the system gives to connections that go out: one of those could take it before it is listened at. */
const portMin = 10_240;
const portMax = 32_000;

/** Which ports processes of tests have, be it that nobody listens there at the moment: what is killed is started again where it was. */
const claims = path.join(tmpdir(), `tributary-test-ports-${process.getuid?.() ?? 'all'}`);
const claimed: string[] = [];

/** One that is free, as is the one for HTTP above it; both are this process's until it ends. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portMin, portMax);
    if (!claim(port) || !claim(port + httpDistance)) continue;
    if ((await boundPort(port)) !== 0 && (await boundPort(port + httpDistance)) !== 0) return port;
  }
}

/** @returns false: another process that still runs, or this one, has it. */
function claim(port: number): boolean {
  mkdirSync(claims, { recursive: true });
  const file = path.join(claims, String(port));
  try {
    const owner = Number(readFileSync(file, 'utf8'));
    if (owner === process.pid || isAlive(owner)) return false;
    rmSync(file, { force: true });
  } catch {
    // Nobody has it.
  }
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
  } catch {
    return false;
  }
  if (claimed.length === 0) process.once('exit', giveBack);
  claimed.push(file);
  return true;
}

function giveBack(): void {
  for (const file of claimed) rmSync(file, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The port that a listener gets when it asks for this one; 0 when it is taken. */
function boundPort(wanted: number): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(0));
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      const port = address === null || typeof address === 'string' ? 0 : address.port;
      server.close(() => resolve(port));
    });
  });
}
