// pure
/** What a leader makes of a follower that attaches: do both logs tell the same story up to the follower's end? (R2, L4, L5, P3) */
import { type LeaderEpoch, leaderEpoch, type Offset } from '@tributary/model';

export interface LeadersLog {
  readonly startOffset: Offset;
  readonly endOffset: Offset;
  /** Whoever holds less than this may lack a tombstone, unless it took that over with what it holds. */
  readonly tombstonesGone: Offset;
  /** The newest epoch that is not newer, and where it ends. */
  endOffsetFor(epoch: LeaderEpoch): { readonly epoch: LeaderEpoch; readonly end: Offset } | undefined;
}

export interface FollowersLog {
  /** undefined: no epoch is known there. */
  readonly lastEpoch: LeaderEpoch | undefined;
  readonly startOffset: Offset;
  readonly endOffset: Offset;
  readonly tombstonesGone: Offset;
  readonly needsRestart: boolean;
}

export type AttachVerdict =
  | { readonly kind: 'agreed' }
  /** The follower cuts to `end`, or to its own end of `epoch` if that is lower, and attaches again. */
  | { readonly kind: 'diverges'; readonly epoch: LeaderEpoch; readonly end: Offset }
  /** The follower begins anew where the leader's log does. */
  | { readonly kind: 'restart' };

const beforeAll = leaderEpoch(-1);

export function compareHistories(leader: LeadersLog, follower: FollowersLog): AttachVerdict {
  const { startOffset, endOffset: end, lastEpoch } = follower;
  if (follower.needsRestart || end < leader.startOffset) return { kind: 'restart' };
  const isEmpty = end === startOffset;
  // What it holds below the horizon could name keys whose deletion it will never hear of (L5).
  const lacksTombstones = end < leader.tombstonesGone && follower.tombstonesGone < leader.tombstonesGone;
  if (lacksTombstones && !isEmpty) return { kind: 'restart' };
  if (lastEpoch === undefined) {
    // Cut as far as it goes, it says nothing of what lies below: an unclean election may have put that, and where batches begin, another way.
    if (isEmpty && startOffset > leader.startOffset) return { kind: 'restart' };
    if (end <= leader.endOffset) return { kind: 'agreed' };
    return { kind: 'diverges', epoch: beforeAll, end: leader.endOffset };
  }
  const common = leader.endOffsetFor(lastEpoch);
  // A leader has begun its own epoch, which is newer than whatever a follower's log may hold.
  if (common === undefined) return { kind: 'restart' };
  if (common.epoch === lastEpoch && end <= common.end) return { kind: 'agreed' };
  return { kind: 'diverges', epoch: common.epoch, end: common.end };
}

/** Where a follower cuts its log after `diverges`; below its start, nothing of it stays. @param own its history. */
export function cutAt(
  verdict: { readonly epoch: LeaderEpoch; readonly end: Offset },
  own: Pick<LeadersLog, 'endOffset' | 'endOffsetFor'>,
): Offset {
  const mine = own.endOffsetFor(verdict.epoch)?.end ?? own.endOffset;
  return mine < verdict.end ? mine : verdict.end;
}
