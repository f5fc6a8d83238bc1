import { TributaryError, brokerEpoch, limits, type BrokerEpoch, type IncarnationId } from '@tributary/model';
import { type Clock, type Lease, type MetadataStore, MetadataStoreError } from '@tributary/ports';
import type { MetadataKeys } from './keys.ts';
import type { RegistrationInfo, Stored } from './state.ts';
import { decodeEntry, encodeTransaction } from './values.ts';
import { LinkedAbort } from './waiting.ts';

export interface HeldRegistration {
  /** Changes with every registration; all that the broker proposes names it. */
  readonly brokerEpoch: BrokerEpoch;
  /** Aborted once the lease may have run out: the broker is then out of the cluster and registers anew. */
  readonly lost: AbortSignal;
  /** Leaves at once instead of by the lease's end. */
  revoke(): Promise<void>;
}

export interface RegistrationOptions {
  /** How long the cluster waits for this broker after it fell silent. */
  readonly sessionTimeoutMs?: number;
  /** Aborting stops registering, and later the keeping alive: the lease then runs out. */
  readonly signal: AbortSignal;
  /**
   * Of a registration with the same directory: this broker made it, before its restart or before it was taken for dead. Another one is of a process
   * with a copy of the directory: two such would take it from each other for ever. Default: all are.
   */
  readonly isOwn?: (incarnation: IncarnationId) => boolean;
  /** Told of each attempt at a store that did not answer, or not as hoped. */
  readonly onFailure?: (why: string) => void;
}

/**
 * Writes the broker's registration under a lease of its own (R6). A registration of the same data directory is replaced, whether or not its
 * lease lives; the new one has a new epoch in any case. The controller then looks at it; the broker waits for `isAdmitted`.
 * @throws TributaryError DUPLICATE_BROKER_REGISTRATION while a broker with this node id and another data directory, or a copy of this one, is registered.
 * @throws MetadataStoreError `refused`: no further attempt would do better.
 * @throws the signal's reason. A store that does not answer is asked again until then.
 */
export async function registerBroker(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: RegistrationInfo,
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
      const epoch = await write(store, keys, registration, lease, options);
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
 * Puts the broker's own registration, which is as it was, under a new lease: where the store was away for longer than the old one, and nobody
 * has seen the registration go, nothing has happened.
 * @returns undefined when it is gone, or another: the broker registers anew. @throws as {@link registerBroker}.
 */
export async function keepRegistration(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: RegistrationInfo,
  epoch: BrokerEpoch,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration | undefined> {
  const place = { kind: 'registration', nodeId: registration.nodeId } as const;
  // Kept alive over all attempts: one whose answer was lost may have put the registration under it.
  const keeping = new LinkedAbort(options.signal);
  let lease: Lease | undefined;
  let retryMs: number = limits.storeRetryMsMin;
  try {
    for (;;) {
      try {
        const existing = await readRegistration(store, keys, keys.of(place));
        if (existing?.createRevision !== epoch) break;
        if (lease === undefined || lease.lost.aborted)
          lease = await store.lease(options.sessionTimeoutMs ?? limits.sessionTimeoutMs, keeping.signal);
        const expect = [{ place, is: 'modified-at', revision: existing.modRevision }] as const;
        const put = [{ kind: 'registration', value: registration }] as const;
        const { succeeded } = await store.commit(encodeTransaction(keys, { expect, put, delete: [] }, lease));
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
  return { brokerEpoch: epoch, lost: lease.lost, revoke: () => lease.revoke() };
}

/** One attempt. @returns undefined when another registration came in between. */
async function write(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: RegistrationInfo,
  lease: Lease,
  { isOwn }: Pick<RegistrationOptions, 'isOwn'>,
): Promise<BrokerEpoch | undefined> {
  const place = { kind: 'registration', nodeId: registration.nodeId } as const;
  const existing = await readRegistration(store, keys, keys.of(place));
  if (existing !== undefined) {
    refuseOtherDirectory(existing, registration);
    if (isOwn?.(existing.incarnationId) === false) throw twin(existing, registration);
    // A deletion and a creation, in two transactions: the create revision, which is the epoch, must change, and no transaction may name a key twice.
    const removal = {
      expect: [{ place, is: 'modified-at', revision: existing.modRevision }],
      put: [],
      delete: [place],
    } as const;
    const { succeeded } = await store.commit(encodeTransaction(keys, removal));
    if (!succeeded) return undefined;
  }
  const creation = {
    expect: [{ place, is: 'absent' }],
    put: [{ kind: 'registration', value: registration }],
    delete: [],
  } as const;
  const { succeeded, revision } = await store.commit(encodeTransaction(keys, creation, lease));
  return succeeded ? brokerEpoch(revision) : undefined;
}

async function readRegistration(
  store: MetadataStore,
  keys: MetadataKeys,
  key: string,
): Promise<Stored<RegistrationInfo> | undefined> {
  const { entries } = await store.read(key);
  const entry = entries.find((each) => each.key === key);
  const put = entry === undefined ? undefined : decodeEntry(keys, entry);
  if (put?.value.kind !== 'registration') return undefined;
  return { ...put.value.value, createRevision: put.createRevision, modRevision: put.modRevision };
}

function refuseOtherDirectory(existing: RegistrationInfo, mine: RegistrationInfo): void {
  if (existing.directoryId === mine.directoryId) return;
  throw new TributaryError(
    'DUPLICATE_BROKER_REGISTRATION',
    `Node id ${mine.nodeId} belongs to the running broker at ${existing.address} with data directory ${existing.directoryId}; ` +
      `this one has ${mine.directoryId}. Give it another node id, or stop the other broker first.`,
  );
}

function twin(existing: RegistrationInfo, mine: RegistrationInfo): TributaryError {
  return new TributaryError(
    'DUPLICATE_BROKER_REGISTRATION',
    `Another process, at ${existing.address}, has registered as broker ${mine.nodeId} with a copy of data directory ${mine.directoryId}; ` +
      `this one, at ${mine.address}, stops. Find out which has the newest records, and start that one alone.`,
  );
}
