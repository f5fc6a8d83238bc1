import type { Clock, FileSystem, Host, Logger, MetadataStore, Random, Transport } from '@tributary/ports';
import type { MountedDisk } from './disk.ts';

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
export class SimulatedProcess {
  readonly machine: string;
  readonly name: string;
  /** Distinguishes the programs that ran on a machine one after the other. */
  readonly number: number;
  readonly #onEnd: (end: ProcessEnd) => void;
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<ProcessEnd>();
  #alive = true;
  #disk: MountedDisk | undefined;
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
      (thrown: unknown) =>
        this.end({ how: 'failed', reason: thrown instanceof Error ? thrown.message : String(thrown), thrown }),
    );
  }

  kill(): void {
    this.end({ how: 'killed' });
  }

  /** SIGTERM. */
  askToStop(): void {
    if (this.#alive) this.#stop.abort(new Error('asked to stop'));
  }

  end(end: ProcessEnd): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#disk?.end();
    this.#onEnd(end);
    this.#ended.resolve(end);
  }
}
