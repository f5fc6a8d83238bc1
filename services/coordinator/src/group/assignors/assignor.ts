// pure
import type { PartitionIndex } from '@tributary/model';
import type { GroupPartition } from '../change.ts';
import type { TopicFacts } from '../topic-view.ts';

export interface AssignedMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly rack: string;
  /** What it subscribes to and is there. */
  readonly topics: readonly TopicFacts[];
  /** Of the target in force; it may name what is gone. */
  readonly current: readonly GroupPartition[];
}

/** Partitions by member id; everybody is in it. By topic name, then partition. */
export type Assignment = ReadonlyMap<string, readonly GroupPartition[]>;

/** Every partition of every topic with a subscriber to exactly one subscriber. The same in, the same out. @param members by ascending id. */
export type Assignor = (members: readonly AssignedMember[]) => Assignment;

/** Every topic that somebody subscribes to, by name. */
export function topicsOf(members: readonly AssignedMember[]): TopicFacts[] {
  const topics = new Map<string, TopicFacts>();
  for (const member of members) for (const topic of member.topics) topics.set(topic.topicId, topic);
  return [...topics.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function placeOf(topic: TopicFacts, partition: number): GroupPartition {
  return { topicId: topic.topicId, partition: partition as PartitionIndex };
}
