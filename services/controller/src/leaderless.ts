// pure
/** What is wrong with a partition, in one sentence that says who can mend it. */
import type { ClusterImage, PartitionInfo, Replica } from '@tributary/metadata';
import type { NodeId } from '@tributary/model';
import { canLead, noLosses } from './brokers.ts';

/** The worst that holds, in this order. */
export type Trouble = 'offline' | 'under_min_isr' | 'under_replicated';

export interface PartitionTrouble {
  readonly trouble: Trouble;
  readonly reason: string;
}

/** undefined: it has a leader, and every replica is in sync. */
export function troubleOf(image: ClusterImage, partition: PartitionInfo): PartitionTrouble | undefined {
  if (partition.leader === undefined) return { trouble: 'offline', reason: leaderlessReason(image, partition) };
  const { isr, replicas, effectiveMinIsr } = partition;
  const missing = replicas.filter((replica) => !isr.includes(replica.nodeId));
  if (missing.length === 0) return undefined;
  const states = missing.map((replica) => stateOf(image, replica)).join(' and ');
  if (isr.length >= effectiveMinIsr) return { trouble: 'under_replicated', reason: `Not in sync: ${states}.` };
  const reason = `acks=all needs ${effectiveMinIsr} in-sync replicas, of which there ${isr.length === 1 ? 'is' : 'are'} ${isr.length}; not in sync: ${states}.`;
  return { trouble: 'under_min_isr', reason };
}

/** All that is to be said of it, what lies behind it included; '' where nothing is. */
export function remarksOn(image: ClusterImage, partition: PartitionInfo): string {
  const { possibleLoss, uncleanEpoch } = partition;
  const loss = `Acknowledged records may be lost: whoever led it in epoch ${uncleanEpoch} was elected without all that had been acknowledged.`;
  const remarks = [troubleOf(image, partition)?.reason, possibleLoss && uncleanEpoch !== undefined ? loss : undefined];
  return remarks.filter((each) => each !== undefined).join(' ');
}

/** Why a partition has no leader, and what would give it one; '' while it has one. */
export function leaderlessReason(image: ClusterImage, partition: PartitionInfo): string {
  if (partition.leader !== undefined) return '';
  const members = [...partition.isr, ...partition.eligibleLeaderReplicas];
  const awaited = members.length > 0 ? members : partition.lastMembers;
  const holders = partition.replicas.filter((replica) => awaited.includes(replica.nodeId));
  const lossy = lossyWay(image, partition, awaited);
  if (holders.length === 0)
    return `No replica is known to hold its data; delete the topic, or restore a broker that had it.${lossy}`;
  const states = holders.map((replica) => stateOf(image, replica));
  if (members.length > 0)
    return `It waits for ${states.join(' or ')}, which ${holders.length === 1 ? 'holds' : 'hold'} all that was acknowledged.${lossy}`;
  if (partition.effectiveFlushPolicy === 'async') {
    return `Its last replicas lost unflushed records when their machines stopped; it waits for all of them: ${states.join(' and ')}.${lossy}`;
  }
  return `Its last replica is with ${states.join(' or ')}.${lossy}`;
}

/** What an operator may do who would rather lose records than wait; '' while nobody could lead. */
function lossyWay(image: ClusterImage, partition: PartitionInfo, awaited: readonly NodeId[]): string {
  const able = partition.replicas.filter(
    (replica) => !awaited.includes(replica.nodeId) && canLead(image, noLosses, replica),
  );
  if (able.length === 0) return '';
  return ` An unclean election would let broker ${able.map((each) => each.nodeId).join(' or ')} lead at once, without what it lacks.`;
}

function stateOf(image: ClusterImage, { nodeId, directoryId }: Replica): string {
  const { registration, status } = image.broker(nodeId) ?? {};
  if (registration === undefined) return `broker ${nodeId} (not running)`;
  if (registration.directoryId !== directoryId) {
    return `broker ${nodeId} (running with data directory ${registration.directoryId}; the data is in ${directoryId})`;
  }
  if (status?.fenced !== false || status.brokerEpoch !== registration.createRevision)
    return `broker ${nodeId} (starting)`;
  return `broker ${nodeId} (${status.leaving ? 'stopping' : 'running'})`;
}
