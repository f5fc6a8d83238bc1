// pure
/** Enough shards that a map of 10,000 keys copies some 40 of them for one change, and few enough that the spine is cheap to copy. */
const shardCount = 256;

/** A map of which a changed copy shares all but the touched shards. Iteration order depends on the keys only, never on chance. */
export class ImmutableMap<K extends string | number, V> {
  readonly size: number;
  readonly #shards: readonly (ReadonlyMap<K, V> | undefined)[];

  private constructor(shards: readonly (ReadonlyMap<K, V> | undefined)[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static empty<K extends string | number, V>(): ImmutableMap<K, V> {
    return new ImmutableMap<K, V>([], 0);
  }

  get(key: K): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: K): boolean {
    return this.#shards[shardOf(key)]?.has(key) ?? false;
  }

  *entries(): Generator<readonly [K, V]> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard;
  }

  *values(): Generator<V> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.values();
  }

  /** A copy with the given changes; a value of undefined removes its key. */
  with(changes: ReadonlyMap<K, V | undefined>): ImmutableMap<K, V> {
    if (changes.size === 0) return this;
    const shards = [...this.#shards];
    const copied = new Map<number, Map<K, V>>();
    let size = this.size;
    for (const [key, value] of changes) {
      const index = shardOf(key);
      let shard = copied.get(index);
      if (shard === undefined) {
        shard = new Map(shards[index]);
        copied.set(index, shard);
        while (shards.length <= index) shards.push(undefined);
        shards[index] = shard;
      }
      size -= shard.size;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
      size += shard.size;
    }
    return new ImmutableMap(shards, size);
  }
}

function shardOf(key: string | number): number {
  if (typeof key === 'number') return key & (shardCount - 1);
  // FNV-1a: ids are random, but names share their beginnings.
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (shardCount - 1);
}
