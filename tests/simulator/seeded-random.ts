import type { Random } from '@tributary/ports';

/**
 * All chance of a run, grown from one seed. Each place that draws has a stream of its own, named by what it is for: adding a draw in one
 * place then leaves every other stream as it was, and a fixed seed keeps most of its story when code changes.
 * The generator is xoshiro128** (public domain, Blackman and Vigna), seeded through a 32-bit mixer.
 */
export class SeededRandom implements Random {
  readonly #origin: string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed any text; the same text gives the same draws. */
  constructor(seed: string) {
    this.#origin = seed;
    const mix = mixer(seed);
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    this.#d = mix() | 1;
  }

  /** An independent stream; it does not depend on what has been drawn here. */
  stream(name: string): SeededRandom {
    return new SeededRandom(`${this.#origin}/${name}`);
  }

  nextU32(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.nextU32() / 0x1_0000_0000;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** A whole number in [least, most]. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  /** Mostly near `typical`, sometimes far above it: how latencies of disks and networks look. */
  latency(typical: number): number {
    const spread = typical * (0.5 + this.fraction());
    return Math.max(1, Math.round(this.chance(0.02) ? spread * this.between(5, 50) : spread));
  }

  /** Bytes that no one wrote. */
  bytes(length: number): Uint8Array {
    const filled = new Uint8Array(length);
    for (let i = 0; i < length; i++) filled[i] = this.nextU32() & 0xff;
    return filled;
  }
}

/** Spreads a text over 32-bit words, so that neighbouring seeds share nothing. */
function mixer(text: string): () => number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}
