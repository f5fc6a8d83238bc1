// pure
/**
 * The newest offset of each key, exactly: keys are compared byte by byte, never by their hashes alone. Open addressing over one table of a fixed size, keys one
 * behind the other in chunks, so that nothing is ever moved or hashed again while the event loop waits.
 */
const chunkBytes = 256 * 1024;
/** Memory of an entry beside its key: offset 8, where the key lies 8, its length 4, its hash 4, two slots of the table 8. */
const entryBytes = 32;

export class KeyMap {
  readonly #budget: number;
  readonly #seedA: number;
  readonly #seedB: number;
  /** Entry numbers, from 1 on; 0: free. Half of them stay free. */
  readonly #slots: Uint32Array;
  readonly #mask: number;
  readonly #offsets: Float64Array;
  readonly #chunkOf: Uint32Array;
  readonly #startOf: Uint32Array;
  readonly #lengthOf: Uint32Array;
  readonly #hashOf: Int32Array;
  readonly #chunks: Uint8Array[] = [];
  #chunk: Uint8Array = new Uint8Array(0);
  #used = 0;
  #keyBytes = 0;
  #count = 0;

  /**
   * @param budget bytes of memory. @param most keys that there can be: less is set aside for fewer.
   * @param seed two random words: nobody who does not know them can find keys that collide.
   */
  constructor(budget: number, most: number, seed: readonly [number, number]) {
    const entries = Math.max(16, Math.min(Math.floor(budget / entryBytes), most));
    const slots = 2 ** Math.ceil(Math.log2(2 * entries));
    this.#budget = budget;
    [this.#seedA, this.#seedB] = seed;
    this.#slots = new Uint32Array(slots);
    this.#mask = slots - 1;
    this.#offsets = new Float64Array(entries);
    this.#chunkOf = new Uint32Array(entries);
    this.#startOf = new Uint32Array(entries);
    this.#lengthOf = new Uint32Array(entries);
    this.#hashOf = new Int32Array(entries);
  }

  get count(): number {
    return this.#count;
  }

  /** Offset of the newest record with the key that was put; undefined: none was. Offsets as numbers are exact below 2⁵³. */
  get(bytes: Uint8Array, start: number, length: number): number | undefined {
    const entry = this.#slots[this.#find(bytes, start, length, this.#hash(bytes, start, length))] ?? 0;
    return entry === 0 ? undefined : this.#offsets[entry - 1];
  }

  /** @param offset above all that were put for this key. @returns false: there is no room for another key; nothing has changed. */
  put(bytes: Uint8Array, start: number, length: number, offset: number): boolean {
    const hash = this.#hash(bytes, start, length);
    const slot = this.#find(bytes, start, length, hash);
    const known = this.#slots[slot] ?? 0;
    if (known !== 0) {
      this.#offsets[known - 1] = offset;
      return true;
    }
    const entry = this.#count;
    const isFull = entry === this.#offsets.length || (entry + 1) * entryBytes + this.#keyBytes + length > this.#budget;
    if (isFull && entry > 0) return false;
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(Math.max(chunkBytes, length));
      this.#chunks.push(this.#chunk);
      this.#used = 0;
    }
    copy(bytes, start, length, this.#chunk, this.#used);
    this.#offsets[entry] = offset;
    this.#chunkOf[entry] = this.#chunks.length - 1;
    this.#startOf[entry] = this.#used;
    this.#lengthOf[entry] = length;
    this.#hashOf[entry] = hash;
    this.#used += length;
    this.#keyBytes += length;
    this.#count = entry + 1;
    this.#slots[slot] = entry + 1;
    return true;
  }

  /** The slot of the key, or the free one where it would go. */
  #find(bytes: Uint8Array, start: number, length: number, hash: number): number {
    let slot = hash & this.#mask;
    for (;;) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return slot;
      const index = entry - 1;
      if (this.#hashOf[index] === hash && this.#lengthOf[index] === length && this.#isKey(index, bytes, start, length))
        return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #isKey(index: number, bytes: Uint8Array, start: number, length: number): boolean {
    const chunk = this.#chunks[this.#chunkOf[index] ?? 0];
    const at = this.#startOf[index] ?? 0;
    if (chunk === undefined) return false;
    for (let i = 0; i < length; i++) if (chunk[at + i] !== bytes[start + i]) return false;
    return true;
  }

  /** HalfSipHash-1-3, a keyed hash in words of 32 bits. */
  #hash(bytes: Uint8Array, start: number, length: number): number {
    let v0 = this.#seedA | 0;
    let v1 = this.#seedB | 0;
    let v2 = 0x6c796765 ^ v0;
    let v3 = 0x74656462 ^ v1;
    const whole = start + (length & ~3);
    for (let at = start; ; at += 4) {
      const isTail = at >= whole;
      const word = isTail ? tail(bytes, at, start + length, length) : wordAt(bytes, at);
      v3 ^= word;
      for (let round = isTail ? -3 : 0; round < 1; round++) {
        if (isTail && round === -2) {
          v0 ^= word;
          v2 ^= 0xff;
        }
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
      if (isTail) return v1 ^ v3;
      v0 ^= word;
    }
  }
}

const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);

/** The last bytes, fewer than four, and the length. */
function tail(bytes: Uint8Array, at: number, end: number, length: number): number {
  let word = length << 24;
  for (let i = end - 1; i >= at; i--) word |= (bytes[i] ?? 0) << (8 * (i - at));
  return word;
}

function copy(from: Uint8Array, start: number, length: number, into: Uint8Array, at: number): void {
  if (length > 24) into.set(from.subarray(start, start + length), at);
  else for (let i = 0; i < length; i++) into[at + i] = from[start + i] ?? 0;
}
