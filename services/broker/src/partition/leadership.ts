// pure
/**
 * What a leader knows in one epoch of who is in sync: the committed ISR, which only the image changes, at most one proposal to change it, and what each
 * follower has acknowledged (R1, R3, R4, M4). See docs/adr/0008-replication.md.
 */
import {
  assert,
  type BrokerEpoch,
  type LeaderEpoch,
  type Millis,
  type NodeId,
  type Offset,
  offset,
  type PartitionEpoch,
} from '@tributary/model';

/** A leadership as the image has it. */
export interface LeaderTerm {
  readonly epoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly NodeId[];
  /** All that are assigned. */
  readonly replicas: readonly NodeId[];
  readonly minIsr: number;
}

/**
 * - `expanding`: its new members count for the high watermark from now on, and for nothing else.
 * - `shrinking`: those who are to leave count until the image says that they have left.
 * Either ends when the image shows a higher partition epoch, or by a refusal.
 */
export interface IsrChange {
  readonly kind: 'expanding' | 'shrinking';
  readonly isr: readonly NodeId[];
  /** That it would follow. */
  readonly partitionEpoch: PartitionEpoch;
}

/** Of one session of one follower; a later one replaces it. */
export interface AttachedFollower {
  readonly node: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  /** Unique at this leader, rising. */
  readonly attachment: number;
}

interface Follower {
  attached: AttachedFollower | undefined;
  /** Durable there in this epoch; undefined: it has not said so yet, or not since its last attach. */
  acknowledged: Offset | undefined;
  logStart: Offset;
  /** It had then what the leader's log had. */
  caughtUpMs: number;
  /** At some time, and where the leader's log ended then: once it has acknowledged that, it was caught up at that time. */
  markedMs: number;
  endMarked: Offset;
}

/** For those who watch. */
export interface FollowerFacts {
  readonly node: NodeId;
  readonly isInSync: boolean;
  readonly isAttached: boolean;
  readonly acknowledged: Offset | undefined;
}

export class Leadership {
  readonly epoch: LeaderEpoch;
  readonly #me: NodeId;
  #term: LeaderTerm;
  #startOffset: Offset;
  #proposal: IsrChange | undefined;
  #maximal: readonly NodeId[];
  readonly #followers = new Map<NodeId, Follower>();

  /** @param startOffset end of the log when the epoch began. @param now monotonic: from here on the members have their time to attach. */
  constructor(me: NodeId, term: LeaderTerm, startOffset: Offset, now: Millis) {
    this.#me = me;
    this.epoch = term.epoch;
    this.#term = term;
    this.#startOffset = startOffset;
    this.#maximal = term.isr;
    this.#know(now);
  }

  get startOffset(): Offset {
    return this.#startOffset;
  }

  /** Committed. */
  get isr(): readonly NodeId[] {
    return this.#term.isr;
  }

  get term(): LeaderTerm {
    return this.#term;
  }

  /** Committed, and proposed to be. */
  get maximalIsr(): readonly NodeId[] {
    return this.#maximal;
  }

  get proposal(): IsrChange | undefined {
    return this.#proposal;
  }

  /** What the image says now of the same epoch. */
  update(term: LeaderTerm, now: Millis): void {
    assert(term.epoch === this.epoch, 'another epoch is another leadership');
    // Never from a reply: that may be ahead of the image (M4).
    if (this.#proposal !== undefined && term.partitionEpoch > this.#proposal.partitionEpoch) this.#proposal = undefined;
    this.#term = term;
    this.#maximal = this.#proposal === undefined ? term.isr : union(term.isr, this.#proposal.isr);
    this.#know(now);
  }

  #know(now: Millis): void {
    for (const node of this.#followers.keys()) if (!this.#term.replicas.includes(node)) this.#followers.delete(node);
    for (const node of this.#term.replicas) {
      if (node === this.#me || this.#followers.has(node)) continue;
      this.#followers.set(node, {
        attached: undefined,
        acknowledged: undefined,
        logStart: offset(0n),
        caughtUpMs: now,
        markedMs: now,
        endMarked: offset(0n),
      });
    }
  }

  /** The log was cut after a failed write (R8 would else wait for offsets that nobody may ever write). */
  cut(end: Offset): void {
    if (this.#startOffset > end) this.#startOffset = end;
  }

  /** A session begins: what its replica said before counts no more (R1). @returns false: the replica is not assigned, or a newer session is there. */
  attach(attached: AttachedFollower): boolean {
    const follower = this.#followers.get(attached.node);
    if (follower === undefined) return false;
    const before = follower.attached;
    if (before !== undefined && before.brokerEpoch > attached.brokerEpoch) return false;
    follower.attached = attached;
    follower.acknowledged = undefined;
    return true;
  }

  detach(node: NodeId, attachment: number): void {
    const follower = this.#followers.get(node);
    if (follower?.attached?.attachment !== attachment) return;
    follower.attached = undefined;
    // It keeps what it acknowledged: it has it. Another incarnation attaches anew before anything of it counts.
  }

  isCurrent(node: NodeId, attachment: number): boolean {
    return this.#followers.get(node)?.attached?.attachment === attachment;
  }

  /**
   * @param end durable there. @param leaderEnd of the leader's log now.
   * @returns false: of a session that is over (R1).
   */
  acknowledge(
    node: NodeId,
    attachment: number,
    end: Offset,
    logStart: Offset,
    leaderEnd: Offset,
    now: Millis,
  ): boolean {
    const follower = this.#followers.get(node);
    if (follower?.attached?.attachment !== attachment) return false;
    follower.acknowledged = end;
    follower.logStart = logStart;
    if (end >= leaderEnd) follower.caughtUpMs = now;
    else if (end < follower.endMarked) return true;
    else follower.caughtUpMs = Math.max(follower.caughtUpMs, follower.markedMs);
    // Not before the last mark is reached: acknowledgements may follow each other faster than a record gets there and back.
    follower.markedMs = now;
    follower.endMarked = leaderEnd;
    return true;
  }

  /**
   * R3: how far all of the maximal ISR have it durably. @param own durable end of the leader.
   * @returns undefined: held, because somebody has not acknowledged in this epoch, or the committed ISR is too small.
   */
  committable(own: Offset): Offset | undefined {
    if (this.#term.isr.length < this.#term.minIsr) return undefined;
    let least = own;
    for (const node of this.#maximal) {
      if (node === this.#me) continue;
      const acknowledged = this.#followers.get(node)?.acknowledged;
      if (acknowledged === undefined) return undefined;
      if (acknowledged < least) least = acknowledged;
    }
    return least;
  }

  /** How far every assigned replica has it (L5). */
  passedByAll(own: Offset): Offset {
    let least = own;
    for (const follower of this.#followers.values()) {
      const acknowledged = follower.acknowledged ?? offset(0n);
      if (acknowledged < least) least = acknowledged;
    }
    return least;
  }

  /** L4: every member of the ISR has this log start, or a later one. */
  isStartKnown(start: Offset): boolean {
    return this.#maximal.every((node) => {
      if (node === this.#me) return true;
      const follower = this.#followers.get(node);
      return follower?.acknowledged !== undefined && follower.logStart >= start;
    });
  }

  /**
   * The change of the ISR that is due; the caller makes it known by {@link propose}. Who leaves comes first: acknowledgements wait for it.
   * @param eligible whether the controller would admit this incarnation, as far as the image says.
   * @param logStart of the leader: what a follower holds below it was compared with nobody's (R2), and goes before it joins (L4).
   */
  due(
    highWatermark: Offset,
    leaderEnd: Offset,
    now: Millis,
    lagMsMax: number,
    eligible: (follower: AttachedFollower) => boolean,
    logStart = offset(0n),
  ): IsrChange | undefined {
    if (this.#proposal !== undefined) return undefined;
    const { isr, partitionEpoch } = this.#term;
    const late = isr.filter((node) => node !== this.#me && this.#isLate(node, leaderEnd, now, lagMsMax));
    if (late.length > 0) {
      return { kind: 'shrinking', isr: isr.filter((node) => !late.includes(node)), partitionEpoch };
    }
    const least = highWatermark > this.#startOffset ? highWatermark : this.#startOffset;
    const joining: NodeId[] = [];
    for (const [node, { attached, acknowledged, logStart: itsStart }] of this.#followers) {
      if (isr.includes(node) || attached === undefined || acknowledged === undefined || itsStart < logStart) continue;
      // R4: below either it may lack what was committed, in this epoch or before it.
      if (acknowledged >= least && eligible(attached)) joining.push(node);
    }
    return joining.length === 0 ? undefined : { kind: 'expanding', isr: [...isr, ...joining], partitionEpoch };
  }

  #isLate(node: NodeId, leaderEnd: Offset, now: Millis, lagMsMax: number): boolean {
    const follower = this.#followers.get(node);
    if (follower === undefined) return true;
    const hasAll =
      follower.attached !== undefined && follower.acknowledged !== undefined && follower.acknowledged >= leaderEnd;
    if (hasAll) follower.caughtUpMs = now;
    return now - follower.caughtUpMs > lagMsMax;
  }

  /** From now on until the image or a refusal ends it, the maximal ISR counts (M4). */
  propose(change: IsrChange): void {
    assert(this.#proposal === undefined, 'one proposal at a time (M4)');
    this.#proposal = change;
    this.#maximal = union(this.#term.isr, change.isr);
  }

  /** For ever: no copy of it will be decided (M4). */
  refused(change: IsrChange): void {
    if (this.#proposal !== change) return;
    this.#proposal = undefined;
    this.#maximal = this.#term.isr;
  }

  /** The incarnation of a follower as its session named it. */
  attachedEpoch(node: NodeId): BrokerEpoch | undefined {
    return this.#followers.get(node)?.attached?.brokerEpoch;
  }

  *followers(): Generator<FollowerFacts> {
    for (const [node, { attached, acknowledged }] of this.#followers) {
      yield { node, isInSync: this.#term.isr.includes(node), isAttached: attached !== undefined, acknowledged };
    }
  }
}

function union(committed: readonly NodeId[], proposed: readonly NodeId[]): readonly NodeId[] {
  return [...committed, ...proposed.filter((node) => !committed.includes(node))];
}
