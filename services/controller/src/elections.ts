// pure
/** Elections that nobody's death calls for: of preferred leaders, and of those who may lack records where nobody else is left (R5, R7). */
import type { NodeId } from '@tributary/model';
import type { ClusterImage, PartitionInfo, PartitionName, Stored } from '@tributary/metadata';
import { type Losses, candidatesIn, electedStay, livePartitions } from './brokers.ts';
import type { Reconfigured } from './effective-settings.ts';
import { type Candidates, electAgain, electUnclean, likeliest, prefer } from './leader-election.ts';
import { type PartitionChange, changesOf, partitionSteps } from './partition-changes.ts';
import type { PartitionReason, Step } from './step.ts';
import type { TopicDefaults } from './topic-defaults.ts';

/** Why there is no election of the kind that was asked for. */
export type NoElection = 'not-needed' | 'nobody-eligible';

/** What an election would make of one partition. */
export function electionOf(
  kind: 'preferred' | 'unclean',
  partition: Stored<PartitionInfo>,
  candidates: Candidates,
): PartitionChange | NoElection {
  if (kind === 'preferred') {
    if (partition.leader !== undefined && partition.leader === partition.replicas[0]?.nodeId) return 'not-needed';
    const after = prefer(partition, candidates);
    return after === partition ? 'nobody-eligible' : { before: partition, after };
  }
  if (partition.leader !== undefined) return 'not-needed';
  const rightful = electAgain(partition, candidates);
  if (rightful !== partition) return { before: partition, after: rightful };
  const able = likeliest(partition, candidates);
  if (able === undefined) return 'nobody-eligible';
  return { before: partition, after: electUnclean(partition, able, candidates) };
}

/** Elections of these partitions, as far as there are any to hold. */
export function electLeaders(
  image: ClusterImage,
  kind: 'preferred' | 'unclean',
  names: readonly PartitionName[],
  losses: Losses,
  defaults: TopicDefaults,
): readonly Step[] {
  const candidates = candidatesIn(image, losses, defaults);
  const changes = names.flatMap(({ topicId, partition }) => {
    const before = image.topic(topicId)?.phase === 'deleting' ? undefined : image.partition(topicId, partition);
    const election = before === undefined ? 'not-needed' : electionOf(kind, before, candidates);
    return typeof election === 'string' ? [] : [election];
  });
  return electionSteps(image, changes, kind);
}

/** Partitions that another than the preferred one leads, and that could give it back; in a fixed order, at most so many. */
export function imbalanced(
  image: ClusterImage,
  losses: Losses,
  defaults: TopicDefaults,
  most: number,
): readonly PartitionName[] {
  const candidates = candidatesIn(image, losses, defaults);
  const names: PartitionName[] = [];
  for (const partition of livePartitions(image)) {
    if (names.length >= most) break;
    if (partition.leader !== undefined && prefer(partition, candidates) !== partition) names.push(partition);
  }
  return names;
}

/** Where a topic's settings have changed, somebody may lead by now. */
export function settleLeaderless(
  image: ClusterImage,
  reconfigured: Reconfigured,
  losses: Losses,
  defaults: TopicDefaults,
): readonly Step[] {
  if (reconfigured !== 'all' && reconfigured.size === 0) return [];
  const candidates = candidatesIn(image, losses, defaults);
  const asked = reconfigured === 'all' ? livePartitions(image) : partitionsOf(image, reconfigured);
  return electionSteps(
    image,
    changesOf(asked, (partition) => electAgain(partition, candidates)),
    'unclean',
  );
}

function* partitionsOf(image: ClusterImage, topics: ReadonlySet<Stored<PartitionInfo>['topicId']>) {
  for (const id of topics) {
    if (image.topic(id)?.phase === 'deleting') continue;
    for (const partition of image.partitionsOf(id)) if (partition !== undefined) yield partition;
  }
}

/** Whose log reaches furthest of those who were the last members, as they have said; in one state of the partition. */
export interface LongestLog extends PartitionName {
  readonly modRevision: bigint;
  readonly leader: NodeId;
}

/** All last members are back, each without what it had not flushed: whoever has most leads, recorded as unclean (R7). */
export function electLongest(
  image: ClusterImage,
  winners: readonly LongestLog[],
  losses: Losses,
  defaults: TopicDefaults,
): readonly Step[] {
  const candidates = candidatesIn(image, losses, defaults);
  const changes = winners.flatMap((winner): PartitionChange[] => {
    const before = image.partition(winner.topicId, winner.partition);
    if (before?.modRevision !== winner.modRevision || !awaitsLongest(before, candidates)) return [];
    return [{ before, after: electUnclean(before, winner.leader, candidates) }];
  });
  return electionSteps(image, changes, 'longest-log');
}

/** Nobody is in sync, several were the last, and all of them are back (R7). */
export function awaitsLongest(partition: PartitionInfo, candidates: Candidates): boolean {
  if (partition.leader !== undefined || partition.effectiveFlushPolicy !== 'async') return false;
  if (partition.isr.length + partition.eligibleLeaderReplicas.length > 0 || partition.lastMembers.length < 2)
    return false;
  return partition.lastMembers.every((node) =>
    partition.replicas.some((replica) => replica.nodeId === node && candidates.canLead(replica)),
  );
}

function electionSteps(image: ClusterImage, changes: readonly PartitionChange[], reason: PartitionReason): Step[] {
  const why = (count: number): string => `${count} partitions get another leader (${reason})`;
  return partitionSteps(changes, why, reason, [], electedStay(image));
}
