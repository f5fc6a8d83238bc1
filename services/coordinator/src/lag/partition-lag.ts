// pure
/** How far a group is behind in one partition, and what to call it (G7, DESIGN §7). */
import { limits, type Offset } from '@tributary/model';
import type { CommitFacts, GroupPartition } from '../group/change.ts';
import type { GroupSnapshot } from '../group/decision.ts';

/** What the partition's leader said, after the commits were read. */
export interface LogFacts {
  readonly logStart: bigint;
  readonly highWatermark: bigint;
  /** The leader's wall clock, ms. */
  readonly nowMs: number;
  readonly bytes: bigint;
  /** Of the first record that is not committed, ms; undefined: there is none. */
  readonly timestampMs: number | undefined;
  readonly isEstimated: boolean;
  /** When retention takes it, ms; undefined: nothing will. */
  readonly lostAtMs: number | undefined;
}

export type LagState =
  | 'ok'
  | 'catching_up'
  | 'stalled'
  | 'no_members'
  | 'rebalancing'
  | 'no_commit'
  | 'unreachable_data'
  | 'expiring';

export const lagStates: readonly LagState[] = [
  'ok',
  'catching_up',
  'stalled',
  'no_members',
  'rebalancing',
  'no_commit',
  'unreachable_data',
  'expiring',
];

/** Of one partition, as its group has it. */
export interface Standing {
  readonly place: GroupPartition;
  readonly commit: CommitFacts | undefined;
  /** Whoever has it, also to give it up. */
  readonly memberId: string | undefined;
  readonly isRevoking: boolean;
}

export interface PartitionLag {
  readonly log: LogFacts | undefined;
  /** Records; undefined: unknown, or nothing was ever committed. */
  readonly records: bigint | undefined;
  readonly seconds: number | undefined;
  readonly secondsToLoss: number | undefined;
  readonly state: LagState;
}

/** What a group has: assigned, to be given up, or committed. */
export function standings({ members, commits }: GroupSnapshot): readonly Standing[] {
  const all = new Map<string, Standing>();
  for (const { place, commit } of commits)
    all.set(keyOf(place), { place, commit, memberId: undefined, isRevoking: false });
  for (const { memberId, member } of members) {
    const held = (place: GroupPartition, isRevoking: boolean): void => {
      const key = keyOf(place);
      all.set(key, { place, commit: all.get(key)?.commit, memberId, isRevoking });
    };
    for (const place of member.assigned) held(place, false);
    for (const place of member.revoking) held(place, true);
  }
  return [...all.values()];
}

export const keyOf = ({ topicId, partition }: GroupPartition): string => `${topicId}/${partition}`;

/** Of the next record that the group will read there: for the leader. */
export const readsFrom = ({ commit }: Standing): Offset | undefined => commit?.offset;

export interface GroupCircumstances {
  readonly snapshot: GroupSnapshot;
  /** The partition's member does not poll, or has not moved on for long although there is something to read. */
  readonly isStalled: boolean;
  /** Wall clock, ms. */
  readonly wallMs: number;
  readonly retentionMs: number;
}

export function partitionLag(standing: Standing, log: LogFacts | undefined, group: GroupCircumstances): PartitionLag {
  const { commit } = standing;
  if (log === undefined || commit === undefined) {
    const state = log === undefined ? 'unreachable_data' : 'no_commit';
    return { log, records: undefined, seconds: undefined, secondsToLoss: undefined, state };
  }
  const from = commit.offset > log.logStart ? commit.offset : log.logStart;
  const records = log.highWatermark > from ? log.highWatermark - from : 0n;
  const isBehind = records > 0n && log.timestampMs !== undefined;
  const seconds = isBehind ? Math.max(0, (log.nowMs - (log.timestampMs ?? log.nowMs)) / 1_000) : 0;
  const lostAtMs = records > 0n ? log.lostAtMs : undefined;
  const secondsToLoss = lostAtMs === undefined ? undefined : Math.max(0, (lostAtMs - log.nowMs) / 1_000);
  return { log, records, seconds, secondsToLoss, state: stateOf(standing, records, seconds, group) };
}

function stateOf(
  { memberId, isRevoking }: Standing,
  records: bigint,
  seconds: number,
  group: GroupCircumstances,
): LagState {
  const { members, phase, expiresMs } = group.snapshot;
  if (members.length === 0) {
    const left = (expiresMs ?? Number.POSITIVE_INFINITY) - group.wallMs;
    return records > 0n && left <= group.retentionMs * limits.expiringRatio ? 'expiring' : 'no_members';
  }
  if (isRevoking) return 'rebalancing';
  // Whoever is to have it does not have it yet; or nobody wants it any more.
  if (memberId === undefined) return phase === 'stable' ? 'no_members' : 'rebalancing';
  if (records === 0n) return 'ok';
  if (group.isStalled) return 'stalled';
  return seconds <= limits.catchingUpSeconds ? 'ok' : 'catching_up';
}
