// pure
/**
 * How recent the newest acknowledged write is (G2): whoever answers a sign of life or a commit must have been the owner a moment ago. Times on the
 * monotonic clock, ms.
 */
export class Freshness {
  /** When the newest acknowledged write was sent. */
  #sentMs = Number.NEGATIVE_INFINITY;

  acknowledged(sentMs: number): void {
    this.#sentMs = Math.max(this.#sentMs, sentMs);
  }

  /** @param timeoutMs the shortest session timeout. */
  isFresh(nowMs: number, timeoutMs: number): boolean {
    return nowMs - this.#sentMs <= timeoutMs / 2;
  }

  /** When the next write is to be sent at the latest, where none is otherwise. */
  renewalDueMs(timeoutMs: number): number {
    return this.#sentMs + timeoutMs / 3;
  }
}
