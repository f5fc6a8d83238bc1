/**
 * LogService.ListOffsets: earliest, latest (the high watermark), of the newest timestamp, or the first at or after a timestamp; each from
 * the partition's leader, one hop away at most (F1). Errors travel per partition: UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, BROKER_NOT_AVAILABLE,
 * FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, OFFSET_NOT_AVAILABLE, INVALID_REQUEST.
 */
import { type Offset, TributaryError } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import {
  type ListedOffset,
  type ListOffsetsPartition,
  type ListOffsetsRequest,
  type ListOffsetsResponse,
  methods,
  OffsetSpec,
} from '@tributary/wire';
import type { Partition } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import { eachByLeader } from './by-leader.ts';
import { checkCluster } from './context.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import { failure } from './partition-errors.ts';

interface Found {
  readonly offset: Offset;
  readonly timestampMs: number;
}

export function listOffsetsHandler(replicas: Replicas, neighbours: Neighbours) {
  return async (request: ListOffsetsRequest, call: CallContext): Promise<ListOffsetsResponse> => {
    checkCluster(request.context, replicas.clusterId);
    const here = (some: readonly ListOffsetsPartition[]): Promise<ListedOffset[]> =>
      Promise.all(some.map((wanted) => answer(replicas, wanted)));
    if (isForwarded(request.context)) return { throttleMs: 0, partitions: await here(request.partitions) };
    const partitions = await eachByLeader(neighbours, request.partitions, {
      here,
      there: async (to, some) =>
        (await neighbours.forward(to, methods.listOffsets, { ...request, partitions: [...some] }, call)).partitions,
      failed: unlisted,
    });
    return { throttleMs: 0, partitions };
  };
}

function unlisted({ topicId, partition }: ListOffsetsPartition, thrown: unknown): ListedOffset {
  return { topicId, partition, ...failure(thrown), offset: -1n, timestampMs: -1n, leaderEpoch: 0 };
}

async function answer(replicas: Replicas, wanted: ListOffsetsPartition): Promise<ListedOffset> {
  const { topicId, partition: index } = wanted;
  try {
    const partition = replicas.find(topicId, index);
    const notLeader = partition.state.checkLeader(wanted.leaderEpoch);
    if (notLeader !== undefined) throw notLeader;
    const found = await find(partition, wanted);
    return {
      topicId,
      partition: index,
      errorCode: 0,
      errorMessage: '',
      offset: found?.offset ?? -1n,
      timestampMs: BigInt(found?.timestampMs ?? -1),
      leaderEpoch: wanted.leaderEpoch,
    };
  } catch (thrown) {
    return unlisted(wanted, thrown);
  }
}

async function find(partition: Partition, wanted: ListOffsetsPartition): Promise<Found | undefined> {
  switch (wanted.spec) {
    case OffsetSpec.EARLIEST:
      return { offset: partition.startOffset, timestampMs: -1 };
    case OffsetSpec.LATEST:
      return { offset: partition.latest(), timestampMs: -1 };
    case OffsetSpec.MAX_TIMESTAMP:
      return readable(partition, await partition.log.offsetOfMaxTimestamp());
    case OffsetSpec.TIMESTAMP:
      if (wanted.timestampMs < 0n) {
        throw new TributaryError(
          'INVALID_REQUEST',
          `${wanted.timestampMs} is no timestamp: say milliseconds since 1970; earliest and latest are specs of their own.`,
        );
      }
      return readable(partition, await partition.log.offsetForTimestamp(Number(wanted.timestampMs)));
    default:
      throw new TributaryError(
        'INVALID_REQUEST',
        `ListOffsets has no spec ${Number(wanted.spec)}: say earliest, latest, max timestamp or timestamp.`,
      );
  }
}

/** Records above the high watermark do not exist for clients. @throws TributaryError OFFSET_NOT_AVAILABLE: such a one may be about to (R8). */
function readable(partition: Partition, found: Found | undefined): Found | undefined {
  if (found === undefined || found.offset < partition.highWatermark) return found;
  partition.latest();
  return undefined;
}
