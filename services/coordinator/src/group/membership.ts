// pure
/**
 * Members of one group. What a request does, by what its member is:
 *
 *   member is        join (epoch 0)                 sign of life                     −1 leaves            −2 leaves its place
 *   absent           joins: epoch +1, all anew      UNKNOWN_MEMBER_ID; of a place    done                 done
 *                                                   that was taken FENCED_INSTANCE_ID
 *   settled          answered again; another        answered                         goes: epoch +1,      away (static), else as −1
 *                    subscription: epoch +1                                          all anew
 *   revoking         the same                       names its version: what it gave  the same: what it    the same: what it had to
 *                                                   up is free, it gets its share    had is free          give up is free
 *   waiting          the same                       answered; gets what others free  the same             the same
 *   away             UNKNOWN_MEMBER_ID              UNKNOWN_MEMBER_ID                goes                 done
 *
 * A join whose instance id a member has takes that one's place under the new id; the older one is over. An epoch below the member's own is an
 * answer that was lost or overtaken, and is answered with what holds now; one above it is of a history that is gone (FENCED_MEMBER_EPOCH).
 * A group with a client-side assignor waits for its targets at its assignment epoch; everybody keeps what is still theirs.
 */
import type { MemberFacts } from './change.ts';
import {
  type Circumstances,
  type Computed,
  type Decision,
  type Expired,
  type MemberAnswer,
  type MemberRequest,
  type Refusal,
  type WhyExpired,
  accepted,
  nothingToSay,
  refusal,
  unchanged,
} from './decision.ts';
import { Draft } from './draft.ts';
import { Group } from './group.ts';
import { reconcileAll, reconcileFreed, release, retarget } from './reconcile.ts';
import type { GroupSettings } from './settings.ts';
import { otherwiseAssigned, sameWishes, type Wishes, wishesOf } from './accepted-subscription.ts';
import type { Subscriptions } from './subscriptions.ts';
import {
  assign,
  assignedMembers,
  assignorOf,
  checkComputed,
  clientAssignor,
  defaultAssignor,
  incomplete,
  workerOf,
} from './targets.ts';

/** What deciding about members needs beside the group. */
export interface Rules {
  readonly settings: GroupSettings;
  readonly subscriptions: Subscriptions;
}

export function unknownMember(id: string, groupId: string): Refusal {
  return refusal(
    'UNKNOWN_MEMBER_ID',
    `${id} is no member of group "${groupId}" (any more): join under a new member id.`,
  );
}

/** @param replaced the instance whose place the member had, when somebody else has it now. */
export function decideMember(
  group: Group | undefined,
  request: MemberRequest,
  replaced: string | undefined,
  rules: Rules,
  at: Circumstances,
): Decision<MemberAnswer> {
  const { groupId, memberId, memberEpoch } = request;
  const member = group?.members.get(memberId);
  if (memberEpoch < 0) return leave(group, request, rules, at);
  if (member === undefined) {
    if (replaced !== undefined) return unchanged(fencedInstance(memberId, replaced));
    if (memberEpoch !== 0) return unchanged(unknownMember(memberId, groupId));
    return join(group ?? new Group(groupId), request, rules, at);
  }
  if (member.away) return unchanged(unknownMember(memberId, groupId));
  return signOfLife(group as Group, member, request, rules, at);
}

function join(group: Group, request: MemberRequest, rules: Rules, at: Circumstances): Decision<MemberAnswer> {
  const { groupId, memberId, subscription } = request;
  if (subscription === undefined) {
    return unchanged(refusal('INVALID_REQUEST', `${memberId} joins group "${groupId}" without saying to what.`));
  }
  const wishes = wishesOf(subscription, request, rules.settings, rules.subscriptions);
  if ('kind' in wishes) return unchanged(wishes);
  const draft = draftOf(group, at);
  const place = wishes.instanceId === undefined ? undefined : group.instances.get(wishes.instanceId);
  const older = place === undefined ? undefined : group.members.get(place);
  if (place !== undefined && older !== undefined) {
    takePlace(draft, place, older, memberId, wishes, rules, at);
    return answered(draft, memberId);
  }
  if (group.members.size >= rules.settings.membersMax) {
    return unchanged(
      refusal(
        'GROUP_MAX_SIZE_REACHED',
        `Group "${groupId}" has ${group.members.size} members; at most ${rules.settings.membersMax} are allowed.`,
      ),
    );
  }
  const { assignmentEpoch } = draft.facts;
  draft.set(memberId, {
    ...wishes,
    memberEpoch: assignmentEpoch,
    assignmentVersion: 1,
    assigned: [],
    revoking: [],
    target: [],
    away: false,
  });
  assignAnew(draft, rules, at);
  return answered(draft, memberId);
}

/** What the older one had stays where it is; what it was giving up is free, as it is over. */
function takePlace(
  draft: Draft,
  olderId: string,
  older: MemberFacts,
  memberId: string,
  wishes: Wishes,
  rules: Rules,
  at: Circumstances,
): void {
  const { error, message } = fencedInstance(olderId, wishes.instanceId ?? '');
  draft.remove(olderId, older.away ? undefined : [error, message]);
  draft.set(memberId, {
    ...older,
    ...wishes,
    assignmentVersion: older.assignmentVersion + 1,
    revoking: [],
    away: false,
  });
  if (otherwiseAssigned(older, wishes)) {
    assignAnew(draft, rules, at);
    return;
  }
  reconcileFreed(draft, older.revoking, memberId);
}

function fencedInstance(memberId: string, instanceId: string): Refusal {
  return refusal(
    'FENCED_INSTANCE_ID',
    `Another member has taken the place of ${memberId} under group.instance.id "${instanceId}": give each process its own.`,
  );
}

function signOfLife(
  group: Group,
  member: MemberFacts,
  request: MemberRequest,
  rules: Rules,
  at: Circumstances,
): Decision<MemberAnswer> {
  const { groupId, memberId, subscription, computed } = request;
  if (request.memberEpoch > member.memberEpoch || request.appliedVersion > member.assignmentVersion) {
    return unchanged(
      refusal(
        'FENCED_MEMBER_EPOCH',
        `${memberId} names epoch ${request.memberEpoch} and version ${request.appliedVersion}; in group "${groupId}" it is at ${member.memberEpoch} and ${member.assignmentVersion}: join under a new member id.`,
      ),
    );
  }
  const released = member.revoking.length > 0 && request.appliedVersion === member.assignmentVersion;
  if (!released && subscription === undefined && computed === undefined)
    return unchanged(current(group, memberId, member));
  const wishes = subscription && wishesOf(subscription, request, rules.settings, rules.subscriptions);
  if (wishes !== undefined && 'kind' in wishes) return unchanged(wishes);
  if (wishes !== undefined && wishes.instanceId !== member.instanceId) {
    return unchanged(
      refusal(
        'INVALID_REQUEST',
        `${memberId} cannot change its group.instance.id: leave, and join under a new member id.`,
      ),
    );
  }
  const draft = draftOf(group, at);
  if (released) release(draft, memberId, member);
  const now = draft.member(memberId) ?? member;
  if (wishes !== undefined && !sameWishes(now, wishes)) {
    draft.set(memberId, { ...now, ...wishes });
    if (otherwiseAssigned(now, wishes)) assignAnew(draft, rules, at);
  }
  if (computed !== undefined) take(draft, memberId, computed, rules, at);
  return answered(draft, memberId);
}

function leave(
  group: Group | undefined,
  request: MemberRequest,
  rules: Rules,
  at: Circumstances,
): Decision<MemberAnswer> {
  const { memberId } = request;
  const member = group?.members.get(memberId);
  if (group === undefined || member === undefined || (request.memberEpoch === -2 && member.away)) {
    return unchanged(accepted({ memberId, member: undefined, taskEpoch: undefined }));
  }
  const draft = draftOf(group, at);
  if (request.memberEpoch === -2 && member.instanceId !== undefined) {
    draft.set(memberId, { ...member, away: true, revoking: [] });
    reconcileFreed(draft, member.revoking, memberId);
  } else {
    draft.remove(memberId, undefined);
    assignAnew(draft, rules, at);
  }
  return { ...answered(draft, memberId), reply: accepted({ memberId, member, taskEpoch: undefined }) };
}

/** Fences those whose time is over; a task that is overdue is given up. */
export function decideExpired(group: Group, expired: Expired, rules: Rules, at: Circumstances): Decision<undefined> {
  const draft = draftOf(group, at);
  let fenced = false;
  for (const { memberId, why } of expired.members) {
    const member = draft.member(memberId);
    if (member === undefined) continue;
    draft.remove(memberId, ['UNKNOWN_MEMBER_ID', whyFenced(memberId, member, why)]);
    fenced = true;
  }
  if (fenced) assignAnew(draft, rules, at);
  else if (expired.task && draft.facts.assignmentEpoch < draft.facts.groupEpoch) {
    giveUpTask(draft, 'it was not computed in time', rules, at);
  }
  return { ...answered(draft, ''), reply: nothingToSay() };
}

function whyFenced(memberId: string, member: MemberFacts, why: WhyExpired): string {
  const over = `${memberId} is no member any more: `;
  switch (why) {
    case 'session':
      return `${over}nothing was heard of it for session.timeout.ms (${member.sessionTimeoutMs}). Join under a new member id.`;
    case 'poll':
      return `${over}it has not polled for max.poll.interval.ms (${member.maxPollIntervalMs}). Process less at a time, or raise it.`;
    case 'revocation':
      return `${over}it has not given up its partitions within max.poll.interval.ms (${member.maxPollIntervalMs}). Join under a new member id.`;
    default:
      return why satisfies never;
  }
}

/** Topics have come, grown or gone: assigned anew where the targets do not cover exactly what is there. */
export function decideTopics(group: Group, rules: Rules, at: Circumstances): Draft | undefined {
  if (group.members.size === 0) return undefined;
  const draft = draftOf(group, at);
  const members = draft.members();
  const assigned = assignedMembers(members, rules.subscriptions, at);
  const targets = new Map(assigned.map(({ memberId, current: target }) => [memberId, target]));
  if (draft.facts.assignmentEpoch === draft.facts.groupEpoch && incomplete(targets, assigned) === undefined) {
    return undefined;
  }
  assignAnew(draft, rules, at);
  return draft;
}

/** Who is in the group, or what they want, is another: the group's epoch rises, and targets are computed, here or by a member. */
function assignAnew(draft: Draft, rules: Rules, at: Circumstances): void {
  const members = draft.members();
  const assignor = members.length === 0 ? draft.facts.assignor : assignorOf(members);
  const emptySinceMs = members.length === 0 ? (draft.facts.emptySinceMs ?? at.wallMs) : undefined;
  draft.facts = { ...draft.facts, groupEpoch: draft.facts.groupEpoch + 1, assignor, emptySinceMs };
  if (clientAssignor(assignor) === undefined || members.length === 0) {
    retarget(draft, assign(assignor, assignedMembers(members, rules.subscriptions, at)), undefined);
  } else if (workerOf(draft.facts, members) === undefined) {
    giveUpTask(draft, 'no member that is there can compute it', rules, at);
  } else {
    reconcileAll(draft);
  }
}

function take(draft: Draft, memberId: string, computed: Computed, rules: Rules, at: Circumstances): void {
  const { facts } = draft;
  // Of an older epoch, or of somebody who was asked before: there is another task, or none.
  if (computed.groupEpoch !== facts.groupEpoch || workerOf(facts, draft.members()) !== memberId) return;
  const members = assignedMembers(draft.members(), rules.subscriptions, at);
  const assignment = checkComputed(computed, members);
  if (typeof assignment === 'string') giveUpTask(draft, assignment, rules, at);
  else retarget(draft, assignment, undefined);
}

/** The targets in force stay where they still are an assignment. */
function giveUpTask(draft: Draft, why: string, rules: Rules, at: Circumstances): void {
  const members = assignedMembers(draft.members(), rules.subscriptions, at);
  const kept = new Map(members.map(({ memberId, current: target }) => [memberId, target]));
  const assignment = incomplete(kept, members) === undefined ? kept : assign(defaultAssignor, members);
  retarget(draft, assignment, `${draft.facts.assignor}: ${why}`.slice(0, 500));
}

function draftOf(group: Group, at: Circumstances): Draft {
  const draft = new Draft(group);
  if (group.facts === undefined) {
    draft.facts = {
      // A member of epoch 0 would be one that joins.
      groupEpoch: 1,
      assignmentEpoch: 1,
      createdMs: at.wallMs,
      emptySinceMs: at.wallMs,
      assignor: defaultAssignor,
      assignorError: undefined,
    };
  }
  return draft;
}

export function answered(draft: Draft, memberId: string): Decision<MemberAnswer> {
  const { facts } = draft;
  const worker = workerOf(facts, facts.assignmentEpoch < facts.groupEpoch ? draft.members() : []);
  const task = worker === undefined ? undefined : { memberId: worker, epoch: facts.groupEpoch };
  return {
    changes: draft.changes(),
    reply: accepted({
      memberId,
      member: draft.member(memberId),
      taskEpoch: worker === memberId ? facts.groupEpoch : undefined,
    }),
    toTell: draft.toTell(memberId, task),
  };
}

/** As the group stands. */
export function current(group: Group, memberId: string, member: MemberFacts): Decision<MemberAnswer>['reply'] {
  const { facts } = group;
  const working =
    facts !== undefined && facts.assignmentEpoch < facts.groupEpoch && workerOf(facts, group.members) === memberId;
  return accepted({ memberId, member, taskEpoch: working ? facts.groupEpoch : undefined });
}
