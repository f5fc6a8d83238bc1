import { MetadataStoreError } from '@tributary/ports';
import { type EtcdFailure, etcdFailure } from './etcd-failure.ts';
import type { EtcdMember, MemberIdentity } from './member.ts';

/** Where `compacted` is no surprise. */
export class HistoryGone extends Error {
  override readonly name = 'HistoryGone';
}

/** The members of one etcd cluster. The one that answered last is asked first; after a failure it is the next one's turn. */
export class EtcdMembers implements Disposable {
  readonly #members: readonly EtcdMember[];
  #preferred = 0;
  #first: { readonly address: string; readonly clusterId: string } | undefined;
  #isClosed = false;

  constructor(members: readonly EtcdMember[]) {
    this.#members = members;
  }

  get addresses(): string {
    return this.#members.map(({ address }) => address).join(', ');
  }

  /** What may be done twice: asked of each member until one answers. @throws MetadataStoreError, HistoryGone. */
  repeatable<T>(ask: (member: EtcdMember) => Promise<T>): Promise<T> {
    return this.#ask(ask, 'repeatable');
  }

  /** What may not be done twice: asked of another member only if it never left. @throws MetadataStoreError, HistoryGone. */
  once<T>(ask: (member: EtcdMember) => Promise<T>): Promise<T> {
    return this.#ask(ask, 'once');
  }

  async #ask<T>(ask: (member: EtcdMember) => Promise<T>, how: 'repeatable' | 'once'): Promise<T> {
    const told: string[] = [];
    for (const member of this.#inTurn()) {
      this.#refuseClosed();
      let isSent = false;
      try {
        await this.#introduced(member);
        isSent = true;
        return await member.loggedIn(() => ask(member));
      } catch (thrown) {
        const failure = etcdFailure(member.address, thrown);
        if (failure.kind === 'final') throw failure.error;
        if (failure.kind === 'compacted') throw new HistoryGone(failure.what, { cause: thrown });
        this.distrust(member);
        if (isSent && how === 'once' && failure.kind === 'unanswered') throw unknownOutcome(member, failure, thrown);
        told.push(`${member.address}: ${failure.what}`);
      }
    }
    this.#refuseClosed();
    throw new MetadataStoreError(
      'unreachable',
      `No etcd answers (${told.join('; ')}). Check that the addresses are those of its clients and that a majority of its members runs.`,
    );
  }

  /** The member for a stream, introduced. @throws MetadataStoreError. */
  forStream(key: Buffer): Promise<EtcdMember> {
    // A call first: it shows that the member has the majority behind it, and renews a token that has run out.
    return this.repeatable(async (member) => {
      await member.revision(key);
      return member;
    });
  }

  /** The next call goes to another one. */
  distrust(member: Pick<EtcdMember, 'address'>): void {
    const at = this.#members.findIndex(({ address }) => address === member.address);
    this.#members[at]?.forget();
    if (at === this.#preferred) this.#preferred = (at + 1) % this.#members.length;
  }

  /** Asks all. @returns those that answered. @throws MetadataStoreError `refused` when one of them must not be used. */
  async introduceAll(): Promise<readonly EtcdMember[]> {
    const answers = await Promise.allSettled(this.#members.map((member) => this.#introduced(member)));
    const answered = this.#members.filter((_, i) => answers[i]?.status === 'fulfilled');
    for (const answer of answers) {
      if (answer.status === 'rejected' && answer.reason instanceof MetadataStoreError) throw answer.reason;
    }
    return answered;
  }

  *#inTurn(): Generator<EtcdMember> {
    const first = this.#preferred;
    for (let i = 0; i < this.#members.length; i++) {
      const member = this.#members[(first + i) % this.#members.length];
      if (member !== undefined) yield member;
    }
  }

  async #introduced(member: EtcdMember): Promise<MemberIdentity> {
    const identity = await member.introduce();
    this.#first ??= { address: member.address, clusterId: identity.clusterId };
    if (this.#first.clusterId === identity.clusterId) return identity;
    if (this.#first.address === member.address) {
      throw new MetadataStoreError(
        'refused',
        `etcd at ${member.address} is now cluster ${identity.clusterId} and was ${this.#first.clusterId}: it was replaced, or restored from a ` +
          'backup. Check that it is the right one, then start this process again.',
      );
    }
    throw new MetadataStoreError(
      'refused',
      `etcd at ${member.address} belongs to cluster ${identity.clusterId}, that at ${this.#first.address} to ${this.#first.clusterId}: ` +
        'name members of one etcd cluster only.',
    );
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw new MetadataStoreError('unreachable', 'The metadata store is closed.');
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const member of this.#members) member[Symbol.dispose]();
  }
}

function unknownOutcome(
  member: EtcdMember,
  failure: EtcdFailure & { what: string },
  cause: unknown,
): MetadataStoreError {
  return new MetadataStoreError(
    'unknown-outcome',
    `The answer of etcd at ${member.address} to a transaction is lost (${failure.what}): it may or may not have been done.`,
    { cause },
  );
}
