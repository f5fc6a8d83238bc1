// pure
/**
 * What a group has committed. A member's commit counts where it has the partition, since an epoch not above the one that it names (G3); of two
 * of one member the one with the higher sequence stays (G4); a topic that was created again is another (G6).
 */
import type { Change, CommitFacts, GroupPartition, MemberFacts } from './change.ts';
import {
  type Circumstances,
  type CommitRequest,
  type Decision,
  type FetchRequest,
  type FetchedOffset,
  type OffsetToCommit,
  type OffsetVerdict,
  type Refusal,
  type Reply,
  accepted,
  nothingToSay,
  refusal,
  unchanged,
} from './decision.ts';
import type { Group } from './group.ts';
import { unknownMember } from './membership.ts';
import type { GroupSettings } from './settings.ts';
import { defaultAssignor } from './targets.ts';

export function decideCommit(
  group: Group | undefined,
  request: CommitRequest,
  settings: GroupSettings,
  at: Circumstances,
): Decision<readonly OffsetVerdict[]> {
  const { groupId, memberId } = request;
  const member = group?.members.get(memberId);
  const refused = refusedCommitter(group, request, member);
  if (refused !== undefined) return unchanged(refused);
  const changes: Change[] = [];
  const verdicts = request.offsets.map((offset): OffsetVerdict => {
    const why = refusedCommit(offset, request, member, settings, at);
    if (why !== undefined) return why;
    if (isOlder(group?.commits.get(offset.place), request)) return nothingToSay();
    changes.push({ kind: 'offset', groupId, place: offset.place, commit: factsOf(offset, request, at) });
    return nothingToSay();
  });
  if (request.validateOnly || changes.length === 0) return unchanged(accepted(verdicts));
  if (group?.facts === undefined) changes.unshift(newGroup(groupId, at));
  return { changes, reply: accepted(verdicts), toTell: [] };
}

function refusedCommitter(
  group: Group | undefined,
  { groupId, memberId, memberEpoch }: CommitRequest,
  member: MemberFacts | undefined,
): Refusal | undefined {
  if (memberId === '') {
    if (group === undefined || group.members.size === 0) return undefined;
    return refusal(
      'NON_EMPTY_GROUP',
      `Group "${groupId}" has ${group.members.size} members: only they commit. Stop them first, or commit as one of them.`,
    );
  }
  if (member === undefined || member.away) return unknownMember(memberId, groupId);
  if (memberEpoch <= member.memberEpoch) return undefined;
  return refusal(
    'FENCED_MEMBER_EPOCH',
    `${memberId} commits in epoch ${memberEpoch}; in group "${groupId}" it is at ${member.memberEpoch}: join under a new member id.`,
  );
}

function refusedCommit(
  { place, offset, metadata, logEnd }: OffsetToCommit,
  { memberId, memberEpoch }: CommitRequest,
  member: MemberFacts | undefined,
  settings: GroupSettings,
  at: Circumstances,
): Refusal | undefined {
  const topic = at.topics.topic(place.topicId);
  if (topic === undefined) {
    return refusal(
      'UNKNOWN_TOPIC_ID',
      `There is no topic with id ${place.topicId.slice(0, 50)} (any more): it may have been created again.`,
    );
  }
  const name = `${topic.name}-${place.partition}`;
  if (place.partition < 0 || place.partition >= topic.partitions) {
    return refusal('UNKNOWN_TOPIC_OR_PARTITION', `${name} is not there: the topic has ${topic.partitions} partitions.`);
  }
  if (offset < 0n || (logEnd !== undefined && offset > logEnd)) {
    const end = logEnd === undefined ? 'negative' : `not within the log of ${name}, which ends at ${logEnd}`;
    return refusal('OFFSET_OUT_OF_RANGE', `Offset ${offset} for ${name} is ${end}.`);
  }
  if (metadataTooLong(metadata, settings.offsetMetadataBytes)) {
    return refusal(
      'OFFSET_METADATA_TOO_LARGE',
      `The metadata for ${name} has more than ${settings.offsetMetadataBytes} bytes (offset.metadata.max.bytes).`,
    );
  }
  if (member === undefined) return undefined;
  const since = sinceOf(member, place);
  if (since !== undefined && since <= memberEpoch) return undefined;
  const why = since === undefined ? 'does not own it' : `has it since epoch ${since} only`;
  return refusal('STALE_MEMBER_EPOCH', `${memberId} commits ${name} in epoch ${memberEpoch}, and ${why}.`);
}

function sinceOf(member: MemberFacts, { topicId, partition }: GroupPartition): number | undefined {
  const here = (held: GroupPartition) => held.partition === partition && held.topicId === topicId;
  return (member.assigned.find(here) ?? member.revoking.find(here))?.since;
}

/** G4: a repeated or overtaken commit of the same member. */
function isOlder(stored: CommitFacts | undefined, { memberId, sequence }: CommitRequest): boolean {
  return stored !== undefined && sequence !== 0n && stored.memberId === memberId && sequence <= stored.sequence;
}

function metadataTooLong(metadata: string, bytesMax: number): boolean {
  // A character takes one to three bytes in UTF-8, by code unit: most are told without counting.
  if (metadata.length * 3 <= bytesMax) return false;
  let bytes = 0;
  for (const character of metadata) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes > bytesMax;
}

function factsOf(offset: OffsetToCommit, { memberId, sequence }: CommitRequest, at: Circumstances): CommitFacts {
  return {
    offset: offset.offset,
    leaderEpoch: offset.leaderEpoch,
    metadata: offset.metadata,
    committedMs: at.wallMs,
    memberId,
    sequence,
  };
}

/** Of commits from outside. */
function newGroup(groupId: string, at: Circumstances): Change {
  return {
    kind: 'group',
    groupId,
    group: {
      groupEpoch: 1,
      assignmentEpoch: 1,
      createdMs: at.wallMs,
      emptySinceMs: at.wallMs,
      assignor: defaultAssignor,
      assignorError: undefined,
    },
  };
}

export function fetchCommits(group: Group | undefined, request: FetchRequest): Reply<readonly FetchedOffset[]> {
  const { groupId, memberId, partitions } = request;
  if (memberId !== '') {
    const member = group?.members.get(memberId);
    if (member === undefined || member.away) return unknownMember(memberId, groupId);
  }
  if (partitions.length > 0) {
    return accepted(partitions.map((place) => ({ place, commit: group?.commits.get(place) })));
  }
  return accepted(group === undefined ? [] : allCommits(group));
}

export function allCommits(group: Group): FetchedOffset[] {
  return [...group.commits.entries()].map(([place, commit]) => ({ place, commit }));
}

/** Of partitions that no member has or is to have. */
export function decideDeleteOffsets(
  group: Group | undefined,
  groupId: string,
  partitions: readonly GroupPartition[],
): Decision<readonly OffsetVerdict[]> {
  if (group === undefined) return unchanged(noGroup(groupId));
  const changes: Change[] = [];
  const verdicts = partitions.map((place): OffsetVerdict => {
    if (group.holders.get(place) !== undefined || group.wanted.get(place) !== undefined) {
      return refusal(
        'GROUP_SUBSCRIBED_TO_TOPIC',
        `Group "${groupId}" has members for partition ${place.partition} of topic id ${place.topicId}: stop them first.`,
      );
    }
    if (group.commits.get(place) !== undefined) changes.push({ kind: 'offset-gone', groupId, place });
    return nothingToSay();
  });
  return { changes, reply: accepted(verdicts), toTell: [] };
}

export function noGroup(groupId: string): Refusal {
  return refusal('GROUP_ID_NOT_FOUND', `There is no group "${groupId}".`);
}
