/**
 * RecordService.Commit: offsets of a group by names of topics, passed on to the group's coordinator. Each offset has its own result: what the coordinator says
 * of it (UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, OFFSET_OUT_OF_RANGE …), UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID when the topic was created anew (G6),
 * INVALID_REQUEST for a negative offset. The call fails with INVALID_GROUP_ID, INVALID_REQUEST, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR. Such commits have no
 * sequence (G4): whoever sends the next one before the last was answered does not say which of them is to stay.
 */
import { type ClusterImage, type ImageSource } from '@tributary/metadata';
import { TributaryError, topicId } from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import {
  type CommitRequest,
  type CommitResponse,
  type CommitResult,
  type ErrorCode,
  methods,
  type OffsetCommit,
  type OffsetToCommit,
} from '@tributary/wire';
import { checkGroupId, type Coordinators, refuseForwarded } from './coordinators.ts';
import { imageAtLeast } from './least-revision.ts';
import { topicByName } from './named-topic.ts';

export function commitHandler(coordinators: Coordinators, source: ImageSource, clock: Clock) {
  return async (request: CommitRequest, call: CallContext): Promise<CommitResponse> => {
    const { context, groupId, memberId, memberEpoch } = request;
    refuseForwarded(context);
    checkGroupId(groupId);
    const image = await imageAtLeast(source, clock, context?.minRevision ?? 0n, call.signal);
    const results: CommitResult[] = [];
    const offsets: OffsetCommit[] = [];
    const indices: number[] = [];
    for (const [index, wanted] of request.offsets.entries()) {
      try {
        offsets.push(resolved(image, wanted));
        indices.push(index);
      } catch (thrown) {
        const { code, message } = TributaryError.from(thrown);
        results[index] = { errorCode: code as ErrorCode, errorMessage: message };
      }
    }
    if (offsets.length > 0 || request.offsets.length === 0) {
      const committed = { context, groupId, memberId, memberEpoch, offsets, sequence: 0n, validateOnly: false };
      const answer = await coordinators.call(
        groupId,
        methods.commitOffsets,
        committed,
        call,
        (response) => response.results[0]?.errorCode ?? 0,
      );
      for (const [place, index] of indices.entries())
        results[index] = answer.results[place] ?? {
          errorCode: -1,
          errorMessage: 'The coordinator left it unanswered.',
        };
    }
    return { throttleMs: 0, results };
  };
}

/** @throws TributaryError why it cannot be committed. */
function resolved(image: ClusterImage, wanted: OffsetToCommit): OffsetCommit {
  const { partition, offset, metadata } = wanted;
  const topic =
    wanted.topic === '' && wanted.topicId !== ''
      ? image.topic(topicId(wanted.topicId))
      : topicByName(image, wanted.topic);
  if (topic === undefined || (wanted.topicId !== '' && wanted.topicId !== topic.topicId))
    throw new TributaryError(
      'UNKNOWN_TOPIC_ID',
      `There is no topic ${wanted.topic} with the id ${wanted.topicId}: it was deleted, or created anew, and its records are others.`,
    );
  if (partition < 0 || partition >= topic.partitions)
    throw new TributaryError(
      'UNKNOWN_TOPIC_OR_PARTITION',
      `${topic.name} has partitions 0 to ${topic.partitions - 1}; named was ${partition}.`,
    );
  if (offset < 0n)
    throw new TributaryError('INVALID_REQUEST', `The offset ${offset} of ${topic.name}-${partition} is negative.`);
  return { topicId: topic.topicId, partition, offset, leaderEpoch: -1, metadata };
}
