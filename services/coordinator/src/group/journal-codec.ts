/**
 * Changes as records of the journal, and back (journal.proto). Equal keys are equal bytes: the newest record of a key is the whole truth about it, and
 * one without a value takes it back.
 */
import { leaderEpoch, offset, partitionIndex, topicId } from '@tributary/model';
import { GroupValue, type HeldPartition as WireHeld, JournalKey, MemberValue, OffsetValue } from '@tributary/wire';
import type { JournalRecord } from '../journal/journal-record.ts';
import type { Change, CommitFacts, GroupFacts, GroupPartition, HeldPartition, MemberFacts } from './change.ts';

export function encodeChange(change: Change): JournalRecord {
  switch (change.kind) {
    case 'group':
      return { key: groupKey(change.groupId), value: groupValue(change.group) };
    case 'group-gone':
      return { key: groupKey(change.groupId), value: null };
    case 'member':
      return { key: memberKey(change.groupId, change.memberId), value: memberValue(change.member) };
    case 'member-gone':
      return { key: memberKey(change.groupId, change.memberId), value: null };
    case 'offset':
      return { key: offsetKey(change.groupId, change.place), value: offsetValue(change.commit) };
    case 'offset-gone':
      return { key: offsetKey(change.groupId, change.place), value: null };
  }
}

/** @returns undefined: a fence, or what this version does not know. */
export function decodeChange(key: Uint8Array, value: Uint8Array | null): Change | undefined {
  const about = JournalKey.decode(key).key;
  switch (about?.$case) {
    case 'group': {
      const { groupId } = about.value;
      return value === null ? { kind: 'group-gone', groupId } : { kind: 'group', groupId, group: groupOf(value) };
    }
    case 'member': {
      const { groupId, memberId } = about.value;
      if (value === null) return { kind: 'member-gone', groupId, memberId };
      return { kind: 'member', groupId, memberId, member: memberOf(value) };
    }
    case 'offset': {
      const { groupId } = about.value;
      const place = placeOf(about.value);
      return value === null
        ? { kind: 'offset-gone', groupId, place }
        : { kind: 'offset', groupId, place, commit: commitOf(value) };
    }
    case 'fence':
    case undefined:
      return undefined;
  }
}

const groupKey = (groupId: string): Uint8Array =>
  JournalKey.encode({ key: { $case: 'group', value: { groupId } } }).finish();

const memberKey = (groupId: string, memberId: string): Uint8Array =>
  JournalKey.encode({ key: { $case: 'member', value: { groupId, memberId } } }).finish();

const offsetKey = (groupId: string, { topicId: id, partition }: GroupPartition): Uint8Array =>
  JournalKey.encode({ key: { $case: 'offset', value: { groupId, topicId: id, partition } } }).finish();

function groupValue(group: GroupFacts): Uint8Array {
  return GroupValue.encode({
    groupEpoch: group.groupEpoch,
    assignmentEpoch: group.assignmentEpoch,
    createdMs: wholeMs(group.createdMs),
    emptySinceMs: group.emptySinceMs === undefined ? -1n : wholeMs(group.emptySinceMs),
    assignor: group.assignor,
    assignorError: group.assignorError ?? '',
  }).finish();
}

function groupOf(bytes: Uint8Array): GroupFacts {
  const value = GroupValue.decode(bytes);
  return {
    groupEpoch: value.groupEpoch,
    assignmentEpoch: value.assignmentEpoch,
    createdMs: Number(value.createdMs),
    emptySinceMs: value.emptySinceMs < 0n ? undefined : Number(value.emptySinceMs),
    assignor: value.assignor,
    assignorError: value.assignorError === '' ? undefined : value.assignorError,
  };
}

function memberValue(member: MemberFacts): Uint8Array {
  return MemberValue.encode({
    instanceId: member.instanceId ?? '',
    clientId: member.clientId,
    host: member.host,
    rack: member.rack,
    topics: [...member.topics],
    topicPattern: member.topicPattern ?? '',
    assignor: member.assignor,
    clientAssignors: [...member.clientAssignors],
    userData: member.userData,
    sessionTimeoutMs: member.sessionTimeoutMs,
    maxPollIntervalMs: member.maxPollIntervalMs,
    memberEpoch: member.memberEpoch,
    assignmentVersion: BigInt(member.assignmentVersion),
    assigned: member.assigned.map(heldValue),
    revoking: member.revoking.map(heldValue),
    target: member.target.map((place) => ({ topicId: place.topicId, partition: place.partition })),
    away: member.away,
  }).finish();
}

function memberOf(bytes: Uint8Array): MemberFacts {
  const value = MemberValue.decode(bytes);
  return {
    instanceId: value.instanceId === '' ? undefined : value.instanceId,
    clientId: value.clientId,
    host: value.host,
    rack: value.rack,
    topics: value.topics,
    topicPattern: value.topicPattern === '' ? undefined : value.topicPattern,
    assignor: value.assignor,
    clientAssignors: value.clientAssignors,
    // Not a view of what was read.
    userData: value.userData.slice(),
    sessionTimeoutMs: value.sessionTimeoutMs,
    maxPollIntervalMs: value.maxPollIntervalMs,
    memberEpoch: value.memberEpoch,
    assignmentVersion: Number(value.assignmentVersion),
    assigned: value.assigned.map(heldOf),
    revoking: value.revoking.map(heldOf),
    target: value.target.map(placeOf),
    away: value.away,
  };
}

const placeOf = (place: { readonly topicId: string; readonly partition: number }): GroupPartition => ({
  topicId: topicId(place.topicId),
  partition: partitionIndex(place.partition),
});

const heldValue = ({ topicId: id, partition, since }: HeldPartition): WireHeld => ({
  topicId: id,
  partition,
  sinceEpoch: since,
});

const heldOf = (held: WireHeld): HeldPartition => ({ ...placeOf(held), since: held.sinceEpoch });

function offsetValue(commit: CommitFacts): Uint8Array {
  return OffsetValue.encode({
    offset: commit.offset,
    leaderEpoch: commit.leaderEpoch ?? -1,
    metadata: commit.metadata,
    committedMs: wholeMs(commit.committedMs),
    memberId: commit.memberId,
    sequence: commit.sequence,
  }).finish();
}

function commitOf(bytes: Uint8Array): CommitFacts {
  const value = OffsetValue.decode(bytes);
  return {
    offset: offset(value.offset),
    leaderEpoch: value.leaderEpoch < 0 ? undefined : leaderEpoch(value.leaderEpoch),
    metadata: value.metadata,
    committedMs: Number(value.committedMs),
    memberId: value.memberId,
    sequence: value.sequence,
  };
}

const wholeMs = (ms: number): bigint => BigInt(Math.round(ms));
