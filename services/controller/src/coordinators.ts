// pure
/**
 * Who coordinates the groups of which partition of `__consumer_offsets` (G1). A coordinator that comes gets its share; what one has that is leaving, or gone, goes
 * to the others, to nobody where there are none. Every change of owner raises the partition's writer epoch: an owner is one registration of a
 * coordinator, and a restarted one is another. Where everything is as it should be nothing is decided: a takeover begins where the last transaction ended.
 */
import type { ClusterImage, CoordinatorInfo, Expectation, GroupPartitionInfo, Stored } from '@tributary/metadata';
import {
  type BrokerEpoch,
  type NodeId,
  type PartitionIndex,
  TributaryError,
  brokerEpoch,
  offsetsTopicName,
  partitionIndex,
  writerEpoch,
} from '@tributary/model';
import type { LeavingShare } from './brokers.ts';
import { packed } from './partition-changes.ts';
import { shareOut } from './share-out.ts';
import type { GroupMoveReason, Step } from './step.ts';

/** What the controller knows of coordinators beside the image. */
export interface CoordinatorLosses {
  /** Registrations, by their epoch, that are there although their coordinator is dead (R10). */
  readonly dead: ReadonlyMap<NodeId, BrokerEpoch>;
  /** Those, by their epoch, that are about to stop. */
  readonly leaving: ReadonlyMap<NodeId, BrokerEpoch>;
  /** Owners whose registration is gone, which is no death yet (M5). */
  readonly awaited: ReadonlySet<NodeId>;
}

export const noCoordinatorLosses: CoordinatorLosses = { dead: new Map(), leaving: new Map(), awaited: new Set() };

type Registration = Stored<CoordinatorInfo>;

interface Move {
  readonly partition: PartitionIndex;
  readonly before: Stored<GroupPartitionInfo> | undefined;
  /** undefined: nobody. */
  readonly to: Registration | undefined;
  readonly reason: GroupMoveReason;
}

/** Gives every partition to a coordinator, balanced within one, and ends the registrations of dead ones. [] when all is as it should be. */
export function settleGroupPartitions(image: ClusterImage, losses: CoordinatorLosses): readonly Step[] {
  const dead = [...image.coordinators()].filter((each) => losses.dead.get(each.nodeId) === epochOf(each));
  return [...moveSteps(image, movesIn(image, losses)), ...dead.map(endRegistration)];
}

function movesIn(image: ClusterImage, losses: CoordinatorLosses): Move[] {
  const able = [...image.coordinators()].filter((each) => canOwn(image, each, losses));
  const byNode = new Map(able.map((each) => [each.nodeId, each]));
  const held = new Map(able.map(({ nodeId }): [NodeId, PartitionIndex[]] => [nodeId, []]));
  const homeless: PartitionIndex[] = [];
  const all = partitionsOf(image);
  for (const { partition, before } of all) {
    const owner = before?.coordinator;
    if (owner !== undefined && isAwaited(image, owner, losses)) continue;
    // One that has registered anew keeps its place: it is another owner, but nobody else has to load what it had.
    const mine = owner === undefined ? undefined : held.get(owner);
    (mine ?? homeless).push(partition);
  }
  const places = able.length === 0 ? new Map<PartitionIndex, NodeId>() : shareOut(held, homeless);
  const moves: Move[] = [];
  for (const { partition, before } of all) {
    const owner = before?.coordinator;
    if (owner !== undefined && isAwaited(image, owner, losses)) continue;
    const place = places.get(partition) ?? owner;
    const to = place === undefined ? undefined : byNode.get(place);
    // Nobody can take it from one that is leaving: it serves for as long as it is there.
    if (to === undefined && (before === undefined || owner === undefined || isServing(image, before, losses))) continue;
    if (to !== undefined && before?.coordinator === to.nodeId && before.coordinatorEpoch === epochOf(to)) continue;
    moves.push({ partition, before, to, reason: reasonOf(image, before, to, losses) });
  }
  // What nobody serves comes first: somebody waits for it.
  return [...moves.filter((each) => each.reason !== 'balance'), ...moves.filter((each) => each.reason === 'balance')];
}

/** What a coordinator that is leaving still owns. */
export function coordinatorShare(image: ClusterImage, node: NodeId, losses: CoordinatorLosses): LeavingShare {
  const others = [...image.coordinators()].some((each) => each.nodeId !== node && canOwn(image, each, losses));
  const owned = [...image.groupPartitions()].filter(({ coordinator }) => coordinator === node).length;
  return others ? { toMove: owned, withoutSuccessor: 0 } : { toMove: 0, withoutSuccessor: owned };
}

/** How many partitions there are, how many of them each coordinator owns in the registration in force, and how many nobody does. */
export function ownership(image: ClusterImage) {
  const owned = new Map<NodeId, number>();
  let withoutOwner = 0;
  const all = partitionsOf(image);
  for (const { before } of all) {
    const owner = before?.coordinator === undefined ? undefined : image.coordinator(before.coordinator);
    if (owner === undefined || owner.createRevision !== before?.coordinatorEpoch) withoutOwner++;
    else owned.set(owner.nodeId, (owned.get(owner.nodeId) ?? 0) + 1);
  }
  return { partitions: all.length, owned, withoutOwner };
}

/** @throws TributaryError BROKER_ID_NOT_REGISTERED; STALE_BROKER_EPOCH where it is registered in another epoch. */
export function coordinatorOf(image: ClusterImage, node: NodeId, epoch: bigint): Registration {
  const registration = image.coordinator(node);
  if (registration === undefined)
    throw new TributaryError('BROKER_ID_NOT_REGISTERED', `Coordinator ${node} is not registered.`);
  if (registration.createRevision === epoch) return registration;
  throw new TributaryError(
    'STALE_BROKER_EPOCH',
    `Coordinator ${node} speaks of epoch ${epoch}; its registration has epoch ${registration.createRevision}.`,
  );
}

/** Registered, of a version that the cluster speaks (M7), neither leaving nor known to be dead. */
function canOwn(image: ClusterImage, registration: Registration, { dead, leaving }: CoordinatorLosses): boolean {
  const { nodeId, versionMin, versionMax } = registration;
  const epoch = epochOf(registration);
  const version = image.cluster?.version ?? versionMin;
  if (version < versionMin || version > versionMax) return false;
  return dead.get(nodeId) !== epoch && leaving.get(nodeId) !== epoch;
}

/** It went, and may be back within the grace. */
function isAwaited(image: ClusterImage, owner: NodeId, { awaited }: CoordinatorLosses): boolean {
  return awaited.has(owner) && image.coordinator(owner) === undefined;
}

function isServing(
  image: ClusterImage,
  { coordinator, coordinatorEpoch }: GroupPartitionInfo,
  losses: CoordinatorLosses,
) {
  const registration = coordinator === undefined ? undefined : image.coordinator(coordinator);
  if (registration === undefined || epochOf(registration) !== coordinatorEpoch) return false;
  return losses.dead.get(registration.nodeId) !== coordinatorEpoch;
}

function reasonOf(
  image: ClusterImage,
  before: GroupPartitionInfo | undefined,
  to: Registration | undefined,
  losses: CoordinatorLosses,
): GroupMoveReason {
  if (before?.coordinator === undefined) return 'unowned';
  if (to?.nodeId === before.coordinator) return 'coordinator-returned';
  if (!isServing(image, before, losses)) return 'coordinator-lost';
  return losses.leaving.get(before.coordinator) === before.coordinatorEpoch ? 'coordinator-leaving' : 'balance';
}

const epochOf = ({ createRevision }: Registration): BrokerEpoch => brokerEpoch(createRevision);

/** None before the topic is whole. */
function partitionsOf(image: ClusterImage) {
  const topic = image.topicNamed(offsetsTopicName);
  return Array.from({ length: topic?.phase === 'ready' ? topic.partitions : 0 }, (_, i) => {
    const partition = partitionIndex(i);
    return { partition, before: image.groupPartition(partition) };
  });
}

/** Each rests on the registration of its new owner, and of the one before as it was seen. */
function moveSteps(image: ClusterImage, moves: readonly Move[]): Step[] {
  const grounds = {
    brokersOf: ({ before, to }: Move) => [before?.coordinator, to?.nodeId].filter((each) => each !== undefined),
    expect: (node: NodeId): readonly Expectation[] => [registrationUnchanged(image, node)],
  };
  return packed(moves, [], grounds).map(({ changes, expect }) => ({
    why: `${changes.length} partitions of groups get another coordinator (${[...new Set(changes.map((each) => each.reason))].join(', ')})`,
    groupMoves: changes.map((each) => each.reason),
    transaction: {
      expect: [...expect, ...changes.map(assignmentUnchanged)],
      put: changes.map(({ partition, before, to }) => ({
        kind: 'group-partition',
        value: {
          partition,
          coordinator: to?.nodeId,
          coordinatorEpoch: to === undefined ? undefined : epochOf(to),
          writerEpoch: writerEpoch((before?.writerEpoch ?? 0n) + 1n),
        },
      })),
      delete: [],
    },
  }));
}

/** It owns nothing any more. One that was alive after all finds out, and registers anew. */
function endRegistration({ nodeId, createRevision }: Registration): Step {
  const place = { kind: 'coordinator-registration', nodeId } as const;
  return {
    why: `coordinator ${nodeId} is dead`,
    transaction: { expect: [{ place, is: 'created-at', revision: createRevision }], put: [], delete: [place] },
  };
}

function registrationUnchanged(image: ClusterImage, nodeId: NodeId): Expectation {
  const place = { kind: 'coordinator-registration', nodeId } as const;
  const registration = image.coordinator(nodeId);
  return registration === undefined
    ? { place, is: 'absent' }
    : { place, is: 'created-at', revision: registration.createRevision };
}

function assignmentUnchanged({ partition, before }: Move): Expectation {
  const place = { kind: 'group-partition', partition } as const;
  return before === undefined ? { place, is: 'absent' } : { place, is: 'modified-at', revision: before.modRevision };
}
