/**
 * GroupService at a broker: whatever is asked about a group is passed on to its coordinator, one hop (F1, G1), with who asked, its client id and its address.
 * What concerns several groups is split by their owners and answered together.
 *
 * Errors beside the coordinator's own: INVALID_GROUP_ID; COORDINATOR_NOT_AVAILABLE where nobody owns the group, or whoever does is silent;
 * NOT_COORDINATOR for what was passed on already, and where the owner is one no longer and no other is known yet. A member's stream ends with these.
 */
import { type ClusterImage, type GroupOwner, offsetsTopic } from '@tributary/metadata';
import { limits, type PartitionIndex, partitionIndex, TributaryError } from '@tributary/model';
import type { CallContext, Handlers, UnaryMethod } from '@tributary/ports';
import {
  type DescribeGroupsRequest,
  type DescribeGroupsResponse,
  type DeleteGroupsRequest,
  type DeleteGroupsResponse,
  type ErrorCode,
  type FindCoordinatorRequest,
  type FindCoordinatorResponse,
  type GroupDeletion,
  type GroupDescription,
  GroupPhase,
  type ListGroupsRequest,
  type ListGroupsResponse,
  methods,
  type MissingGroups,
  type RequestContext,
} from '@tributary/wire';
import { checkGroupId, type Coordinators, refuseForwarded } from './coordinators.ts';
import { ForwardedJoin } from './forward-join.ts';

interface OfOneGroup {
  readonly groupId: string;
  context: RequestContext | undefined;
}

/** Registers all of GroupService. */
export function serveGroups(coordinators: Coordinators, handlers: Handlers): void {
  const pass = <Request extends OfOneGroup, Response>(
    method: UnaryMethod<Request, Response>,
    failureOf: (response: Response) => number,
  ): void =>
    handlers.unary(method, (request, call) => coordinators.call(request.groupId, method, request, call, failureOf));
  handlers.unary(methods.findCoordinator, (request, { signal }) => findCoordinator(coordinators, request, signal));
  handlers.stream(methods.join, (stream, call) => new ForwardedJoin(coordinators, stream, call).run());
  handlers.unary(methods.heartbeat, async (request, call) => {
    const { member } = request;
    if (member === undefined) throw new TributaryError('INVALID_REQUEST', 'The Heartbeat names no member.');
    const asked = { ...request, context: member.context };
    return await coordinators.call(
      member.groupId,
      heartbeat,
      asked,
      call,
      (response) => response.member?.errorCode ?? 0,
    );
  });
  pass(methods.commitOffsets, ({ results }) => results[0]?.errorCode ?? 0);
  pass(methods.fetchOffsets, () => 0);
  pass(methods.deleteOffsets, ({ results }) => results[0]?.errorCode ?? 0);
  handlers.unary(methods.listGroups, (request, call) => listGroups(coordinators, request, call));
  handlers.unary(methods.describeGroups, (request, call) => describeGroups(coordinators, request, call));
  handlers.unary(methods.deleteGroups, (request, call) => deleteGroups(coordinators, request, call));
}

/** A Heartbeat has its context within the member, as the messages of Join have. */
const heartbeat = {
  ...methods.heartbeat,
  request: {
    encode: ({ member, context }: { member: MemberOfHeartbeat; context: RequestContext | undefined }) =>
      methods.heartbeat.request.encode({ member: member === undefined ? undefined : { ...member, context } }),
    decode: (bytes: Uint8Array) => ({ ...methods.heartbeat.request.decode(bytes), context: undefined }),
  },
};
type MemberOfHeartbeat = ReturnType<typeof methods.heartbeat.request.decode>['member'];

async function findCoordinator(
  coordinators: Coordinators,
  { groupId }: FindCoordinatorRequest,
  signal: AbortSignal,
): Promise<FindCoordinatorResponse> {
  const { partition, assignment, coordinator } = await coordinators.ownerOf(groupId, signal);
  const { nodeId, address } = coordinator;
  return { throttleMs: 0, nodeId, address, partition, writerEpoch: assignment.writerEpoch };
}

interface Split<Answer> {
  /** Of some groups of one owner, in their order. */
  readonly ask: (owner: GroupOwner, ids: string[]) => Promise<readonly Answer[]>;
  readonly failed: (groupId: string, error: TributaryError) => Answer;
  readonly failureOf: (answer: Answer) => number;
}

/** Each group's owner is asked about it; one that owns it no longer is followed by its successor, once. @returns in the order of the request. */
async function eachByOwner<Answer>(
  coordinators: Coordinators,
  groupIds: readonly string[],
  signal: AbortSignal,
  { ask, failed, failureOf }: Split<Answer>,
): Promise<Answer[]> {
  if (groupIds.length > limits.groupsPerRequest)
    throw new TributaryError(
      'INVALID_REQUEST',
      `The request names ${groupIds.length} groups; at most ${limits.groupsPerRequest} are allowed: split it.`,
    );
  const answers = new Map<string, Answer>();
  const askAll = async (ids: Iterable<string>): Promise<Map<string, GroupOwner>> => {
    const owners = new Map<string, GroupOwner>();
    const byOwner = new Map<number, { readonly owner: GroupOwner; readonly ids: string[] }>();
    await Promise.all(
      [...ids].map(async (id) => {
        try {
          const owner = await knownOwner(coordinators, id, signal);
          owners.set(id, owner);
          const some = byOwner.get(owner.coordinator.nodeId);
          if (some === undefined) byOwner.set(owner.coordinator.nodeId, { owner, ids: [id] });
          else some.ids.push(id);
        } catch (thrown) {
          answers.set(id, failed(id, TributaryError.from(thrown)));
        }
      }),
    );
    await Promise.all(
      [...byOwner.values()].map(async ({ owner, ids: some }) => {
        const told = await ask(owner, some).catch((thrown: unknown) =>
          some.map((id) => failed(id, TributaryError.from(thrown))),
        );
        for (const [index, id] of some.entries())
          answers.set(
            id,
            told[index] ?? failed(id, new TributaryError('UNKNOWN_SERVER_ERROR', 'It was left unanswered.')),
          );
      }),
    );
    return owners;
  };
  const owners = await askAll(new Set(groupIds));
  const unanswered = [...owners].filter(([id]) => {
    const answer = answers.get(id);
    return answer !== undefined && replaceable.has(failureOf(answer));
  });
  const moved = await Promise.all(unanswered.map(([, owner]) => coordinators.isReplaced(owner, signal)));
  // The groups beside one that has moved were asked about in the same request, which was given up.
  if (moved.includes(true)) await askAll(unanswered.map(([id]) => id));
  return groupIds.flatMap((id) => answers.get(id) ?? []);
}

const replaceable: ReadonlySet<number> = new Set(
  (['NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE'] as const).map((name) => new TributaryError(name, '').code),
);

/** Looking at groups, or deleting them, is no reason to create the topic that would hold them. */
async function knownOwner(coordinators: Coordinators, groupId: string, signal: AbortSignal): Promise<GroupOwner> {
  checkGroupId(groupId);
  if (offsetsTopic(coordinators.source.current) === undefined)
    throw new TributaryError(
      'GROUP_ID_NOT_FOUND',
      `There is no group "${groupId}": none has ever been used in this cluster.`,
    );
  return await coordinators.ownerOf(groupId, signal);
}

async function describeGroups(
  coordinators: Coordinators,
  request: DescribeGroupsRequest,
  call: CallContext,
): Promise<DescribeGroupsResponse> {
  refuseForwarded(request.context);
  const groups = await eachByOwner(coordinators, request.groupIds, call.signal, {
    ask: async (owner, groupIds) =>
      (await coordinators.ask(owner, methods.describeGroups, { ...request, groupIds }, call)).groups,
    failed: undescribed,
    failureOf: ({ errorCode }) => errorCode,
  });
  return { throttleMs: 0, groups };
}

function undescribed(groupId: string, error: TributaryError): GroupDescription {
  return {
    groupId,
    errorCode: error.code as ErrorCode,
    errorMessage: error.message,
    phase: GroupPhase.UNSPECIFIED,
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignor: '',
    coordinatorId: -1,
    coordinatorAddress: '',
    members: [],
    partitions: [],
    assignorError: '',
    expiresMs: -1n,
  };
}

async function deleteGroups(
  coordinators: Coordinators,
  request: DeleteGroupsRequest,
  call: CallContext,
): Promise<DeleteGroupsResponse> {
  refuseForwarded(request.context);
  const groups = await eachByOwner<GroupDeletion>(coordinators, request.groupIds, call.signal, {
    ask: async (owner, groupIds) =>
      (await coordinators.ask(owner, methods.deleteGroups, { ...request, groupIds }, call)).groups,
    failed: (groupId, error) => ({ groupId, errorCode: error.code as ErrorCode, errorMessage: error.message }),
    failureOf: ({ errorCode }) => errorCode,
  });
  return { throttleMs: 0, groups };
}

/** Every coordinator that owns something is asked. What nobody could be asked about, or changed hands meanwhile, is said to be missing. */
async function listGroups(
  coordinators: Coordinators,
  request: ListGroupsRequest,
  call: CallContext,
): Promise<ListGroupsResponse> {
  refuseForwarded(request.context);
  const before = coordinators.source.current;
  const { owners, missing } = allOwners(before);
  const groups = new Map<string, ListGroupsResponse['groups'][number]>();
  await Promise.all(
    [...owners.values()].map(async (owned) => {
      const [first] = owned;
      if (first === undefined) return;
      try {
        const told = await coordinators.ask(first, methods.listGroups, request, call);
        for (const each of told.groups) groups.set(each.groupId, each);
        for (const each of told.missing) missing.set(each.partition, each);
      } catch (thrown) {
        for (const { partition } of owned) missing.set(partition, lacking(partition, TributaryError.from(thrown)));
      }
    }),
  );
  const after = coordinators.source.current;
  for (const { partition, writerEpoch } of after.groupPartitions()) {
    if (missing.has(partition) || before.groupPartition(partition)?.writerEpoch === writerEpoch) continue;
    missing.set(
      partition,
      lacking(partition, new TributaryError('NOT_COORDINATOR', 'It changed hands meanwhile: ask again.')),
    );
  }
  return {
    throttleMs: 0,
    groups: [...groups.values()].sort((one, other) => (one.groupId < other.groupId ? -1 : 1)),
    missing: [...missing.values()].sort((one, other) => one.partition - other.partition),
  };
}

function lacking(partition: number, { code, message }: TributaryError): MissingGroups {
  return { partition, errorCode: code as ErrorCode, errorMessage: message };
}

interface Owners {
  /** By coordinator, what each owns. */
  readonly owners: ReadonlyMap<number, readonly GroupOwner[]>;
  readonly missing: Map<number, MissingGroups>;
}

function allOwners(image: ClusterImage): Owners {
  const owners = new Map<number, GroupOwner[]>();
  const missing = new Map<number, MissingGroups>();
  const partitions = offsetsTopic(image)?.partitions ?? 0;
  for (let index = 0; index < partitions; index++) {
    const owner = ownerOfPartition(image, partitionIndex(index));
    if (owner === undefined) {
      const error = new TributaryError('COORDINATOR_NOT_AVAILABLE', 'Nobody coordinates its groups now.');
      missing.set(index, lacking(index, error));
      continue;
    }
    const others = owners.get(owner.coordinator.nodeId);
    if (others === undefined) owners.set(owner.coordinator.nodeId, [owner]);
    else others.push(owner);
  }
  return { owners, missing };
}

function ownerOfPartition(image: ClusterImage, partition: PartitionIndex): GroupOwner | undefined {
  const topic = offsetsTopic(image);
  const assignment = image.groupPartition(partition);
  const coordinator = assignment?.coordinator === undefined ? undefined : image.coordinator(assignment.coordinator);
  if (topic === undefined || assignment === undefined || coordinator === undefined) return undefined;
  if (coordinator.createRevision !== assignment.coordinatorEpoch) return undefined;
  return { topicId: topic.topicId, partition, assignment, coordinator };
}
