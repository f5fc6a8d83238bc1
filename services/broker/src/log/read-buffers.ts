// pure
/**
 * Memory for reads from files, used again once what was read is on its way: a consumer that catches up would otherwise leave as much garbage behind as
 * it reads.
 */
export class ReadBuffers {
  readonly #size: number;
  readonly #most: number;
  readonly #idle: Buffer[] = [];

  /** @param size of each, bytes. @param budget bytes kept idle. */
  constructor(size: number, budget: number) {
    this.#size = size;
    this.#most = Math.floor(budget / size);
  }

  /** Not cleared. Larger than `size`: new, and never kept. */
  take(length: number): Buffer {
    if (length > this.#size) return Buffer.allocUnsafeSlow(length);
    return (this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#size)).subarray(0, length);
  }

  /** Nobody reads it any more. @param buffer as it was taken. */
  give(buffer: Buffer): void {
    if (buffer.buffer.byteLength !== this.#size || this.#idle.length >= this.#most) return;
    this.#idle.push(Buffer.from(buffer.buffer));
  }
}
