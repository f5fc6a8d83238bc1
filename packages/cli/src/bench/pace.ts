/** Keeps a loop at so many turns a second. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Slept at least, ms: timers are no finer, so records leave in small bursts. */
const sleepMsMin = 2;

export class Pace {
  readonly #perMs: number | undefined;
  #began: number | undefined;
  #turns = 0;

  /** @param perSecond −1: no limit. */
  constructor(perSecond: number) {
    this.#perMs = perSecond > 0 ? perSecond / 1000 : undefined;
  }

  /** @returns a promise when the loop is ahead of its time. */
  turn(): Promise<unknown> | undefined {
    if (this.#perMs === undefined) return undefined;
    this.#began ??= performance.now();
    this.#turns++;
    const ahead = this.#turns / this.#perMs - (performance.now() - this.#began);
    return ahead < sleepMsMin ? undefined : sleep(ahead);
  }
}
