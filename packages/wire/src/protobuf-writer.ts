// pure
/**
 * Writing protobuf into one buffer of exactly the right size: the `…Size` functions add up what the writer will take. A field of its default
 * value is left out, as proto3 asks. Tags are given as they stand on the wire (field number × 8 + wire type) and are below 128.
 */
import { TributaryError } from '@tributary/model';

const tagSize = 1;
/** Above this a string goes through the native encoder. */
const shortString = 64;

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  return 5;
}

export function uint32Size(value: number): number {
  return value === 0 ? 0 : tagSize + varintSize(value);
}

/** A negative one is sign-extended to 64 bits: ten bytes. */
export function int32Size(value: number): number {
  if (value === 0) return 0;
  return tagSize + (value < 0 ? 10 : varintSize(value));
}

/** Of a signed or an unsigned one. */
export function int64Size(value: bigint): number {
  if (value === 0n) return 0;
  if (value < 0n) return tagSize + 10;
  return tagSize + varint64Size(value);
}

/** Of an optional one that is there: written even if it is 0. */
export function presentInt64Size(value: bigint): number {
  return value === 0n ? tagSize + 1 : int64Size(value);
}

/** Seven bytes of seven bits are exact in a number, which is compared much faster than a bigint. */
function varint64Size(value: bigint): number {
  if (value <= 0x1ffffffffffffn) {
    const small = Number(value);
    if (small < 0x10000000) return varintSize(small);
    if (small < 2 ** 35) return 5;
    return small < 2 ** 42 ? 6 : 7;
  }
  let size = 7;
  for (let rest = value >> 49n; rest > 0n; rest >>= 7n) size++;
  return size;
}

export function stringSize(value: string): number {
  if (value === '') return 0;
  return lengthDelimitedSize(utf8Length(value));
}

/** Of an optional one that is there: written even if it is empty. */
export function presentStringSize(value: string): number {
  return value === '' ? lengthDelimitedSize(0) : stringSize(value);
}

export function bytesSize(value: Uint8Array): number {
  return value.length === 0 ? 0 : lengthDelimitedSize(value.length);
}

/** Of a field whose content has `length` bytes, with its tag and length. */
export function lengthDelimitedSize(length: number): number {
  return tagSize + varintSize(length) + length;
}

function utf8Length(value: string): number {
  return isShortAscii(value) ? value.length : Buffer.byteLength(value);
}

function isShortAscii(value: string): boolean {
  if (value.length > shortString) return false;
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** Where a large field stands between the bytes that are written. */
interface Inset {
  readonly at: number;
  readonly value: Uint8Array;
}

export class ProtobufWriter {
  readonly #into: Buffer;
  readonly #insetMin: number;
  readonly #insets: Inset[] = [];
  #at = 0;

  /** @param insetMin `bytes` fields of this length and above are not copied but stand between the pieces. */
  constructor(into: Buffer, insetMin = Number.POSITIVE_INFINITY) {
    this.#into = into;
    this.#insetMin = insetMin;
  }

  /** What was written, and between it the fields that were not copied, in order. */
  get pieces(): readonly Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (const { at, value } of this.#insets) {
      pieces.push(this.#into.subarray(from, at), value);
      from = at;
    }
    if (from < this.#at) pieces.push(this.#into.subarray(from, this.#at));
    return pieces;
  }

  get position(): number {
    return this.#at;
  }

  uint32(tag: number, value: number): void {
    if (value === 0) return;
    if (value >>> 0 !== value) refuse(value, 'uint32');
    this.#into[this.#at++] = tag;
    this.#varint(value);
  }

  int32(tag: number, value: number): void {
    if (value === 0) return;
    if ((value | 0) !== value) refuse(value, 'int32');
    this.#into[this.#at++] = tag;
    if (value > 0) this.#varint(value);
    else this.#varint64(BigInt.asUintN(64, BigInt(value)));
  }

  int64(tag: number, value: bigint): void {
    if (value === 0n) return;
    if (BigInt.asIntN(64, value) !== value) refuse(value, 'int64');
    this.#into[this.#at++] = tag;
    this.#varint64(value < 0n ? BigInt.asUintN(64, value) : value);
  }

  /** An optional field that is there is written even if it is 0: 0 is not a missing one. */
  presentInt64(tag: number, value: bigint): void {
    if (value === 0n) this.lengthPrefix(tag, 0);
    else this.int64(tag, value);
  }

  uint64(tag: number, value: bigint): void {
    if (value === 0n) return;
    if (BigInt.asUintN(64, value) !== value) refuse(value, 'uint64');
    this.#into[this.#at++] = tag;
    this.#varint64(value);
  }

  string(tag: number, value: string): void {
    if (value === '') return;
    if (!isShortAscii(value)) {
      this.lengthPrefix(tag, Buffer.byteLength(value));
      this.#at += this.#into.write(value, this.#at, 'utf8');
      return;
    }
    this.lengthPrefix(tag, value.length);
    for (let i = 0; i < value.length; i++) this.#into[this.#at++] = value.charCodeAt(i);
  }

  /** An optional field that is there is written even if it is empty. */
  presentString(tag: number, value: string): void {
    if (value === '') this.lengthPrefix(tag, 0);
    else this.string(tag, value);
  }

  bytes(tag: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.lengthPrefix(tag, value.length);
    if (value.length >= this.#insetMin) this.#insets.push({ at: this.#at, value });
    else this.raw(value);
  }

  /** What follows has `length` bytes. */
  lengthPrefix(tag: number, length: number): void {
    this.#into[this.#at++] = tag;
    this.#varint(length);
  }

  raw(value: Uint8Array): void {
    this.#into.set(value, this.#at);
    this.#at += value.length;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#into[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#into[this.#at++] = rest;
  }

  /** Seven bytes of seven bits are exact in a number; only what is larger is taken apart as a bigint. */
  #varint64(value: bigint): void {
    let rest = value;
    while (rest > 0x1ffffffffffffn) {
      this.#into[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    let small = Number(rest);
    while (small > 0x7fffffff) {
      this.#into[this.#at++] = (small % 0x80) | 0x80;
      small = Math.floor(small / 0x80);
    }
    this.#varint(small);
  }
}

function refuse(value: number | bigint, type: string): never {
  throw new TributaryError('INVALID_REQUEST', `${value} does not fit the wire's ${type}.`);
}
