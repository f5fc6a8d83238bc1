// pure
/**
 * One run at a time. Whoever asks while one is under way shares the next, which begins after the call: what was done before the call is in it.
 */
export class GroupCommit<T> {
  readonly #action: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(action: () => Promise<T>) {
    this.#action = action;
  }

  commit(): Promise<T> {
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) return this.#begin();
    const begin = (): Promise<T> => this.#begin();
    this.#next = this.#running.then(begin, begin);
    return this.#next;
  }

  #begin(): Promise<T> {
    this.#next = undefined;
    const running = this.#action();
    this.#running = running;
    const ended = (): void => {
      if (this.#running === running) this.#running = undefined;
    };
    running.then(ended, ended);
    return running;
  }
}
