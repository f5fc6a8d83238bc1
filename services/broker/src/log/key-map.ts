// pure
/**
 * The newest offset of each key, exactly: keys are compared byte by byte, never by their hashes alone. Open addressing over one table of a fixed size, entries one
 * behind the other in chunks, so that nothing is ever moved or hashed again while the event loop waits. What a search touches lies together: it is the waiting for
 * memory that costs.
 */

/** An entry in words of four bytes: length of the key, its offset in two, then the key. Entries begin at words. */
const headWords = 3;
const chunkWords = 65_536;
/** Memory of an entry beside its key: what comes before it 12, up to 3 to the next word. */
const entryBytes = 15;
const slotBytes = 8;
/** Of the slots that are taken at most: searches get long beyond. */
const loadMax = 0.75;
/** Of the budget that the table gets. */
const tableShare = 0.25;
const two32 = 4_294_967_296;
/** Offsets of which one piece says which were replaced: 8 KiB. */
const pieceOffsets = 65_536;

interface Chunk {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
}

export class KeyMap {
  readonly #budget: number;
  readonly #seedA: number;
  readonly #seedB: number;
  readonly #entriesMax: number;
  /** By twos: where the entry is, from 1 on (0: free), and the hash of its key. */
  readonly #slots: Uint32Array;
  readonly #mask: number;
  readonly #chunks: Chunk[] = [];
  /** Words of the last chunk that are taken. */
  #used = chunkWords;
  #bytes = 0;
  #count = 0;
  readonly #from: number;
  /** One bit for each offset from #from on: a newer one was put for its key. A piece that is absent has none. */
  readonly #replaced: (Uint8Array | undefined)[] = [];

  /**
   * @param from the first offset that will be put. @param budget bytes of memory. @param most keys that there can be: less is set aside for fewer.
   * @param seed two random words: nobody who does not know them can find keys that collide.
   */
  constructor(from: number, budget: number, most: number, seed: readonly [number, number]) {
    this.#from = from;
    const wanted = Math.max(32, Math.min((budget * tableShare) / slotBytes, (2 * most) / loadMax));
    const slots = 2 ** Math.floor(Math.log2(wanted));
    this.#entriesMax = Math.floor(slots * loadMax);
    this.#budget = budget - slots * slotBytes;
    [this.#seedA, this.#seedB] = seed;
    this.#slots = new Uint32Array(2 * slots);
    this.#mask = slots - 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Whether no newer record of its key was put. Those that were put themselves need no search. */
  isNewest(bytes: Uint8Array, start: number, length: number, offset: number): boolean {
    if (offset < this.#from) return this.get(bytes, start, length) === undefined;
    const at = offset - this.#from;
    const piece = this.#replaced[Math.floor(at / pieceOffsets)];
    return piece === undefined || ((piece[(at % pieceOffsets) >>> 3] ?? 0) & (1 << (at & 7))) === 0;
  }

  #replace(offset: number): void {
    // The batch in which the log begins may have some that nobody sees any more.
    if (offset < this.#from) return;
    const at = offset - this.#from;
    const index = Math.floor(at / pieceOffsets);
    let piece = this.#replaced[index];
    if (piece === undefined) {
      piece = new Uint8Array(pieceOffsets / 8);
      this.#replaced[index] = piece;
      this.#bytes += piece.length;
    }
    const byte = (at % pieceOffsets) >>> 3;
    piece[byte] = (piece[byte] ?? 0) | (1 << (at & 7));
  }

  /** Offset of the newest record with the key that was put; undefined: none was. Offsets as numbers are exact below 2⁵³. */
  get(bytes: Uint8Array, start: number, length: number): number | undefined {
    const place = this.#slots[2 * this.#find(bytes, start, length, this.#hash(bytes, start, length))] ?? 0;
    const chunk = this.#chunkAt(place);
    if (place === 0 || chunk === undefined) return undefined;
    const word = (place - 1) & (chunkWords - 1);
    return (chunk.words[word + 1] ?? 0) * two32 + (chunk.words[word + 2] ?? 0);
  }

  /** @param offset above all that were put for this key. @returns false: there is no room for another key; nothing has changed. */
  put(bytes: Uint8Array, start: number, length: number, offset: number): boolean {
    const hash = this.#hash(bytes, start, length);
    const slot = this.#find(bytes, start, length, hash);
    let place = this.#slots[2 * slot] ?? 0;
    const isNew = place === 0;
    if (isNew) {
      place = this.#add(bytes, start, length);
      if (place === 0) return false;
      this.#slots[2 * slot] = place;
      this.#slots[2 * slot + 1] = hash;
    }
    const words = this.#chunkAt(place)?.words;
    const word = (place - 1) & (chunkWords - 1);
    if (words === undefined) return false;
    if (!isNew) this.#replace((words[word + 1] ?? 0) * two32 + (words[word + 2] ?? 0));
    words[word + 1] = Math.floor(offset / two32);
    words[word + 2] = offset;
    return true;
  }

  #chunkAt(place: number): Chunk | undefined {
    return this.#chunks[(place - 1) >>> 16];
  }

  /** @returns its place; 0: there is no room. */
  #add(bytes: Uint8Array, start: number, length: number): number {
    const count = this.#count + 1;
    const isFull = count > this.#entriesMax || count * entryBytes + this.#bytes + length > this.#budget;
    if (isFull && count > 1) return 0;
    const words = headWords + ((length + 3) >>> 2);
    if (this.#used + words > chunkWords) {
      const buffer = new ArrayBuffer(4 * Math.max(chunkWords, words));
      this.#chunks.push({ words: new Uint32Array(buffer), bytes: new Uint8Array(buffer) });
      this.#used = 0;
    }
    const chunk = this.#chunks.at(-1);
    if (chunk === undefined) return 0;
    const word = this.#used;
    chunk.words[word] = length;
    copy(bytes, start, length, chunk.bytes, 4 * (word + headWords));
    this.#used += words;
    this.#bytes += length;
    this.#count = count;
    return (this.#chunks.length - 1) * chunkWords + word + 1;
  }

  /** The slot of the key, or the free one where it would go. */
  #find(bytes: Uint8Array, start: number, length: number, hash: number): number {
    const slots = this.#slots;
    const wanted = hash >>> 0;
    let slot = hash & this.#mask;
    for (;;) {
      const place = slots[2 * slot] ?? 0;
      if (place === 0) return slot;
      if (slots[2 * slot + 1] === wanted && this.#isKey(place, bytes, start, length)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #isKey(place: number, bytes: Uint8Array, start: number, length: number): boolean {
    const chunk = this.#chunkAt(place);
    const word = (place - 1) & (chunkWords - 1);
    if (chunk === undefined || chunk.words[word] !== length) return false;
    const known = chunk.bytes;
    const at = 4 * (word + headWords);
    for (let i = 0; i < length; i++) if (known[at + i] !== bytes[start + i]) return false;
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
