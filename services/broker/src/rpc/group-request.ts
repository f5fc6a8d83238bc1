/** What a Subscribe with a group asks for, checked as far as it can be here: the coordinator checks the rest. */
import { checkTopicName, TributaryError } from '@tributary/model';
import { type GroupSubscription, type MemberSubscription, OffsetReset, type SubscribeRequest } from '@tributary/wire';
import { checkGroupId, refuseForwarded } from './coordinators.ts';
import { checkInterval } from './member-commits.ts';

/** Where a partition begins that has no committed offset, or one that is no longer in its log. */
export type Reset = 'earliest' | 'latest' | 'none';

export interface GroupWanted {
  readonly groupId: string;
  readonly subscription: MemberSubscription;
  readonly reset: Reset;
  readonly autoRelease: boolean;
  /** ms; 0: the client commits. */
  readonly autoCommitMs: number;
}

/** @throws TributaryError INVALID_GROUP_ID, INVALID_REQUEST, INVALID_TOPIC_EXCEPTION, NOT_COORDINATOR for what has been passed on. */
export function groupWanted(request: SubscribeRequest, group: GroupSubscription): GroupWanted {
  refuseForwarded(request.context);
  checkGroupId(group.groupId);
  checkInterval(group.autoCommitIntervalMs);
  if (request.stopAtEnd)
    throw invalid('stop_at_end does not go with a group, whose partitions come and go: end the stream instead.');
  const topics = new Set<string>();
  for (const { topic, partitions, start, positions } of request.topics) {
    checkTopicName(topic);
    if (partitions.length > 0 || start !== undefined || positions.length > 0)
      throw invalid(
        `The subscription to ${topic} names partitions or positions: the group says which to read, and from where.`,
      );
    if (topics.has(topic)) throw invalid(`A Subscribe names the topic "${topic}" twice: name it once.`);
    topics.add(topic);
  }
  if (topics.size === 0 && group.topicPattern === '')
    throw invalid('A Subscribe with a group names no topic and no topic_pattern: name at least one.');
  return {
    groupId: group.groupId,
    subscription: {
      instanceId: group.instanceId,
      topics: [...topics],
      topicPattern: group.topicPattern,
      assignor: group.assignor,
      clientAssignors: [],
      userData: new Uint8Array(0),
      rack: group.rack,
      sessionTimeoutMs: group.sessionTimeoutMs,
      maxPollIntervalMs: 0,
    },
    reset: resetOf(group.autoOffsetReset),
    autoRelease: group.autoRelease,
    autoCommitMs: group.autoCommitIntervalMs,
  };
}

function resetOf(reset: OffsetReset): Reset {
  switch (reset) {
    case OffsetReset.UNSPECIFIED:
    case OffsetReset.LATEST:
      return 'latest';
    case OffsetReset.EARLIEST:
      return 'earliest';
    case OffsetReset.NONE:
      return 'none';
    default:
      throw invalid(`auto_offset_reset is ${String(reset)}: leave it out, or say one of the names of OffsetReset.`);
  }
}

function invalid(what: string): TributaryError {
  return new TributaryError('INVALID_REQUEST', what);
}
