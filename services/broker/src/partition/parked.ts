// pure
/** Answers that wait for an offset to become durable: data with a deadline, in offset order. */
import type { Millis, Offset } from '@tributary/model';

export interface Parked<T> {
  readonly lastOffset: Offset;
  readonly deadline: Millis;
  readonly answer: T;
}

export class ParkedAnswers<T> {
  /** Ordered by lastOffset; those before #first are gone, and undefined so that what they hold (a batch) can go too. */
  #entries: (Parked<T> | undefined)[] = [];
  #first = 0;

  get size(): number {
    return this.#entries.length - this.#first;
  }

  /** A duplicate may wait for an offset below the newest (P2): it takes its place in the order. */
  park(parked: Parked<T>): void {
    let at = this.#entries.length;
    while (at > this.#first && (this.#entries[at - 1]?.lastOffset ?? -1n) > parked.lastOffset) at--;
    if (at === this.#entries.length) this.#entries.push(parked);
    else this.#entries.splice(at, 0, parked);
  }

  /** The next answer whose last offset lies below `end`, removed; undefined when there is none. */
  takeBelow(end: Offset): Parked<T> | undefined {
    const head = this.#entries[this.#first];
    if (head === undefined || head.lastOffset >= end) return undefined;
    this.#entries[this.#first++] = undefined;
    if (this.#first > 1024 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    return head;
  }

  /** Removes and returns those whose last offset is at or above `end`. */
  takeFrom(end: Offset): readonly Parked<T>[] {
    return this.#takeWhere((entry) => entry.lastOffset >= end);
  }

  /** Removes and returns those whose deadline has passed. */
  takeExpired(now: Millis): readonly Parked<T>[] {
    return this.#takeWhere((entry) => entry.deadline <= now);
  }

  #takeWhere(gone: (entry: Parked<T>) => boolean): readonly Parked<T>[] {
    const live = this.#entries.filter((entry) => entry !== undefined);
    const taken = live.filter(gone);
    if (taken.length > 0) {
      this.#entries = live.filter((entry) => !gone(entry));
      this.#first = 0;
    }
    return taken;
  }
}
