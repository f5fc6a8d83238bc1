// pure
/**
 * One membership of a group, as the member sees it: what it asks the coordinator, and what the answers make of it. Answers may come late, twice or in
 * another order; whoever was fenced begins another membership, under another id.
 */
import { errorName, errorTable, limits, TributaryError } from '@tributary/model';
import type { AssignmentTask, MemberResponse } from '@tributary/wire';

export interface GroupPartition {
  readonly topicId: string;
  readonly partition: number;
}

export const keyOf = ({ topicId, partition }: GroupPartition): string => `${topicId}/${partition}`;

/** What the next request says, beside the subscription. */
export interface Sign {
  readonly memberId: string;
  readonly memberEpoch: number;
  readonly appliedVersion: bigint;
  readonly sequence: bigint;
  /** The subscription is to go with it. */
  readonly isWhole: boolean;
}

/** What an answer has changed. */
export type Outcome =
  /** Nothing: it is older than another one, or of another membership. */
  | { readonly kind: 'nothing' }
  /** The member is in, or still is. `changed`: the assignment is another. */
  | { readonly kind: 'heard'; readonly changed: boolean; readonly task: AssignmentTask | undefined }
  /** Somebody else knows better: look the coordinator up. The membership goes on. */
  | { readonly kind: 'look-up'; readonly error: TributaryError }
  /** Fenced: everything is lost. */
  | { readonly kind: 'over'; readonly error: TributaryError }
  /** The coordinator does not do what was asked; the membership, if there is one, goes on. */
  | { readonly kind: 'refused'; readonly error: TributaryError };

const nothing: Outcome = { kind: 'nothing' };

export class Membership {
  readonly memberId: string;
  #epoch = 0;
  #sequence = 0n;
  /** Of the newest request that was answered. */
  #answered = 0n;
  /** When the requests that are not answered were sent, on the monotonic clock, ms; oldest first. */
  readonly #sent = new Map<bigint, number>();
  #version = 0n;
  #applied = 0n;
  #assigned: ReadonlyMap<string, GroupPartition> = new Map();
  #intervalMs: number = limits.memberHeartbeatMs;
  #sessionTimeoutMs: number;
  /** When the newest request that was answered was sent (G3). */
  #provenAt: number | undefined;
  #lastSentAt = Number.NEGATIVE_INFINITY;
  #isUrgent = true;
  #isWhole = true;
  #over = false;

  constructor(memberId: string, sessionTimeoutMs: number) {
    this.memberId = memberId;
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  /** 0: it has not been taken in yet. */
  get epoch(): number {
    return this.#epoch;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Of the newest assignment. */
  get version(): bigint {
    return this.#version;
  }

  /** All that the newest assignment gives, by `keyOf`. */
  get assigned(): ReadonlyMap<string, GroupPartition> {
    return this.#assigned;
  }

  /** On the monotonic clock, ms: until then nobody else can have its partitions (G3). */
  get ownsUntil(): number {
    return this.#provenAt === undefined ? Number.NEGATIVE_INFINITY : this.#provenAt + this.#sessionTimeoutMs;
  }

  /** On the monotonic clock, ms: when the next request is due. */
  get dueAt(): number {
    return this.#isUrgent ? Number.NEGATIVE_INFINITY : this.#lastSentAt + this.#intervalMs;
  }

  /** On the monotonic clock, ms: since when the coordinator owes an answer; undefined: it owes none. */
  get unansweredSince(): number | undefined {
    for (const at of this.#sent.values()) return at;
    return undefined;
  }

  /** How long an answer may take before another connection is tried, ms. */
  get patienceMs(): number {
    return Math.min(Math.max(2 * this.#intervalMs, limits.memberPatienceMs), this.#sessionTimeoutMs / 2);
  }

  /** A new stream: what is unanswered will not be, and the first request says everything. */
  streamOpened(): void {
    this.#sent.clear();
    this.#isUrgent = true;
    this.#isWhole = true;
  }

  /** What the member wants has changed. */
  subscriptionChanged(): void {
    this.#isWhole = true;
    this.#isUrgent = true;
  }

  /** The coordinator has refused what the member wants: it is said again, when the next request is due. */
  repeat(): void {
    this.#isWhole = true;
  }

  /** There is something to say that should not wait. */
  hurry(): void {
    this.#isUrgent = true;
  }

  /** The member has given up all that this version does not give it (G5). */
  carriedOut(version: bigint): void {
    if (version <= this.#applied) return;
    this.#applied = version;
    this.#isUrgent = true;
  }

  /** The next request. @param now on the monotonic clock, ms: when it is sent. */
  sign(now: number): Sign {
    this.#sequence++;
    this.#sent.set(this.#sequence, now);
    this.#lastSentAt = now;
    const isWhole = this.#isWhole;
    this.#isUrgent = false;
    this.#isWhole = false;
    return {
      memberId: this.memberId,
      memberEpoch: this.#epoch,
      appliedVersion: this.#applied,
      sequence: this.#sequence,
      isWhole,
    };
  }

  take(answer: MemberResponse): Outcome {
    if (this.#over || (answer.memberId !== '' && answer.memberId !== this.memberId)) return nothing;
    if (answer.sequence > this.#sequence) return nothing;
    const isOlder = answer.sequence > 0n && answer.sequence <= this.#answered;
    if (isOlder) return nothing;
    if (answer.errorCode !== 0) return this.#refused(answer);
    this.#settle(answer.sequence, true);
    if (answer.heartbeatIntervalMs > 0) this.#intervalMs = answer.heartbeatIntervalMs;
    if (answer.sessionTimeoutMs > 0) this.#sessionTimeoutMs = answer.sessionTimeoutMs;
    // Epochs and versions only rise: what a push has told meanwhile, an answer that was made before it does not take back.
    if (answer.memberEpoch > this.#epoch) this.#epoch = answer.memberEpoch;
    const { assignment } = answer;
    const changed = assignment !== undefined && assignment.version > this.#version;
    if (changed) {
      this.#version = assignment.version;
      this.#assigned = new Map(
        assignment.partitions.map(({ topicId, partition }) => {
          const place = { topicId, partition };
          return [keyOf(place), place];
        }),
      );
    }
    return { kind: 'heard', changed, task: answer.task };
  }

  #refused(answer: MemberResponse): Outcome {
    const error = TributaryError.fromAnswer(answer.errorCode, answer.errorMessage);
    switch (errorName(answer.errorCode)) {
      case 'UNKNOWN_MEMBER_ID':
      case 'FENCED_MEMBER_EPOCH':
      case 'FENCED_INSTANCE_ID':
        this.#over = true;
        this.#sent.clear();
        return { kind: 'over', error };
      default:
        this.#settle(answer.sequence, false);
        return { kind: errorTable[error.error].retriable ? 'look-up' : 'refused', error };
    }
  }

  /** @param proves the coordinator counts the member as alive since then. */
  #settle(sequence: bigint, proves: boolean): void {
    if (sequence === 0n) return;
    this.#answered = sequence;
    for (const [other, sentAt] of this.#sent) {
      if (other > sequence) break;
      this.#sent.delete(other);
      if (proves && other === sequence) this.#provenAt = Math.max(sentAt, this.#provenAt ?? sentAt);
    }
  }
}
