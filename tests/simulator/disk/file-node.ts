import type { SeededRandom } from '../seeded-random.ts';

/** Bytes that grow. */
class Content {
  #bytes = new Uint8Array(256);
  size = 0;

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  /** Writes at `position`; a hole before it reads as zeros. */
  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    this.#reserve(end);
    this.#bytes.set(bytes, position);
    this.size = Math.max(this.size, end);
  }

  /** Cuts, or extends with zeros. */
  resize(size: number): void {
    this.#reserve(size);
    if (size < this.size) this.#bytes.fill(0, size, this.size);
    this.size = size;
  }

  replace(bytes: Uint8Array): void {
    this.resize(0);
    this.write(0, bytes);
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(size, this.#bytes.length * 2));
    grown.set(this.view());
    this.#bytes = grown;
  }
}

type Change =
  | { readonly kind: 'append'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number };

/** What became of a file's unsynced part at a loss of power. */
export type Survival = 'nothing to lose' | 'kept' | 'lost' | 'torn' | 'torn with a hole';

/** The smallest piece that a disk writes whole. */
const SECTOR = 512;
/** Bytes. */
const NEAR_END = 2_000;

/**
 * A file twice: as every process of the machine sees it (`cache`), and as it is on the platter. What lies between is `pending`: the
 * changes since the last sync. After a failed sync the two differ with nothing pending: the kernel has dropped the changes and goes on
 * serving them, until it evicts the pages.
 */
export class FileNode {
  readonly kind = 'file';
  readonly #cache = new Content();
  readonly #platter = new Content();
  #pending: Change[] = [];

  get size(): number {
    return this.#cache.size;
  }

  /** As processes see it; valid until the next change. */
  get cached(): Uint8Array {
    return this.#cache.view();
  }

  /** What is sure to be there after a loss of power; valid until the next change. */
  get durable(): Uint8Array {
    return this.#platter.view();
  }

  /** How many changes a sync that begins now has to write. */
  get pendingChanges(): number {
    return this.#pending.length;
  }

  /** True when the cache shows something that no sync will ever write. */
  get isLying(): boolean {
    return this.#pending.length === 0 && !equal(this.#cache.view(), this.#platter.view());
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const position = this.#cache.size;
    this.#pending.push({ kind: 'append', position, bytes: bytes.slice() });
    this.#cache.write(position, bytes);
  }

  truncate(size: number): void {
    this.#pending.push({ kind: 'truncate', size });
    this.#cache.resize(size);
  }

  /** A sync ended well: the first `count` pending changes are on the platter. */
  synced(count: number): void {
    for (const change of this.#pending.splice(0, count)) write(this.#platter, change);
    // The size is written with the data, also over changes that an earlier sync dropped.
    if (this.#pending.length === 0) this.#platter.resize(this.#cache.size);
  }

  /** A sync failed: some of the first `count` changes are on the platter, and the kernel forgets that the others are not. */
  syncFailed(count: number, random: SeededRandom): void {
    for (const change of this.#pending.splice(0, count)) if (random.chance(0.4)) write(this.#platter, change);
  }

  /** The cache lets go of what it need not write, so that reads show the platter again. */
  evict(): void {
    const size = this.#cache.size;
    this.#cache.replace(this.#platter.view());
    for (const change of this.#pending) write(this.#cache, change);
    this.#cache.resize(size);
  }

  /** The cache is gone. Of the pending changes any prefix survives, the last one in part, perhaps with a block that was never written. */
  losePower(random: SeededRandom): Survival {
    const pending = this.#pending;
    this.#pending = [];
    const survival = this.#settle(pending, random);
    this.#cache.replace(this.#platter.view());
    return survival;
  }

  #settle(pending: readonly Change[], random: SeededRandom): Survival {
    if (pending.length === 0) return 'nothing to lose';
    const kept = random.chance(0.2) ? pending.length : random.chance(0.3) ? 0 : random.below(pending.length + 1);
    let dirtyFrom = Number.POSITIVE_INFINITY;
    for (const change of pending.slice(0, kept)) {
      write(this.#platter, change);
      if (change.kind === 'append') dirtyFrom = Math.min(dirtyFrom, change.position);
      else if (change.size < dirtyFrom) dirtyFrom = Number.POSITIVE_INFINITY;
    }
    const last = pending[kept];
    let torn = false;
    if (last?.kind === 'append' && last.bytes.length > 1 && random.chance(0.6)) {
      write(this.#platter, { ...last, bytes: last.bytes.subarray(0, random.between(1, last.bytes.length - 1)) });
      dirtyFrom = Math.min(dirtyFrom, last.position);
      torn = true;
    }
    if (dirtyFrom < this.#platter.size && random.chance(0.3)) {
      this.#punchHole(dirtyFrom, random);
      return 'torn with a hole';
    }
    if (torn) return 'torn';
    return kept === pending.length ? 'kept' : 'lost';
  }

  /** A block between `from` and the end that the disk never wrote: zeros, or what lay there before. */
  #punchHole(from: number, random: SeededRandom): void {
    const start = random.between(from, this.#platter.size - 1);
    const blockEnd = (Math.floor(start / SECTOR) + random.between(1, 8)) * SECTOR;
    const length = Math.min(blockEnd, this.#platter.size) - start;
    this.#platter.write(start, random.chance(0.5) ? new Uint8Array(length) : random.bytes(length));
  }

  /** The medium decays: one bit of what is stored turns over. @returns false when the file is empty. */
  flipBit(random: SeededRandom, mayHit: (bytes: Uint8Array, position: number) => boolean): boolean {
    if (this.#platter.size === 0) return false;
    // Mostly near the end, where what was written last lies and recovery looks.
    const span = random.chance(0.6) ? Math.min(NEAR_END, this.#platter.size) : this.#platter.size;
    const position = this.#platter.size - 1 - random.below(span);
    if (!mayHit(this.#platter.view(), position)) return false;
    const byte = (this.#platter.view()[position] ?? 0) ^ (1 << random.below(8));
    this.#platter.write(position, Uint8Array.of(byte));
    return true;
  }
}

function write(content: Content, change: Change): void {
  if (change.kind === 'append') content.write(change.position, change.bytes);
  else content.resize(change.size);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
