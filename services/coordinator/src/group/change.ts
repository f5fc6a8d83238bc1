// pure
/** What happens to groups, one change per record of the journal: the newest change of a key is the whole truth about it. */
import type { LeaderEpoch, Offset, PartitionIndex, TopicId } from '@tributary/model';

export interface GroupPartition {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
}

/** A partition that a member has, since a member epoch: commits of older ones are refused. */
export interface HeldPartition extends GroupPartition {
  readonly since: number;
}

export interface GroupFacts {
  readonly groupEpoch: number;
  /** Epoch for which the targets of its members were computed. */
  readonly assignmentEpoch: number;
  /** Wall clock, ms. */
  readonly createdMs: number;
  /** Since when it has no members, wall clock, ms; undefined: it has. */
  readonly emptySinceMs: number | undefined;
  readonly assignor: string;
  /** Why what a client-side assignor computed was refused; undefined: it was not. */
  readonly assignorError: string | undefined;
}

export interface MemberFacts {
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly host: string;
  readonly rack: string;
  readonly topics: readonly string[];
  readonly topicPattern: string | undefined;
  readonly assignor: string;
  readonly clientAssignors: readonly string[];
  readonly userData: Uint8Array;
  readonly sessionTimeoutMs: number;
  readonly maxPollIntervalMs: number;
  readonly memberEpoch: number;
  /** Of `assigned`. */
  readonly assignmentVersion: number;
  readonly assigned: readonly HeldPartition[];
  /** To be given up; nobody else gets them before (G5). */
  readonly revoking: readonly HeldPartition[];
  readonly target: readonly GroupPartition[];
  /** A static member's place, kept until it comes back or its session is over. */
  readonly away: boolean;
}

export interface CommitFacts {
  /** Of the next record to be read. */
  readonly offset: Offset;
  /** Of the last record read; undefined: unknown. */
  readonly leaderEpoch: LeaderEpoch | undefined;
  readonly metadata: string;
  /** Wall clock, ms. */
  readonly committedMs: number;
  /** '': from outside. */
  readonly memberId: string;
  /** The member's number of it (G4). */
  readonly sequence: bigint;
}

export type Change =
  | { readonly kind: 'group'; readonly groupId: string; readonly group: GroupFacts }
  | { readonly kind: 'group-gone'; readonly groupId: string }
  | { readonly kind: 'member'; readonly groupId: string; readonly memberId: string; readonly member: MemberFacts }
  | { readonly kind: 'member-gone'; readonly groupId: string; readonly memberId: string }
  | { readonly kind: 'offset'; readonly groupId: string; readonly place: GroupPartition; readonly commit: CommitFacts }
  | { readonly kind: 'offset-gone'; readonly groupId: string; readonly place: GroupPartition };
