// pure
/** Bounds the memory of all indexes: the least recently searched ones go back to their files. */

/** An index as the cache sees it. */
export interface CachedIndex {
  readonly bytesInMemory: number;
  /** Keeps only what the file has not. */
  release(): void;
}

export class IndexCache {
  readonly #budget: number;
  /** Least recently searched first, with the bytes counted for each. */
  readonly #indexes = new Map<CachedIndex, number>();
  #bytes = 0;

  /** @param budget bytes. */
  constructor(budget: number) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** It was searched just now. */
  used(index: CachedIndex): void {
    this.forget(index);
    this.#indexes.set(index, index.bytesInMemory);
    this.#bytes += index.bytesInMemory;
    for (const oldest of this.#indexes.keys()) {
      if (this.#bytes <= this.#budget || oldest === index) return;
      oldest.release();
      this.forget(oldest);
    }
  }

  forget(index: CachedIndex): void {
    this.#bytes -= this.#indexes.get(index) ?? 0;
    this.#indexes.delete(index);
  }
}
