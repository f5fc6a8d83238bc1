// pure
import {
  type DirectoryId,
  type LeaderEpoch,
  type NodeId,
  type TopicId,
  leaderEpoch,
  partitionEpoch,
} from '@tributary/model';
import type { PartitionInfo, Replica } from '@tributary/metadata';

/** The brokers, as elections see them. */
export interface Candidates {
  /** Unfenced, not leaving, not known to be dead, and its data directory is the one that holds this replica. */
  canLead(replica: Replica): boolean;
  /** Known to be out; neither a leader nor a member that a leader could wait for. Not the same as "cannot lead": see M5. */
  isFenced(node: NodeId): boolean;
  /** The data directory that the registered broker has now. */
  directoryOf(node: NodeId): DirectoryId | undefined;
  /** The topic allows elections of those who may lack acknowledged records, where nobody else is left. */
  mayLose(topic: TopicId): boolean;
}

/**
 * What a registration means for one replica (R6).
 * - `keeps`: its place in ISR and ELR stays.
 * - `suspect`: it may lack what it once had (L3); it leaves ISR and ELR unless it is the last member, which then serves what is whole.
 * - `lossy`: unclean stop of an `async` replica with the machine; it leaves, and as the last of its kind leads again only as a recorded
 *   unclean election (R7).
 * - `other-directory`: this broker does not have the data; it leaves, and starts empty where somebody else has it.
 */
export type Verdict = 'keeps' | 'suspect' | 'lossy' | 'other-directory';

/** A broker is out. @returns the same object when nothing changes. */
export function fence(partition: PartitionInfo, node: NodeId, candidates: Candidates): PartitionInfo {
  if (!hasReplica(partition, node)) return partition;
  const out: Candidates = {
    canLead: (replica) => replica.nodeId !== node && candidates.canLead(replica),
    isFenced: (each) => each === node || candidates.isFenced(each),
    directoryOf: (each) => candidates.directoryOf(each),
    mayLose: (topic) => candidates.mayLose(topic),
  };
  if (partition.leader === node) {
    const elected = elect(partition, out);
    return elected.leader === undefined ? elected : rehome(elected, out);
  }
  // Without a leader nobody can have moved on without this member: it stays a candidate. Perhaps it was the one whom all waited for.
  if (partition.leader === undefined) return electAgain(partition, out);
  if (!partition.isr.includes(node)) return partition;
  return changed(partition, without(partition, [node]));
}

/**
 * A broker registered and is about to be unfenced: ends every leadership of its previous incarnation, takes away places that its data no
 * longer deserves, and gives partitions that waited for it a leader. @returns the same object when nothing changes.
 */
export function admit(
  partition: PartitionInfo,
  replica: Replica,
  verdict: Verdict,
  candidates: Candidates,
): PartitionInfo {
  const node = replica.nodeId;
  if (!hasReplica(partition, node)) return partition;
  const joined: Candidates = {
    mayLose: (topic) => candidates.mayLose(topic),
    canLead: (each) => (each.nodeId === node ? each.directoryId === replica.directoryId : candidates.canLead(each)),
    isFenced: (each) => each !== node && candidates.isFenced(each),
    directoryOf: (each) => (each === node ? replica.directoryId : candidates.directoryOf(each)),
  };
  const judged = judge(partition, node, verdict);
  if (partition.leader !== undefined && partition.leader !== node) {
    const settled = rehome(judged, joined);
    return settled === partition ? partition : changed(partition, settled);
  }
  // Those who are in already come first: the newcomer has a log to open. But nobody who may lack what it has.
  const inAlready: Candidates = {
    ...joined,
    canLead: (each) => each.nodeId !== node && joined.canLead(each),
    mayLose: () => false,
  };
  const byOthers = elect(judged, inAlready);
  const elected = byOthers.leader === undefined ? elect(judged, joined) : byOthers;
  if (elected.leader !== undefined) return rehome(elected, joined);
  if (partition.leader !== undefined) return elected;
  return judged === partition ? partition : changed(partition, judged);
}

/** The place that the verdict leaves to a replica, before any election. */
function judge(partition: PartitionInfo, node: NodeId, verdict: Verdict): PartitionInfo {
  if (returnsWithTheOnlyCopy(partition, node, verdict)) return { ...partition, isr: [node], lastMembers: [] };
  if (verdict === 'keeps') return partition;
  const isr = partition.isr.filter((each) => each !== node);
  const eligibleLeaderReplicas = partition.eligibleLeaderReplicas.filter((each) => each !== node);
  const stay = { ...partition, isr, eligibleLeaderReplicas };
  const wasMember =
    isr.length < partition.isr.length || eligibleLeaderReplicas.length < partition.eligibleLeaderReplicas.length;
  if (!wasMember || (hasNoMember(stay) && verdict === 'suspect')) return partition;
  // What it had, it has no more; nobody should wait for it.
  if (verdict === 'suspect') return stay;
  // While nobody else leads it may have the most, once it (R7) or its directory is back.
  const othersLead = partition.leader !== undefined && partition.leader !== node;
  if (othersLead || partition.lastMembers.includes(node)) return stay;
  return { ...stay, lastMembers: [...partition.lastMembers, node] };
}

/** Nobody is in sync, and this is a directory that left as a member while nobody led: what was acknowledged is there. */
function returnsWithTheOnlyCopy(partition: PartitionInfo, node: NodeId, verdict: Verdict): boolean {
  if (!hasNoMember(partition) || partition.effectiveFlushPolicy !== 'commit') return false;
  const isLast = partition.lastMembers.includes(node);
  return isLast && (verdict === 'keeps' || (verdict === 'suspect' && partition.lastMembers.length === 1));
}

/**
 * Where somebody leads, brokers that came with another data directory start there, empty. Where nobody does, the old directory keeps its place:
 * it may hold the only copy.
 */
function rehome(partition: PartitionInfo, candidates: Candidates): PartitionInfo {
  const members = [...partition.isr, ...partition.eligibleLeaderReplicas];
  const moved = (replica: Replica): Replica => {
    const directoryId = candidates.directoryOf(replica.nodeId);
    if (directoryId === undefined || directoryId === replica.directoryId || members.includes(replica.nodeId))
      return replica;
    return { nodeId: replica.nodeId, directoryId };
  };
  const replicas = partition.replicas.map(moved);
  return replicas.every((replica, i) => replica === partition.replicas[i]) ? partition : { ...partition, replicas };
}

/** Somebody leads as soon as somebody may. @returns the same object while nobody may, or somebody does. */
export function electAgain(partition: PartitionInfo, candidates: Candidates): PartitionInfo {
  if (partition.leader !== undefined) return partition;
  const elected = elect(partition, candidates);
  return elected.leader === undefined ? partition : rehome(elected, candidates);
}

/**
 * A broker that is about to stop hands over what it leads to another in-sync replica, and leaves the ISR where that is large enough without it.
 * @returns the same object where there is nobody to hand over to, or nothing to do.
 */
export function depart(partition: PartitionInfo, node: NodeId, candidates: Candidates): PartitionInfo {
  if (partition.leader === undefined || !partition.isr.includes(node)) return partition;
  const rest = partition.isr.filter((each) => each !== node);
  const isEnough = rest.length >= partition.effectiveMinIsr;
  if (partition.leader !== node) return isEnough ? changed(partition, isrAfter(partition, rest)) : partition;
  const successor = partition.replicas.find(
    (replica) => rest.includes(replica.nodeId) && candidates.canLead(replica),
  )?.nodeId;
  if (successor === undefined) return partition;
  const members = isEnough ? isrAfter(partition, rest) : {};
  return changed(partition, { ...members, leader: successor, leaderEpoch: epochAfter(partition) });
}

/** The first replica leads again, if it is in sync. @returns the same object when it does already, or may not. */
export function prefer(partition: PartitionInfo, candidates: Candidates): PartitionInfo {
  const [preferred] = partition.replicas;
  if (preferred === undefined || preferred.nodeId === partition.leader) return partition;
  if (!partition.isr.includes(preferred.nodeId) || !candidates.canLead(preferred)) return partition;
  return changed(partition, { leader: preferred.nodeId, leaderEpoch: epochAfter(partition) });
}

/** This replica leads although others may have more: recorded, and shown as a possible loss (R5, R7). Who was a member follows it. */
export function electUnclean(partition: PartitionInfo, node: NodeId, candidates: Candidates): PartitionInfo {
  const epoch = epochAfter(partition);
  return rehome(changed(partition, uncleanly(node, epoch)), candidates);
}

function uncleanly(leader: NodeId, epoch: LeaderEpoch): Partial<PartitionInfo> {
  const members = { isr: [leader], eligibleLeaderReplicas: [], lastMembers: [] };
  return { leader, leaderEpoch: epoch, ...members, uncleanEpoch: epoch, possibleLoss: true };
}

/** A new leader epoch: with a leader from the ISR, else from the ELR, else by R7, else by the topic's leave, else with none (R5). */
function elect(partition: PartitionInfo, candidates: Candidates): PartitionInfo {
  const epoch = epochAfter(partition);
  const next = { leaderEpoch: epoch, partitionEpoch: partitionEpoch(partition.partitionEpoch + 1) };
  const able = partition.replicas.filter((replica) => candidates.canLead(replica)).map((replica) => replica.nodeId);
  const fromIsr = able.find((node) => partition.isr.includes(node));
  if (fromIsr !== undefined) {
    const out = partition.isr.filter((node) => candidates.isFenced(node));
    return { ...partition, ...without(partition, out), ...next, leader: fromIsr, lastMembers: [] };
  }
  const fromElr = able.find((node) => partition.eligibleLeaderReplicas.includes(node));
  if (fromElr !== undefined) {
    const joined = {
      ...partition,
      isr: [fromElr, ...partition.isr],
      eligibleLeaderReplicas: partition.eligibleLeaderReplicas.filter((node) => node !== fromElr),
    };
    return { ...joined, ...without(joined, partition.isr), ...next, leader: fromElr, lastMembers: [] };
  }
  const [last, ...furtherLast] = partition.lastMembers;
  const nobodyElse = hasNoMember(partition) && furtherLast.length === 0;
  if (partition.effectiveFlushPolicy === 'async' && last !== undefined && nobodyElse && able.includes(last)) {
    return { ...partition, ...next, ...uncleanly(last, epoch) };
  }
  const anybody = likeliest(partition, candidates);
  if (anybody !== undefined && allAreOut(partition, candidates) && candidates.mayLose(partition.topicId))
    return { ...partition, ...next, ...uncleanly(anybody, epoch) };
  return { ...partition, ...next, leader: undefined };
}

/** Of those who may all lack something: whoever was a member last, before whoever has been out for longer. */
export function likeliest(partition: PartitionInfo, candidates: Candidates): NodeId | undefined {
  const able = partition.replicas.filter((replica) => candidates.canLead(replica)).map((replica) => replica.nodeId);
  return able.find((node) => partition.lastMembers.includes(node)) ?? able[0];
}

/** Nobody who has all that was acknowledged may be back in a moment (M5). */
function allAreOut(partition: PartitionInfo, candidates: Candidates): boolean {
  return [...partition.isr, ...partition.eligibleLeaderReplicas].every((node) => candidates.isFenced(node));
}

/** ISR and ELR. */
type Members = Pick<PartitionInfo, 'isr' | 'eligibleLeaderReplicas'>;

const without = (partition: PartitionInfo, out: readonly NodeId[]): Members =>
  isrAfter(
    partition,
    partition.isr.filter((node) => !out.includes(node)),
  );

/** With these in sync: whoever leaves enters the ELR iff those who stay are below the effective min ISR, and else the ELR empties (R5). */
export function isrAfter(partition: PartitionInfo, isr: readonly NodeId[]): Members {
  if (isr.length >= partition.effectiveMinIsr) return { isr, eligibleLeaderReplicas: [] };
  const before = new Set([...partition.eligibleLeaderReplicas, ...partition.isr]);
  return { isr, eligibleLeaderReplicas: [...before].filter((node) => !isr.includes(node)) };
}

const epochAfter = (partition: PartitionInfo): LeaderEpoch => leaderEpoch(partition.leaderEpoch + 1);

const changed = (partition: PartitionInfo, by: Partial<PartitionInfo>): PartitionInfo => {
  return { ...partition, ...by, partitionEpoch: partitionEpoch(partition.partitionEpoch + 1) };
};

const hasReplica = (partition: PartitionInfo, node: NodeId): boolean =>
  partition.replicas.some((each) => each.nodeId === node);

const hasNoMember = (partition: PartitionInfo): boolean =>
  partition.isr.length === 0 && partition.eligibleLeaderReplicas.length === 0;
