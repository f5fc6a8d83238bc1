// pure
import { limits } from '@tributary/model';

/** A coordinator's settings of groups. */
export interface GroupSettings {
  /** `group.consumer.session.timeout.ms`, ms: of members that name none. */
  readonly sessionTimeoutMs: number;
  /** `group.min.session.timeout.ms`, `group.max.session.timeout.ms`. */
  readonly sessionTimeoutMsMin: number;
  readonly sessionTimeoutMsMax: number;
  /** `max.poll.interval.ms` of members that name none. */
  readonly maxPollIntervalMs: number;
  /** `offsets.retention.minutes`, as ms. */
  readonly offsetsRetentionMs: number;
  /** `offset.metadata.max.bytes`. */
  readonly offsetMetadataBytes: number;
  /** `group.consumer.max.size`. */
  readonly membersMax: number;
}

/** Kafka's defaults, and sessions of 10 s. */
export const groupSettings: GroupSettings = {
  sessionTimeoutMs: 10_000,
  sessionTimeoutMsMin: 1_000,
  sessionTimeoutMsMax: 1_800_000,
  maxPollIntervalMs: 300_000,
  offsetsRetentionMs: 7 * 24 * 60 * 60_000,
  offsetMetadataBytes: 4_096,
  membersMax: limits.groupMembers,
};

/** How often a member gives a sign of life, ms: they tell when its application polled, too, so that some come within `max.poll.interval.ms`. */
export function heartbeatIntervalMs(member: {
  readonly sessionTimeoutMs: number;
  readonly maxPollIntervalMs: number;
}): number {
  const shortestMs = Math.min(member.sessionTimeoutMs, member.maxPollIntervalMs);
  return Math.max(Math.floor(shortestMs / limits.groupHeartbeatsPerSession), limits.groupHeartbeatMsMin);
}
