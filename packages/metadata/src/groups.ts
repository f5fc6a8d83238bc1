// pure
/** Where a group belongs. */
import { type PartitionIndex, type TopicId, offsetsTopicName, partitionIndex } from '@tributary/model';
import { partitionOfKey } from '@tributary/record';
import type { ClusterImage } from './image.ts';
import type { CoordinatorInfo, GroupPartitionInfo, Stored, TopicInfo } from './state.ts';

/** The partition of `__consumer_offsets` that holds a group: murmur2 of its id in UTF-8, as of keys. @param partitions of the topic; it never changes. */
export function groupPartitionOf(groupId: string, partitions: number): PartitionIndex {
  return partitionIndex(partitionOfKey(groupId, partitions));
}

/** The topic of committed offsets, once it is whole; undefined: nobody has asked for it yet, or it is being created. */
export function offsetsTopic(image: ClusterImage): Stored<TopicInfo> | undefined {
  const topic = image.topicNamed(offsetsTopicName);
  return topic?.phase === 'ready' ? topic : undefined;
}

/** Who owns a group, and by which word of the controller. */
export interface GroupOwner {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly assignment: Stored<GroupPartitionInfo>;
  readonly coordinator: Stored<CoordinatorInfo>;
}

/**
 * The owner of a group, in force: assigned, and registered as it was then.
 * @returns what is missing instead: the topic; an owner.
 */
export function groupOwner(image: ClusterImage, groupId: string): GroupOwner | 'no-topic' | 'no-owner' {
  const topic = offsetsTopic(image);
  if (topic === undefined) return 'no-topic';
  const partition = groupPartitionOf(groupId, topic.partitions);
  const assignment = image.groupPartition(partition);
  const owner = assignment?.coordinator;
  const coordinator = owner === undefined ? undefined : image.coordinator(owner);
  if (assignment === undefined || coordinator?.createRevision !== assignment.coordinatorEpoch) return 'no-owner';
  if (coordinator === undefined) return 'no-owner';
  return { topicId: topic.topicId, partition, assignment, coordinator };
}
