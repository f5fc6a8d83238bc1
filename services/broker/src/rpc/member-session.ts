/**
 * A member of a group that this broker plays for a subscription: its stream to the coordinator, made anew whenever that breaks or another one owns the group;
 * the membership goes on meanwhile, and so does reading. It ends when the coordinator says so, or refuses it.
 */
import { LinkedAbort, unlessAborted, type GroupOwner } from '@tributary/metadata';
import { limits, TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import type { JoinRequest, JoinResponse, MemberAssignment, MemberSubscription, RequestContext } from '@tributary/wire';
import type { Coordinators, MemberStream } from './coordinators.ts';

export interface Membership {
  readonly groupId: string;
  readonly memberId: string;
  readonly subscription: MemberSubscription;
  /** Of whom it is played for. */
  readonly context: RequestContext | undefined;
  readonly host: string;
}

interface Waiting {
  readonly sequence: bigint;
  readonly answered: () => void;
}

export class MemberSession {
  readonly membership: Membership;
  readonly #coordinators: Coordinators;
  readonly #clock: Clock;
  readonly #assigned: (assignment: MemberAssignment) => void;
  #epoch = 0;
  #applied = 0n;
  #sequence = 0n;
  /** Newest that was answered. */
  #answered = 0n;
  #intervalMs = Math.floor(limits.memberJoinMs / limits.memberUnanswered);
  #isJoined = false;
  /** Epoch that says so. */
  #leaving: number | undefined;
  #way: MemberStream | undefined;
  #isFirst = true;
  #unanswered = 0;
  #waiting: Waiting[] = [];

  /** @param assigned is called with each assignment, in order. */
  constructor(
    membership: Membership,
    coordinators: Coordinators,
    clock: Clock,
    assigned: (assignment: MemberAssignment) => void,
  ) {
    this.membership = membership;
    this.#coordinators = coordinators;
    this.#clock = clock;
    this.#assigned = assigned;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Resolves when aborted. @throws TributaryError when the membership is over, or never began within `limits.memberJoinMs`. */
  async run(signal: AbortSignal): Promise<void> {
    const { groupId } = this.membership;
    const beganMs = this.#clock.monotonicMs();
    for (;;) {
      try {
        await this.#attend(await this.#coordinators.ownerOf(groupId, signal), signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const error = TributaryError.from(thrown);
        if (!error.retriable) throw error;
        if (!this.#isJoined && this.#clock.monotonicMs() - beganMs >= limits.memberJoinMs) throw error;
      }
      await this.#clock.sleep(limits.retryBackoffMs, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
  }

  /** Nothing is owned beyond this assignment (G5). */
  carriedOut(version: bigint): void {
    if (version <= this.#applied) return;
    this.#applied = version;
    this.#say();
  }

  /** Resolves when all that was said up to now has been answered. Rejects with the signal's reason. */
  async heard(signal: AbortSignal): Promise<void> {
    const sequence = this.#sequence;
    if (this.#answered >= sequence) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ sequence, answered: resolve });
    await unlessAborted(promise, signal);
  }

  /** Gives its place up: a static member's waits for whoever comes back for it. Bounded; where nobody hears it, the session runs out. */
  async leave(signal: AbortSignal): Promise<void> {
    if (!this.#isJoined || this.#way === undefined) return;
    this.#leaving = this.membership.subscription.instanceId === '' ? -1 : -2;
    this.#say();
    using waiting = new LinkedAbort(signal);
    const bound = this.#clock.sleep(limits.memberLeaveMs, waiting.signal).catch(() => undefined);
    await Promise.race([this.heard(waiting.signal).catch(() => undefined), bound]);
    waiting.abort(new Error('Waited long enough.'));
  }

  async #attend(owner: GroupOwner, signal: AbortSignal): Promise<void> {
    using attending = new LinkedAbort(signal);
    using way = this.#coordinators.join(owner, attending.signal);
    this.#way = way;
    this.#isFirst = true;
    this.#unanswered = 0;
    const silent = new TributaryError(
      'COORDINATOR_NOT_AVAILABLE',
      `Coordinator ${owner.coordinator.nodeId} does not answer the group's member.`,
    );
    this.#say();
    void this.#beat(silent, attending);
    try {
      for await (const answer of way.stream) this.#hear(answer);
    } catch (thrown) {
      throw attending.signal.aborted && !signal.aborted ? silent : way.why(thrown);
    } finally {
      this.#way = undefined;
      attending.abort(new Error('The stream is over.'));
    }
    throw new TributaryError('COORDINATOR_NOT_AVAILABLE', `Coordinator ${owner.coordinator.nodeId} ended the stream.`);
  }

  async #beat(silent: TributaryError, attending: LinkedAbort): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(this.#intervalMs, attending.signal);
        if (this.#unanswered >= limits.memberUnanswered) attending.abort(silent);
        else this.#say();
      }
    } catch {
      // The stream is over.
    }
  }

  #say(): void {
    const way = this.#way;
    if (way === undefined) return;
    const { groupId, memberId, subscription, context, host } = this.membership;
    const message: JoinRequest = {
      member: {
        context: this.#isFirst ? this.#coordinators.neighbours.forwarded(context, host) : undefined,
        groupId,
        memberId,
        memberEpoch: this.#leaving ?? this.#epoch,
        appliedVersion: this.#applied,
        subscription: this.#isFirst ? subscription : undefined,
        // What the client's application does with the records nobody here knows.
        sincePollMs: -1n,
        computed: undefined,
        sequence: ++this.#sequence,
      },
    };
    this.#isFirst = false;
    this.#unanswered++;
    way.stream.send(message);
  }

  /** @throws TributaryError that the coordinator answers with. */
  #hear({ member }: JoinResponse): void {
    if (member === undefined) return;
    const { errorCode, errorMessage, sequence, memberEpoch, heartbeatIntervalMs, assignment } = member;
    if (sequence > 0n) {
      this.#unanswered = Number(this.#sequence - sequence);
      if (errorCode === 0 || this.#leaving !== undefined) this.#settle(sequence);
    }
    if (this.#leaving !== undefined) return;
    if (errorCode !== 0) throw TributaryError.fromAnswer(errorCode, errorMessage);
    this.#isJoined = true;
    this.#epoch = memberEpoch;
    if (heartbeatIntervalMs > 0) this.#intervalMs = heartbeatIntervalMs;
    if (assignment !== undefined) this.#assigned(assignment);
  }

  #settle(sequence: bigint): void {
    if (sequence > this.#answered) this.#answered = sequence;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) {
      if (each.sequence <= this.#answered) each.answered();
      else this.#waiting.push(each);
    }
  }
}
