import { TributaryError, limits } from '@tributary/model';
import type { Comparison, Entry, Transaction, WatchRevision } from '@tributary/ports';

/** A key's entry, and the lease that holds it. */
export interface Item extends Entry {
  readonly leaseId: string | undefined;
}

/** What one revision does: the unit of the journal, of history and of watches. */
export interface Effects {
  readonly revision: bigint;
  readonly puts: readonly Item[];
  readonly deletes: readonly string[];
}

/** All keys at one revision; {@link KeySpace.apply} is the only mutator, and replaying a journal uses it too. */
export class KeySpace {
  readonly #items = new Map<string, Item>();
  #revision: bigint;

  constructor(revision: bigint) {
    this.#revision = revision;
  }

  get revision(): bigint {
    return this.#revision;
  }

  get(key: string): Item | undefined {
    return this.#items.get(key);
  }

  items(): IterableIterator<Item> {
    return this.#items.values();
  }

  /** Keys that begin with `prefix`, sorted. */
  read(prefix: string): Entry[] {
    const entries: Entry[] = [];
    for (const { key, value, createRevision, modRevision } of this.#items.values()) {
      if (key.startsWith(prefix)) entries.push({ key, value, createRevision, modRevision });
    }
    return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Takes an item as it stands, when a snapshot is read. */
  restore(item: Item): void {
    this.#items.set(item.key, item);
  }

  apply(effects: Effects): void {
    this.#revision = effects.revision;
    for (const item of effects.puts) this.#items.set(item.key, item);
    for (const key of effects.deletes) this.#items.delete(key);
  }
}

/** Transactions that will share one write: each sees those before it, nobody else sees any before all are on the disk. */
export class Staging {
  readonly #base: KeySpace;
  readonly #overlay = new Map<string, Item | undefined>();
  readonly effects: Effects[] = [];
  #revision: bigint;

  constructor(base: KeySpace) {
    this.#base = base;
    this.#revision = base.revision;
  }

  /** After what was staged so far. */
  get revision(): bigint {
    return this.#revision;
  }

  /** @returns whether all comparisons held. A transaction that changes nothing makes no revision. */
  stage(transaction: Transaction): boolean {
    if (!transaction.compare.every((each) => this.#holds(each))) return false;
    const deletes = transaction.delete.filter((key) => this.#get(key) !== undefined);
    if (transaction.put.length === 0 && deletes.length === 0) return true;
    const revision = this.#revision + 1n;
    const puts = transaction.put.map(({ key, value, lease }) => ({
      key,
      value,
      createRevision: this.#get(key)?.createRevision ?? revision,
      modRevision: revision,
      leaseId: lease?.id,
    }));
    this.#push({ revision, puts, deletes });
    return true;
  }

  /** All keys of a lease go, in one revision. */
  stageEndOfLease(leaseId: string): void {
    const held = new Set<string>();
    for (const item of this.#base.items()) if (item.leaseId === leaseId) held.add(item.key);
    for (const [key, item] of this.#overlay) {
      if (item?.leaseId === leaseId) held.add(key);
      else held.delete(key);
    }
    if (held.size > 0) this.#push({ revision: this.#revision + 1n, puts: [], deletes: [...held].sort() });
  }

  #push(effects: Effects): void {
    this.#revision = effects.revision;
    this.effects.push(effects);
    for (const item of effects.puts) this.#overlay.set(item.key, item);
    for (const key of effects.deletes) this.#overlay.set(key, undefined);
  }

  #get(key: string): Item | undefined {
    return this.#overlay.has(key) ? this.#overlay.get(key) : this.#base.get(key);
  }

  #holds({ key, createRevision, modRevision }: Comparison): boolean {
    const item = this.#get(key);
    return (
      (createRevision === undefined || createRevision === (item?.createRevision ?? 0n)) &&
      (modRevision === undefined || modRevision === (item?.modRevision ?? 0n))
    );
  }
}

/** etcd's rules, so that nothing passes here that would fail there. @throws TributaryError INVALID_REQUEST. */
export function checkTransaction({ compare, put, delete: deletes }: Transaction): void {
  const most = limits.transactionOperations;
  const comparisons = comparedRevisions(compare);
  if (comparisons > most || put.length + deletes.length > most) {
    const operations = `${put.length + deletes.length} operations and ${comparisons} comparisons`;
    throw new TributaryError(
      'INVALID_REQUEST',
      `A metadata transaction of ${operations}; at most ${most} of each are allowed.`,
    );
  }
  const keys = new Set<string>();
  for (const key of [...put.map((each) => each.key), ...deletes]) {
    if (keys.has(key))
      throw new TributaryError('INVALID_REQUEST', `A metadata transaction names the key ${key} twice.`);
    keys.add(key);
  }
}

/** A comparison on both revisions of a key is two to etcd. */
function comparedRevisions(compare: readonly Comparison[]): number {
  let count = 0;
  for (const { createRevision, modRevision } of compare) {
    count += (createRevision === undefined ? 0 : 1) + (modRevision === undefined ? 0 : 1);
  }
  return count;
}

/** What a watch on `prefix` shows of a revision; undefined: nothing. */
export function watched(effects: Effects, prefix: string): WatchRevision | undefined {
  const changes: WatchRevision['changes'][number][] = [];
  for (const { key, value, createRevision, modRevision } of effects.puts) {
    if (key.startsWith(prefix)) changes.push({ kind: 'put', key, value, createRevision, modRevision });
  }
  for (const key of effects.deletes) if (key.startsWith(prefix)) changes.push({ kind: 'delete', key });
  return changes.length === 0 ? undefined : { revision: effects.revision, changes };
}
