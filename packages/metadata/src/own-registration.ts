/** A part's own word in the store, under a lease of its own (M3): how it is written, and kept. What differs between brokers and coordinators is theirs. */
import { TributaryError, brokerEpoch, limits, type BrokerEpoch, type IncarnationId } from '@tributary/model';
import { type Clock, type Lease, type MetadataStore, MetadataStoreError } from '@tributary/ports';
import type { MetadataKeys } from './keys.ts';
import type { Value } from './state.ts';
import { decodeEntry, encodeTransaction, placeOf } from './values.ts';
import { LinkedAbort } from './waiting.ts';

export interface HeldRegistration {
  /** Changes with every registration; all that the part asks for names it. */
  readonly epoch: BrokerEpoch;
  /** Aborted once the lease may have run out: the part is then out of the cluster and registers anew. */
  readonly lost: AbortSignal;
  /** Leaves at once instead of by the lease's end. */
  revoke(): Promise<void>;
}

export interface RegistrationOptions {
  /** How long the cluster waits for this part after it fell silent, ms. */
  readonly sessionTimeoutMs?: number;
  /** Aborting stops registering, and later the keeping alive: the lease then runs out. */
  readonly signal: AbortSignal;
  /** Of a registration by the same holder: this part made it. Default: it did. */
  readonly isOwn?: (incarnation: IncarnationId) => boolean;
  /** Told of each attempt at a store that did not answer, or not as hoped. */
  readonly onFailure?: (why: string) => void;
}

type Registration = Extract<Value, { readonly kind: 'registration' | 'coordinator-registration' }>;

/** What is registered, and what it makes of another registration under its node id. */
export interface OwnWord<V extends Registration> {
  readonly value: V;
  /** @throws TributaryError DUPLICATE_BROKER_REGISTRATION where `existing` is not to be replaced. */
  refuse(existing: V['value'], isOwn: boolean): void;
}

/**
 * Writes the registration under a lease of its own. One that is not refused is replaced, whether or not its lease lives; the new one has a new
 * epoch in any case.
 * @throws TributaryError DUPLICATE_BROKER_REGISTRATION, see {@link OwnWord.refuse}.
 * @throws MetadataStoreError `refused`: no further attempt would do better.
 * @throws the signal's reason. A store that does not answer is asked again until then.
 */
export async function register<V extends Registration>(
  store: MetadataStore,
  keys: MetadataKeys,
  word: OwnWord<V>,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration> {
  let retryMs: number = limits.storeRetryMsMin;
  for (;;) {
    options.signal.throwIfAborted();
    const attempt = new LinkedAbort(options.signal);
    let lease: Lease | undefined;
    let refusal: Error | undefined;
    try {
      lease = await store.lease(options.sessionTimeoutMs ?? limits.sessionTimeoutMs, attempt.signal);
      const epoch = await write(store, keys, word, lease, options);
      if (epoch !== undefined) return held(lease, epoch);
    } catch (thrown) {
      if (thrown instanceof TributaryError) refusal = thrown;
      else if (!options.signal.aborted) options.onFailure?.(thrown instanceof Error ? thrown.message : String(thrown));
      if (thrown instanceof MetadataStoreError && thrown.failure === 'refused') refusal = thrown;
    }
    // Refused, overtaken, or the outcome is unknown. Without its lease nothing of the attempt stays: each one begins anew.
    attempt.abort(new Error('The attempt to register failed.'));
    attempt[Symbol.dispose]();
    await lease?.revoke().catch(() => undefined);
    options.signal.throwIfAborted();
    if (refusal !== undefined) throw refusal;
    await clock.sleep(retryMs, options.signal);
    retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
  }
}

/**
 * Puts the part's own registration, which is as it was, under a new lease: where the store was away for longer than the old one, and nobody
 * has seen the registration go, nothing has happened.
 * @returns undefined when it is gone, or another: the part registers anew. @throws as {@link register}.
 */
export async function keepOwn(
  store: MetadataStore,
  keys: MetadataKeys,
  value: Registration,
  epoch: BrokerEpoch,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration | undefined> {
  const place = placeOf(value);
  // Kept alive over all attempts: one whose answer was lost may have put the registration under it.
  const keeping = new LinkedAbort(options.signal);
  let lease: Lease | undefined;
  let retryMs: number = limits.storeRetryMsMin;
  try {
    for (;;) {
      try {
        const existing = await readOwn(store, keys, keys.of(place));
        if (existing?.createRevision !== epoch) break;
        if (lease === undefined || lease.lost.aborted)
          lease = await store.lease(options.sessionTimeoutMs ?? limits.sessionTimeoutMs, keeping.signal);
        const expect = [{ place, is: 'modified-at', revision: existing.modRevision }] as const;
        const { succeeded } = await store.commit(encodeTransaction(keys, { expect, put: [value], delete: [] }, lease));
        if (succeeded) return held(lease, epoch);
      } catch (thrown) {
        if (thrown instanceof TributaryError || options.signal.aborted) throw thrown;
        options.onFailure?.(thrown instanceof Error ? thrown.message : String(thrown));
      }
      await clock.sleep(retryMs, options.signal);
      retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
    }
  } catch (thrown) {
    keeping.abort(new Error('The registration is not kept.'));
    options.signal.throwIfAborted();
    throw thrown;
  }
  keeping.abort(new Error('The registration is gone.'));
  return undefined;
}

function held(lease: Lease, epoch: BrokerEpoch): HeldRegistration {
  return { epoch, lost: lease.lost, revoke: () => lease.revoke() };
}

/** One attempt. @returns undefined when another registration came in between. */
async function write<V extends Registration>(
  store: MetadataStore,
  keys: MetadataKeys,
  { value, refuse }: OwnWord<V>,
  lease: Lease,
  { isOwn }: Pick<RegistrationOptions, 'isOwn'>,
): Promise<BrokerEpoch | undefined> {
  const place = placeOf(value);
  const existing = await readOwn(store, keys, keys.of(place));
  if (existing !== undefined) {
    if (isOf(existing.value, value)) refuse(existing.value.value, isOwn?.(existing.value.value.incarnationId) ?? true);
    // A deletion and a creation, in two transactions: the create revision, which is the epoch, must change, and no transaction may name a key twice.
    const removal = {
      expect: [{ place, is: 'modified-at', revision: existing.modRevision }],
      put: [],
      delete: [place],
    } as const;
    const { succeeded } = await store.commit(encodeTransaction(keys, removal));
    if (!succeeded) return undefined;
  }
  const creation = { expect: [{ place, is: 'absent' }], put: [value], delete: [] } as const;
  const { succeeded, revision } = await store.commit(encodeTransaction(keys, creation, lease));
  return succeeded ? brokerEpoch(revision) : undefined;
}

const isOf = <V extends Value>(one: Value, other: V): one is V => one.kind === other.kind;

async function readOwn(store: MetadataStore, keys: MetadataKeys, key: string) {
  const { entries } = await store.read(key);
  const entry = entries.find((each) => each.key === key);
  return entry === undefined ? undefined : decodeEntry(keys, entry);
}
