// pure
import type { GroupPartition } from '../change.ts';
import { type AssignedMember, type Assignor, placeOf, topicsOf } from './assignor.ts';

/**
 * Of each topic everybody gets a stretch, members in the order of their names: topics with the same number of partitions and the same
 * subscribers are split alike, so that equal keys meet at one member. Balanced within one by topic, not over topics.
 */
export const range: Assignor = (members) => {
  const assignment = new Map<string, GroupPartition[]>(members.map(({ memberId }) => [memberId, []]));
  // A static member keeps its place in the order when it comes back under another id.
  const inOrder = [...members].sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  const subscribers = new Map<string, AssignedMember[]>();
  for (const member of inOrder) {
    for (const { topicId } of member.topics) {
      const list = subscribers.get(topicId);
      if (list === undefined) subscribers.set(topicId, [member]);
      else list.push(member);
    }
  }
  for (const topic of topicsOf(members)) {
    const among = subscribers.get(topic.topicId) ?? [];
    const each = Math.floor(topic.partitions / among.length);
    const longer = topic.partitions % among.length;
    let partition = 0;
    for (const [index, { memberId }] of among.entries()) {
      const end = partition + each + (index < longer ? 1 : 0);
      for (; partition < end; partition++) assignment.get(memberId)?.push(placeOf(topic, partition));
    }
  }
  return assignment;
};

function orderOf({ instanceId, memberId }: AssignedMember): string {
  return instanceId === undefined ? `1${memberId}` : `0${instanceId}`;
}
