// pure
import type { Change, CommitFacts, GroupFacts, GroupPartition, MemberFacts } from './change.ts';
import { Places } from './places.ts';

/** One group, as its journal says, and what follows from that. Replay meets keys in any order: none may rely on another. */
export class Group {
  readonly id: string;
  /** undefined only while the journal is read. */
  facts: GroupFacts | undefined;
  readonly members = new Map<string, MemberFacts>();
  /** Member ids by instance id. */
  readonly instances = new Map<string, string>();
  readonly commits = new Places<CommitFacts>();
  /** Who has it assigned or revoking: one at most (G3, G5). */
  readonly holders = new Places<string>();
  /** Whose target it is in. */
  readonly wanted = new Places<string>();

  constructor(id: string) {
    this.id = id;
  }

  get empty(): boolean {
    return this.facts === undefined && this.members.size === 0 && this.commits.size === 0;
  }

  apply(change: Change): void {
    switch (change.kind) {
      case 'group':
        this.facts = change.group;
        return;
      case 'group-gone':
        this.facts = undefined;
        return;
      case 'member':
        this.#setMember(change.memberId, change.member);
        return;
      case 'member-gone':
        this.#removeMember(change.memberId);
        return;
      case 'offset':
        this.commits.set(change.place, change.commit);
        return;
      case 'offset-gone':
        this.commits.delete(change.place);
        return;
      default:
        change satisfies never;
    }
  }

  #setMember(id: string, member: MemberFacts): void {
    const before = this.members.get(id);
    this.members.set(id, member);
    if (before?.instanceId !== member.instanceId) this.#leaveInstance(id, before);
    if (member.instanceId !== undefined) this.instances.set(member.instanceId, id);
    moveOwner(this.holders, id, heldOf(before), heldOf(member));
    moveOwner(this.wanted, id, before?.target ?? none, member.target);
  }

  #removeMember(id: string): void {
    const before = this.members.get(id);
    if (before === undefined) return;
    this.members.delete(id);
    this.#leaveInstance(id, before);
    moveOwner(this.holders, id, heldOf(before), none);
    moveOwner(this.wanted, id, before.target, none);
  }

  #leaveInstance(id: string, member: MemberFacts | undefined): void {
    if (member?.instanceId !== undefined && this.instances.get(member.instanceId) === id) {
      this.instances.delete(member.instanceId);
    }
  }
}

const none: readonly GroupPartition[] = [];

/** Owners by partition, as they can be read and changed: of a group, or of a draft of it. */
export interface Owners {
  get(place: GroupPartition): string | undefined;
  set(place: GroupPartition, owner: string): void;
  delete(place: GroupPartition): void;
}

/** Both what it may read and what it has to give up. */
export function heldOf(member: MemberFacts | undefined): readonly GroupPartition[] {
  if (member === undefined) return none;
  if (member.revoking.length === 0) return member.assigned;
  return member.assigned.length === 0 ? member.revoking : [...member.assigned, ...member.revoking];
}

/** What somebody else has meanwhile stays theirs: changes of two members come in either order. */
export function moveOwner(
  owners: Owners,
  id: string,
  before: readonly GroupPartition[],
  after: readonly GroupPartition[],
): void {
  if (before === after) return;
  for (const place of before) if (owners.get(place) === id) owners.delete(place);
  for (const place of after) owners.set(place, id);
}
