// pure
/** What groups are asked, and what they decide. */
import type { ErrorName, LeaderEpoch, Offset, TopicId } from '@tributary/model';
import type { Change, CommitFacts, GroupFacts, GroupPartition, MemberFacts } from './change.ts';
import type { TopicView } from './topic-view.ts';

/** When and upon which topics a decision is made. */
export interface Circumstances {
  /** Wall clock, ms. */
  readonly wallMs: number;
  readonly topics: TopicView;
}

export interface Refusal {
  readonly kind: 'refused';
  readonly error: ErrorName;
  /** One sentence: what, which, what to do. */
  readonly message: string;
}

export type Reply<T> = { readonly kind: 'ok'; readonly value: T } | Refusal;

/**
 * `changes` become one batch of the journal, in this order: half of them would not be a state that anybody decided. The shell applies them
 * before it asks for the next decision, and holds back `reply` and `toTell` until they are acknowledged.
 */
export interface Decision<T> {
  readonly changes: readonly Change[];
  readonly reply: Reply<T>;
  /** Members beside the one that asked whose answer is another now. */
  readonly toTell: readonly Told[];
}

export interface Told {
  readonly groupId: string;
  readonly memberId: string;
  /** Refused: the membership is over. */
  readonly answer: Reply<MemberAnswer>;
}

export interface MemberAnswer {
  readonly memberId: string;
  /** Epoch, assignment and its version, timeouts. After a leave what the member was; undefined: it was none. */
  readonly member: MemberFacts | undefined;
  /** Group epoch of the assignment that this member is to compute; `Groups.task` has the task itself. undefined: none. */
  readonly taskEpoch: number | undefined;
}

export interface MemberRequest {
  readonly groupId: string;
  readonly memberId: string;
  /** 0: joins; −1: leaves; −2: leaves a static member's place to whoever comes back for it. */
  readonly memberEpoch: number;
  readonly appliedVersion: number;
  readonly subscription: Subscription | undefined;
  readonly computed: Computed | undefined;
  /** Of the connection, for those who look at the group. */
  readonly clientId: string;
  readonly host: string;
}

export interface Subscription {
  /** '' stands for none here and below, 0 for the coordinator's default: as on the wire. */
  readonly instanceId: string;
  readonly topics: readonly string[];
  readonly topicPattern: string;
  readonly assignor: string;
  readonly clientAssignors: readonly string[];
  /** Kept: not a view of a buffer that is used again. */
  readonly userData: Uint8Array;
  readonly rack: string;
  readonly sessionTimeoutMs: number;
  readonly maxPollIntervalMs: number;
}

/** A client-side assignor's answer. */
export interface Computed {
  readonly groupEpoch: number;
  readonly members: readonly { readonly memberId: string; readonly partitions: readonly GroupPartition[] }[];
  /** Why it cannot be computed; '': it was. */
  readonly errorMessage: string;
}

/** What a client-side assignor is given. */
export interface Task {
  readonly groupEpoch: number;
  /** Without `client:`. */
  readonly assignor: string;
  readonly members: readonly TaskMember[];
  readonly topics: readonly { readonly topicId: TopicId; readonly name: string; readonly partitions: number }[];
}

export interface TaskMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly rack: string;
  readonly topicIds: readonly TopicId[];
  readonly userData: Uint8Array;
  /** Of the target in force. */
  readonly assigned: readonly GroupPartition[];
}

/** Whose time is over, by `Sessions.expired`. */
export interface Expired {
  readonly groupId: string;
  readonly members: readonly { readonly memberId: string; readonly why: WhyExpired }[];
  /** The task of a client-side assignor is overdue. */
  readonly task: boolean;
}

/** No sign of life; not polled; partitions not given up in time. */
export type WhyExpired = 'session' | 'poll' | 'revocation';

export interface CommitRequest {
  readonly groupId: string;
  /** '': from outside. */
  readonly memberId: string;
  readonly memberEpoch: number;
  /** 0: none. */
  readonly sequence: bigint;
  readonly validateOnly: boolean;
  readonly offsets: readonly OffsetToCommit[];
}

export interface OffsetToCommit {
  readonly place: GroupPartition;
  readonly offset: Offset;
  readonly leaderEpoch: LeaderEpoch | undefined;
  readonly metadata: string;
  /** End of the partition's log, where the shell knows it: no commit lies beyond. */
  readonly logEnd: Offset | undefined;
}

/** Of one partition: done, or why not. */
export type OffsetVerdict = Reply<undefined>;

export interface FetchRequest {
  readonly groupId: string;
  /** Empty: all. */
  readonly partitions: readonly GroupPartition[];
  /** '': not of a member. */
  readonly memberId: string;
  readonly memberEpoch: number;
}

export interface FetchedOffset {
  readonly place: GroupPartition;
  readonly commit: CommitFacts | undefined;
}

export type GroupPhase = 'empty' | 'assigning' | 'reconciling' | 'stable';

export interface GroupListing {
  readonly groupId: string;
  readonly phase: GroupPhase;
  readonly members: number;
  readonly assignor: string;
}

/** A snapshot: later changes do not reach it. */
export interface GroupSnapshot {
  readonly groupId: string;
  readonly phase: GroupPhase;
  readonly group: GroupFacts;
  readonly members: readonly { readonly memberId: string; readonly member: MemberFacts }[];
  readonly commits: readonly FetchedOffset[];
  /** Wall clock, ms; undefined: it has members. */
  readonly expiresMs: number | undefined;
}

const noChanges: readonly Change[] = [];
const nobody: readonly Told[] = [];
const done: Reply<undefined> = { kind: 'ok', value: undefined };

export function refusal(error: ErrorName, message: string): Refusal {
  return { kind: 'refused', error, message };
}

export function accepted<T>(value: T): Reply<T> {
  return { kind: 'ok', value };
}

/** Nothing to be said beside that it is done. */
export function nothingToSay(): Reply<undefined> {
  return done;
}

/** A decision that changes nothing. */
export function unchanged<T>(reply: Reply<T>): Decision<T> {
  return { changes: noChanges, reply, toTell: nobody };
}
