// pure
import { assert } from '@tributary/model';
import type { Change, GroupFacts, GroupPartition, MemberFacts } from './change.ts';
import type { ErrorName } from '@tributary/model';
import { type Told, accepted, refusal } from './decision.ts';
import { type Group, heldOf, moveOwner, type Owners } from './group.ts';
import { Places } from './places.ts';

/** A group with what a decision changes in it, while it is being made: the group itself stays as it is. */
export class Draft {
  readonly groupId: string;
  readonly #group: Group;
  #facts: GroupFacts | undefined;
  /** undefined: gone. */
  readonly #members = new Map<string, MemberFacts | undefined>();
  /** Why members are over, to tell them. */
  readonly #ends = new Map<string, readonly [ErrorName, string]>();
  readonly holders: OwnersDraft;
  readonly wanted: OwnersDraft;

  constructor(group: Group) {
    this.groupId = group.id;
    this.#group = group;
    this.#facts = group.facts;
    this.holders = new OwnersDraft(group.holders);
    this.wanted = new OwnersDraft(group.wanted);
  }

  get facts(): GroupFacts {
    assert(this.#facts !== undefined, `group ${this.groupId} has no facts`);
    return this.#facts;
  }

  set facts(facts: GroupFacts) {
    this.#facts = facts;
  }

  member(id: string): MemberFacts | undefined {
    return this.#members.has(id) ? this.#members.get(id) : this.#group.members.get(id);
  }

  /** By ascending id: what is decided does not depend on the order in which members came. */
  members(): readonly (readonly [string, MemberFacts])[] {
    const found: [string, MemberFacts][] = [];
    for (const [id, member] of this.#group.members) {
      if (!this.#members.has(id)) found.push([id, member]);
    }
    for (const [id, member] of this.#members) {
      if (member !== undefined) found.push([id, member]);
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  get size(): number {
    let size = this.#group.members.size;
    for (const [id, member] of this.#members) {
      if (member === undefined) size -= this.#group.members.has(id) ? 1 : 0;
      else if (!this.#group.members.has(id)) size += 1;
    }
    return size;
  }

  set(id: string, member: MemberFacts): void {
    const before = this.member(id);
    const sameHeld = before !== undefined && before.assigned === member.assigned && before.revoking === member.revoking;
    if (!sameHeld) moveOwner(this.holders, id, heldOf(before), heldOf(member));
    moveOwner(this.wanted, id, before?.target ?? [], member.target);
    this.#members.set(id, member);
  }

  /** @param end what the member is told; undefined: it knows. */
  remove(id: string, end: readonly [ErrorName, string] | undefined): void {
    const before = this.member(id);
    assert(before !== undefined, `member ${id} of ${this.groupId} is not there`);
    moveOwner(this.holders, id, heldOf(before), []);
    moveOwner(this.wanted, id, before.target, []);
    this.#members.set(id, undefined);
    if (end !== undefined) this.#ends.set(id, end);
  }

  /** Who went comes first, then what members gave up, then what others got: no beginning of them gives a partition two owners. */
  changes(): Change[] {
    const { groupId } = this;
    const gone: Change[] = [];
    const less: Change[] = [];
    const more: Change[] = [];
    for (const [memberId, member] of this.#members) {
      const before = this.#group.members.get(memberId);
      if (member === before) continue;
      if (member === undefined) gone.push({ kind: 'member-gone', groupId, memberId });
      else if (before !== undefined && heldOf(member).length <= heldOf(before).length) {
        less.push({ kind: 'member', groupId, memberId, member });
      } else more.push({ kind: 'member', groupId, memberId, member });
    }
    const group = this.#facts;
    const facts: Change[] =
      group === undefined || group === this.#group.facts ? [] : [{ kind: 'group', groupId, group }];
    return [...facts, ...gone, ...less, ...more];
  }

  /** Everybody but `asking` whose epoch, assignment or membership is another. @param taskOf who is to compute, now and before. */
  toTell(asking: string, task: { readonly memberId: string; readonly epoch: number } | undefined): Told[] {
    const { groupId } = this;
    const told: Told[] = [];
    const tell = (memberId: string, member: MemberFacts) => {
      const taskEpoch = task?.memberId === memberId ? task.epoch : undefined;
      told.push({ groupId, memberId, answer: accepted({ memberId, member, taskEpoch }) });
    };
    for (const [memberId, member] of this.#members) {
      if (memberId === asking) continue;
      const end = this.#ends.get(memberId);
      if (member === undefined) {
        if (end !== undefined) told.push({ groupId, memberId, answer: refusal(...end) });
        continue;
      }
      const before = this.#group.members.get(memberId);
      const heard = before?.memberEpoch === member.memberEpoch && before.assignmentVersion === member.assignmentVersion;
      if (!heard && !member.away) tell(memberId, member);
    }
    const worker = task === undefined || task.memberId === asking ? undefined : this.member(task.memberId);
    if (task !== undefined && worker !== undefined && !told.some(({ memberId }) => memberId === task.memberId)) {
      tell(task.memberId, worker);
    }
    return told;
  }
}

/** Owners with what a draft changes. */
class OwnersDraft implements Owners {
  readonly #base: Places<string>;
  /** '': nobody. */
  readonly #changed = new Places<string>();

  constructor(base: Places<string>) {
    this.#base = base;
  }

  get(place: GroupPartition): string | undefined {
    const changed = this.#changed.get(place);
    if (changed === undefined) return this.#base.get(place);
    return changed === '' ? undefined : changed;
  }

  set(place: GroupPartition, owner: string): void {
    this.#changed.set(place, owner);
  }

  delete(place: GroupPartition): void {
    this.#changed.set(place, '');
  }
}
