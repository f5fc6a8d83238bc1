/** The judge of the coordinators' journal as it lies on a leader's disk: who wrote, in which order, and what the records say together. */
import { decodeBatch, lastOffsetDeltaOf, nextOffsetOf, producerIdOf, recordsCountOf } from '@tributary/record';
import { GroupValue, JournalKey, MemberValue, OffsetValue } from '@tributary/wire';
import type { Verdict } from './group-judge.ts';

/** What replay leaves of one group. */
export interface JournaledGroup {
  readonly members: Map<string, MemberValue>;
  /** By topic id and partition. */
  readonly offsets: Map<string, OffsetValue>;
  group: GroupValue | undefined;
}

/**
 * Replays one partition of `__consumer_offsets`.
 * @param batches by base offset. Where compaction has been, only the order of writers and what all of it comes to can be judged.
 */
export function judgeJournal(
  name: string,
  batches: ReadonlyMap<bigint, Uint8Array>,
  verdict: Verdict,
): ReadonlyMap<string, JournaledGroup> {
  const groups = new Map<string, JournaledGroup>();
  const isWhole = hasNoGaps(batches);
  const of = isWhole ? verdict : () => {};
  let writer = 0n;
  for (const [base, batch] of [...batches].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const by = producerIdOf(batch, 0);
    if (by < writer)
      verdict('G1', `${name}: the batch at ${base} is of writer ${by}, behind the first of writer ${writer}`);
    const touched = new Set<string>();
    let isFenced = by === writer;
    for (const record of decodeBatch(batch)) {
      const key = JournalKey.decode(record.key ?? new Uint8Array());
      if (key.key?.$case === 'fence') isFenced = true;
      if (!isFenced && isWhole) verdict('G1', `${name}: writer ${by} begins at ${base} without a fence`);
      const groupId = apply(name, base, groups, key, record.value ?? undefined, of);
      if (groupId !== undefined) touched.add(groupId);
    }
    writer = by;
    // A batch is there as a whole or not at all: what it says holds together.
    for (const groupId of touched) judgeOwners(`${name} at ${base}: group ${groupId}`, groups.get(groupId), of);
  }
  for (const [groupId, group] of groups) judgeOwners(`${name}: group ${groupId}`, group, verdict);
  return groups;
}

function hasNoGaps(batches: ReadonlyMap<bigint, Uint8Array>): boolean {
  let next = 0n;
  for (const [base, batch] of [...batches].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (base !== next || recordsCountOf(batch, 0) !== lastOffsetDeltaOf(batch, 0) + 1) return false;
    next = nextOffsetOf(batch, 0);
  }
  return true;
}

function apply(
  name: string,
  base: bigint,
  groups: Map<string, JournaledGroup>,
  { key }: JournalKey,
  value: Uint8Array | undefined,
  verdict: Verdict,
): string | undefined {
  if (key === undefined || key.$case === 'fence') return undefined;
  const { groupId } = key.value;
  const entry = groups.get(groupId) ?? { members: new Map(), offsets: new Map(), group: undefined };
  groups.set(groupId, entry);
  switch (key.$case) {
    case 'group':
      entry.group = value === undefined ? undefined : GroupValue.decode(value);
      break;
    case 'member': {
      const { memberId } = key.value;
      const before = entry.members.get(memberId);
      const after = value === undefined ? undefined : MemberValue.decode(value);
      if (after === undefined) entry.members.delete(memberId);
      else entry.members.set(memberId, after);
      if (before !== undefined && after !== undefined) {
        if (after.memberEpoch < before.memberEpoch || after.assignmentVersion < before.assignmentVersion)
          verdict('G5', `${name} at ${base}: member ${memberId} of ${groupId} goes back`);
      }
      break;
    }
    case 'offset': {
      const place = `${key.value.topicId}/${key.value.partition}`;
      const before = entry.offsets.get(place);
      const after = value === undefined ? undefined : OffsetValue.decode(value);
      if (after === undefined) entry.offsets.delete(place);
      else entry.offsets.set(place, after);
      if (after !== undefined)
        judgeCommit(`${name} at ${base}: group ${groupId}, ${place}`, entry, place, before, after, verdict);
      break;
    }
  }
  return groupId;
}

/** G3, G4: of its owner, and none that is older than the one before. */
function judgeCommit(
  where: string,
  { members }: JournaledGroup,
  place: string,
  before: OffsetValue | undefined,
  after: OffsetValue,
  verdict: Verdict,
): void {
  if (after.memberId === '') return;
  const member = members.get(after.memberId);
  const held = [...(member?.assigned ?? []), ...(member?.revoking ?? [])];
  if (!held.some(({ topicId, partition }) => `${topicId}/${partition}` === place))
    verdict('G3', `${where}: commit ${after.offset} of ${after.memberId}, which does not have it`);
  if (before?.memberId === after.memberId && before.sequence > after.sequence)
    verdict(
      'G4',
      `${where}: commit ${after.sequence} (to ${after.offset}) over ${before.sequence} (to ${before.offset})`,
    );
}

/** G5: what one has, or has still to give up, nobody else has. */
function judgeOwners(where: string, entry: JournaledGroup | undefined, verdict: Verdict): void {
  const owners = new Map<string, string>();
  for (const [memberId, { assigned, revoking }] of entry?.members ?? []) {
    for (const { topicId, partition } of [...assigned, ...revoking]) {
      const place = `${topicId}/${partition}`;
      const other = owners.get(place);
      if (other !== undefined) verdict('G5', `${where}: both ${other} and ${memberId} have ${place}`);
      owners.set(place, memberId);
    }
  }
}
