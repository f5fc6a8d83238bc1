import type { Clock } from '@tributary/ports';

/** No error: nobody is told, and one for each would be dear. */
const noLongerNeeded = Symbol('no longer needed');

/** One timer for many deadlines: whoever has one names it, the bell rings once at or after the earliest, and all look again. */
export class Alarm implements Disposable {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #due = Number.POSITIVE_INFINITY;
  #sleep = new AbortController();
  #over = false;

  /** @param ring names what is next by calling `at` again. */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Rings at `time` at the latest. @param time on the monotonic clock, ms. */
  at(time: number): void {
    if (this.#over || time >= this.#due) return;
    this.#sleep.abort(noLongerNeeded);
    this.#sleep = new AbortController();
    this.#due = time;
    void this.#wait(time, this.#sleep.signal);
  }

  async #wait(time: number, signal: AbortSignal): Promise<void> {
    try {
      // Whole milliseconds upwards: a timer that fires a fraction early would ring, find nothing due and spin.
      await this.#clock.sleep(Math.max(0, Math.ceil(time - this.#clock.monotonicMs())), signal);
    } catch {
      return;
    }
    if (signal.aborted) return;
    this.#due = Number.POSITIVE_INFINITY;
    this.#ring();
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#sleep.abort(noLongerNeeded);
  }
}
