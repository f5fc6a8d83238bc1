/** A machine with a simulated disk, that fails when it is told to. */
import type { FileSystem, Host } from '@tributary/ports';
import type { Bench } from './on-disk.ts';

export type Crash = 'process' | 'power';

/** One machine whose processes come and go. */
export class Machine {
  readonly #bench: Bench;
  readonly #how: Crash;
  #boot = 1;

  constructor(bench: Bench, how: Crash) {
    this.#bench = bench;
    this.#how = how;
  }

  /** Runs a process until it ends by itself, by its own crash, or at operation `crashAt`. @param each is told every operation's number. */
  async run(
    task: (files: FileSystem, host: Host) => Promise<void>,
    crashAt = 0,
    each: (number: number) => void = () => {},
  ): Promise<void> {
    const { disk } = this.#bench;
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const first = disk.operations;
    disk.onOperation = (number) => {
      each(number - first);
      if (number - first !== crashAt) return;
      this.crash(this.#how);
      end();
    };
    const host: Host = {
      bootId: `boot ${this.#boot}`,
      crash: () => {
        this.crash('process');
        end();
      },
    };
    await Promise.race([task(disk.mount(), host), ended]);
    disk.onOperation = undefined;
    disk.crash('process');
  }

  crash(how: Crash): void {
    this.#bench.disk.onOperation = undefined;
    this.#bench.disk.crash(how);
    if (how === 'power') this.#boot++;
  }
}
