// An etcd, controllers and brokers, each a process of its own, on free loopback ports and in a folder that goes afterwards. Only processes
// started here are ever ended, by their ids.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { EtcdProcess } from '../contract/etcd-process.ts';
import { freePort } from './dev-process.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const compileCache = path.join(root, 'node_modules', '.cache', 'node-compile');
const startMsMax = 30_000;

type Kind = 'broker' | 'controller' | 'coordinator';

/** A line of a part's log. */
interface LogEvent {
  readonly event: string;
  readonly time: string;
  readonly why?: string;
}

/** Where a process runs: by default beside us, on loopback. */
export interface Place {
  /** The address at which it listens. */
  readonly host: string;
  /** The command that starts it there, in front of its own. */
  readonly within: readonly string[];
}

const here: Place = { host: '127.0.0.1', within: [] };

/** The settings of a part, by their names. */
export type Settings = Readonly<Record<string, string | number>>;

export class PartProcess implements AsyncDisposable {
  readonly kind: Kind;
  readonly id: number;
  readonly port: number;
  readonly #settings: Settings;
  readonly #place: Place;
  readonly #nodeFlags: readonly string[];
  #child: ChildProcess | undefined;
  #stderr = '';
  #listeners: (() => void)[] = [];

  constructor(
    kind: Kind,
    id: number,
    port: number,
    settings: Settings,
    place = here,
    nodeFlags: readonly string[] = [],
  ) {
    this.kind = kind;
    this.id = id;
    this.port = port;
    this.#settings = settings;
    this.#place = place;
    this.#nodeFlags = nodeFlags;
  }

  /** As places and folders are called. */
  get name(): string {
    return `${this.kind}-${this.id}`;
  }

  get address(): string {
    return `${this.#place.host}:${this.port}`;
  }

  get http(): string {
    return `http://${this.#place.host}:${this.port + 100}`;
  }

  /** @throws when it does not run. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.kind} ${this.id} does not run`);
    return this.#child.pid;
  }

  /** All that it has said, over all its starts. */
  get said(): string {
    return this.#stderr;
  }

  get events(): readonly LogEvent[] {
    const lines = this.#stderr.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line): LogEvent => JSON.parse(line));
  }

  /** Resolves once it works. @throws when it ends first, with what it said. */
  async start(): Promise<void> {
    const already = this.#count('ready');
    this.spawn();
    await this.until(() => this.#count('ready') > already, 'says that it is ready');
  }

  /** Starts it without waiting for anything. */
  spawn(): void {
    const main = path.join(root, 'services', this.kind, 'src', 'main.ts');
    const given = {
      'node.id': this.id,
      listen: this.address,
      'log.format': 'json',
      // One copy where a test does not say otherwise: most are of one broker, or kill some.
      ...(this.kind === 'controller' && { 'default.replication.factor': 1, 'min.insync.replicas': 1 }),
      ...this.#settings,
    };
    const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|TRIBUTARY_|INIT_CWD)/.test(name));
    const [command = process.execPath, ...rest] = [
      ...this.#place.within,
      process.execPath,
      ...this.#nodeFlags,
      main,
      ...args,
    ];
    const child = spawn(command, rest, {
      env: { ...Object.fromEntries(kept), NODE_COMPILE_CACHE: compileCache },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
      this.#ring();
    });
    child.once('exit', () => this.#ring());
    // A run of the tests that is cut short leaves nothing behind.
    const orphaned = (): void => void child.kill('SIGKILL');
    process.once('exit', orphaned);
    child.once('exit', () => process.removeListener('exit', orphaned));
  }

  /** It has been started, and has not ended since. */
  get runs(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits until something that its log tells of. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + startMsMax;
    while (!condition()) {
      const over = !this.runs;
      if (over || Date.now() > deadline) {
        throw new Error(
          `${this.kind} ${this.id} ${over ? 'ended' : 'ran for too long'} before it ${what}:\n${this.#stderr.slice(-4_000)}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 200);
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Waits for its end. @returns its exit code; null: a signal. */
  async ended(withinMs: number): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) throw new Error(`${this.kind} ${this.id} does not run`);
    if (child.exitCode === null && child.signalCode === null)
      await once(child, 'exit', { signal: AbortSignal.timeout(withinMs) });
    this.#child = undefined;
    return child.exitCode;
  }

  /** SIGKILL, SIGTERM: resolves with the exit code once it has ended. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    child.kill(signal);
    return await this.ended(startMsMax);
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }

  #count(event: string): number {
    return this.events.filter((each) => each.event === event).length;
  }

  #ring(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}

export interface ClusterShape {
  readonly controllers: number;
  readonly brokers: number;
  /** Default: none. */
  readonly coordinators?: number;
  /** Of every part. */
  readonly settings?: Settings;
  /** Of controllers, over those. */
  readonly controllerSettings?: Settings;
  /** Where each part and `etcd` are, by their names. Default: on loopback. */
  readonly placeOf?: (name: string) => Place;
  /** The caller's own, for all data; by default one that is removed afterwards. */
  readonly folder?: string;
  /** Node's own flags, of a broker. */
  readonly nodeFlags?: readonly string[];
}

export class ClusterProcesses implements AsyncDisposable {
  readonly folder: string;
  readonly etcd: EtcdProcess;
  readonly controllers: PartProcess[] = [];
  readonly brokers: PartProcess[] = [];
  readonly coordinators: PartProcess[] = [];
  readonly #settings: Settings;
  readonly #controllerSettings: Settings;
  readonly #placeOf: (name: string) => Place;
  readonly #nodeFlags: readonly string[];
  readonly #parts: PartProcess[] = [];
  readonly #isOwnFolder: boolean;

  private constructor(
    etcd: EtcdProcess,
    { settings = {}, controllerSettings = {}, placeOf = () => here, folder, nodeFlags = [] }: ClusterShape,
  ) {
    this.#nodeFlags = nodeFlags;
    this.folder = folder ?? mkdtempSync(path.join(os.tmpdir(), 'tributary-cluster-'));
    this.#isOwnFolder = folder === undefined;
    this.etcd = etcd;
    this.#settings = settings;
    this.#controllerSettings = controllerSettings;
    this.#placeOf = placeOf;
  }

  /** Everything at once, as an orchestrator does it. */
  static async begin(shape: ClusterShape): Promise<ClusterProcesses> {
    const { controllers, brokers, coordinators = 0, placeOf = () => here } = shape;
    const cluster = new ClusterProcesses(await EtcdProcess.start({ place: placeOf('etcd') }), shape);
    try {
      for (let i = 1; i <= controllers; i++) cluster.controllers.push(await cluster.part('controller', 100 + i));
      for (let i = 1; i <= brokers; i++) cluster.brokers.push(await cluster.part('broker', i));
      for (let i = 1; i <= coordinators; i++) cluster.coordinators.push(await cluster.part('coordinator', 200 + i));
      await Promise.all(
        [...cluster.controllers, ...cluster.brokers, ...cluster.coordinators].map((each) => each.start()),
      );
      return cluster;
    } catch (thrown) {
      await cluster[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** One more, not started. @param settings over those that it would have. */
  async part(kind: Kind, id: number, settings: Settings = {}): Promise<PartProcess> {
    const own: Settings =
      kind === 'broker' ? { 'data.dir': this.dataOf(id) } : kind === 'controller' ? this.#controllerSettings : {};
    const port = await freePort();
    const all = { 'etcd.endpoints': this.etcd.endpoint, ...own, ...this.#settings, ...settings };
    const nodeFlags = kind === 'broker' ? this.#nodeFlags : [];
    const part = new PartProcess(kind, id, port, all, this.#placeOf(`${kind}-${id}`), nodeFlags);
    this.#parts.push(part);
    return part;
  }

  dataOf(broker: number): string {
    return path.join(this.folder, `broker-${broker}`);
  }

  /** Of all brokers, the first one first. */
  get bootstrap(): string {
    return this.brokers.map(({ address }) => address).join(',');
  }

  broker(id: number | undefined): PartProcess {
    return named(this.brokers, id);
  }

  controller(id: number | undefined): PartProcess {
    return named(this.controllers, id);
  }

  coordinator(id: number | undefined): PartProcess {
    return named(this.coordinators, id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#parts.map((part) => part[Symbol.asyncDispose]()));
    await this.etcd[Symbol.asyncDispose]();
    if (this.#isOwnFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

function named(parts: readonly PartProcess[], id: number | undefined): PartProcess {
  const part = parts.find((each) => each.id === id);
  if (part === undefined) throw new Error(`there is no part ${id}`);
  return part;
}
