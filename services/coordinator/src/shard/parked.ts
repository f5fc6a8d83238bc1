// pure
/** Answers that wait until what they were decided upon is acknowledged: in the order of the decisions, so that nobody sees what could still go. */
export interface Parked {
  /** Number of the last staged decision that it rests on. */
  readonly after: number;
  /** G2: not without a recent write. */
  readonly isFresh: boolean;
  readonly settle: () => void;
  readonly refuse: (why: Error) => void;
}

export class ParkedAnswers {
  #queue: (Parked | undefined)[] = [];
  #first = 0;

  get count(): number {
    return this.#queue.length - this.#first;
  }

  add(parked: Parked): void {
    this.#queue.push(parked);
  }

  /** Settles what rests on no later decision than `acknowledged`. @returns whether one waits for a recent write only. */
  release(acknowledged: number, isFresh: () => boolean): boolean {
    let isWaiting = false;
    for (let next = this.#queue[this.#first]; next !== undefined; next = this.#queue[this.#first]) {
      if (next.after > acknowledged) break;
      isWaiting = next.isFresh && !isFresh();
      if (isWaiting) break;
      this.#queue[this.#first++] = undefined;
      next.settle();
    }
    this.#compact();
    return isWaiting;
  }

  refuseAll(why: Error): void {
    const left = this.#queue.slice(this.#first);
    this.#queue = [];
    this.#first = 0;
    for (const parked of left) parked?.refuse(why);
  }

  /** Under load it is never empty: what was settled goes when it is more than what waits. */
  #compact(): void {
    if (this.#first * 2 <= this.#queue.length) return;
    this.#queue.splice(0, this.#first);
    this.#first = 0;
  }
}
