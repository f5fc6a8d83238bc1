import { TributaryError, limits, randomId } from '@tributary/model';
import {
  type Clock,
  type CommitResult,
  type Entry,
  type FileSystem,
  type Host,
  type Lease,
  type MetadataStore,
  type Random,
  type Transaction,
  type WatchRevision,
  CompactedError,
} from '@tributary/ports';
import { History } from './embedded/history.ts';
import { Journal, JournalFullError } from './embedded/journal.ts';
import { type Effects, type KeySpace, Staging, checkTransaction, watched } from './embedded/key-space.ts';
import { Bell, LinkedAbort } from './waiting.ts';

const lockName = 'metadata.lock';

/** A commit that waits for the writer. */
interface Waiting {
  /** @returns whether its comparisons held. Throws when it can never succeed. */
  stage(staging: Staging): boolean;
  readonly settle: PromiseWithResolvers<CommitResult>;
}

/**
 * The metadata of a cluster of one process, on a local file. Every commit is on the disk before it is answered, those that wait together
 * share one sync. Opening is exclusive and voids all leases, as their holders were in the process that had it open before.
 */
export class EmbeddedMetadataStore implements MetadataStore, AsyncDisposable {
  readonly #keys: KeySpace;
  readonly #history: History;
  readonly #journal: Journal;
  readonly #lock: AsyncDisposable;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #host: Pick<Host, 'crash'> | undefined;
  readonly #leases = new Map<string, AbortController>();
  readonly #moved = new Bell();
  /** Aborted when the store is closed or its file has failed. */
  readonly #over = new AbortController();
  readonly #waiting: Waiting[] = [];
  #isWriting = false;
  #written: Promise<void> = Promise.resolve();

  private constructor(parts: {
    keys: KeySpace;
    journal: Journal;
    lock: AsyncDisposable;
    clock: Clock;
    random: Random;
    host: Pick<Host, 'crash'> | undefined;
  }) {
    this.#keys = parts.keys;
    this.#history = new History(parts.keys.revision);
    this.#journal = parts.journal;
    this.#lock = parts.lock;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#host = parts.host;
  }

  /**
   * @param directory made where absent.
   * @param host ended when the file fails: what it holds is then unknown (L2). Without it every later commit is refused.
   * @throws FileError `locked` when another process has it open.
   * @throws TributaryError CORRUPT_MESSAGE or UNSUPPORTED_VERSION, naming the file; nothing is changed then.
   */
  static async open(
    files: FileSystem,
    directory: string,
    clock: Clock,
    random: Random,
    host?: Pick<Host, 'crash'>,
  ): Promise<EmbeddedMetadataStore> {
    await files.makeDirectory(directory);
    const lock = await files.lock(`${directory}/${lockName}`);
    try {
      const { keys, isNew } = await Journal.load(files, directory);
      voidLeases(keys);
      const journal = await Journal.begin(files, directory, keys, isNew);
      return new EmbeddedMetadataStore({ keys, journal, lock, clock, random, host });
    } catch (thrown) {
      await lock[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async read(prefix: string): Promise<{ readonly revision: bigint; readonly entries: readonly Entry[] }> {
    this.#over.signal.throwIfAborted();
    return { revision: this.#keys.revision, entries: this.#keys.read(prefix) };
  }

  async commit(transaction: Transaction): Promise<CommitResult> {
    checkTransaction(transaction);
    return this.#enqueue((staging) => {
      for (const { lease } of transaction.put) {
        if (lease !== undefined && !this.#leases.has(lease.id))
          throw new Error(`The metadata lease ${lease.id} has run out.`);
      }
      return staging.stage(transaction);
    });
  }

  async #enqueue(stage: (staging: Staging) => boolean): Promise<CommitResult> {
    this.#over.signal.throwIfAborted();
    if (this.#waiting.length >= limits.metadataWaiting) {
      throw new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `${limits.metadataWaiting} metadata changes already wait for the disk; try again.`,
      );
    }
    const settle = Promise.withResolvers<CommitResult>();
    this.#waiting.push({ stage, settle });
    if (!this.#isWriting) {
      this.#isWriting = true;
      this.#written = this.#write();
    }
    return settle.promise;
  }

  async #write(): Promise<void> {
    // What the callers of this very moment commit goes into one group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, limits.metadataGroup);
      if (this.#over.signal.aborted) {
        for (const { settle } of group) settle.reject(this.#over.signal.reason);
      } else {
        await this.#writeGroup(group);
      }
    }
    this.#isWriting = false;
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const staging = new Staging(this.#keys);
    const answers: (() => void)[] = [];
    for (const { stage, settle } of group) {
      try {
        const succeeded = stage(staging);
        const revision = staging.revision;
        answers.push(() => settle.resolve({ succeeded, revision }));
      } catch (thrown) {
        settle.reject(thrown);
      }
    }
    try {
      if (staging.effects.length > 0) await this.#journal.append(staging.effects);
    } catch (thrown) {
      this.#refuse(group, thrown);
      return;
    }
    for (const effects of staging.effects) this.#publish(effects);
    for (const answer of answers) answer();
    if (!this.#journal.isLarge) return;
    try {
      await this.#journal.rewrite(this.#keys);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #publish(effects: Effects): void {
    this.#keys.apply(effects);
    this.#history.push(effects);
    this.#moved.ring();
  }

  #refuse(group: readonly Waiting[], thrown: unknown): void {
    const error = storageError(thrown);
    if (!(thrown instanceof JournalFullError)) this.#fail(thrown);
    for (const { settle } of group) settle.reject(error);
  }

  /** What the file holds is unknown from now on. */
  #fail(thrown: unknown): void {
    const error = storageError(thrown);
    this.#end(error);
    this.#host?.crash(error.message);
  }

  #end(reason: Error): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort(reason);
    for (const lost of this.#leases.values()) lost.abort(reason);
    this.#leases.clear();
  }

  async *watch(prefix: string, fromRevision: bigint, signal: AbortSignal): AsyncGenerator<WatchRevision, never> {
    let next = fromRevision;
    let spokeMs = this.#clock.monotonicMs();
    for (;;) {
      signal.throwIfAborted();
      this.#over.signal.throwIfAborted();
      if (next <= this.#history.compacted) {
        throw new CompactedError(
          `Revision ${next} is compacted; the oldest one kept is ${this.#history.compacted + 1n}.`,
        );
      }
      const effects = this.#history.at(next);
      const silentMs = this.#clock.monotonicMs() - spokeMs;
      let shown: WatchRevision | undefined;
      if (effects !== undefined) {
        next++;
        shown = watched(effects, prefix);
      } else if (silentMs < limits.watchProgressMs) {
        await this.#moves(limits.watchProgressMs - silentMs, signal);
      }
      if (shown === undefined && silentMs >= limits.watchProgressMs) shown = this.#progress(next);
      if (shown === undefined) continue;
      yield shown;
      spokeMs = this.#clock.monotonicMs();
    }
  }

  /** What a watch that waits for `next` has seen: nothing while `next` is beyond the next revision. */
  #progress(next: bigint): WatchRevision {
    const seen = next - 1n;
    return { revision: seen < this.#keys.revision ? seen : this.#keys.revision, changes: [] };
  }

  /** Resolves at the next revision, or after `ms`. */
  async #moves(ms: number, signal: AbortSignal): Promise<void> {
    using waiting = new LinkedAbort(signal);
    const over = (): void => waiting.abort(this.#over.signal.reason);
    this.#over.signal.addEventListener('abort', over);
    try {
      const silence = this.#clock.sleep(ms, waiting.signal);
      const moved = this.#moved.heard(waiting.signal);
      silence.catch(() => undefined);
      moved.catch(() => undefined);
      await Promise.race([moved, silence]);
    } finally {
      this.#over.signal.removeEventListener('abort', over);
      waiting.abort(new Error('no longer waited for'));
    }
  }

  async lease(ttlMs: number, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    this.#over.signal.throwIfAborted();
    const id = randomId(() => this.#random.nextU32());
    const lost = new AbortController();
    this.#leases.set(id, lost);
    // The holder lives in this process, so it is alive until it says otherwise.
    signal.addEventListener('abort', () => void this.#runOut(id, ttlMs), { once: true });
    return { id, lost: lost.signal, revoke: () => this.#endLease(id, 'revoked') };
  }

  async #runOut(id: string, ttlMs: number): Promise<void> {
    try {
      await this.#clock.sleep(ttlMs, this.#over.signal);
      await this.#endLease(id, 'run out');
    } catch {
      // The store is over, and with it all leases.
    }
  }

  async #endLease(id: string, how: string): Promise<void> {
    const lost = this.#leases.get(id);
    if (lost === undefined) return;
    this.#leases.delete(id);
    lost.abort(new Error(`The metadata lease has ${how}.`));
    await this.#enqueue((staging) => {
      staging.stageEndOfLease(id);
      return true;
    });
  }

  async compact(revision: bigint): Promise<void> {
    this.#over.signal.throwIfAborted();
    if (revision > this.#keys.revision)
      throw new Error(`Cannot compact up to revision ${revision}: the store is at ${this.#keys.revision}.`);
    this.#history.compact(revision);
  }

  async status(): Promise<{ readonly revision: bigint; readonly writable: boolean }> {
    return { revision: this.#keys.revision, writable: !this.#over.signal.aborted };
  }

  /** What was committed before is written; everything else is refused from now on, and watches end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failed = this.#over.signal.aborted;
    while (this.#isWriting) await this.#written;
    this.#end(new Error('The metadata store is closed.'));
    try {
      if (!failed) await this.#journal.close();
    } finally {
      await this.#lock[Symbol.asyncDispose]();
    }
  }
}

function voidLeases(keys: KeySpace): void {
  const held = [...keys.items()].filter((item) => item.leaseId !== undefined).map((item) => item.key);
  if (held.length > 0) keys.apply({ revision: keys.revision + 1n, puts: [], deletes: held.sort() });
}

function storageError(thrown: unknown): TributaryError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new TributaryError('KAFKA_STORAGE_ERROR', `The metadata store cannot write: ${why}`, { cause: thrown });
}
