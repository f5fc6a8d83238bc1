import type { Clock, FileSystem, Host, Logger, MetadataStore, Random, Transport } from '@tributary/ports';
import type { MountedDisk } from './disk.ts';
import type { Arrival, Doorkeeper } from './gate.ts';
import type { Scheduler } from './scheduler.ts';
import type { SeededRandom } from './seeded-random.ts';

/** What a program gets of the world: the ports, and nothing else. */
export interface ProcessPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: FileSystem;
  readonly transport: Transport;
  readonly metadata: MetadataStore;
  readonly host: Host;
  readonly logger: Logger;
}

/** @param stop aborted when somebody asks the program to end (SIGTERM). */
export type ProcessMain = (ports: ProcessPorts, stop: AbortSignal) => Promise<void>;

export type ProcessEnd =
  /** kill -9 */
  | { readonly how: 'killed' }
  | { readonly how: 'power lost' }
  /** It ended itself because it could not trust itself (Host.crash). */
  | { readonly how: 'crashed'; readonly reason: string }
  /** Its main function threw. */
  | { readonly how: 'failed'; readonly reason: string; readonly thrown: unknown }
  | { readonly how: 'finished' };

/** One program that runs. When it ends, whatever it waits for never comes. */
export class SimulatedProcess implements Doorkeeper {
  readonly machine: string;
  readonly name: string;
  /** Distinguishes the programs that ran on a machine one after the other. */
  readonly number: number;
  readonly #onEnd: (end: ProcessEnd) => void;
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<ProcessEnd>();
  #alive = true;
  #disk: MountedDisk | undefined;
  /** What has come since it was stopped, and is not yet let in; undefined: it runs. */
  #waiting: { readonly arrival: Arrival; readonly action: () => void }[] | undefined;
  #isPaused = false;
  /** Each line that it logs. */
  onLog: ((event: string, fields: Readonly<Record<string, unknown>>) => void) | undefined;

  constructor(machine: string, name: string, number: number, onEnd: (end: ProcessEnd) => void) {
    this.machine = machine;
    this.name = name;
    this.number = number;
    this.#onEnd = onEnd;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Stopped by a signal: it is there, and does nothing. */
  get paused(): boolean {
    return this.#isPaused;
  }

  enter(arrival: Arrival, action: () => void): void {
    if (!this.#alive) return;
    if (this.#waiting === undefined) action();
    else this.#waiting.push({ arrival, action });
  }

  /** SIGSTOP. */
  pause(): void {
    if (!this.#alive) return;
    this.#isPaused = true;
    this.#waiting ??= [];
  }

  /** SIGCONT. What had come is let in, either its timers or the world's messages first, each in the order in which it came. */
  resume(scheduler: Scheduler, random: SeededRandom): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const first: Arrival = random.chance(0.5) ? 'timer' : 'outside';
    const waiting = this.#waiting ?? [];
    this.#waiting = [
      ...waiting.filter(({ arrival }) => arrival === first),
      ...waiting.filter(({ arrival }) => arrival !== first),
    ];
    const letIn = (): void => {
      if (!this.#alive || this.#isPaused) return;
      const next = this.#waiting?.shift();
      if (next === undefined) {
        this.#waiting = undefined;
        return;
      }
      next.action();
      scheduler.after(1, letIn);
    };
    scheduler.after(1, letIn);
  }

  get ended(): Promise<ProcessEnd> {
    return this.#ended.promise;
  }

  mounted(disk: MountedDisk): MountedDisk {
    this.#disk = disk;
    return disk;
  }

  run(main: ProcessMain, ports: ProcessPorts): void {
    const running = async (): Promise<void> => main(ports, this.#stop.signal);
    running().then(
      () => this.end({ how: 'finished' }),
      (thrown: unknown) => {
        const { aborted, reason } = this.#stop.signal;
        // Asked to stop before it had started.
        if (aborted && thrown === reason) this.end({ how: 'finished' });
        else this.end({ how: 'failed', reason: thrown instanceof Error ? thrown.message : String(thrown), thrown });
      },
    );
  }

  kill(): void {
    this.end({ how: 'killed' });
  }

  /** SIGTERM. */
  askToStop(): void {
    this.enter('outside', () => this.#stop.abort(new Error('asked to stop')));
  }

  end(end: ProcessEnd): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#isPaused = false;
    this.#waiting = undefined;
    this.#disk?.end();
    this.#onEnd(end);
    this.#ended.resolve(end);
  }
}
