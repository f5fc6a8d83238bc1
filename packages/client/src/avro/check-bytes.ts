/**
 * Walks bytes by the schema that they were written with, before they are decoded: the decoder trusts lengths and counts, and bytes from elsewhere
 * may claim anything. Says where they part from the schema.
 */
import { limits } from '@tributary/model';
import { type Branch, type Mismatch, mismatch, type Node } from './nodes.ts';

/** @throws Mismatch naming the field, the byte and what is wrong there. */
export function checkBytes(node: Node, bytes: Uint8Array): void {
  const walk = new Walk(bytes);
  walk.value(node);
  if (walk.at < bytes.length) throw walk.wrong(`the value ends here, ${bytes.length - walk.at} bytes follow`);
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #path: (string | number)[] = [];
  at = 0;
  /** Items that took no byte: nothing else bounds their number. */
  #empty = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  wrong(what: string): Mismatch {
    return mismatch(this.#path, `byte ${this.at}: ${what}`);
  }

  value(node: Node): void {
    if (this.#path.length > limits.avroDepth) throw this.wrong(`values are nested deeper than ${limits.avroDepth}`);
    switch (node.kind) {
      case 'null':
        return;
      case 'boolean':
        return this.#boolean();
      case 'int':
        return void this.#index(-0x8000_0000, 0x7fff_ffff, 'an int');
      case 'long':
        return void this.#long();
      case 'float':
        return this.#skip(4, 'a float');
      case 'double':
        return this.#skip(8, 'a double');
      case 'bytes':
      case 'string':
        return this.#skip(this.#length(node.kind), node.kind === 'bytes' ? 'bytes' : 'a string');
      case 'fixed':
        return this.#skip(node.size, node.name);
      case 'enum':
        return void this.#index(0, node.symbols.length - 1, `an index into the symbols of ${node.name}`);
      case 'record':
        for (const field of node.fields) this.#inside(field.name, field.node);
        return;
      case 'union':
        return this.#union(node.branches);
      case 'array':
        return this.#blocks((index) => this.#inside(index, node.items));
      case 'map':
        return this.#blocks(() => this.#entry(node.values));
    }
  }

  #inside(step: string | number, node: Node): void {
    this.#path.push(step);
    this.value(node);
    this.#path.pop();
  }

  #union(branches: readonly Branch[]): void {
    const branch = branches[this.#index(0, branches.length - 1, `an index into the ${branches.length} branches`)];
    if (branch !== undefined) this.value(branch.node);
  }

  #entry(values: Node): void {
    const length = this.#length('key');
    const from = this.at;
    this.#skip(length, 'a key');
    const key = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, length).toString();
    // As a property it would be something else than an entry.
    if (key === '__proto__') throw this.wrong('a map with the key "__proto__" is not supported');
    this.#inside(key, values);
  }

  #blocks(item: (index: number) => void): void {
    let index = 0;
    for (;;) {
      let count = this.#long();
      if (count === 0n) return;
      if (count < 0n) {
        count = -count;
        const size = this.#long();
        if (size < 0n || size > BigInt(this.#bytes.length - this.at)) throw this.wrong(`a block of ${size} bytes`);
      }
      for (let left = count; left > 0n; left--) {
        const before = this.at;
        item(index++);
        if (this.at === before && ++this.#empty > limits.avroEmptyItems)
          throw this.wrong(`${count} items that take no byte; at most ${limits.avroEmptyItems} are read`);
      }
    }
  }

  #boolean(): void {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw this.wrong('a boolean is expected, the bytes end');
    if (byte > 1) throw this.wrong(`a boolean is 0 or 1, ${byte} is there`);
    this.at++;
  }

  #skip(length: number, what: string): void {
    const there = this.#bytes.length - this.at;
    if (length > there) throw this.wrong(`${what} of ${length} bytes is expected, ${there} are left`);
    this.at += length;
  }

  #length(what: string): number {
    const from = this.at;
    const short = this.#oneByte();
    if (short !== undefined && short >= 0) return short;
    this.at = from;
    const length = this.#long();
    if (length >= 0n && length <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(length);
    this.at = from;
    throw this.wrong(`a ${what} of length ${length}`);
  }

  #index(least: number, most: number, what: string): number {
    const from = this.at;
    const short = this.#oneByte();
    if (short !== undefined && short >= least && short <= most) return short;
    this.at = from;
    const value = this.#long();
    if (value >= BigInt(least) && value <= BigInt(most)) return Number(value);
    this.at = from;
    throw this.wrong(`${what} lies between ${least} and ${most}, ${value} is there`);
  }

  /** Most numbers are small, and need no bigint. */
  #oneByte(): number | undefined {
    const first = this.#bytes[this.at];
    if (first === undefined || first >= 0x80) return undefined;
    this.at++;
    return (first >>> 1) ^ -(first & 1);
  }

  /** Zigzag, little groups of seven bits first. */
  #long(): bigint {
    const from = this.at;
    const short = this.#oneByte();
    if (short !== undefined) return BigInt(short);
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (value >= 1n << 64n) break;
      return (value >> 1n) ^ -(value & 1n);
    }
    const cut = this.at > this.#bytes.length;
    this.at = from;
    throw this.wrong(cut ? 'a number is expected, the bytes end' : 'a number takes more than 64 bits');
  }
}
