// pure
import { BatchBuilder } from '@tributary/record';

/** Builders to be used again: their buffers are the largest thing that a producer allocates, and collecting them is what stalls it. */
export class BuilderPool {
  readonly #capacity: number;
  readonly #most: number;
  readonly #free: BatchBuilder[] = [];

  /** @param capacity bytes of a batch. @param bytes that unused builders may hold together. */
  constructor(capacity: number, bytes: number) {
    this.#capacity = capacity;
    this.#most = Math.floor(bytes / Math.max(capacity, 1));
  }

  /** The one used last: its memory is still in the processor's cache. */
  take(): BatchBuilder {
    return this.#free.pop() ?? new BatchBuilder(this.#capacity);
  }

  /** @param builder nobody else may still read: what was built from it is gone. */
  give(builder: BatchBuilder): void {
    if (builder.capacity !== this.#capacity || this.#free.length >= this.#most) return;
    builder.reset();
    this.#free.push(builder);
  }
}
