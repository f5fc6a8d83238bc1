/**
 * LogService.DeleteRecords (L4): moves the log start up to an offset, or (−1) up to the high watermark, and answers once the new start is on the
 * disk. An offset that is gone already changes nothing. With `validate_only` it says what would go. Errors travel per partition: OFFSET_OUT_OF_RANGE
 * above the high watermark, OFFSET_NOT_AVAILABLE where that is about to rise (R8), POLICY_VIOLATION where cleanup.policy does not include delete, INVALID_TOPIC_EXCEPTION for internal topics (G1), KAFKA_STORAGE_ERROR (try again), UNKNOWN_TOPIC_ID,
 * BROKER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
 */
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import {
  type DeletedRecords,
  type DeleteRecordsPartition,
  type DeleteRecordsRequest,
  type DeleteRecordsResponse,
  methods,
} from '@tributary/wire';
import { notForClients } from '../partition/fence.ts';
import type { Partition } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import { eachByLeader } from './by-leader.ts';
import { checkCluster } from './context.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import { failure } from './partition-errors.ts';

/** In a request: all that can be read. */
const toTheEnd = -1n;

export function deleteRecordsHandler(replicas: Replicas, neighbours: Neighbours, clock: Clock) {
  return async (request: DeleteRecordsRequest, call: CallContext): Promise<DeleteRecordsResponse> => {
    checkCluster(request.context, replicas.clusterId);
    const { validateOnly } = request;
    const here = async (wanted: readonly DeleteRecordsPartition[]): Promise<DeletedRecords[]> => {
      const partitions: DeletedRecords[] = [];
      // Together they share the writes of the checkpoints; all at once they would take every thread.
      for (let from = 0; from < wanted.length; from += limits.partitionsOpenedAtOnce) {
        const some = wanted.slice(from, from + limits.partitionsOpenedAtOnce);
        const answered = some.map((each) => answer(replicas, each, validateOnly, clock, call.signal));
        partitions.push(...(await Promise.all(answered)));
      }
      return partitions;
    };
    if (isForwarded(request.context)) return { throttleMs: 0, partitions: await here(request.partitions) };
    const partitions = await eachByLeader(neighbours, request.partitions, {
      here,
      there: async (to, some) => {
        const asked = { ...request, partitions: [...some] };
        const deadlineMs = limits.deleteRecordsMs + limits.internalCallMs;
        return (await neighbours.forward(to, methods.deleteRecords, asked, call, deadlineMs)).partitions;
      },
      failed: undeleted,
    });
    return { throttleMs: 0, partitions };
  };
}

function undeleted({ topicId, partition }: DeleteRecordsPartition, thrown: unknown): DeletedRecords {
  return { topicId, partition, ...failure(thrown), logStartOffset: -1n, records: 0n, bytes: 0n };
}

async function answer(
  replicas: Replicas,
  wanted: DeleteRecordsPartition,
  validateOnly: boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<DeletedRecords> {
  const { topicId, partition: index } = wanted;
  try {
    const partition = replicas.find(topicId, index);
    const to = target(partition, wanted);
    const { start, records, bytes } = partition.log.preview.below(to);
    if (!validateOnly) await moveStart(partition, to, wanted.leaderEpoch, clock, signal);
    const logStartOffset = validateOnly ? start : partition.startOffset;
    const gone = { logStartOffset, records: BigInt(records), bytes: BigInt(bytes) };
    return { topicId, partition: index, errorCode: 0, errorMessage: '', ...gone };
  } catch (thrown) {
    return undeleted(wanted, thrown);
  }
}

/** @throws TributaryError, as above. */
function target(partition: Partition, { beforeOffset, leaderEpoch }: DeleteRecordsPartition): Offset {
  const notLeader = partition.state.checkLeader(leaderEpoch);
  if (notLeader !== undefined) throw notLeader;
  const { name, config, producers } = partition.state;
  if (producers.isInternal) throw notForClients(name);
  if (!config.cleanup.delete) {
    throw new TributaryError(
      'POLICY_VIOLATION',
      `${name} keeps the newest record of each key (cleanup.policy=compact): records can be deleted where the policy includes delete.`,
    );
  }
  if (beforeOffset >= 0n && beforeOffset <= partition.highWatermark) return offset(beforeOffset);
  // R8: what lies between the high watermark and the start of the epoch is about to be committed.
  const end = partition.latest();
  if (beforeOffset === toTheEnd) return end;
  throw new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `${name} has offsets ${partition.startOffset} to ${end}; records before ${beforeOffset} cannot be deleted, those before ${end} at most (or −1: all of them).`,
  );
}

async function moveStart(
  partition: Partition,
  to: Offset,
  leaderEpoch: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const givesUpAt = clock.monotonicMs() + limits.deleteRecordsMs;
  const retry = async (late: () => TributaryError): Promise<void> => {
    if (clock.monotonicMs() >= givesUpAt) throw late();
    await clock.sleep(limits.deleteRecordsRetryMs, signal);
    // Or the broker is stopping, or another one leads by now.
    const notLeader = partition.state.checkLeader(leaderEpoch);
    if (notLeader !== undefined) throw notLeader;
  };
  const { name } = partition.state;
  while (!(await partition.log.advanceStart(to))) {
    await retry(() => {
      const why = `what producers wrote below offset ${to} could not be written down in time, and must be before it goes`;
      return new TributaryError('KAFKA_STORAGE_ERROR', `${name}: ${why}; try again.`);
    });
  }
  partition.startMoved();
  // L4: or the records would be back with the next leader.
  while (partition.state.leadership?.isStartKnown(to) !== true) {
    await retry(() => {
      const why = `offset ${to} is the log start at its leader, and not yet on every in-sync replica`;
      return new TributaryError('REQUEST_TIMED_OUT', `${name}: ${why}; they follow, look again.`);
    });
  }
}
