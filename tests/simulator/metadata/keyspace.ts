import { limits } from '@tributary/model';
import type { Entry, Transaction, WatchRevision } from '@tributary/ports';

interface Stored extends Entry {
  readonly lease: string | undefined;
}

/** All keys with one revision, as etcd keeps them. Synchronous: when and whether anybody hears of it is not decided here. */
export class Keyspace {
  readonly #keys = new Map<string, Stored>();
  readonly #history: WatchRevision[] = [];
  #revision = 1n;
  #compacted = 0n;
  onRevision: ((revision: WatchRevision) => void) | undefined;

  get revision(): bigint {
    return this.#revision;
  }

  /** History up to here is gone. */
  get compacted(): bigint {
    return this.#compacted;
  }

  entries(prefix: string): Entry[] {
    const found = [...this.#keys.values()].filter(({ key }) => key.startsWith(prefix));
    return found.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ lease: _, ...entry }) => entry);
  }

  /** What happened at the first revision ≥ `from` that touched `prefix`. undefined: nothing yet. */
  next(prefix: string, from: bigint): WatchRevision | undefined {
    const first = this.#history[0];
    if (first === undefined) return undefined;
    const start = from <= first.revision ? 0 : Number(from - first.revision);
    for (let i = start; i < this.#history.length; i++) {
      const found = this.#history[i];
      if (found === undefined) continue;
      const changes = found.changes.filter(({ key }) => key.startsWith(prefix));
      if (changes.length > 0) return { revision: found.revision, changes };
    }
    return undefined;
  }

  /** @throws Error for what etcd refuses: too many operations, a key twice, a lease that is gone. */
  commit(
    transaction: Transaction,
    leaseIsAlive: (id: string) => boolean,
  ): { readonly succeeded: boolean; readonly revision: bigint } {
    refuseMalformed(transaction, leaseIsAlive);
    for (const { key, createRevision, modRevision } of transaction.compare) {
      const found = this.#keys.get(key);
      const differs =
        (createRevision !== undefined && createRevision !== (found?.createRevision ?? 0n)) ||
        (modRevision !== undefined && modRevision !== (found?.modRevision ?? 0n));
      if (differs) return { succeeded: false, revision: this.#revision };
    }
    const revision = this.#revision + 1n;
    const changes: WatchRevision['changes'][number][] = [];
    for (const key of transaction.delete) if (this.#keys.delete(key)) changes.push({ kind: 'delete', key });
    for (const { key, value, lease } of transaction.put) {
      const createRevision = this.#keys.get(key)?.createRevision ?? revision;
      const entry: Entry = { key, value, createRevision, modRevision: revision };
      this.#keys.set(key, { ...entry, lease: lease?.id });
      changes.push({ kind: 'put', ...entry });
    }
    this.#record(revision, changes);
    return { succeeded: true, revision: this.#revision };
  }

  /** A lease has ended: its keys go, all at one revision. @returns the keys. */
  deleteOf(lease: string): readonly string[] {
    const gone = [...this.#keys.values()].filter((entry) => entry.lease === lease).map(({ key }) => key);
    for (const key of gone) this.#keys.delete(key);
    this.#record(
      this.#revision + 1n,
      gone.map((key) => ({ kind: 'delete', key })),
    );
    return gone;
  }

  compact(revision: bigint): void {
    if (revision > this.#revision)
      throw new Error(`revision ${revision} is in the future: the store is at ${this.#revision}`);
    if (revision <= this.#compacted) return;
    this.#compacted = revision;
    while ((this.#history[0]?.revision ?? revision + 1n) <= revision) this.#history.shift();
  }

  #record(revision: bigint, changes: WatchRevision['changes']): void {
    if (changes.length === 0) return;
    this.#revision = revision;
    this.#history.push({ revision, changes });
    this.onRevision?.({ revision, changes });
  }
}

function refuseMalformed(transaction: Transaction, leaseIsAlive: (id: string) => boolean): void {
  const operations = transaction.put.length + transaction.delete.length;
  const comparisons = transaction.compare.flatMap(({ createRevision, modRevision }) => [createRevision, modRevision]);
  const compared = comparisons.filter((revision) => revision !== undefined).length;
  if (operations > limits.transactionOperations || compared > limits.transactionOperations) {
    throw new Error(`a transaction of ${operations} operations and ${compared} comparisons is too large (M3)`);
  }
  const named = [...transaction.put.map(({ key }) => key), ...transaction.delete];
  if (new Set(named).size !== named.length) throw new Error('a transaction names a key twice');
  for (const { lease } of transaction.put) {
    if (lease !== undefined && !leaseIsAlive(lease.id)) throw new Error(`lease ${lease.id} is not known`);
  }
}
