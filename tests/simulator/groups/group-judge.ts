/**
 * The judge of one consumer group, as its members saw it: it knows nothing of coordinators. Partitions are read from their beginning, and their
 * offsets are dense, so that a record that nobody in the group was handed shows at once.
 */
export type Verdict = (rule: string, what: string) => void;

interface Ownership {
  readonly member: string;
  /** Rises with each assignment that any member is told of. */
  readonly number: number;
  hasRead: boolean;
  /** What it did that only somebody may who has been overtaken without having heard of it: whoever commits after that has not. */
  doubt: string | undefined;
}

interface Shared {
  /** Below it every record was handed to somebody. */
  readUpTo: bigint;
  /** Highest offset whose commit was acknowledged. */
  acknowledged: bigint;
  /** Who was told that it is theirs, and has neither given it up, nor been told that it is lost, nor ended. */
  owners: Ownership[];
}

export interface GroupPromise {
  readonly groupId: string;
  /** `group.strict.ownership`: a member hands out nothing once somebody else may own the partition (G3). */
  readonly isStrict: boolean;
}

export class GroupJudge {
  readonly promise: GroupPromise;
  readonly #partitions = new Map<string, Shared>();
  readonly #verdict: Verdict;
  readonly #count: (what: string) => void;
  #assignments = 0;

  constructor(promise: GroupPromise, verdict: Verdict, count: (what: string) => void) {
    this.promise = promise;
    this.#verdict = verdict;
    this.#count = count;
  }

  /** @param partition as keyOf names it. */
  assigned(member: string, partition: string): void {
    const { owners } = this.#shared(partition);
    if (owners.some((each) => each.member === member))
      this.#broken('G5', `${member} is given ${partition}, which it has`);
    owners.push({ member, number: ++this.#assignments, hasRead: false, doubt: undefined });
    this.#count('group: partition assigned');
  }

  /** Given up in order, or told that it is lost. */
  relinquished(member: string, partition: string): void {
    const shared = this.#shared(partition);
    shared.owners = shared.owners.filter((each) => each.member !== member);
  }

  /** Its process has ended. */
  gone(member: string): void {
    for (const partition of this.#partitions.keys()) this.relinquished(member, partition);
  }

  handedOut(member: string, partition: string, offsets: readonly bigint[]): void {
    const shared = this.#shared(partition);
    const own = shared.owners.find((each) => each.member === member);
    const [first] = offsets;
    if (first === undefined) return;
    if (own === undefined) {
      this.#broken('G5', `${member} hands out ${partition} from ${first} on, which it was not given`);
      return;
    }
    const newer = shared.owners.find((each) => each.number > own.number);
    if (newer !== undefined) {
      this.#count('group: two at work on one partition');
      if (this.promise.isStrict)
        this.#broken('G3', `${member} hands out ${partition} from ${first} on, which ${newer.member} has been given`);
    }
    if (!own.hasRead) {
      own.hasRead = true;
      // Whoever was overtaken begins where it was to begin then.
      if (newer === undefined && first < shared.acknowledged) {
        const what = `${member} begins ${partition} at ${first}; ${shared.acknowledged} was committed`;
        // It may have stood still between being given it and hearing of that, for longer than its session.
        if (this.promise.isStrict) this.#broken('G4', what);
        else own.doubt = what;
      }
    }
    for (const offset of offsets) {
      if (offset > shared.readUpTo) {
        this.#broken('G3', `${member} hands out ${partition} at ${offset}; nobody was handed ${shared.readUpTo}`);
        return;
      }
      if (offset === shared.readUpTo) shared.readUpTo = offset + 1n;
    }
    this.#count('group: records handed out');
  }

  /** Acknowledged. @param offset of the next record to be read. */
  committed(member: string, partition: string, offset: bigint): void {
    const shared = this.#shared(partition);
    this.#count('group: commit acknowledged');
    if (offset > shared.readUpTo)
      this.#broken('G4', `${member} committed ${partition} at ${offset}; nobody was handed ${shared.readUpTo}`);
    if (offset > shared.acknowledged) shared.acknowledged = offset;
    const own = shared.owners.find((each) => each.member === member);
    if (own?.doubt !== undefined) this.#broken('G4', `${own.doubt}, and ${member} may commit`);
  }

  /** All is calm: whoever still has what it has, has it. */
  end(): void {
    for (const { owners } of this.#partitions.values())
      for (const { doubt } of owners) if (doubt !== undefined) this.#broken('G4', doubt);
  }

  /** Every record below it was handed to somebody. */
  readUpTo(partition: string): bigint {
    return this.#shared(partition).readUpTo;
  }

  acknowledged(partition: string): bigint {
    return this.#shared(partition).acknowledged;
  }

  /** Who takes it for theirs. */
  owners(partition: string): readonly string[] {
    return this.#shared(partition).owners.map(({ member }) => member);
  }

  #shared(partition: string): Shared {
    let shared = this.#partitions.get(partition);
    if (shared === undefined) {
      shared = { readUpTo: 0n, acknowledged: 0n, owners: [] };
      this.#partitions.set(partition, shared);
    }
    return shared;
  }

  #broken(rule: string, what: string): void {
    this.#verdict(rule, `group ${this.promise.groupId}: ${what}`);
  }
}
