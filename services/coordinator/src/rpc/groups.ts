/**
 * - ListGroups: of the partitions that this coordinator owns; those that it is still reading are named in `missing`.
 * - DescribeGroups: one answer for each id. GROUP_ID_NOT_FOUND, NOT_COORDINATOR and COORDINATOR_LOAD_IN_PROGRESS travel in it; INVALID_REQUEST above
 *   limits.groupsPerRequest.
 * - DeleteGroups: of groups without members. NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND.
 */
import { limits, type NodeId, TributaryError } from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import {
  type DeleteGroupsRequest,
  type DeleteGroupsResponse,
  type DescribeGroupsRequest,
  type DescribeGroupsResponse,
  type GroupDeletion,
  type GroupDescription,
  type GroupPartitionDescription,
  GroupPhase,
  LagState,
  type ListGroupsRequest,
  type ListGroupsResponse,
  type MemberDescription,
  type MissingGroups,
} from '@tributary/wire';
import type { GroupPhase as Phase, GroupSnapshot } from '../group/decision.ts';
import type { GroupReport, LagDesk, PartitionReport, Subject } from '../lag/lag-desk.ts';
import type { LagState as State } from '../lag/partition-lag.ts';
import type { Shard } from '../shard/shard.ts';
import { failure } from './failure.ts';
import { toWirePartition } from './member-wire.ts';
import { whole } from './offsets.ts';
import type { Reception } from './reception.ts';

export interface Describing {
  readonly reception: Reception;
  readonly lag: LagDesk;
  readonly nodeId: NodeId;
  readonly address: () => string;
  readonly clock: Clock;
}

const phases: Readonly<Record<Phase, GroupPhase>> = {
  empty: GroupPhase.EMPTY,
  assigning: GroupPhase.ASSIGNING,
  reconciling: GroupPhase.RECONCILING,
  stable: GroupPhase.STABLE,
};

const states: Readonly<Record<State, LagState>> = {
  ok: LagState.OK,
  catching_up: LagState.CATCHING_UP,
  stalled: LagState.STALLED,
  no_members: LagState.NO_MEMBERS,
  rebalancing: LagState.REBALANCING,
  no_commit: LagState.NO_COMMIT,
  unreachable_data: LagState.UNREACHABLE_DATA,
  expiring: LagState.EXPIRING,
};

export async function listGroups(
  { reception, nodeId }: Describing,
  request: ListGroupsRequest,
  { signal }: CallContext,
): Promise<ListGroupsResponse> {
  await reception.admit(request.context, { signal });
  const lists = await Promise.all(
    [...reception.shards].map(async (shard) => {
      try {
        return { groups: await shard.read((groups) => groups.list(), false), missing: undefined };
      } catch (thrown) {
        const missing: MissingGroups = { partition: shard.place.partition, ...failure(TributaryError.from(thrown)) };
        return { groups: [], missing };
      }
    }),
  );
  return {
    throttleMs: 0,
    groups: lists
      .flatMap(({ groups }) => groups)
      .map(({ groupId, phase, members, assignor }) => ({
        groupId,
        phase: phases[phase],
        members,
        assignor,
        coordinatorId: nodeId,
      })),
    missing: lists.flatMap(({ missing }) => (missing === undefined ? [] : [missing])),
  };
}

/** @throws TributaryError INVALID_REQUEST. */
function refuseMany(ids: readonly string[]): void {
  if (ids.length <= limits.groupsPerRequest) return;
  throw new TributaryError(
    'INVALID_REQUEST',
    `${ids.length} groups are named; at most ${limits.groupsPerRequest} may be.`,
  );
}

export async function describeGroups(
  describing: Describing,
  request: DescribeGroupsRequest,
  { signal }: CallContext,
): Promise<DescribeGroupsResponse> {
  const { reception, lag } = describing;
  refuseMany(request.groupIds);
  await reception.admit(request.context, { signal });
  const found = await Promise.all(
    request.groupIds.map(async (groupId): Promise<Subject | GroupDescription> => {
      try {
        const shard = reception.shardNow(groupId);
        const reply = await shard.read((groups) => groups.describe(groupId), false);
        return { shard, snapshot: whole(reply) };
      } catch (thrown) {
        return unknownGroup(groupId, TributaryError.from(thrown), describing);
      }
    }),
  );
  const subjects = found.filter((each) => 'shard' in each);
  // Commits first, then how far the logs reach (G7).
  const reports = await lag.report(subjects, request.includeLag, signal);
  const bySnapshot = new Map(reports.map((report) => [report.snapshot, report]));
  const groups = found.map((each) => {
    if (!('shard' in each)) return each;
    const report = bySnapshot.get(each.snapshot) ?? { snapshot: each.snapshot, partitions: [] };
    return describe(report, each.shard, describing, request.includeLag);
  });
  return { throttleMs: 0, groups };
}

function unknownGroup(groupId: string, error: TributaryError, { nodeId, address }: Describing): GroupDescription {
  return {
    groupId,
    ...failure(error),
    phase: GroupPhase.UNSPECIFIED,
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignor: '',
    coordinatorId: nodeId,
    coordinatorAddress: address(),
    members: [],
    partitions: [],
    assignorError: '',
    expiresMs: -1n,
  };
}

function describe(
  { snapshot, partitions }: GroupReport,
  shard: Shard,
  { nodeId, address, clock }: Describing,
  withLag: boolean,
): GroupDescription {
  const { groupId, phase, group, expiresMs } = snapshot;
  return {
    groupId,
    errorCode: 0,
    errorMessage: '',
    phase: phases[phase],
    groupEpoch: group.groupEpoch,
    assignmentEpoch: group.assignmentEpoch,
    assignor: group.assignor,
    coordinatorId: nodeId,
    coordinatorAddress: address(),
    members: membersOf(snapshot, shard, clock.monotonicMs()),
    partitions: partitions.map((report) => describePartition(report, withLag)),
    assignorError: group.assignorError ?? '',
    expiresMs: BigInt(Math.round(expiresMs ?? -1)),
  };
}

function membersOf({ groupId, members }: GroupSnapshot, shard: Shard, nowMs: number): MemberDescription[] {
  return members.map(({ memberId, member }) => {
    const session = shard.sessions.state(groupId, memberId, nowMs);
    return {
      memberId,
      instanceId: member.instanceId ?? '',
      clientId: member.clientId,
      host: member.host,
      rack: member.rack,
      memberEpoch: member.memberEpoch,
      topics: [...member.topics],
      topicPattern: member.topicPattern ?? '',
      assigned: member.assigned.map(toWirePartition),
      target: member.target.map(toWirePartition),
      revoking: member.revoking.map(toWirePartition),
      stalled: session?.stalled ?? false,
      silentMs: BigInt(Math.round(session?.silentMs ?? 0)),
      connected: session?.connected ?? false,
    };
  });
}

/** Without lag: what the group has, and nothing about the log. */
function describePartition(
  { standing, topic, lag, why }: PartitionReport,
  withLag: boolean,
): GroupPartitionDescription {
  const { place, commit, memberId } = standing;
  const { log } = lag;
  return {
    topic,
    topicId: place.topicId,
    partition: place.partition,
    committedOffset: commit?.offset ?? -1n,
    metadata: commit?.metadata ?? '',
    committedMs: BigInt(commit?.committedMs ?? -1),
    logStartOffset: log?.logStart ?? -1n,
    highWatermark: log?.highWatermark ?? -1n,
    lag: lag.records ?? -1n,
    lagBytes: lag.records === undefined ? -1n : (log?.bytes ?? -1n),
    lagSeconds: lag.seconds ?? -1,
    lagSecondsEstimated: log?.isEstimated ?? false,
    state: withLag ? states[lag.state] : LagState.UNSPECIFIED,
    memberId: memberId ?? '',
    secondsToLoss: lag.secondsToLoss ?? -1,
    errorMessage: why,
  };
}

export async function deleteGroups(
  { reception }: Describing,
  request: DeleteGroupsRequest,
  { signal }: CallContext,
): Promise<DeleteGroupsResponse> {
  refuseMany(request.groupIds);
  await reception.admit(request.context, { signal });
  const groups = await Promise.all(
    request.groupIds.map(async (groupId): Promise<GroupDeletion> => {
      try {
        const shard = reception.shardNow(groupId);
        const { validateOnly } = request;
        const reply = await shard.ask((all) => {
          const decision = all.deleteGroup(groupId);
          return validateOnly ? { changes: [], reply: decision.reply, toTell: [] } : decision;
        });
        whole(reply);
        return { groupId, errorCode: 0, errorMessage: '' };
      } catch (thrown) {
        return { groupId, ...failure(TributaryError.from(thrown)) };
      }
    }),
  );
  return { throttleMs: 0, groups };
}
