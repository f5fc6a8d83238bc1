// pure
/** Who is to have what: assignors by name, and the check of what a member computed. */
import type { Circumstances, Computed, Refusal, Task } from './decision.ts';
import { refusal } from './decision.ts';
import type { GroupFacts, GroupPartition, MemberFacts } from './change.ts';
import type { AssignedMember, Assignment, Assignor } from './assignors/assignor.ts';
import { topicsOf } from './assignors/assignor.ts';
import { rackAware } from './assignors/rack-aware.ts';
import { range } from './assignors/range.ts';
import { stickyUniform } from './assignors/sticky-uniform.ts';
import { Places } from './places.ts';
import type { Subscriptions } from './subscriptions.ts';

export const defaultAssignor = 'sticky-uniform';
const clientPrefix = 'client:';

const assignors: ReadonlyMap<string, Assignor> = new Map([
  [defaultAssignor, stickyUniform],
  ['range', range],
  ['rack', rackAware],
]);

type Members = readonly (readonly [string, MemberFacts])[];

/** What a member computes, without its prefix; undefined: this coordinator does. */
export function clientAssignor(assignor: string): string | undefined {
  return assignor.startsWith(clientPrefix) ? assignor.slice(clientPrefix.length) : undefined;
}

/** undefined: it is known. @param known client-side ones that the asking member can compute. */
export function refusedAssignor(assignor: string, known: readonly string[]): Refusal | undefined {
  const name = clientAssignor(assignor);
  if (name === undefined) {
    if (assignors.has(assignor)) return undefined;
    const names = [...assignors.keys()].join(', ');
    return refusal(
      'UNSUPPORTED_ASSIGNOR',
      `Unknown assignor "${assignor.slice(0, 100)}": use one of ${names}, or client:NAME with one of your own.`,
    );
  }
  if (known.includes(name)) return undefined;
  return refusal(
    'UNSUPPORTED_ASSIGNOR',
    `The member asks for assignor "${assignor.slice(0, 100)}" and does not offer to compute "${name.slice(0, 100)}": list it among its client assignors.`,
  );
}

/** What most members ask for; of several the first by name. */
export function assignorOf(members: Members): string {
  const votes = new Map<string, number>();
  for (const [, { assignor }] of members) votes.set(assignor, (votes.get(assignor) ?? 0) + 1);
  let best = defaultAssignor;
  let most = 0;
  for (const [assignor, count] of votes) {
    if (count > most || (count === most && assignor < best)) [best, most] = [assignor, count];
  }
  return best;
}

/** Who is to compute: the first by id that can; undefined: nothing is to be computed, or nobody can. */
export function workerOf(group: GroupFacts, members: Iterable<readonly [string, MemberFacts]>): string | undefined {
  const name = clientAssignor(group.assignor);
  if (name === undefined || group.assignmentEpoch >= group.groupEpoch) return undefined;
  let first: string | undefined;
  for (const [id, member] of members) {
    if (member.away || !member.clientAssignors.includes(name)) continue;
    if (first === undefined || id < first) first = id;
  }
  return first;
}

export function assignedMembers(members: Members, subscriptions: Subscriptions, at: Circumstances): AssignedMember[] {
  return members.map(([memberId, member]) => ({
    memberId,
    instanceId: member.instanceId,
    rack: member.rack,
    topics: subscriptions.topicsOf(member, at.topics),
    current: member.target,
  }));
}

/** By an assignor of the coordinator. */
export function assign(assignor: string, members: readonly AssignedMember[]): Assignment {
  return (assignors.get(assignor) ?? stickyUniform)(members);
}

export function taskOf(groupEpoch: number, assignor: string, members: readonly AssignedMember[], facts: Members): Task {
  const data = new Map(facts);
  return {
    groupEpoch,
    assignor: clientAssignor(assignor) ?? assignor,
    members: members.map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      rack: member.rack,
      topicIds: member.topics.map(({ topicId }) => topicId),
      userData: data.get(member.memberId)?.userData ?? new Uint8Array(),
      assigned: member.current,
    })),
    topics: topicsOf(members).map(({ topicId, name, partitions }) => ({ topicId, name, partitions })),
  };
}

/** What a member computed, by member; else what is wrong with it, in a sentence. */
export function checkComputed(computed: Computed, members: readonly AssignedMember[]): Assignment | string {
  if (computed.errorMessage !== '') return `it could not be computed: ${computed.errorMessage}`;
  const assignment = new Map<string, readonly GroupPartition[]>(members.map(({ memberId }) => [memberId, []]));
  for (const { memberId, partitions } of computed.members) {
    const named = assignment.get(memberId);
    if (named === undefined) return `it names member ${memberId.slice(0, 100)}, which is not in the group`;
    if (named.length > 0) return `it names member ${memberId} twice`;
    assignment.set(memberId, partitions);
  }
  return incomplete(assignment, members) ?? assignment;
}

/** What an assignment lacks or has too much, in a sentence; undefined: every partition has one owner, who subscribes to it. */
export function incomplete(assignment: Assignment, members: readonly AssignedMember[]): string | undefined {
  const owners = new Places<string>();
  for (const { memberId, topics } of members) {
    const subscribed = new Map(topics.map((topic) => [topic.topicId, topic]));
    for (const place of assignment.get(memberId) ?? []) {
      const topic = subscribed.get(place.topicId);
      if (topic === undefined) return `${memberId} has a partition of ${place.topicId}, to which it does not subscribe`;
      if (place.partition < 0 || place.partition >= topic.partitions) {
        return `${memberId} has ${topic.name}-${place.partition}, which is not there`;
      }
      const other = owners.get(place);
      if (other !== undefined) return `${topic.name}-${place.partition} is given twice, to ${other} and ${memberId}`;
      owners.set(place, memberId);
    }
  }
  const topics = topicsOf(members);
  const count = topics.reduce((sum, { partitions }) => sum + partitions, 0);
  if (count === owners.size) return undefined;
  return `${count - owners.size} of ${count} partitions have no owner`;
}
