// pure
/** One at a time, first come first served. */
export class Mutex {
  #held = false;
  readonly #waiting: (() => void)[] = [];

  /** Without waiting; false when somebody holds it. */
  tryLock(): boolean {
    if (this.#held) return false;
    this.#held = true;
    return true;
  }

  async lock(): Promise<void> {
    if (this.tryLock()) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  unlock(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.lock();
    try {
      return await task();
    } finally {
      this.unlock();
    }
  }
}
