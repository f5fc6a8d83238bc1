// pure
/** What groups need to know of topics: a view of the cluster image, made by the shell. */
import type { PartitionIndex, TopicId } from '@tributary/model';

export interface TopicFacts {
  readonly topicId: TopicId;
  readonly name: string;
  readonly partitions: number;
  /** Racks of the partition's replicas, '' left out. */
  racks(partition: PartitionIndex): readonly string[];
}

/**
 * Topics that are there; those that are being deleted are not. A topic id that is absent is gone for good: whoever owned the shard before
 * accepted commits only of topics older than the revision at which its owner changed, and the new owner's view is not older than that.
 */
export interface TopicView {
  /** Differs from the one before when any topic, name or number of partitions has changed. */
  readonly version: bigint;
  topic(id: TopicId): TopicFacts | undefined;
  named(name: string): TopicFacts | undefined;
  /** What patterns may match: no internal topics. */
  names(): Iterable<string>;
}

/** Whether a whole topic name matches, in time linear in its length. */
export type TopicMatcher = (name: string) => boolean;

/** @throws TributaryError INVALID_REGULAR_EXPRESSION, saying where. */
export type CompilePattern = (pattern: string) => TopicMatcher;
