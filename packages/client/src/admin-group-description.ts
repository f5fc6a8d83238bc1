/** What a coordinator says of a group, in the client's own words. */
import { type Offset, offset, type TopicId, topicId, TributaryError } from '@tributary/model';
import {
  GroupPhase as WirePhase,
  type GroupDescription as Described,
  type GroupPartition,
  type GroupPartitionDescription as DescribedPartition,
  LagState as WireLagState,
  type MemberDescription,
} from '@tributary/wire';
import type { TopicPartition } from './topic-partition.ts';

/**
 * `empty`: no members; `assigning`: a member computes who gets what; `reconciling`: members give up and take over; `unknown`: something that this client has no
 * name for.
 */
export type GroupPhase = 'empty' | 'assigning' | 'reconciling' | 'stable' | 'unknown';

/**
 * `stalled`: its member does not poll, or has not moved on although there is something to read; `unreachable_data`: no leader answers; `expiring`: the group is
 * empty, and its commits are about to go although there is lag (G6); `unknown`: not asked for, or no name for it here.
 */
export type LagState =
  | 'ok'
  | 'catching_up'
  | 'stalled'
  | 'no_members'
  | 'rebalancing'
  | 'no_commit'
  | 'unreachable_data'
  | 'expiring'
  | 'unknown';

export interface GroupDescription {
  readonly groupId: string;
  readonly phase: GroupPhase;
  readonly groupEpoch: number;
  readonly assignmentEpoch: number;
  readonly assignor: string;
  /** Why the last assignment of a client-side assignor was refused; undefined: it was not. */
  readonly assignorError: string | undefined;
  /** Node id. */
  readonly coordinator: number;
  readonly coordinatorAddress: string;
  /** When the group, being empty, expires, ms since 1970; undefined: it does not. */
  readonly expiresMs: number | undefined;
  readonly members: readonly GroupMember[];
  /** What is assigned, or committed: by topic name and partition. */
  readonly partitions: readonly GroupPartitionLag[];
}

export interface GroupMember {
  readonly memberId: string;
  /** Of a static member (`group.instance.id`). */
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly host: string;
  readonly rack: string | undefined;
  readonly memberEpoch: number;
  /** What it has subscribed to. */
  readonly topics: readonly string[];
  readonly topicPattern: string | undefined;
  readonly assigned: readonly TopicPartition[];
  /** What it is to have in the end. */
  readonly target: readonly TopicPartition[];
  /** To be given up. */
  readonly revoking: readonly TopicPartition[];
  /** It has not polled for half of `max.poll.interval.ms`. */
  readonly stalled: boolean;
  /** Its stream is there. */
  readonly connected: boolean;
  /** Since the coordinator last heard from it. */
  readonly silentMs: number;
}

/** Commits were read before high watermarks: lag is never negative (G7). What is undefined was not asked for, or no leader answered. */
export interface GroupPartitionLag extends TopicPartition {
  readonly topicId: TopicId;
  /** Of the next record to be read; undefined: nothing is committed. */
  readonly committedOffset: Offset | undefined;
  /** As it was committed; empty: none. */
  readonly metadata: string;
  /** When, ms since 1970. */
  readonly committedMs: number | undefined;
  readonly logStartOffset: Offset | undefined;
  readonly highWatermark: Offset | undefined;
  /** Offsets. */
  readonly lag: bigint | undefined;
  readonly lagBytes: number | undefined;
  /** Age of the first record that is not committed; 0: there is none. */
  readonly lagSeconds: number | undefined;
  readonly lagSecondsEstimated: boolean;
  readonly state: LagState;
  /** undefined: nobody owns it. */
  readonly memberId: string | undefined;
  /** Until retention deletes what has not been committed; undefined: nothing will. */
  readonly secondsToLoss: number | undefined;
  /** Why nothing is known of the partition's log. */
  readonly error: TributaryError | undefined;
}

/** @param hasLag it was asked for. */
export function groupDescription(described: Described, hasLag: boolean): GroupDescription {
  const names = new Map(described.partitions.map(({ topicId: id, topic }) => [id, topic]));
  // A topic that is gone is called by its id.
  const named = (partitions: readonly GroupPartition[]): readonly TopicPartition[] =>
    partitions
      .map(({ topicId: id, partition }) => ({ topic: names.get(id) ?? id, partition }))
      .toSorted((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
  return {
    groupId: described.groupId,
    phase: phaseOf(described.phase),
    groupEpoch: described.groupEpoch,
    assignmentEpoch: described.assignmentEpoch,
    assignor: described.assignor,
    assignorError: textOf(described.assignorError),
    coordinator: described.coordinatorId,
    coordinatorAddress: described.coordinatorAddress,
    expiresMs: atLeastZero(Number(described.expiresMs)),
    members: described.members.map((member) => memberOf(member, named)),
    partitions: described.partitions.map((partition) => partitionOf(partition, hasLag)),
  };
}

function memberOf(
  member: MemberDescription,
  named: (partitions: readonly GroupPartition[]) => readonly TopicPartition[],
): GroupMember {
  const { memberId, clientId, host, memberEpoch, topics, stalled, connected, silentMs } = member;
  return {
    memberId,
    instanceId: textOf(member.instanceId),
    clientId,
    host,
    rack: textOf(member.rack),
    memberEpoch,
    topics,
    topicPattern: textOf(member.topicPattern),
    assigned: named(member.assigned),
    target: named(member.target),
    revoking: named(member.revoking),
    stalled,
    connected,
    silentMs: Number(silentMs),
  };
}

function partitionOf(found: DescribedPartition, hasLag: boolean): GroupPartitionLag {
  const isMeasured = hasLag && found.highWatermark >= 0n;
  return {
    topic: found.topic,
    topicId: topicId(found.topicId),
    partition: found.partition,
    committedOffset: found.committedOffset < 0n ? undefined : offset(found.committedOffset),
    metadata: found.metadata,
    committedMs: found.committedOffset < 0n ? undefined : atLeastZero(Number(found.committedMs)),
    logStartOffset: isMeasured && found.logStartOffset >= 0n ? offset(found.logStartOffset) : undefined,
    highWatermark: isMeasured ? offset(found.highWatermark) : undefined,
    lag: isMeasured && found.lag >= 0n ? found.lag : undefined,
    lagBytes: isMeasured ? atLeastZero(Number(found.lagBytes)) : undefined,
    lagSeconds: isMeasured ? atLeastZero(found.lagSeconds) : undefined,
    lagSecondsEstimated: found.lagSecondsEstimated,
    state: lagStates[found.state] ?? 'unknown',
    memberId: textOf(found.memberId),
    secondsToLoss: isMeasured ? atLeastZero(found.secondsToLoss) : undefined,
    error: found.errorMessage === '' ? undefined : new TributaryError('LEADER_NOT_AVAILABLE', found.errorMessage),
  };
}

const lagStates: Readonly<Record<WireLagState, LagState>> = {
  [WireLagState.UNSPECIFIED]: 'unknown',
  [WireLagState.OK]: 'ok',
  [WireLagState.CATCHING_UP]: 'catching_up',
  [WireLagState.STALLED]: 'stalled',
  [WireLagState.NO_MEMBERS]: 'no_members',
  [WireLagState.REBALANCING]: 'rebalancing',
  [WireLagState.NO_COMMIT]: 'no_commit',
  [WireLagState.UNREACHABLE_DATA]: 'unreachable_data',
  [WireLagState.EXPIRING]: 'expiring',
};

const phases: Readonly<Record<WirePhase, GroupPhase>> = {
  [WirePhase.UNSPECIFIED]: 'unknown',
  [WirePhase.EMPTY]: 'empty',
  [WirePhase.ASSIGNING]: 'assigning',
  [WirePhase.RECONCILING]: 'reconciling',
  [WirePhase.STABLE]: 'stable',
};

export const phaseOf = (phase: WirePhase): GroupPhase => phases[phase] ?? 'unknown';

const textOf = (text: string): string | undefined => (text === '' ? undefined : text);
const atLeastZero = (value: number): number | undefined => (value < 0 ? undefined : value);
