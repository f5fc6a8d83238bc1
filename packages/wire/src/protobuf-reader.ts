// pure
/** Reading protobuf from a buffer that somebody else filled: nothing beyond the end of the message is ever touched. */
import { TributaryError } from '@tributary/model';

/** Groups within groups; no message of ours has any. */
const groupDepthMax = 16;

export class ProtobufReader {
  readonly #from: Buffer;
  #at: number;
  #end: number;

  /** @param bytes not copied: what `bytes()` returns are views of it. */
  constructor(bytes: Uint8Array) {
    this.#from = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#end = this.#from.length;
  }

  /** Fields of the current message remain. */
  get more(): boolean {
    return this.#at < this.#end;
  }

  /** @throws TributaryError INVALID_REQUEST, as all that reads does. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) this.#refuse('field number 0');
    return tag;
  }

  /** Of a longer varint the low 32 bits, as protobuf says. */
  uint32(): number {
    const from = this.#from;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) this.#refuse('it ends within a number');
      const byte = from[this.#at++] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return this.#refuse('a number has more than ten bytes');
  }

  int32(): number {
    return this.uint32() | 0;
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.#varint64());
  }

  uint64(): bigint {
    return BigInt.asUintN(64, this.#varint64());
  }

  string(): string {
    const begin = this.#delimited();
    const text = this.#from.toString('utf8', begin, this.#at);
    // What is no UTF-8 was replaced while decoding: it would come out as another string than went in.
    if (text.includes('\ufffd') && !Buffer.from(text).equals(this.#from.subarray(begin, this.#at)))
      this.#refuse('a string is not UTF-8');
    return text;
  }

  bytes(): Uint8Array {
    const begin = this.#delimited();
    return this.#from.subarray(begin, this.#at);
  }

  /** Reads an embedded message: within `read`, `more` ends with it. */
  message<T>(read: (reader: ProtobufReader) => T): T {
    const begin = this.#delimited();
    const outer = this.#end;
    this.#end = this.#at;
    this.#at = begin;
    const value = read(this);
    this.#end = outer;
    return value;
  }

  /** Passes over a field that this version does not know. */
  skip(tag: number, depth = 0): void {
    switch (tag & 7) {
      case 0:
        this.#varint64();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.#delimited();
        return;
      case 3:
        this.#skipGroup(tag >>> 3, depth);
        return;
      case 5:
        this.#advance(4);
        return;
      default:
        this.#refuse(`wire type ${tag & 7} where a field should begin`);
    }
  }

  #skipGroup(field: number, depth: number): void {
    if (depth >= groupDepthMax) this.#refuse('groups are nested too deeply');
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== field) this.#refuse('a group ends that did not begin');
        return;
      }
      this.skip(tag, depth + 1);
    }
  }

  /** Up to 49 bits without a detour through bigint. */
  #varint64(): bigint {
    const from = this.#from;
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 7; i++) {
      if (this.#at >= this.#end) this.#refuse('it ends within a number');
      const byte = from[this.#at++] ?? 0;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return BigInt(value);
      unit *= 0x80;
    }
    let large = BigInt(value);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      if (this.#at >= this.#end) this.#refuse('it ends within a number');
      const byte = from[this.#at++] ?? 0;
      large |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return large;
    }
    return this.#refuse('a number has more than ten bytes');
  }

  /** Steps over a length and its content. @returns where the content begins; it ends at the new position. */
  #delimited(): number {
    const length = this.uint32();
    const begin = this.#at;
    this.#advance(length);
    return begin;
  }

  #advance(bytes: number): void {
    if (bytes > this.#end - this.#at)
      this.#refuse(`${bytes} bytes are announced and ${this.#end - this.#at} are there`);
    this.#at += bytes;
  }

  #refuse(why: string): never {
    throw new TributaryError('INVALID_REQUEST', `The message is not valid protobuf: at byte ${this.#at}, ${why}.`);
  }
}
