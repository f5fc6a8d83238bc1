/** Turns at something of which there is so much a second. */
export class Pace {
  readonly #perMs: number;
  #freeAtMs = 0;

  /** @param perSecond of whatever it is, over all who ask. */
  constructor(perSecond: number) {
    this.#perMs = perSecond / 1_000;
  }

  /** Takes so much. @returns when its turn is over, ms from now. */
  delayMs(amount: number): number {
    const now = performance.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + amount / this.#perMs;
    return this.#freeAtMs - now;
  }
}
