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

  /** Resolves at the next ring, or when aborted: whoever waits looks for itself what happened. */
  nextUnless(signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return this.next();
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#waiters.push(wake);
    });
  }

  /** Resolves at the next ring, after `ms`, or when aborted. */
  async within(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
    if (ms <= 0 || signal?.aborted) return;
    const over = new AbortController();
    const done = (): void => over.abort(noLongerNeeded);
    signal?.addEventListener('abort', done, { once: true });
    this.#waiters.push(done);
    try {
      // A sleep that is cut short rejects; why it was is for the caller to see.
      await clock.sleep(ms, over.signal).catch(() => undefined);
    } finally {
      signal?.removeEventListener('abort', done);
      const index = this.#waiters.indexOf(done);
      if (index >= 0) this.#waiters.splice(index, 1);
    }
  }
}
