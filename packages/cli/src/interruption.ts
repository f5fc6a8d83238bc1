/** Ctrl-C once: stop taking on more and bring to an end what is under way. Twice: the process ends as if nobody had listened. */

const signals = ['SIGINT', 'SIGTERM'] as const;

export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #heard = (): void => {
    this[Symbol.dispose]();
    this.#controller.abort();
  };

  constructor() {
    for (const signal of signals) process.on(signal, this.#heard);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of signals) process.off(signal, this.#heard);
  }
}
