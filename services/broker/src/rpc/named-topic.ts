/** Record-level calls name topics by name (F2), and are served by whoever leads. */
import type { ClusterImage, ImageSource, Stored, TopicInfo } from '@tributary/metadata';
import {
  checkTopicName,
  limits,
  type Millis,
  millis,
  partitionIndex,
  type TopicId,
  TributaryError,
} from '@tributary/model';
import type { Clock } from '@tributary/ports';
import type { Partition } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';

/** @throws TributaryError INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION saying how it is created: nothing creates a topic by itself. */
export function topicByName(image: ClusterImage, name: string): Stored<TopicInfo> {
  checkTopicName(name);
  const topic = image.topicNamed(name);
  if (topic?.phase === 'ready') return topic;
  throw new TributaryError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `There is no topic "${name}": create it first, by AdminService.CreateTopic or \`tributary topic create ${name}\`.`,
  );
}

/** What it takes to tell whether a partition is led here. */
export interface LeaderParts {
  readonly replicas: Pick<Replicas, 'find' | 'me'>;
  readonly source: Pick<ImageSource, 'current'>;
  readonly clock: Clock;
}

/** Metadata says that this broker leads it, which it may only be about to do. */
export function isMine({ replicas, source: { current } }: LeaderParts, id: TopicId, index: number): boolean {
  const phase = current.topic(id)?.phase;
  return phase === 'ready' && current.partition(id, partitionIndex(index))?.leader === replicas.me;
}

/**
 * The partition, led by this broker. One that it is about to lead (it was just created, or this broker has just started) is waited for.
 * @throws TributaryError UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER.
 */
export async function ledPartition(
  parts: LeaderParts,
  id: TopicId,
  index: number,
  signal: AbortSignal,
): Promise<Partition> {
  const { replicas, clock } = parts;
  const deadline = clock.monotonicMs() + limits.leadershipWaitMs;
  for (;;) {
    const found = leading(replicas, id, index);
    if (!(found instanceof TributaryError)) return found;
    if (!isMine(parts, id, index) || clock.monotonicMs() >= deadline) throw found;
    await clock.sleep(limits.leadershipPollMs, signal);
  }
}

/** @returns why not, if it does not lead. */
function leading(replicas: Pick<Replicas, 'find'>, topicId: string, index: number): Partition | TributaryError {
  try {
    const partition = replicas.find(topicId, index);
    return partition.state.checkLeader(currentEpoch(partition)) ?? partition;
  } catch (thrown) {
    return TributaryError.from(thrown);
  }
}

/** Of a partition that is led here: record-level callers name no epoch, any will do. */
export function currentEpoch({ state: { role } }: Pick<Partition, 'state'>): number {
  return role.kind === 'leading' ? role.epoch : 0;
}

/** When a request that named `timeoutMs` (0: the default) is to be answered. @throws TributaryError INVALID_REQUEST. */
export function deadlineAfter(nowMs: number, timeoutMs: number): Millis {
  if (timeoutMs < 0)
    throw new TributaryError('INVALID_REQUEST', `timeout_ms is ${timeoutMs}; say 0 for the default, or more.`);
  return millis(nowMs + (timeoutMs > 0 ? timeoutMs : limits.produceTimeoutMs));
}
