import type { Host, Logger } from '@tributary/ports';
import { MachineClock } from './clock.ts';
import { Coverage } from './coverage.ts';
import { type DiskOptions, SimulatedDisk } from './disk.ts';
import { SimulatedMetadataStore, type MetadataStoreOptions } from './metadata-store.ts';
import { type NetworkOptions, SimulatedNetwork } from './network.ts';
import { type ProcessEnd, type ProcessMain, SimulatedProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { SeededRandom } from './seeded-random.ts';
import { Trace } from './trace.ts';

/** A rule of PROTOCOL, or of the judge, that a run broke. */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule';
  readonly rule: string;

  constructor(rule: string, what: string) {
    super(`${rule}: ${what}`);
    this.rule = rule;
  }
}

export interface WorldOptions {
  readonly network?: NetworkOptions;
  readonly metadata?: MetadataStoreOptions;
  /** Called with each line of the trace. */
  readonly onLine?: (line: string) => void;
}

export const worldFaults = ['world: process killed', 'world: power lost', 'world: wall clock jumped'] as const;

/** Everything that a seed decides: machines, the network between them, the metadata store, and what goes wrong with them. */
export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly scheduler: Scheduler;
  readonly coverage = new Coverage();
  readonly trace: Trace;
  readonly network: SimulatedNetwork;
  readonly metadata: SimulatedMetadataStore;
  readonly machines = new Map<string, Machine>();

  constructor(seed: number, options: WorldOptions = {}) {
    this.seed = seed;
    this.random = new SeededRandom(`seed ${seed}`);
    this.scheduler = new Scheduler(this.random.stream('scheduler'));
    this.trace = new Trace(() => this.scheduler.nowMicros);
    this.trace.onLine = options.onLine;
    this.network = new SimulatedNetwork(this.scheduler, this.random.stream('network'), this.coverage, options.network);
    this.metadata = new SimulatedMetadataStore(
      this.scheduler,
      this.random.stream('metadata'),
      this.coverage,
      options.metadata,
    );
    this.network.onDelivered = (from, to, path, kind, bytes) =>
      this.trace.add('network', `${from} > ${to} ${path.slice(path.lastIndexOf('/') + 1)} ${kind} ${bytes}`);
    this.network.onDefect = (thrown) =>
      this.broken('assertion', thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  }

  machine(name: string, disk: DiskOptions = {}): Machine {
    const machine = new Machine(this, name, disk);
    this.machines.set(name, machine);
    return machine;
  }

  /** The run has shown that a rule does not hold. */
  broken(rule: string, what: string): void {
    this.trace.add('world', `BROKEN ${rule}: ${what}`);
    this.scheduler.fail(new BrokenRule(rule, what));
  }

  run<T>(story: () => Promise<T>): Promise<T> {
    return this.scheduler.run(story);
  }
}

/** A computer: one disk, one clock, any number of processes; it can lose power and come back. */
export class Machine {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly clock: MachineClock;
  readonly #world: World;
  readonly #processes = new Set<SimulatedProcess>();
  #boots = 1;
  #started = 0;
  #isOn = true;

  constructor(world: World, name: string, disk: DiskOptions) {
    this.#world = world;
    this.name = name;
    const random = world.random.stream(`machine ${name}`);
    this.disk = new SimulatedDisk(world.scheduler, random.stream('disk'), world.coverage, disk);
    this.disk.onAsked = (operation, path) => world.trace.add(name, `${operation} ${path}`);
    const clockRandom = random.stream('clock');
    this.clock = new MachineClock(world.scheduler, {
      wallAheadMs: clockRandom.between(-200, 200),
      rate: 1 + (clockRandom.fraction() - 0.5) / 10_000,
    });
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  get processes(): ReadonlySet<SimulatedProcess> {
    return this.#processes;
  }

  get bootId(): string {
    return `${this.name}-boot-${this.#boots}`;
  }

  /** A program begins. It ends when `main` does, when it is killed, or when it crashes itself. */
  start(name: string, main: ProcessMain): SimulatedProcess {
    if (!this.#isOn) throw new Error(`${this.name} is off`);
    const world = this.#world;
    const process = new SimulatedProcess(this.name, name, ++this.#started, (end) => this.#ended(process, end));
    this.#processes.add(process);
    const who = `${this.name}/${name}`;
    world.trace.add(who, 'started');
    const host: Host = { bootId: this.bootId, crash: (reason) => process.end({ how: 'crashed', reason }) };
    process.run(main, {
      clock: this.clock.forProcess(
        () => process.alive,
        (action) => process.enter('timer', action),
      ),
      random: world.random.stream(`process ${who} ${process.number}`),
      files: process.mounted(this.disk.mount((action) => process.enter('outside', action))),
      transport: world.network.transport(process),
      metadata: world.metadata.client(process),
      host,
      logger: this.#logger(process, who),
    });
    return process;
  }

  /** SIGSTOP: the others hear nothing of it, but for its silence. */
  pause(process: SimulatedProcess): void {
    if (!process.alive || process.paused) return;
    this.#world.coverage.count('world: process paused');
    this.#world.trace.add(`${this.name}/${process.name}`, 'paused');
    process.pause();
    this.#world.network.processPaused(process, () => process.paused);
  }

  resume(process: SimulatedProcess): void {
    if (!process.paused) return;
    this.#world.trace.add(`${this.name}/${process.name}`, 'goes on');
    process.resume(this.#world.scheduler, this.#world.random.stream(`resume ${this.#world.scheduler.events}`));
  }

  /** Everything that runs here ends at once, and the disk keeps what was synced. */
  losePower(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#world.coverage.count('world: power lost');
    this.#world.trace.add(this.name, 'power lost');
    for (const process of [...this.#processes]) process.end({ how: 'power lost' });
    this.disk.crash('power');
    this.#world.network.machineOff(this.name);
  }

  powerOn(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#boots += 1;
    this.#world.trace.add(this.name, 'power on');
    this.#world.network.machineOn(this.name);
  }

  jumpClock(byMs: number): void {
    this.#world.coverage.count('world: wall clock jumped');
    this.#world.trace.add(this.name, `wall clock jumps by ${byMs} ms`);
    this.clock.jumpWall(byMs);
  }

  #ended(process: SimulatedProcess, end: ProcessEnd): void {
    this.#processes.delete(process);
    if (end.how === 'killed') this.#world.coverage.count('world: process killed');
    this.#world.trace.add(`${this.name}/${process.name}`, 'reason' in end ? `${end.how}: ${end.reason}` : end.how);
    // A machine without power says no farewell.
    if (end.how !== 'power lost') this.#world.network.processEnded(process);
  }

  #logger(process: SimulatedProcess, who: string): Logger {
    const log =
      (level: string) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}) => {
        if (!process.alive) return;
        this.#world.trace.add(who, `${level} ${event} ${JSON.stringify(fields, plain)}`);
        this.#world.coverage.count(`log: ${event}`);
        process.onLog?.(event, fields);
      };
    return { info: log('info'), warn: log('warn'), error: log('error') };
  }
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value instanceof Error ? value.message : value;
}
