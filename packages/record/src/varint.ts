// pure
/**
 * Zigzag varints as records use them: 32-bit ones for lengths and offset deltas, "long" ones for timestamp deltas. The latter are handled as
 * numbers: a delta beyond 2⁵² ms (140,000 years) is refused, and no bigint is made per record.
 */
import { TributaryError } from '@tributary/model';

/** Bytes that an int32 takes. */
export function sizeOfVarint(value: number): number {
  const zigzag = (value << 1) ^ (value >> 31);
  if (zigzag >>> 7 === 0) return 1;
  if (zigzag >>> 14 === 0) return 2;
  if (zigzag >>> 21 === 0) return 3;
  return zigzag >>> 28 === 0 ? 4 : 5;
}

/** @param value an int32. @returns the position after it. */
export function writeVarint(bytes: Uint8Array, position: number, value: number): number {
  let rest = (value << 1) ^ (value >> 31);
  let at = position;
  while (rest >>> 7 !== 0) {
    bytes[at++] = rest | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Bytes that an integer within ±2⁵² takes. */
export function sizeOfVarlong(value: number): number {
  if (value === value << 0) return sizeOfVarint(value);
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let size = 1;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    size++;
  }
  return size;
}

/** @param value an integer within ±2⁵². @returns the position after it. */
export function writeVarlong(bytes: Uint8Array, position: number, value: number): number {
  if (value === value << 0) return writeVarint(bytes, position, value);
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let at = position;
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

/**
 * Reads varints one after another within [position, limit). A reader with state rather than functions that return two things: no
 * allocation per varint.
 */
export class VarintReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly limit: number;

  constructor(bytes: Uint8Array, position: number, limit: number) {
    this.bytes = bytes;
    this.position = position;
    this.limit = limit;
  }

  /** @throws TributaryError CORRUPT_MESSAGE if it is cut, or longer than 32 bits. */
  int(): number {
    const at = this.position;
    if (at < this.limit) {
      const first = this.bytes[at]!;
      if (first < 0x80) {
        this.position = at + 1;
        return (first >>> 1) ^ -(first & 1);
      }
      if (at + 1 < this.limit) {
        const second = this.bytes[at + 1]!;
        if (second < 0x80) {
          this.position = at + 2;
          const zigzag = (first & 0x7f) | (second << 7);
          return (zigzag >>> 1) ^ -(zigzag & 1);
        }
      }
    }
    return this.#longInt();
  }

  #longInt(): number {
    let zigzag = 0;
    let at = this.position;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (at >= this.limit) throw cut(this.position);
      const byte = this.bytes[at++]!;
      if (shift === 28 && byte > 0x0f) break;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = at;
        return (zigzag >>> 1) ^ -(zigzag & 1);
      }
    }
    throw new TributaryError('CORRUPT_MESSAGE', `varint at byte ${this.position} is longer than 32 bits`);
  }

  /** @throws TributaryError CORRUPT_MESSAGE if it is cut, longer than ten bytes, or beyond ±2⁵². */
  long(): number {
    const at = this.position;
    if (at < this.limit) {
      const first = this.bytes[at]!;
      if (first < 0x80) {
        this.position = at + 1;
        return (first >>> 1) ^ -(first & 1);
      }
    }
    return this.#longLong();
  }

  #longLong(): number {
    let zigzag = 0;
    let scale = 1;
    let at = this.position;
    for (let length = 1; length <= 10; length++) {
      if (at >= this.limit) throw cut(this.position);
      const byte = this.bytes[at++]!;
      zigzag += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) {
        if (zigzag > Number.MAX_SAFE_INTEGER)
          throw new TributaryError('CORRUPT_MESSAGE', `varint at byte ${this.position} is beyond 2^52`);
        this.position = at;
        return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
      }
    }
    throw new TributaryError('CORRUPT_MESSAGE', `varint at byte ${this.position} is longer than 64 bits`);
  }
}

const cut = (at: number): TributaryError => new TributaryError('CORRUPT_MESSAGE', `varint at byte ${at} is cut`);
