/**
 * - CommitOffsets: answered once durable. Errors per offset; NOT_COORDINATOR and COORDINATOR_LOAD_IN_PROGRESS refuse the call.
 * - FetchOffsets: UNKNOWN_MEMBER_ID where it names a member that is none any more.
 * - DeleteOffsets: errors per offset.
 */
import { leaderEpoch, offset, partitionIndex, topicId, TributaryError } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import type {
  CommitOffsetsRequest,
  CommitOffsetsResponse,
  DeleteOffsetsRequest,
  DeleteOffsetsResponse,
  FetchOffsetsRequest,
  FetchOffsetsResponse,
  OffsetCommitResult,
} from '@tributary/wire';
import type { FetchedOffset, OffsetToCommit, OffsetVerdict, Reply } from '../group/decision.ts';
import type { LogEnds } from '../lag/log-ends.ts';
import { failure } from './failure.ts';
import { fromWirePartition } from './member-wire.ts';
import type { Reception } from './reception.ts';

export async function commitOffsets(
  reception: Reception,
  ends: LogEnds,
  request: CommitOffsetsRequest,
  call: CallContext,
): Promise<CommitOffsetsResponse> {
  const { groupId, memberId, memberEpoch, sequence, validateOnly } = request;
  const shard = await reception.shardOf(groupId, request.context, call);
  const asked = request.offsets.map(
    (each): Omit<OffsetToCommit, 'logEnd'> => ({
      place: { topicId: topicId(each.topicId), partition: partitionIndex(each.partition) },
      offset: offset(each.offset),
      leaderEpoch: each.leaderEpoch < 0 ? undefined : leaderEpoch(each.leaderEpoch),
      metadata: each.metadata,
    }),
  );
  await reception.untilKnown(
    asked.map(({ place }) => place.topicId),
    call,
  );
  const known = await ends.covering(asked, call);
  const offsets = asked.map((each, index): OffsetToCommit => ({ ...each, logEnd: known[index] }));
  const commit = { groupId, memberId, memberEpoch, sequence, validateOnly, offsets };
  const reply = await shard.ask((groups, at) => groups.commit(commit, at));
  const verdicts = whole(reply);
  const refused = verdicts.filter(({ kind }) => kind === 'refused').length;
  reception.facts.commits += verdicts.length - refused;
  reception.facts.commitsRefused += refused;
  return { throttleMs: 0, results: verdicts.map(resultOf) };
}

export async function fetchOffsets(
  reception: Reception,
  request: FetchOffsetsRequest,
  call: CallContext,
): Promise<FetchOffsetsResponse> {
  const { groupId, memberId, memberEpoch } = request;
  const shard = await reception.shardOf(groupId, request.context, call);
  const asked = { groupId, memberId, memberEpoch, partitions: request.partitions.map(fromWirePartition) };
  const reply = await shard.read((groups) => groups.fetchOffsets(asked), true);
  return { throttleMs: 0, offsets: whole(reply).map(committed) };
}

function committed({ place, commit }: FetchedOffset) {
  return {
    topicId: place.topicId,
    partition: place.partition,
    offset: commit?.offset ?? -1n,
    leaderEpoch: commit?.leaderEpoch ?? -1,
    metadata: commit?.metadata ?? '',
    committedMs: BigInt(commit?.committedMs ?? -1),
  };
}

export async function deleteOffsets(
  reception: Reception,
  request: DeleteOffsetsRequest,
  call: CallContext,
): Promise<DeleteOffsetsResponse> {
  const shard = await reception.shardOf(request.groupId, request.context, call);
  const places = request.partitions.map(fromWirePartition);
  const reply = await shard.ask((groups) => groups.deleteOffsets(request.groupId, places));
  return { throttleMs: 0, results: whole(reply).map(resultOf) };
}

/** @throws TributaryError: what refuses all of it. */
export function whole<T>(reply: Reply<T>): T {
  if (reply.kind === 'ok') return reply.value;
  throw new TributaryError(reply.error, reply.message);
}

function resultOf(verdict: OffsetVerdict): OffsetCommitResult {
  return verdict.kind === 'ok' ? { errorCode: 0, errorMessage: '' } : failure(verdict);
}
