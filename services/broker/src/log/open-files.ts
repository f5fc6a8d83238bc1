/**
 * Which files of segments are open, over all logs of a broker: the least recently used are closed when there would be too many. One that is in use
 * stays; one with bytes that are not flushed is flushed first, because what a sync reports of a file may be told to those alone who had it open (L2).
 * When all are in use there are more than allowed for a moment: waiting could be for ever, and the process may open more than logs are given.
 */
import { limits } from '@tributary/model';

/** Something whose file is open. */
export interface Holder {
  /** `idle`: may be closed. `unflushed`: only after {@link sync}. */
  readonly state: 'idle' | 'unflushed' | 'busy';
  sync(): Promise<void>;
  /** Closes the file; it opens again at its next use. */
  release(): Promise<void>;
}

export class OpenFiles {
  #max: number;
  /** Least recently used first. */
  readonly #holders = new Set<Holder>();
  /** Room that was given and not yet taken. */
  #promised = 0;

  /** @param max at once. */
  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#holders.size;
  }

  get max(): number {
    return this.#max;
  }

  /** More are open than allowed: they were all in use. */
  get isOver(): boolean {
    return this.#holders.size > this.#max;
  }

  /** Applies to what is opened from now on. */
  resize(max: number): void {
    this.#max = max;
  }

  /** Opens one more, after closing another where there is no room. */
  async open<T>(holder: Holder, open: () => Promise<T>): Promise<T> {
    this.#promised++;
    try {
      while (this.#holders.size + this.#promised > this.#max && (await this.closeOne()));
      const file = await open();
      this.used(holder);
      return file;
    } finally {
      this.#promised--;
    }
  }

  used(holder: Holder): void {
    this.#holders.delete(holder);
    this.#holders.add(holder);
  }

  closed(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** When one is no longer in use. @returns false: none can be closed now. */
  async closeOne(): Promise<boolean> {
    let unflushed: Holder | undefined;
    let looked = 0;
    for (const holder of this.#holders) {
      if (holder.state === 'idle') {
        await holder.release();
        return true;
      }
      if (holder.state === 'unflushed') unflushed ??= holder;
      if (++looked === limits.openFilesLookedAt) break;
      // Not before all others have been looked at.
      this.used(holder);
    }
    if (unflushed === undefined) return false;
    await unflushed.sync();
    if (unflushed.state === 'idle') await unflushed.release();
    return true;
  }
}
