// pure
/** Whose log reaches furthest, of what brokers say about theirs (R7). */
import type { Candidates } from './leader-election.ts';
import type { ClusterImage, PartitionInfo, PartitionName, Stored } from '@tributary/metadata';
import { type NodeId, type TopicId, partitionIndex, topicId } from '@tributary/model';
import type { DescribeLogDirsResponse } from '@tributary/wire';
import { type LongestLog, awaitsLongest } from './elections.ts';

/** Where a log ends. */
interface LogEnd {
  readonly lastEpoch: number;
  readonly endOffset: bigint;
}

/** Ends of logs by partition and data directory. */
export class LogEnds {
  readonly #ends = new Map<string, LogEnd>();

  note({ logDirs }: DescribeLogDirsResponse): void {
    for (const { directoryId, partitions } of logDirs) {
      for (const { topicId: id, partition, lastEpoch, logEndOffset, errorMessage } of partitions) {
        // What cannot be opened has no end that counts.
        if (errorMessage !== '') continue;
        const name = { topicId: topicId(id), partition: partitionIndex(partition) };
        this.#ends.set(keyOf(name, directoryId), { lastEpoch, endOffset: logEndOffset });
      }
    }
  }

  of(name: PartitionName, directoryId: string): LogEnd | undefined {
    return this.#ends.get(keyOf(name, directoryId));
  }
}

const keyOf = ({ topicId: id, partition }: PartitionName, directory: string): string =>
  `${id}/${partition} ${directory}`;

/** Partitions whose last members are all back, and wait for one of them to be chosen. */
export function awaiting(
  image: ClusterImage,
  names: Iterable<PartitionName>,
  candidates: Candidates,
): Stored<PartitionInfo>[] {
  const found: Stored<PartitionInfo>[] = [];
  for (const { topicId: id, partition } of names) {
    const now = image.topic(id)?.phase === 'deleting' ? undefined : image.partition(id, partition);
    if (now !== undefined && awaitsLongest(now, candidates)) found.push(now);
  }
  return found;
}

/** Of each broker, the topics to ask it about. */
export function questions(partitions: readonly PartitionInfo[]): ReadonlyMap<NodeId, ReadonlySet<TopicId>> {
  const asked = new Map<NodeId, Set<TopicId>>();
  for (const { topicId: id, lastMembers } of partitions)
    for (const node of lastMembers) asked.set(node, (asked.get(node) ?? new Set()).add(id));
  return asked;
}

/** Of the partitions of which every last member has said where its log ends, who leads: the greatest (epoch, end), then the order of preference. */
export function longest(partitions: readonly Stored<PartitionInfo>[], ends: LogEnds): LongestLog[] {
  return partitions.flatMap((partition): LongestLog[] => {
    let winner: { readonly node: NodeId; readonly end: LogEnd } | undefined;
    for (const { nodeId, directoryId } of partition.replicas) {
      if (!partition.lastMembers.includes(nodeId)) continue;
      const end = ends.of(partition, directoryId);
      if (end === undefined) return [];
      if (winner === undefined || isBeyond(end, winner.end)) winner = { node: nodeId, end };
    }
    if (winner === undefined) return [];
    const { topicId: id, partition: index, modRevision } = partition;
    return [{ topicId: id, partition: index, modRevision, leader: winner.node }];
  });
}

const isBeyond = (a: LogEnd, b: LogEnd): boolean =>
  a.lastEpoch === b.lastEpoch ? a.endOffset > b.endOffset : a.lastEpoch > b.lastEpoch;
