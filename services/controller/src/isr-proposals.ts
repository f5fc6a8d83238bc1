// pure
/** What leaders propose about who is in sync, judged against one image (M4, R4, R5): each proposal is decided or refused, once. */
import {
  type BrokerEpoch,
  type ErrorName,
  type LeaderEpoch,
  type NodeId,
  type PartitionEpoch,
  type PartitionIndex,
  type TopicId,
  brokerEpoch,
  partitionEpoch,
} from '@tributary/model';
import type { ClusterImage, Expectation, PartitionInfo, Stored } from '@tributary/metadata';
import { registrationOf } from './brokers.ts';
import { isrAfter } from './leader-election.ts';
import { type Grounds, type PartitionChange, partitionSteps } from './partition-changes.ts';
import type { Step } from './step.ts';

export interface ProposedMember {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
}

export interface Proposal {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly leaderEpoch: LeaderEpoch;
  /** The state that it would follow. */
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly ProposedMember[];
}

export type Verdict =
  | { readonly kind: 'accepted' }
  /** The state shows exactly it: it was decided before, and the answer was lost. */
  | { readonly kind: 'shown' }
  | { readonly kind: 'refused'; readonly error: ErrorName; readonly why: string };

/** One broker's proposals, judged together. */
export interface JudgedProposals {
  /** In the order of the proposals. */
  readonly verdicts: readonly Verdict[];
  readonly steps: readonly Step[];
}

/**
 * Refused: UNKNOWN_TOPIC_ID; FENCED_LEADER_EPOCH where the proposer does not lead in that epoch; INVALID_UPDATE_VERSION where the partition has
 * moved on; INELIGIBLE_REPLICA naming the member that may not join and why; INVALID_REQUEST for what makes no sense.
 * Only who joins is looked at: who is in sync already stays so until somebody says otherwise, be it leaving or just restarted.
 * @throws TributaryError BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH: the proposer is no longer registered as it says.
 */
export function judgeProposals(
  image: ClusterImage,
  proposer: ProposedMember,
  proposals: readonly Proposal[],
): JudgedProposals {
  registrationOf(image, proposer.nodeId, proposer.brokerEpoch);
  const changes = new Map<string, PartitionChange>();
  const verdicts = proposals.map((proposal): Verdict => {
    const before = image.partition(proposal.topicId, proposal.partition);
    if (before === undefined || image.topic(proposal.topicId)?.phase === 'deleting')
      return refused('UNKNOWN_TOPIC_ID', `There is no partition ${proposal.partition} of topic ${proposal.topicId}.`);
    const key = `${proposal.topicId}/${proposal.partition}`;
    const now = changes.get(key)?.after ?? before;
    const verdict = judge(image, proposer.nodeId, proposal, now);
    if (verdict.kind !== 'accepted') return verdict;
    changes.set(key, { before, after: { ...now, ...accepted(now, proposal) } });
    return verdict;
  });
  const registered = ({ nodeId, brokerEpoch }: ProposedMember): Expectation => ({
    place: { kind: 'registration', nodeId },
    is: 'created-at',
    revision: brokerEpoch,
  });
  const grounds: Grounds = {
    brokersOf: ({ before, after }) => after.isr.filter((node) => !before.isr.includes(node)),
    // That it is not leaving as well: a late copy of what was refused for that must fail.
    expect: (nodeId) => {
      const { registration, status } = image.broker(nodeId) ?? {};
      if (registration === undefined || status === undefined) return [];
      return [
        registered({ nodeId, brokerEpoch: brokerEpoch(registration.createRevision) }),
        { place: { kind: 'broker-status', nodeId }, is: 'modified-at', revision: status.modRevision },
      ];
    },
  };
  const steps = partitionSteps(
    [...changes.values()],
    (count) => `${count} partitions change their ISR, as broker ${proposer.nodeId} proposed`,
    'proposal',
    [registered(proposer)],
    grounds,
  );
  return { verdicts, steps };
}

function judge(image: ClusterImage, proposer: NodeId, proposal: Proposal, now: PartitionInfo): Verdict {
  const members = proposal.isr.map((member) => member.nodeId);
  if (now.leader !== proposer || now.leaderEpoch !== proposal.leaderEpoch) {
    const who = now.leader === undefined ? 'nobody leads it' : `broker ${now.leader} leads it`;
    return refused(
      'FENCED_LEADER_EPOCH',
      `${named(image, now)}: broker ${proposer} proposed in leader epoch ${proposal.leaderEpoch}; ${who} in epoch ${now.leaderEpoch}.`,
    );
  }
  const foreign = members.find((node) => !now.replicas.some((replica) => replica.nodeId === node));
  if (foreign !== undefined)
    return refused('INVALID_REQUEST', `${named(image, now)}: broker ${foreign} is none of its replicas.`);
  if (!members.includes(proposer) || new Set(members).size !== members.length)
    return refused('INVALID_REQUEST', `${named(image, now)}: an ISR names its leader, and nobody twice.`);
  const isSame = members.length === now.isr.length && members.every((node) => now.isr.includes(node));
  if (isSame && now.partitionEpoch === proposal.partitionEpoch + 1) return { kind: 'shown' };
  if (now.partitionEpoch !== proposal.partitionEpoch) {
    return refused(
      'INVALID_UPDATE_VERSION',
      `${named(image, now)}: the proposal follows partition epoch ${proposal.partitionEpoch}; it is ${now.partitionEpoch} by now.`,
    );
  }
  if (isSame) return refused('INVALID_REQUEST', `${named(image, now)}: the proposal changes nothing.`);
  for (const member of proposal.isr) {
    const why = now.isr.includes(member.nodeId) ? undefined : unfitBecause(image, now, member);
    if (why !== undefined)
      return refused('INELIGIBLE_REPLICA', `${named(image, now)}: broker ${member.nodeId} cannot join: ${why}.`);
  }
  return { kind: 'accepted' };
}

/** Why a broker may not join the ISR (R6); undefined: it may. */
function unfitBecause(image: ClusterImage, now: PartitionInfo, member: ProposedMember): string | undefined {
  const { registration, status } = image.broker(member.nodeId) ?? {};
  if (registration === undefined) return 'it is not registered';
  if (registration.createRevision !== member.brokerEpoch)
    return `its registration has epoch ${registration.createRevision}, the leader knows it in epoch ${member.brokerEpoch}`;
  if (status?.brokerEpoch !== member.brokerEpoch || status.fenced) return 'it is fenced';
  if (status.leaving) return 'it is leaving';
  const replica = now.replicas.find((each) => each.nodeId === member.nodeId);
  if (replica?.directoryId === registration.directoryId) return undefined;
  return `its replica is in data directory ${replica?.directoryId}, it runs with ${registration.directoryId}`;
}

function accepted(now: PartitionInfo, proposal: Proposal): Partial<Stored<PartitionInfo>> {
  return {
    ...isrAfter(
      now,
      proposal.isr.map((member) => member.nodeId),
    ),
    partitionEpoch: partitionEpoch(now.partitionEpoch + 1),
  };
}

const refused = (error: ErrorName, why: string): Verdict => ({ kind: 'refused', error, why });

const named = (image: ClusterImage, { topicId, partition }: PartitionInfo): string =>
  `Partition ${partition} of topic ${image.topic(topicId)?.name ?? topicId}`;
