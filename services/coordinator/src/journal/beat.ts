/**
 * When the journals of all owned partitions write: under load at the same moments, so that what goes to one broker goes in one message, and what was decided
 * meanwhile in one batch. Whoever writes while little is written does not wait.
 */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

export class Beat {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** On the monotonic clock, ms: when the present beat ends. */
  #endMs = Number.NEGATIVE_INFINITY;
  /** Writes that began in it. */
  #begun = 0;
  #waiting = 0;
  #next: Promise<void> | undefined;

  /** @param signal ends all waiting. */
  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  /** A write may begin once this has resolved; undefined: now. Never rejects. */
  turn(): Promise<void> | undefined {
    if (this.#next !== undefined) {
      this.#waiting++;
      return this.#next;
    }
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#endMs) {
      this.#endMs = nowMs + limits.journalBeatMs;
      this.#begun = 0;
    }
    if (this.#begun < limits.journalBeatWrites) {
      this.#begun++;
      return undefined;
    }
    this.#waiting = 1;
    this.#next = this.#untilNext(this.#endMs - nowMs);
    return this.#next;
  }

  async #untilNext(ms: number): Promise<void> {
    await this.#clock.sleep(Math.ceil(ms), this.#signal).catch(() => undefined);
    this.#next = undefined;
    this.#endMs = this.#clock.monotonicMs() + limits.journalBeatMs;
    // Those who waited are the first of the beat that begins: one who writes alone, one after the other, waits hardly ever.
    this.#begun = this.#waiting;
  }
}
