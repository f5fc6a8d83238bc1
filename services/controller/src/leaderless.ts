// pure
import type { ClusterImage, PartitionInfo, Replica } from '@tributary/metadata';

/** Why a partition has no leader, and what would give it one; '' while it has one. */
export function leaderlessReason(image: ClusterImage, partition: PartitionInfo): string {
  if (partition.leader !== undefined) return '';
  const members = [...partition.isr, ...partition.eligibleLeaderReplicas];
  const holders = partition.replicas.filter((replica) =>
    (members.length > 0 ? members : partition.lastMembers).includes(replica.nodeId),
  );
  if (holders.length === 0)
    return 'No replica is known to hold its data; delete the topic, or restore a broker that had it.';
  const states = holders.map((replica) => stateOf(image, replica));
  if (members.length > 0)
    return `It waits for ${states.join(' or ')}, which ${holders.length === 1 ? 'holds' : 'hold'} all that was acknowledged.`;
  if (partition.effectiveFlushPolicy === 'async') {
    return `Its last replicas lost unflushed records when their machines stopped; it waits for all of them: ${states.join(' and ')}.`;
  }
  return `Its last replica is with ${states.join(' or ')}.`;
}

function stateOf(image: ClusterImage, { nodeId, directoryId }: Replica): string {
  const broker = image.broker(nodeId);
  const registration = broker?.registration;
  if (registration === undefined) return `broker ${nodeId} (not running)`;
  if (registration.directoryId !== directoryId) {
    return `broker ${nodeId} (running with data directory ${registration.directoryId}; the data is in ${directoryId})`;
  }
  return `broker ${nodeId} (${broker?.status?.fenced === false ? 'running' : 'starting'})`;
}
