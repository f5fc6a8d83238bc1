import { assert, limits } from '@tributary/model';
import type { Effects } from './key-space.ts';

/** The latest revisions, for watches that begin in the past. Bounded; older ones are compacted. */
export class History {
  #window: Effects[] = [];
  /** Entries at the front of the window that are gone already: cutting the array for each would copy it each time. */
  #cut = 0;
  #changes = 0;
  #compacted: bigint;

  /** @param compacted revisions up to this one are not in here. */
  constructor(compacted: bigint) {
    this.#compacted = compacted;
  }

  /** The newest revision that a watch can no longer begin at. */
  get compacted(): bigint {
    return this.#compacted;
  }

  push(effects: Effects): void {
    assert(
      effects.revision === this.#compacted + BigInt(this.#length) + 1n,
      `revision ${effects.revision} follows the history without a gap`,
    );
    this.#window.push(effects);
    this.#changes += sizeOf(effects);
    while (this.#length > limits.metadataHistoryRevisions || this.#changes > limits.metadataHistoryChanges) {
      this.compact(this.#compacted + 1n);
    }
  }

  /** undefined: not yet there. @param revision above {@link compacted}. */
  at(revision: bigint): Effects | undefined {
    assert(revision > this.#compacted, `revision ${revision} is not compacted`);
    return this.#window[this.#cut + Number(revision - this.#compacted) - 1];
  }

  compact(revision: bigint): void {
    while (this.#compacted < revision && this.#length > 0) {
      this.#changes -= sizeOf(this.#window[this.#cut]);
      this.#cut++;
      this.#compacted++;
    }
    if (this.#cut > this.#window.length / 2) {
      this.#window = this.#window.slice(this.#cut);
      this.#cut = 0;
    }
  }

  get #length(): number {
    return this.#window.length - this.#cut;
  }
}

const sizeOf = (effects: Effects | undefined): number =>
  effects === undefined ? 0 : effects.puts.length + effects.deletes.length;
