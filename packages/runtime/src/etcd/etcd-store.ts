import { checkTransaction, LinkedAbort } from '@tributary/metadata';
import { limits } from '@tributary/model';
import {
  type Clock,
  type CommitResult,
  type Entry,
  type Lease,
  type MetadataStore,
  type Transaction,
  type WatchRevision,
  MetadataStoreError,
} from '@tributary/ports';
import { nodeClock } from '../node-clock.ts';
import { EtcdLease } from './lease.ts';
import { type EtcdCredentials, secureIp } from './channel.ts';
import { EtcdMember, whyOf } from './member.ts';
import { EtcdMembers, HistoryGone } from './members.ts';
import { entryOf, keyRange, type KeyRange, rangeAfter, transactionRequest } from './requests.ts';
import { watchEtcd } from './watch.ts';

export type { EtcdCredentials } from './channel.ts';

export interface EtcdOptions extends EtcdCredentials {
  /** `http://host:port` or `https://host:port` of members of one cluster; without a scheme, http. */
  readonly endpoints: readonly string[];
  readonly clock?: Clock | undefined;
}

/** Alarms under which etcd takes no changes. */
const alarmsThatStop = ['NOSPACE', 'CORRUPT'];

/** The metadata of a cluster in etcd 3.4 or newer (M1–M7). Making one connects to nothing; {@link openEtcdStore} also asks. */
export class EtcdMetadataStore implements MetadataStore, AsyncDisposable {
  readonly #members: EtcdMembers;
  readonly #clock: Clock;
  readonly #leases = new Set<EtcdLease>();
  readonly #over = new AbortController();

  /** @throws MetadataStoreError `refused` for addresses that cannot be meant. */
  constructor({ endpoints, clock = nodeClock, ...credentials }: EtcdOptions) {
    refuseEndpoints(endpoints, credentials);
    this.#clock = clock;
    this.#members = new EtcdMembers(endpoints.map((each) => new EtcdMember(each, credentials, clock)));
  }

  /**
   * Whether this etcd can be used at all.
   * @throws MetadataStoreError `unreachable`: nobody answers, or no majority of its members runs; `refused`: too old, members of several
   * clusters, wrong credentials. The message says which and what to do.
   */
  async check(): Promise<void> {
    const answered = await this.#members.introduceAll();
    try {
      await this.#revision();
    } catch (thrown) {
      const [first] = answered;
      if (first === undefined || !(thrown instanceof MetadataStoreError) || thrown.failure !== 'unreachable') {
        throw thrown;
      }
      throw new MetadataStoreError(
        'unreachable',
        `etcd at ${first.address} runs, but its cluster does not decide (${whyOf(first.address, thrown)}): ` +
          'it has no leader or has lost its majority. Start its other members.',
        { cause: thrown },
      );
    }
  }

  async read(prefix: string): Promise<{ readonly revision: bigint; readonly entries: readonly Entry[] }> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#readPages(keyRange(prefix));
      } catch (thrown) {
        if (!(thrown instanceof HistoryGone)) throw thrown;
        if (attempt === limits.storeReadAttempts) {
          const what = `History at etcd ${this.#members.addresses} is compacted faster than ${prefix} can be read.`;
          throw new MetadataStoreError('unreachable', what, { cause: thrown });
        }
      }
    }
  }

  /** The first page decides of which revision all are. */
  async #readPages(all: KeyRange): Promise<{ readonly revision: bigint; readonly entries: readonly Entry[] }> {
    const entries: Entry[] = [];
    let range = all;
    let revision: string | undefined;
    for (;;) {
      const page = { ...range, limit: limits.storePage, ...(revision === undefined ? {} : { revision }) };
      const { header, kvs, more } = await this.#members.repeatable((member) =>
        member.kv.range(page, member.deadline(limits.storeCallMs)),
      );
      revision ??= header.revision;
      for (const kv of kvs) entries.push(entryOf(kv));
      const last = kvs.at(-1);
      if (!more || last === undefined) return { revision: BigInt(revision), entries };
      range = rangeAfter(last.key, all);
    }
  }

  async commit(transaction: Transaction): Promise<CommitResult> {
    checkTransaction(transaction);
    const request = transactionRequest(transaction);
    const { succeeded, header } = await this.#members.once((member) =>
      member.kv.txn(request, member.deadline(limits.storeCallMs)),
    );
    return { succeeded, revision: BigInt(header.revision) };
  }

  async *watch(prefix: string, fromRevision: bigint, signal: AbortSignal): AsyncGenerator<WatchRevision, never> {
    using watching = new LinkedAbort(signal);
    const over = (): void => watching.abort(this.#over.signal.reason);
    this.#over.signal.throwIfAborted();
    this.#over.signal.addEventListener('abort', over, { once: true });
    try {
      return yield* watchEtcd(this.#members, this.#clock, prefix, fromRevision, watching.signal);
    } finally {
      this.#over.signal.removeEventListener('abort', over);
    }
  }

  /** etcd counts in seconds, and grants no less than one and a half of its elections. */
  async lease(ttlMs: number, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    let sentMs = 0;
    // May be granted twice: one that nobody knows of runs out.
    const { ID, TTL } = await this.#members.repeatable((member) => {
      sentMs = this.#clock.monotonicMs();
      return member.leases.leaseGrant({ TTL: Math.ceil(ttlMs / 1_000) }, member.deadline(limits.storeCallMs));
    });
    signal.throwIfAborted();
    const grant = { id: ID, ttlMs: Number(TTL) * 1_000, sentMs };
    const lease = new EtcdLease(this.#members, this.#clock, grant, signal, this.#over.signal);
    this.#leases.add(lease);
    lease.lost.addEventListener('abort', () => this.#leases.delete(lease), { once: true });
    return lease;
  }

  async compact(revision: bigint): Promise<void> {
    try {
      await this.#members.repeatable((member) =>
        member.kv.compact({ revision: String(revision) }, member.deadline(limits.storeCallMs)),
      );
    } catch (thrown) {
      // Somebody was faster.
      if (!(thrown instanceof HistoryGone)) throw thrown;
    }
  }

  async status(): Promise<{ readonly revision: bigint; readonly writable: boolean }> {
    const revision = await this.#revision();
    const { alarms } = await this.#members.repeatable((member) => member.status());
    return { revision, writable: !alarms.some((alarm) => alarmsThatStop.some((stop) => alarm.includes(stop))) };
  }

  #revision(): Promise<bigint> {
    return this.#members.repeatable((member) => member.revision(Buffer.of(0)));
  }

  /** Watches end, leases are no longer kept alive and count as lost, and every call is refused from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#over.abort(new MetadataStoreError('unreachable', 'The metadata store is closed.'));
    for (const lease of [...this.#leases]) lease.lose('is no longer kept alive: the metadata store is closed');
    this.#members[Symbol.dispose]();
  }
}

/** A store that has answered. @throws MetadataStoreError as {@link EtcdMetadataStore.check} does. */
export async function openEtcdStore(options: EtcdOptions): Promise<EtcdMetadataStore> {
  const store = new EtcdMetadataStore(options);
  try {
    await store.check();
    return store;
  } catch (thrown) {
    await store[Symbol.asyncDispose]();
    throw thrown;
  }
}

function refuseEndpoints(endpoints: readonly string[], credentials: EtcdCredentials): void {
  const { ca, certificate, key, user, password } = credentials;
  const refuse = (why: string): never => {
    throw new MetadataStoreError('refused', why);
  };
  if (endpoints.length === 0) refuse('No address of etcd is given: name at least one, as http://host:2379.');
  for (const each of endpoints) {
    if (!/^(https?:\/\/)?[^/\s,:]+:\d+$|^(https?:\/\/)?\[[0-9a-fA-F:]+\]:\d+$/.test(each))
      refuse(`${each} is no address of etcd: write http://host:port or https://host:port.`);
  }
  const secure = endpoints.filter((each) => each.startsWith('https://'));
  if (secure.length > 0 && secure.length < endpoints.length)
    refuse(`Some addresses of etcd are https and others are not (${endpoints.join(', ')}): all or none.`);
  if (ca !== undefined && secure.length === 0)
    refuse(`A CA is given, but ${endpoints.join(', ')} is not https: write https://host:port.`);
  if ((certificate === undefined) !== (key === undefined) || (certificate !== undefined && ca === undefined))
    refuse('A certificate for etcd needs its key, and the CA of etcd beside it.');
  const numbered = endpoints.find((each) => secureIp(each) !== undefined);
  if (user !== undefined && numbered !== undefined)
    refuse(
      `With a user, an https address of etcd must be a name that its certificate holds, and ${numbered} is an IP address.`,
    );
  if ((user === undefined) !== (password === undefined)) refuse('etcd needs a user and a password, or neither.');
}
