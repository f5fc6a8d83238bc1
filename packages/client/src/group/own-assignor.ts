/** An assignor of the application's own: the coordinator's task in its terms, and what it says in the coordinator's. */
import { TributaryError } from '@tributary/model';
import type { AssignmentTask, ComputedAssignment, GroupPartition } from '@tributary/wire';
import type { Assignor } from './group-options.ts';

/** Whether all is given out, once, and to subscribers, the coordinator judges. @throws what the assignor throws; TributaryError for topics that were not asked about. */
export function computeAssignment(assignor: Assignor, task: AssignmentTask): ComputedAssignment {
  const names = new Map(task.topics.map(({ topicId, name }) => [topicId, name]));
  const ids = new Map(task.topics.map(({ topicId, name }) => [name, topicId]));
  const named = ({ topicId, partition }: GroupPartition) => ({ topic: names.get(topicId) ?? '', partition });
  const members = task.members.map((member) => ({
    memberId: member.memberId,
    groupInstanceId: member.instanceId === '' ? undefined : member.instanceId,
    rack: member.rack,
    topics: member.topicIds.flatMap((id) => names.get(id) ?? []),
    userData: member.userData,
    // What is left of topics that nobody subscribes to any more is nobody's.
    assigned: member.assigned.filter(({ topicId }) => names.has(topicId)).map(named),
  }));
  const topics = task.topics.map(({ name, partitions }) => ({ name, partitions }));
  const given = assignor.assign(members, topics);
  const answer = [...given].map(([memberId, partitions]) => ({
    memberId,
    partitions: partitions.map(({ topic, partition }) => {
      const topicId = ids.get(topic);
      if (topicId === undefined)
        throw new TributaryError(
          'INVALID_REQUEST',
          `Assignor "${assignor.name}" gives out topic "${topic}", which nobody subscribes to.`,
        );
      return { topicId, partition };
    }),
  }));
  return { groupEpoch: task.groupEpoch, members: answer, errorMessage: '' };
}
