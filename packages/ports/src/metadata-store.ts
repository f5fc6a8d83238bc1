// pure
/** etcd's shape: one revision for all keys, transactions, watches, leases. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
}

export interface Comparison {
  readonly key: string;
  /** 0n: the key must be absent. */
  readonly createRevision?: bigint;
  readonly modRevision?: bigint;
}

export interface Transaction {
  readonly compare: readonly Comparison[];
  readonly put: readonly { readonly key: string; readonly value: string; readonly lease?: Lease }[];
  readonly delete: readonly string[];
}

export interface CommitResult {
  readonly succeeded: boolean;
  /** Of the store after the transaction. */
  readonly revision: bigint;
}

/** All changes of one revision; none: progress, the store has reached `revision`. */
export interface WatchRevision {
  readonly revision: bigint;
  readonly changes: readonly (({ readonly kind: 'put' } & Entry) | { readonly kind: 'delete'; readonly key: string })[];
}

export interface Lease {
  readonly id: string;
  /** Aborted once the lease may have run out; kept alive until then. */
  readonly lost: AbortSignal;
  /** Its keys go. */
  revoke(): Promise<void>;
}

export class CompactedError extends Error {
  override readonly name = 'CompactedError';
}

/**
 * - `unreachable`: nobody answered, and the call changed nothing. It may be repeated.
 * - `unknown-outcome`: the answer of a commit was lost. Read before anything is repeated.
 * - `no-space`: nothing was changed, and nothing that adds can be until an operator makes room.
 * - `lease-lost`: nothing was changed, as a lease in the transaction is no longer there.
 * - `refused`: nothing was changed, and the same call will never succeed: credentials, version, another cluster, a malformed request.
 */
export type StoreFailure = 'unreachable' | 'unknown-outcome' | 'no-space' | 'lease-lost' | 'refused';

/** A call failed. Its message says what, which store, and what to do. */
export class MetadataStoreError extends Error {
  override readonly name = 'MetadataStoreError';
  readonly failure: StoreFailure;

  constructor(failure: StoreFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.failure = failure;
  }
}

export interface MetadataStore {
  /** A linearizable read of all keys that begin with `prefix`. */
  read(prefix: string): Promise<{ readonly revision: bigint; readonly entries: readonly Entry[] }>;
  /** All or nothing, durable before it resolves. A rejection leaves the outcome unknown, unless a {@link MetadataStoreError} says otherwise. */
  commit(transaction: Transaction): Promise<CommitResult>;
  /** Whole revisions in order from `fromRevision` on. @throws CompactedError when that is gone: list again. */
  watch(prefix: string, fromRevision: bigint, signal: AbortSignal): AsyncIterable<WatchRevision>;
  /** Aborting ends its being kept alive, not the lease: it runs out `ttlMs` later. */
  lease(ttlMs: number, signal: AbortSignal): Promise<Lease>;
  compact(revision: bigint): Promise<void>;
  status(): Promise<{ readonly revision: bigint; readonly writable: boolean }>;
}
