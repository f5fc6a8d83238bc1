/** Waiting for what may never come. */
import type { Clock } from '@tributary/ports';

/** Given as the reason where nobody looks at it: making an exception for each wait costs more than the wait. */
export const noLongerNeeded = Symbol('no longer needed');

/** Many wait, one tells them all. */
export class Bell {
  #waiters: (() => void)[] = [];

  get awaited(): boolean {
    return this.#waiters.length > 0;
  }

  ring(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Resolves at the next ring. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Resolves at the next ring, after `ms`, or when aborted: whoever waits looks for itself what happened. */
  async within(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
    if (ms <= 0 || signal?.aborted) return;
    const over = new AbortController();
    const done = (): void => over.abort(noLongerNeeded);
    signal?.addEventListener('abort', done, { once: true });
    this.#waiters.push(done);
    try {
      // A sleep that is cut short rejects; why it was is for the caller to see.
      if (Number.isFinite(ms)) await clock.sleep(ms, over.signal).catch(() => undefined);
      else if (!over.signal.aborted)
        await new Promise<void>((resolve) => over.signal.addEventListener('abort', () => resolve(), { once: true }));
    } finally {
      signal?.removeEventListener('abort', done);
      const index = this.#waiters.indexOf(done);
      if (index >= 0) this.#waiters.splice(index, 1);
    }
  }
}
