import { limits } from '@tributary/model';
import { LinkedAbort } from '@tributary/metadata';
import { type Clock, type Lease, MetadataStoreError } from '@tributary/ports';
import type { EtcdMembers } from './members.ts';

export interface Grant {
  readonly id: string;
  /** As etcd gave it, which may be more than was asked for, ms. */
  readonly ttlMs: number;
  /** Before the request left: etcd counts from later on. */
  readonly sentMs: number;
}

/**
 * A lease that is kept alive until `signal` aborts. Its time is counted from when a sign of life was sent, not answered, and ends
 * `limits.leaseMarginRatio` early, so that its holder knows before anybody can see it gone.
 */
export class EtcdLease implements Lease {
  readonly id: string;
  readonly #members: EtcdMembers;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #over: AbortSignal;
  readonly #lost = new AbortController();
  #expiresMs: number;

  /** @param over aborted when the store is closed. */
  constructor(members: EtcdMembers, clock: Clock, grant: Grant, signal: AbortSignal, over: AbortSignal) {
    this.#over = over;
    this.id = grant.id;
    this.#members = members;
    this.#clock = clock;
    this.#ttlMs = grant.ttlMs;
    this.#expiresMs = this.#expiryOf(grant.sentMs, grant.ttlMs);
    void this.#expire();
    void this.#keep(signal);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async revoke(): Promise<void> {
    // Before the call: its keys may go at any moment from now on.
    this.lose('was revoked');
    try {
      await this.#revokeOnce();
    } catch (thrown) {
      // An etcd that comes back gives every lease its whole time anew: nobody else gets its keys before that is over.
      void this.#revokeInTheEnd();
      throw thrown;
    }
  }

  async #revokeOnce(): Promise<void> {
    try {
      await this.#members.repeatable((member) =>
        member.leases.leaseRevoke({ ID: this.id }, member.deadline(limits.storeCallMs)),
      );
    } catch (thrown) {
      // Gone is what was wanted.
      if (!(thrown instanceof MetadataStoreError) || thrown.failure !== 'lease-lost') throw thrown;
    }
  }

  /** Until etcd answers, or the store is closed. */
  async #revokeInTheEnd(): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(limits.storeRetryMsMax, this.#over);
        try {
          await this.#revokeOnce();
          return;
        } catch (thrown) {
          if (!(thrown instanceof MetadataStoreError) || thrown.failure !== 'unreachable') return;
        }
      }
    } catch {
      // Closed.
    }
  }

  lose(how: string): void {
    this.#lost.abort(new MetadataStoreError('lease-lost', `The metadata lease ${this.id} ${how}.`));
  }

  #expiryOf(sentMs: number, ttlMs: number): number {
    return sentMs + ttlMs * (1 - limits.leaseMarginRatio);
  }

  async #expire(): Promise<void> {
    try {
      for (;;) {
        const leftMs = this.#expiresMs - this.#clock.monotonicMs();
        if (leftMs <= 0) break;
        await this.#clock.sleep(leftMs, this.lost);
      }
      this.lose('may have run out: etcd has not answered a sign of life in time');
    } catch {
      // Lost already.
    }
  }

  async #keep(signal: AbortSignal): Promise<void> {
    using kept = new LinkedAbort(signal);
    const over = (): void => kept.abort(this.lost.reason);
    this.lost.addEventListener('abort', over, { once: true });
    const intervalMs = this.#ttlMs / limits.leaseSignsOfLife;
    try {
      for (;;) {
        await this.#clock.sleep(intervalMs, kept.signal);
        await this.#signOfLife(intervalMs, kept.signal);
      }
    } catch {
      // No longer kept alive: it runs out.
    } finally {
      this.lost.removeEventListener('abort', over);
    }
  }

  /** Until one is answered. */
  async #signOfLife(timeoutMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      let sentMs = this.#clock.monotonicMs();
      try {
        const ttlS = await this.#members.repeatable((member) => {
          signal.throwIfAborted();
          sentMs = this.#clock.monotonicMs();
          return member.keepAlive(this.id, Math.min(timeoutMs, limits.storeCallMs));
        });
        if (ttlS <= 0) this.lose('has run out');
        else this.#expiresMs = this.#expiryOf(sentMs, ttlS * 1_000);
        return;
      } catch {
        await this.#clock.sleep(limits.storeRetryMsMin, signal);
      }
    }
  }
}
