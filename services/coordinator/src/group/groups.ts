// pure
/**
 * All groups of one shard: what its journal says. {@link Groups.apply} is the only mutator; everything else reads, and says what is to change.
 *
 *   const decision = groups.member(request, { wallMs, topics });
 *   for (const change of decision.changes) { groups.apply(change); sessions.apply(change, now); }   // staged: the next decision sees them
 *   if (decision.reply.kind === 'ok') sessions.heard(…);
 *   … append them as one batch; once acknowledged: answer decision.reply, push decision.toTell
 */
import type { TopicId } from '@tributary/model';
import type { Change } from './change.ts';
import type {
  Circumstances,
  CommitRequest,
  Decision,
  Expired,
  FetchRequest,
  FetchedOffset,
  GroupListing,
  GroupSnapshot,
  MemberAnswer,
  MemberRequest,
  OffsetVerdict,
  Reply,
  Task,
} from './decision.ts';
import type { GroupPartition } from './change.ts';
import type { GroupSettings } from './settings.ts';
import type { CompilePattern, TopicView } from './topic-view.ts';

export interface GroupsOptions {
  readonly settings: GroupSettings;
  readonly compile: CompilePattern;
}

export declare class Groups {
  constructor(options: GroupsOptions);
  apply(change: Change): void;
  /** Joins, signs of life, leaving, tasks. */
  member(request: MemberRequest, at: Circumstances): Decision<MemberAnswer>;
  /** What a member that need not ask would be told now: for the first answer of a stream. */
  answer(groupId: string, memberId: string): Reply<MemberAnswer>;
  /** What a client-side assignor is to compute; undefined: nothing. */
  task(groupId: string, topics: TopicView): Task | undefined;
  /** Fences who is over, by `Sessions.expired`. */
  expired(expired: Expired, at: Circumstances): Decision<undefined>;
  /** Groups that a change of these topics may concern. */
  concernedBy(names: ReadonlySet<string>, ids: ReadonlySet<TopicId>): readonly string[];
  /** Topics have come, grown or gone. */
  topicsChanged(groupId: string, at: Circumstances): Decision<undefined>;
  /** Takes back what has expired (G6); for each group, now and then. */
  sweep(groupId: string, at: Circumstances): Decision<undefined>;
  commit(request: CommitRequest, at: Circumstances): Decision<readonly OffsetVerdict[]>;
  fetchOffsets(request: FetchRequest): Reply<readonly FetchedOffset[]>;
  deleteOffsets(
    groupId: string,
    partitions: readonly GroupPartition[],
    at: Circumstances,
  ): Decision<readonly OffsetVerdict[]>;
  deleteGroup(groupId: string): Decision<undefined>;
  describe(groupId: string): Reply<GroupSnapshot>;
  list(): readonly GroupListing[];
  ids(): Iterable<string>;
  has(groupId: string): boolean;
}
