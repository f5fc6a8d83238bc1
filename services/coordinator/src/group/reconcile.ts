// pure
/** Moves members towards their targets (ADR 9): what a member has to give up first, then what is free for it. */
import type { GroupPartition, HeldPartition, MemberFacts } from './change.ts';
import type { Draft } from './draft.ts';
import { heldOf } from './group.ts';
import type { Assignment } from './assignors/assignor.ts';

/** New targets, for the group epoch as it is. */
export function retarget(draft: Draft, assignment: Assignment, assignorError: string | undefined): void {
  for (const [id, target] of assignment) {
    const member = draft.member(id);
    if (member !== undefined && !samePlaces(member.target, target)) draft.set(id, { ...member, target });
  }
  draft.facts = { ...draft.facts, assignmentEpoch: draft.facts.groupEpoch, assignorError };
  reconcileAll(draft);
}

export function reconcileAll(draft: Draft): void {
  const waiting = new Set<string>();
  for (const [id] of draft.members()) reconcile(draft, id, waiting);
  // Places of members that are away are given up by nobody but the group, and somebody earlier may want them.
  for (const id of waiting) reconcile(draft, id, waiting);
}

/** The member has carried out its newest assignment: what it had to give up is free. */
export function release(draft: Draft, id: string, member: MemberFacts): void {
  const freed = member.revoking;
  draft.set(id, { ...member, revoking: [] });
  const waiting = new Set<string>([id]);
  for (const place of freed) wake(draft, place, waiting);
  for (const waiter of waiting) reconcile(draft, waiter, waiting);
}

/** Those who wait for what somebody had who is gone, and whoever took a place. */
export function reconcileFreed(draft: Draft, freed: readonly GroupPartition[], id: string): void {
  const waiting = new Set<string>([id]);
  for (const place of freed) wake(draft, place, waiting);
  for (const waiter of waiting) reconcile(draft, waiter, waiting);
}

/** @param waiting gets whoever waits for what became free on the way. */
function reconcile(draft: Draft, id: string, waiting: Set<string>): void {
  const member = draft.member(id);
  if (member === undefined) return;
  const lost = member.assigned.filter((place) => draft.wanted.get(place) !== id);
  if (member.away) {
    const free = [...lost, ...member.revoking];
    if (free.length > 0) {
      const assigned = member.assigned.filter((place) => draft.wanted.get(place) === id);
      draft.set(id, { ...member, assigned, revoking: [], assignmentVersion: member.assignmentVersion + 1 });
      for (const place of free) wake(draft, place, waiting);
    }
    grant(draft, id);
    return;
  }
  if (lost.length > 0) {
    const assigned = member.assigned.filter((place) => draft.wanted.get(place) === id);
    const revoking = [...member.revoking, ...lost];
    draft.set(id, { ...member, assigned, revoking, assignmentVersion: member.assignmentVersion + 1 });
    return;
  }
  if (member.revoking.length === 0) grant(draft, id);
}

/** Of its target, what nobody has any more: the member is of the assignment's epoch from now on. */
function grant(draft: Draft, id: string): void {
  const member = draft.member(id);
  if (member === undefined) return;
  const { assignmentEpoch } = draft.facts;
  const free: HeldPartition[] = [];
  for (const place of member.target) {
    if (draft.holders.get(place) === undefined) free.push({ ...place, since: assignmentEpoch });
  }
  if (free.length === 0 && member.memberEpoch === assignmentEpoch) return;
  draft.set(id, {
    ...member,
    memberEpoch: assignmentEpoch,
    assigned: free.length === 0 ? member.assigned : [...member.assigned, ...free],
    assignmentVersion: member.assignmentVersion + (free.length === 0 ? 0 : 1),
  });
}

function wake(draft: Draft, place: GroupPartition, waiting: Set<string>): void {
  const waiter = draft.wanted.get(place);
  if (waiter !== undefined) {
    waiting.delete(waiter);
    waiting.add(waiter);
  }
}

function samePlaces(a: readonly GroupPartition[], b: readonly GroupPartition[]): boolean {
  if (a.length !== b.length) return false;
  for (const [index, place] of a.entries()) {
    const other = b[index];
    if (other === undefined || other.topicId !== place.topicId || other.partition !== place.partition) return false;
  }
  return true;
}

/** Whether it has exactly what it is to have. */
export function settled(member: MemberFacts, assignmentEpoch: number): boolean {
  return (
    member.memberEpoch === assignmentEpoch &&
    member.revoking.length === 0 &&
    member.assigned.length === member.target.length &&
    heldOf(member).length === member.target.length
  );
}
