// pure
/** Requests and answers of members, between the wire and the core. */
import { type ErrorName, partitionIndex, topicId } from '@tributary/model';
import type {
  AssignmentTask,
  GroupPartition as WirePartition,
  MemberAssignment,
  MemberRequest as WireRequest,
  MemberResponse,
} from '@tributary/wire';
import type { GroupPartition, MemberFacts } from '../group/change.ts';
import type { Computed, MemberAnswer, MemberRequest, Reply, Subscription, Task } from '../group/decision.ts';
import { heartbeatIntervalMs } from '../group/settings.ts';
import { failure } from './failure.ts';

/** Who asks, as the first broker saw it. */
export interface Asker {
  readonly clientId: string;
  readonly host: string;
}

export const toWirePartition = ({ topicId: id, partition }: GroupPartition): WirePartition => ({
  topicId: id,
  partition,
});

export const fromWirePartition = (place: WirePartition): GroupPartition => ({
  topicId: topicId(place.topicId),
  partition: partitionIndex(place.partition),
});

export function memberRequest(request: WireRequest, { clientId, host }: Asker): MemberRequest {
  const { groupId, memberId, memberEpoch, appliedVersion } = request;
  return {
    groupId,
    memberId,
    memberEpoch,
    appliedVersion: Number(appliedVersion),
    subscription: subscription(request),
    computed: computed(request),
    clientId,
    host,
  };
}

function subscription({ subscription: given }: WireRequest): Subscription | undefined {
  if (given === undefined) return undefined;
  // Kept for as long as the member: not a view of what was received.
  return { ...given, userData: given.userData.slice() };
}

function computed({ computed: given }: WireRequest): Computed | undefined {
  if (given === undefined) return undefined;
  const members = given.members.map(({ memberId, partitions }) => ({
    memberId,
    partitions: partitions.map(fromWirePartition),
  }));
  return { groupEpoch: given.groupEpoch, members, errorMessage: given.errorMessage };
}

/** undefined: it does not apply. */
export const sincePollMs = ({ sincePollMs: ms }: WireRequest): number | undefined => (ms < 0n ? undefined : Number(ms));

/** What an answer carries beside what the member was told before. */
export interface Carried {
  readonly sequence: bigint;
  readonly withAssignment: boolean;
  readonly task: Task | undefined;
}

export function memberResponse(reply: Reply<MemberAnswer>, memberId: string, carried: Carried): MemberResponse {
  const { sequence } = carried;
  if (reply.kind === 'refused') return refusedMember(reply, memberId, sequence);
  const { member } = reply.value;
  return {
    throttleMs: 0,
    errorCode: 0,
    errorMessage: '',
    memberId,
    memberEpoch: member?.memberEpoch ?? -1,
    heartbeatIntervalMs: member === undefined ? 0 : heartbeatIntervalMs(member),
    sessionTimeoutMs: member?.sessionTimeoutMs ?? 0,
    assignment: carried.withAssignment && member !== undefined ? assignmentOf(member) : undefined,
    task: carried.task === undefined ? undefined : toWireTask(carried.task),
    sequence,
  };
}

export function refusedMember(
  refusal: { readonly error: ErrorName; readonly message: string },
  memberId: string,
  sequence: bigint,
): MemberResponse {
  return {
    throttleMs: 0,
    ...failure(refusal),
    memberId,
    memberEpoch: 0,
    heartbeatIntervalMs: 0,
    sessionTimeoutMs: 0,
    assignment: undefined,
    task: undefined,
    sequence,
  };
}

function assignmentOf({ assignmentVersion, assigned }: MemberFacts): MemberAssignment {
  return { version: BigInt(assignmentVersion), partitions: assigned.map(toWirePartition) };
}

function toWireTask({ groupEpoch, assignor, members, topics }: Task): AssignmentTask {
  return {
    groupEpoch,
    assignor,
    members: members.map(({ memberId, instanceId, rack, topicIds, userData, assigned }) => ({
      memberId,
      instanceId: instanceId ?? '',
      rack,
      topicIds: [...topicIds],
      userData,
      assigned: assigned.map(toWirePartition),
    })),
    topics: topics.map((topic) => ({ ...topic })),
  };
}
