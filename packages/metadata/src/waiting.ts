/** Waiting that a signal ends. No timers: those are the Clock's. */

/** Settles as `promise` does, or rejects with the signal's reason, whichever is first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    const settled = (): void => signal.removeEventListener('abort', abort);
    promise.then(
      (value) => {
        settled();
        resolve(value);
      },
      (thrown: unknown) => {
        settled();
        reject(thrown);
      },
    );
  });
}

/** Aborted when `signal` is or by itself; disposing takes it off `signal`. */
export class LinkedAbort implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #follow = (): void => this.#controller.abort(this.#parent.reason);

  constructor(parent: AbortSignal) {
    this.#parent = parent;
    if (parent.aborted) this.#follow();
    else parent.addEventListener('abort', this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    this.#parent.removeEventListener('abort', this.#follow);
  }
}

/** Wakes all who wait at the moment it rings. Check the condition, then wait, with no await between. */
export class Bell {
  #next = Promise.withResolvers<void>();

  ring(): void {
    const rung = this.#next;
    this.#next = Promise.withResolvers<void>();
    rung.resolve();
  }

  /** Resolves at the next ring; rejects with the signal's reason. */
  heard(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#next.promise, signal);
  }
}
