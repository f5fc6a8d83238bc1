// pure
/** Bounds how many syncs are under way at once, first come first served: no partition can starve another. */
export class SyncPool {
  #free: number;
  #waiting: (() => void)[] = [];
  /** Waiters before this one have had their turn. */
  #first = 0;

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Syncs that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length - this.#first;
  }

  async run(task: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free--;
    else {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    try {
      await task();
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting[this.#first];
    if (next === undefined) {
      this.#waiting = [];
      this.#first = 0;
      this.#free++;
      return;
    }
    this.#first++;
    next();
  }
}
