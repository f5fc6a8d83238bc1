// pure
/**
 * All groups of one shard: what its journal says. {@link Groups.apply} is the only mutator; everything else reads, and says what is to change.
 *
 *   const decision = groups.member(request, { wallMs, topics });
 *   for (const change of decision.changes) { groups.apply(change); sessions.apply(change, now); }   // staged: the next decision sees them
 *   if (decision.reply.kind === 'ok') sessions.heard(…);
 *   … append them as one batch; once acknowledged: answer decision.reply, push decision.toTell
 */
import { limits } from '@tributary/model';
import type { TopicId } from '@tributary/model';
import { refusedEpoch, refusedGroupId, refusedMemberId } from './accepted-subscription.ts';
import type { Change, GroupPartition } from './change.ts';
import { decideCommit, decideDeleteOffsets, fetchCommits, noGroup } from './commits.ts';
import {
  type Circumstances,
  type CommitRequest,
  type Decision,
  type Expired,
  type FetchRequest,
  type FetchedOffset,
  type GroupListing,
  type GroupSnapshot,
  type MemberAnswer,
  type MemberRequest,
  type OffsetVerdict,
  type Reply,
  type Task,
  accepted,
  nothingToSay,
  refusal,
  unchanged,
} from './decision.ts';
import { expiredCommits, orphans, removal } from './expiry.ts';
import { Group } from './group.ts';
import {
  answered,
  current,
  decideExpired,
  decideMember,
  decideTopics,
  type Rules,
  unknownMember,
} from './membership.ts';
import type { GroupSettings } from './settings.ts';
import { listingOf, snapshotOf } from './snapshot.ts';
import { Subscriptions } from './subscriptions.ts';
import { assignedMembers, taskOf, workerOf } from './targets.ts';
import type { CompilePattern, TopicView } from './topic-view.ts';

export interface GroupsOptions {
  readonly settings: GroupSettings;
  readonly compile: CompilePattern;
}

export class Groups {
  readonly #groups = new Map<string, Group>();
  readonly #rules: Rules;
  /** Instance ids of members that went, so that those whose place was taken hear why; not in the journal. */
  readonly #gone = new Map<string, string>();

  constructor({ settings, compile }: GroupsOptions) {
    this.#rules = { settings, subscriptions: new Subscriptions(compile) };
  }

  apply(change: Change): void {
    const { groupId } = change;
    let group = this.#groups.get(groupId);
    if (group === undefined) {
      group = new Group(groupId);
      this.#groups.set(groupId, group);
    }
    if (change.kind === 'member-gone') this.#remember(change.memberId, group.members.get(change.memberId)?.instanceId);
    group.apply(change);
    if (group.empty) this.#groups.delete(groupId);
  }

  /** Joins, signs of life, leaving, tasks. */
  member(request: MemberRequest, at: Circumstances): Decision<MemberAnswer> {
    const { groupId, memberId, memberEpoch } = request;
    const refused = refusedGroupId(groupId) ?? refusedMemberId(memberId) ?? refusedEpoch(memberEpoch);
    if (refused !== undefined) return unchanged(refused);
    const group = this.#groups.get(groupId);
    return decideMember(group, request, this.#replaced(group, memberId), this.#rules, at);
  }

  /** What a member would be told now, unasked. */
  answer(groupId: string, memberId: string): Reply<MemberAnswer> {
    const group = this.#groups.get(groupId);
    const member = group?.members.get(memberId);
    if (group === undefined || member === undefined) return unknownMember(memberId, groupId);
    return current(group, memberId, member);
  }

  /** What a client-side assignor is to compute; undefined: nothing. */
  task(groupId: string, topics: TopicView): Task | undefined {
    const group = this.#groups.get(groupId);
    if (group?.facts === undefined || workerOf(group.facts, group.members) === undefined) return undefined;
    const members = [...group.members].sort(([a], [b]) => (a < b ? -1 : 1));
    const assigned = assignedMembers(members, this.#rules.subscriptions, { wallMs: 0, topics });
    return taskOf(group.facts.groupEpoch, group.facts.assignor, assigned, members);
  }

  /** Fences who is over, by `Sessions.expired`. */
  expired(expired: Expired, at: Circumstances): Decision<undefined> {
    const group = this.#groups.get(expired.groupId);
    return group === undefined ? unchanged(nothingToSay()) : decideExpired(group, expired, this.#rules, at);
  }

  /** Groups that a change of these topics may concern. */
  concernedBy(names: ReadonlySet<string>, ids: ReadonlySet<TopicId>): readonly string[] {
    const found: string[] = [];
    for (const group of this.#groups.values()) {
      if (this.#concerns(group, names, ids)) found.push(group.id);
    }
    return found;
  }

  /** Topics have come, grown or gone. What was committed of those that are gone goes too (G6). */
  topicsChanged(groupId: string, at: Circumstances): Decision<undefined> {
    const group = this.#groups.get(groupId);
    if (group === undefined) return unchanged(nothingToSay());
    const gone: Change[] = orphans(group, at).map((place) => ({ kind: 'offset-gone', groupId, place }));
    const draft = decideTopics(group, this.#rules, at);
    if (draft === undefined) return { changes: gone, reply: nothingToSay(), toTell: [] };
    const { changes, toTell } = answered(draft, '');
    return { changes: [...gone, ...changes], reply: nothingToSay(), toTell };
  }

  /** Takes back what has expired (G6); for each group, now and then. */
  sweep(groupId: string, at: Circumstances): Decision<undefined> {
    const group = this.#groups.get(groupId);
    if (group === undefined) return unchanged(nothingToSay());
    const places = new Set(orphans(group, at));
    const orphaned = new Set([...places].map(({ topicId }) => topicId));
    for (const place of expiredCommits(group, this.#rules.settings, at)) {
      if (!orphaned.has(place.topicId)) places.add(place);
    }
    const idle = group.facts !== undefined && group.members.size === 0 && places.size === group.commits.size;
    if (idle) return { changes: removal(group, places), reply: nothingToSay(), toTell: [] };
    const changes: Change[] = [...places].map((place) => ({ kind: 'offset-gone', groupId, place }));
    return { changes, reply: nothingToSay(), toTell: [] };
  }

  commit(request: CommitRequest, at: Circumstances): Decision<readonly OffsetVerdict[]> {
    const refused = refusedGroupId(request.groupId);
    if (refused !== undefined) return unchanged(refused);
    return decideCommit(this.#groups.get(request.groupId), request, this.#rules.settings, at);
  }

  fetchOffsets(request: FetchRequest): Reply<readonly FetchedOffset[]> {
    return refusedGroupId(request.groupId) ?? fetchCommits(this.#groups.get(request.groupId), request);
  }

  /** Of partitions that no member has or is to have. */
  deleteOffsets(groupId: string, partitions: readonly GroupPartition[]): Decision<readonly OffsetVerdict[]> {
    const refused = refusedGroupId(groupId);
    if (refused !== undefined) return unchanged(refused);
    return decideDeleteOffsets(this.#groups.get(groupId), groupId, partitions);
  }

  /** Of a group without members. */
  deleteGroup(groupId: string): Decision<undefined> {
    const group = this.#groups.get(groupId);
    const refused = refusedGroupId(groupId);
    if (refused !== undefined) return unchanged(refused);
    if (group === undefined) return unchanged(noGroup(groupId));
    if (group.members.size > 0) {
      return unchanged(
        refusal('NON_EMPTY_GROUP', `Group "${groupId}" has ${group.members.size} members: stop them first.`),
      );
    }
    const places = [...group.commits.entries()].map(([place]) => place);
    return { changes: removal(group, places), reply: nothingToSay(), toTell: [] };
  }

  describe(groupId: string): Reply<GroupSnapshot> {
    const group = this.#groups.get(groupId);
    const snapshot = group && snapshotOf(group, this.#rules.settings);
    return refusedGroupId(groupId) ?? (snapshot === undefined ? noGroup(groupId) : accepted(snapshot));
  }

  list(): readonly GroupListing[] {
    return [...this.#groups.values()].map(listingOf);
  }

  ids(): Iterable<string> {
    return this.#groups.keys();
  }

  has(groupId: string): boolean {
    return this.#groups.has(groupId);
  }

  #concerns(group: Group, names: ReadonlySet<string>, ids: ReadonlySet<TopicId>): boolean {
    for (const id of ids) {
      if (group.commits.hasTopic(id) || group.wanted.hasTopic(id) || group.holders.hasTopic(id)) return true;
    }
    for (const { topics, topicPattern } of group.members.values()) {
      if (topics.some((name) => names.has(name))) return true;
      if (topicPattern === undefined) continue;
      for (const name of names) if (this.#rules.subscriptions.matches(topicPattern, name)) return true;
    }
    return false;
  }

  #remember(memberId: string, instanceId: string | undefined): void {
    if (instanceId === undefined) return;
    const [oldest] = this.#gone.keys();
    if (this.#gone.size >= limits.groupReplacedMembers && oldest !== undefined) this.#gone.delete(oldest);
    this.#gone.set(memberId, instanceId);
  }

  /** The instance id under which somebody else is there now. */
  #replaced(group: Group | undefined, memberId: string): string | undefined {
    const instanceId = this.#gone.get(memberId);
    return instanceId !== undefined && group?.instances.has(instanceId) === true ? instanceId : undefined;
  }
}
