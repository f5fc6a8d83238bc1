import { limits } from '@tributary/model';
import {
  CompactedError,
  type CommitResult,
  type Lease,
  type MetadataStore,
  type Transaction,
  type WatchRevision,
} from '@tributary/ports';
import type { Coverage } from './coverage.ts';
import { type Doorkeeper, into } from './gate.ts';
import { Keyspace } from './metadata/keyspace.ts';
import type { Scheduler } from './scheduler.ts';
import type { SeededRandom } from './seeded-random.ts';

export const metadataFaults = [
  'metadata: reply of a done commit lost',
  'metadata: commit lost',
  'metadata: lease expired',
  'metadata: lease taken away',
  'metadata: watch late',
  'metadata: watch broken',
  'metadata: watch silently dead',
  'metadata: history compacted',
  'metadata: away',
] as const;

/** A process that uses the store. */
export interface StoreUser extends Doorkeeper {
  readonly machine: string;
  readonly alive: boolean;
  /** Stopped: it keeps no lease alive. */
  readonly paused?: boolean;
}

export interface MetadataStoreOptions {
  /** Typical time of one call, in virtual microseconds. */
  readonly callMicros?: number;
  /** A call that gets no answer is given up after this. */
  readonly timeoutMicros?: number;
  /** Chance that one delivery of a watch is late by up to two seconds. */
  readonly lateWatchChance?: number;
}

/** The outcome of the call is unknown, except for what only reads. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

interface LeaseState {
  readonly id: string;
  readonly ttlMicros: number;
  readonly user: StoreUser;
  readonly lost: AbortController;
  /** The holder stops keeping it alive. */
  isAbandoned: boolean;
  serverExpiryMicros: number;
  clientExpiryMicros: number;
}

interface Watcher {
  readonly user: StoreUser;
  readonly prefix: string;
  nextRevision: bigint;
  /** Nothing comes any more, and nobody says so. */
  isDead: boolean;
  lastMicros: number;
  readonly arrived: WatchRevision[];
  failure: Error | undefined;
  wake: (() => void) | undefined;
}

/**
 * The metadata store of a world: one revision for all keys, kept through every crash, and reached over a network that loses answers, delays
 * watches or lets them die without a word. Several processes use it, each through a {@link MetadataStore} of its own.
 */
export class SimulatedMetadataStore {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #coverage: Coverage;
  readonly #options: Required<MetadataStoreOptions>;
  readonly #keys = new Keyspace();
  readonly #leases = new Map<string, LeaseState>();
  readonly #watchers = new Set<Watcher>();
  readonly #lossesPlanned: ('done' | 'not done')[] = [];
  readonly #cutOff = new Set<string>();
  /** What they ask for is done, and they hear nothing. */
  readonly #deaf = new Set<string>();
  #isAway = false;
  #nextLease = 1;

  constructor(scheduler: Scheduler, random: SeededRandom, coverage: Coverage, options: MetadataStoreOptions = {}) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#coverage = coverage;
    this.#options = { callMicros: 600, timeoutMicros: 3_000_000, lateWatchChance: 0.02, ...options };
  }

  /** The store as one process sees it. */
  client(user: StoreUser): MetadataStore {
    return {
      read: (prefix) =>
        this.#call(user, () => ({ revision: this.#keys.revision, entries: this.#keys.entries(prefix) })),
      commit: (transaction) => this.#commit(user, transaction),
      watch: (prefix, fromRevision, signal) => this.#watch(user, prefix, fromRevision, signal),
      lease: (ttlMs, signal) => this.#lease(user, ttlMs, signal),
      compact: (revision) => this.#call(user, () => this.compactNow(revision)),
      status: () => this.#call(user, () => ({ revision: this.#keys.revision, writable: true })),
    };
  }

  /** What is stored now. */
  get keys(): Pick<Keyspace, 'entries' | 'revision'> {
    return this.#keys;
  }

  /** The next commit gets no answer. */
  loseNextCommit(how: 'done' | 'not done'): void {
    this.#lossesPlanned.push(how);
  }

  /** No quorum: calls go unanswered, watches fall silent, leases neither renew nor expire. */
  set away(isAway: boolean) {
    if (isAway === this.#isAway) return;
    this.#isAway = isAway;
    if (isAway) this.#coverage.count('metadata: away');
    else this.#leasesGoOn();
    if (!isAway) for (const watcher of this.#watchers) this.#plan(watcher);
  }

  /** As etcd's new leader does: every lease begins anew, or has only left what was last written down of it. */
  #leasesGoOn(): void {
    const isWrittenDown = this.#random.chance(0.5);
    if (isWrittenDown) this.#coverage.count('metadata: leases short after it was away');
    for (const lease of [...this.#leases.values()]) {
      this.#renewed(lease);
      if (!isWrittenDown) continue;
      const leftMicros = this.#random.between(1, lease.ttlMicros);
      lease.serverExpiryMicros = this.#scheduler.nowMicros + leftMicros;
      this.#watchServerExpiry(lease);
    }
  }

  /** One machine cannot reach the store. */
  cutOff(machine: string, isCutOff: boolean): void {
    if (isCutOff) this.#coverage.count('metadata: a machine cut off');
    this.#set(this.#cutOff, machine, isCutOff);
  }

  /** What one machine asks for is done, and it hears nothing. */
  deafen(machine: string, isDeaf: boolean): void {
    if (isDeaf) this.#coverage.count('metadata: a machine hears nothing');
    this.#set(this.#deaf, machine, isDeaf);
  }

  #set(machines: Set<string>, machine: string, isIn: boolean): void {
    if (isIn) machines.add(machine);
    else machines.delete(machine);
    if (!isIn) for (const watcher of this.#watchers) this.#plan(watcher);
  }

  /** A transaction of this user was carried out, at this very moment. */
  onCommitted: ((user: StoreUser, transaction: Transaction) => void) | undefined;
  /** A planned loss has met a commit of this user, maybe long after it was planned. */
  onLost: ((user: StoreUser) => void) | undefined;

  /** Each revision, before anybody hears of it. */
  set onRevision(listener: (revision: WatchRevision) => void) {
    this.#keys.onRevision = listener;
  }

  /** A lease ends although its holder keeps it alive; the holder hears of it at its next sign of life. @returns false: there is none. */
  takeLease(): boolean {
    const [first, ...others] = [...this.#leases.values()];
    if (first === undefined) return false;
    this.#coverage.count('metadata: lease taken away');
    this.#end(this.#random.pick([first, ...others]));
    return true;
  }

  /** Whoever opens the store exclusively voids all leases: the embedded store's start. */
  voidLeases(): void {
    for (const lease of [...this.#leases.values()]) this.#end(lease);
  }

  breakWatches(): void {
    for (const watcher of [...this.#watchers]) {
      this.#coverage.count('metadata: watch broken');
      this.#watchers.delete(watcher);
      watcher.failure = new StoreUnavailableError('the watch broke');
      this.#wake(watcher);
    }
  }

  /** A watch stops without a word. @returns false: there is none. */
  killWatch(): boolean {
    const [first, ...others] = [...this.#watchers].filter(({ isDead, user }) => !isDead && user.alive);
    if (first === undefined) return false;
    this.#coverage.count('metadata: watch silently dead');
    this.#random.pick([first, ...others]).isDead = true;
    return true;
  }

  compactNow(revision: bigint = this.#keys.revision): void {
    this.#keys.compact(revision);
    this.#coverage.count('metadata: history compacted');
  }

  #reaches(user: StoreUser): boolean {
    return !this.#isAway && !this.#cutOff.has(user.machine);
  }

  /** One call: there, done, and back, each in its time. A process that dies in between may still have it done. */
  #call<T>(user: StoreUser, serve: () => T, fate?: 'done' | 'not done'): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!user.alive) return;
      const unanswered = (): void => {
        this.#scheduler.after(this.#options.timeoutMicros, () => {
          into(user, 'timer', () => {
            if (user.alive) reject(new StoreUnavailableError('the metadata store did not answer'));
          });
        });
      };
      this.#scheduler.after(this.#delay(), () => {
        if (!this.#reaches(user) || fate === 'not done') {
          unanswered();
          return;
        }
        const served = attempt(serve);
        if (fate === 'done' || this.#deaf.has(user.machine)) {
          unanswered();
          return;
        }
        this.#scheduler.after(this.#delay(), () => {
          if (!user.alive) return;
          into(user, 'outside', () => {
            if (served.ok) resolve(served.value);
            else reject(served.thrown);
          });
        });
      });
    });
  }

  #commit(user: StoreUser, transaction: Transaction): Promise<CommitResult> {
    const fate = user.alive ? this.#lossesPlanned.shift() : undefined;
    if (fate !== undefined) {
      this.#coverage.count(fate === 'done' ? 'metadata: reply of a done commit lost' : 'metadata: commit lost');
      this.onLost?.(user);
    }
    const serve = (): CommitResult => {
      const result = this.#keys.commit(transaction, (id) => this.#leases.has(id));
      if (result.succeeded) this.onCommitted?.(user, transaction);
      this.#changed();
      return result;
    };
    return this.#call(user, serve, fate);
  }

  #lease(user: StoreUser, ttlMs: number, signal: AbortSignal): Promise<Lease> {
    const sentMicros = this.#scheduler.nowMicros;
    return this.#call(user, () => {
      signal.throwIfAborted();
      const ttlMicros = ttlMs * 1_000;
      const state: LeaseState = {
        id: `lease-${this.#nextLease++}`,
        ttlMicros,
        user,
        lost: new AbortController(),
        isAbandoned: false,
        serverExpiryMicros: this.#scheduler.nowMicros + ttlMicros,
        clientExpiryMicros: sentMicros + ttlMicros,
      };
      this.#leases.set(state.id, state);
      signal.addEventListener('abort', () => (state.isAbandoned = true), { once: true });
      this.#watchServerExpiry(state);
      this.#watchClientExpiry(state);
      this.#keepAlive(state);
      return { id: state.id, lost: state.lost.signal, revoke: () => this.#revoke(state) };
    });
  }

  #revoke(state: LeaseState): Promise<void> {
    state.isAbandoned = true;
    return this.#call(state.user, () => {
      this.#end(state);
      if (state.user.alive) state.lost.abort(new Error('the lease was revoked'));
    });
  }

  /** Three signs of life in a time to live. */
  #keepAlive(state: LeaseState): void {
    this.#scheduler.after(state.ttlMicros / 3, () => {
      if (!state.user.alive || state.isAbandoned || state.lost.signal.aborted) return;
      if (state.user.paused === true) {
        this.#keepAlive(state);
        return;
      }
      const sentMicros = this.#scheduler.nowMicros;
      this.#scheduler.after(this.#delay(), () => {
        if (!this.#reaches(state.user)) return;
        const isKnown = this.#leases.has(state.id);
        if (isKnown) this.#renewed(state);
        if (this.#deaf.has(state.user.machine)) return;
        this.#scheduler.after(this.#delay(), () => {
          if (isKnown) state.clientExpiryMicros = sentMicros + state.ttlMicros;
          else this.#clientLost(state);
        });
      });
      this.#keepAlive(state);
    });
  }

  #renewed(state: LeaseState): void {
    state.serverExpiryMicros = this.#scheduler.nowMicros + state.ttlMicros;
  }

  #watchServerExpiry(state: LeaseState): void {
    const left = state.serverExpiryMicros - this.#scheduler.nowMicros;
    this.#scheduler.after(left, () => {
      if (!this.#leases.has(state.id)) return;
      if (this.#isAway || this.#scheduler.nowMicros < state.serverExpiryMicros) {
        if (this.#isAway) this.#renewed(state);
        this.#watchServerExpiry(state);
        return;
      }
      this.#coverage.count('metadata: lease expired');
      this.#end(state);
    });
  }

  #watchClientExpiry(state: LeaseState): void {
    this.#scheduler.after(state.clientExpiryMicros - this.#scheduler.nowMicros, () => {
      if (state.lost.signal.aborted) return;
      if (this.#scheduler.nowMicros < state.clientExpiryMicros) this.#watchClientExpiry(state);
      else this.#clientLost(state);
    });
  }

  #clientLost(state: LeaseState): void {
    into(state.user, 'timer', () => {
      if (state.user.alive) state.lost.abort(new Error('the lease may have run out'));
    });
  }

  #end(state: LeaseState): void {
    if (!this.#leases.delete(state.id)) return;
    this.#keys.deleteOf(state.id);
    this.#changed();
  }

  async *#watch(
    user: StoreUser,
    prefix: string,
    fromRevision: bigint,
    signal: AbortSignal,
  ): AsyncGenerator<WatchRevision> {
    signal.throwIfAborted();
    const watcher: Watcher = {
      user,
      prefix,
      nextRevision: fromRevision,
      isDead: false,
      lastMicros: 0,
      arrived: [],
      failure: undefined,
      wake: undefined,
    };
    this.#watchers.add(watcher);
    const abort = (): void => {
      this.#watchers.delete(watcher);
      this.#wake(watcher);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#plan(watcher);
    this.#planProgress(watcher);
    try {
      for (;;) {
        signal.throwIfAborted();
        const next = watcher.arrived.shift();
        if (next !== undefined) yield next;
        else if (watcher.failure !== undefined) throw watcher.failure;
        else await new Promise<void>((resolve) => (watcher.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', abort);
      this.#watchers.delete(watcher);
    }
  }

  #changed(): void {
    for (const watcher of this.#watchers) this.#plan(watcher);
  }

  /** Something may be there for the watcher; it hears of it later, in order, one revision at a time. */
  #plan(watcher: Watcher): void {
    const isLate = this.#random.chance(this.#options.lateWatchChance);
    if (isLate) this.#coverage.count('metadata: watch late');
    this.#deliverAfter(watcher, isLate ? this.#random.between(10_000, 2_000_000) : this.#delay(), () =>
      this.#deliver(watcher),
    );
  }

  #planProgress(watcher: Watcher): void {
    this.#scheduler.after(limits.watchProgressMs * 1_000, () => {
      if (!this.#isHeard(watcher)) return;
      this.#planProgress(watcher);
      if (!this.#reaches(watcher.user)) return;
      this.#deliverAfter(watcher, this.#delay(), () => {
        this.#deliver(watcher);
        // One that waits for what is yet to come, as after a restored backup, is told how far the store is (M6).
        const seen = watcher.nextRevision - 1n;
        const revision = seen < this.#keys.revision ? seen : this.#keys.revision;
        if (watcher.failure === undefined) watcher.arrived.push({ revision, changes: [] });
      });
    });
  }

  #deliverAfter(watcher: Watcher, delayMicros: number, deliver: () => void): void {
    const now = this.#scheduler.nowMicros;
    // Never before what is already on its way.
    watcher.lastMicros = Math.max(watcher.lastMicros + 1, now + delayMicros);
    this.#scheduler.after(watcher.lastMicros - now, () => {
      if (!this.#isHeard(watcher) || !this.#reaches(watcher.user) || this.#deaf.has(watcher.user.machine)) return;
      deliver();
      this.#wake(watcher);
    });
  }

  #isHeard(watcher: Watcher): boolean {
    return this.#watchers.has(watcher) && !watcher.isDead && watcher.user.alive;
  }

  #deliver(watcher: Watcher): void {
    if (watcher.nextRevision <= this.#keys.compacted) {
      watcher.failure = new CompactedError(`revision ${watcher.nextRevision} is compacted`);
      return;
    }
    for (;;) {
      const next = this.#keys.next(watcher.prefix, watcher.nextRevision);
      if (next === undefined) break;
      watcher.arrived.push(next);
      watcher.nextRevision = next.revision + 1n;
    }
    // What does not concern the prefix is past too.
    if (watcher.nextRevision <= this.#keys.revision) watcher.nextRevision = this.#keys.revision + 1n;
  }

  #wake(watcher: Watcher): void {
    const { wake } = watcher;
    watcher.wake = undefined;
    if (watcher.user.alive && wake !== undefined) into(watcher.user, 'outside', wake);
  }

  #delay(): number {
    return this.#random.latency(this.#options.callMicros / 2);
  }
}

/** For whoever wants a store without a world around it, such as the contract suite: one user who never dies. */
export function createSimulatedMetadataStore(
  scheduler: Scheduler,
  random: SeededRandom,
  coverage: Coverage,
  options: MetadataStoreOptions = {},
) {
  const world = new SimulatedMetadataStore(scheduler, random, coverage, options);
  return { world, store: world.client({ machine: 'anywhere', alive: true }) };
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly thrown: unknown };

function attempt<T>(action: () => T): Attempt<T> {
  try {
    return { ok: true, value: action() };
  } catch (thrown) {
    return { ok: false, thrown };
  }
}
