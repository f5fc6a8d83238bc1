/** Changes as records of the journal. Equal keys are equal bytes, as compaction compares them; what a newer version wrote is passed over. */
import { assert, leaderEpoch, offset, partitionIndex, topicId } from '@tributary/model';
import { GroupValue, JournalKey, MemberValue, OffsetValue } from '@tributary/wire';
import type { Change, CommitFacts, GroupFacts, GroupPartition, HeldPartition, MemberFacts } from './change.ts';
import type { JournalRecord } from '../journal/journal-record.ts';

export function encodeChange(change: Change): JournalRecord {
  const { groupId } = change;
  switch (change.kind) {
    case 'group':
      return { key: groupKey(groupId), value: encodeGroup(change.group) };
    case 'group-gone':
      return { key: groupKey(groupId), value: null };
    case 'member':
      return { key: memberKey(groupId, change.memberId), value: encodeMember(change.member) };
    case 'member-gone':
      return { key: memberKey(groupId, change.memberId), value: null };
    case 'offset':
      return { key: offsetKey(groupId, change.place), value: encodeCommit(change.commit) };
    case 'offset-gone':
      return { key: offsetKey(groupId, change.place), value: null };
    default:
      return change satisfies never;
  }
}

/** undefined: a fence, or of a kind that this version does not know. @throws what is no protobuf. */
export function decodeChange(key: Uint8Array, value: Uint8Array | null): Change | undefined {
  const named = JournalKey.decode(key).key;
  switch (named?.$case) {
    case undefined:
    case 'fence':
      return undefined;
    case 'group': {
      const { groupId } = named.value;
      return value === null ? { kind: 'group-gone', groupId } : { kind: 'group', groupId, group: decodeGroup(value) };
    }
    case 'member': {
      const { groupId, memberId } = named.value;
      if (value === null) return { kind: 'member-gone', groupId, memberId };
      return { kind: 'member', groupId, memberId, member: decodeMember(value) };
    }
    case 'offset': {
      const { groupId } = named.value;
      const place = placeOf(named.value);
      if (value === null) return { kind: 'offset-gone', groupId, place };
      return { kind: 'offset', groupId, place, commit: decodeCommit(value) };
    }
    default:
      return named satisfies never;
  }
}

function groupKey(groupId: string): Uint8Array {
  return JournalKey.encode({ key: { $case: 'group', value: { groupId } } }).finish();
}

function memberKey(groupId: string, memberId: string): Uint8Array {
  return JournalKey.encode({ key: { $case: 'member', value: { groupId, memberId } } }).finish();
}

function offsetKey(groupId: string, place: GroupPartition): Uint8Array {
  const { topicId: id, partition } = place;
  return JournalKey.encode({ key: { $case: 'offset', value: { groupId, topicId: id, partition } } }).finish();
}

/** A time that may be missing: −1 in the journal. */
function encodeGroup({ createdMs, emptySinceMs, assignorError, ...group }: GroupFacts): Uint8Array {
  return GroupValue.encode({
    ...group,
    createdMs: BigInt(createdMs),
    emptySinceMs: emptySinceMs === undefined ? -1n : BigInt(emptySinceMs),
    assignorError: assignorError ?? '',
  }).finish();
}

function decodeGroup(value: Uint8Array): GroupFacts {
  const { groupEpoch, assignmentEpoch, createdMs, emptySinceMs, assignor, assignorError } = GroupValue.decode(value);
  return {
    groupEpoch,
    assignmentEpoch,
    createdMs: Number(createdMs),
    emptySinceMs: emptySinceMs < 0n ? undefined : Number(emptySinceMs),
    assignor,
    assignorError: assignorError === '' ? undefined : assignorError,
  };
}

function encodeMember(member: MemberFacts): Uint8Array {
  const held = (places: readonly HeldPartition[]) =>
    places.map(({ topicId: id, partition, since }) => ({ topicId: id, partition, sinceEpoch: since }));
  return MemberValue.encode({
    ...member,
    instanceId: member.instanceId ?? '',
    topics: [...member.topics],
    topicPattern: member.topicPattern ?? '',
    clientAssignors: [...member.clientAssignors],
    assignmentVersion: BigInt(member.assignmentVersion),
    assigned: held(member.assigned),
    revoking: held(member.revoking),
    target: member.target.map(({ topicId: id, partition }) => ({ topicId: id, partition })),
  }).finish();
}

function decodeMember(value: Uint8Array): MemberFacts {
  const member = MemberValue.decode(value);
  const held = (places: MemberValue['assigned']): HeldPartition[] =>
    places.map((place) => ({ ...placeOf(place), since: place.sinceEpoch }));
  return {
    ...member,
    instanceId: member.instanceId === '' ? undefined : member.instanceId,
    topicPattern: member.topicPattern === '' ? undefined : member.topicPattern,
    // What was decoded is a view of what was received.
    userData: member.userData.slice(),
    assignmentVersion: Number(member.assignmentVersion),
    assigned: held(member.assigned),
    revoking: held(member.revoking),
    target: member.target.map(placeOf),
  };
}

function encodeCommit({ leaderEpoch: epoch, committedMs, ...commit }: CommitFacts): Uint8Array {
  assert(commit.offset >= 0n, 'a committed offset is not negative');
  return OffsetValue.encode({ ...commit, leaderEpoch: epoch ?? -1, committedMs: BigInt(committedMs) }).finish();
}

function decodeCommit(value: Uint8Array): CommitFacts {
  const { offset: at, leaderEpoch: epoch, metadata, committedMs, memberId, sequence } = OffsetValue.decode(value);
  return {
    offset: offset(at),
    leaderEpoch: epoch < 0 ? undefined : leaderEpoch(epoch),
    metadata,
    committedMs: Number(committedMs),
    memberId,
    sequence,
  };
}

function placeOf(place: { readonly topicId: string; readonly partition: number }): GroupPartition {
  return { topicId: topicId(place.topicId), partition: partitionIndex(place.partition) };
}
