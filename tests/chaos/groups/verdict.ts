/** The verdict on what members told, in the order in which it happened: the simulator's judge of groups, and what a process that was stopped makes doubtful. */
import { GroupJudge, type GroupPromise } from '../../simulator/groups/group-judge.ts';
import type { Told } from './seat.ts';

/** A process that goes on after a stop says within so long what it had been about to say, ms. */
const resumedMs = 1_000;

interface Pause {
  readonly stoppedAt: number;
  readonly resumedAt: number;
  hasHandedOut: boolean;
}

/**
 * @param acknowledged the next offset after all that producers were told is there, by partition.
 * @returns what does not hold, as sentences that begin with the rule; [] when all does.
 */
export function judgeGroup(
  promise: GroupPromise,
  told: readonly Told[],
  acknowledged: ReadonlyMap<number, bigint>,
): { readonly broken: readonly string[]; readonly counts: ReadonlyMap<string, number> } {
  const broken: string[] = [];
  const counts = new Map<string, number>();
  const verdict = (rule: string, what: string): void => void broken.push(`${rule}: ${what}`);
  const judge = new GroupJudge(promise, verdict, (what) => counts.set(what, (counts.get(what) ?? 0) + 1));
  const story = new Story(judge);
  for (const each of told.toSorted((a, b) => a.at - b.at)) story.hear(each);
  judge.end();
  for (const [partition, end] of acknowledged) {
    const read = judge.readUpTo(String(partition));
    if (read < end)
      verdict(
        'G3',
        `partition ${partition}: records up to ${end} are acknowledged; all was handed out up to ${read}, never the rest`,
      );
  }
  for (const each of told) if (each.kind === 'failed') verdict('client', `${each.member}: ${each.error}`);
  return { broken, counts };
}

class Story {
  readonly #judge: GroupJudge;
  readonly #stopped = new Map<string, number>();
  readonly #pauses = new Map<string, Pause>();
  /** When each was given what it has, by member and partition. */
  readonly #given = new Map<string, { readonly member: string; readonly partition: number; readonly at: number }>();
  /** Given to somebody else while the process that says so had been stopped. */
  readonly #overtaken = new Set<string>();

  constructor(judge: GroupJudge) {
    this.#judge = judge;
  }

  hear(told: Told): void {
    const { member } = told;
    switch (told.kind) {
      case 'assigned':
        for (const partition of told.partitions) this.#assigned(member, partition, told.at);
        break;
      case 'relinquished':
        for (const partition of told.partitions) this.#relinquished(member, partition);
        break;
      case 'handed':
        this.#handed(member, told.partition, told.offsets, told.at);
        break;
      case 'committed':
        for (const [partition, offset] of told.offsets)
          this.#judge.committed(member, String(partition), BigInt(offset));
        break;
      case 'stopped':
        this.#stopped.set(member, told.at);
        break;
      case 'resumed':
        this.#pauses.set(member, {
          stoppedAt: this.#stopped.get(member) ?? told.at,
          resumedAt: told.at,
          hasHandedOut: false,
        });
        break;
      case 'ended':
        for (const { partition } of [...this.#given.values()].filter((each) => each.member === member))
          this.#relinquished(member, partition);
        this.#judge.gone(member);
        break;
      case 'committing':
      case 'refused':
      case 'failed':
        break;
      default:
        told satisfies never;
    }
  }

  #assigned(member: string, partition: number, at: number): void {
    const pause = this.#recentPause(member, at);
    const others = [...this.#given.values()].filter((each) => each.partition === partition && each.member !== member);
    // What it was given before it was stopped, it says now.
    if (pause !== undefined && others.some((each) => each.at >= pause.stoppedAt))
      this.#overtaken.add(keyOf(member, partition));
    else {
      this.#given.set(keyOf(member, partition), { member, partition, at });
      this.#judge.assigned(member, String(partition));
    }
  }

  #relinquished(member: string, partition: number): void {
    this.#overtaken.delete(keyOf(member, partition));
    this.#given.delete(keyOf(member, partition));
    this.#judge.relinquished(member, String(partition));
  }

  #handed(member: string, partition: number, offsets: readonly number[], at: number): void {
    if (this.#overtaken.has(keyOf(member, partition))) return;
    const pause = this.#recentPause(member, at);
    // The stop may have come between taking them and saying so: then they were handed out before it. That can have been so once.
    if (pause !== undefined && !pause.hasHandedOut) {
      pause.hasHandedOut = true;
      const isOvertaken = [...this.#given.values()].some(
        (each) => each.partition === partition && each.member !== member && each.at >= pause.stoppedAt,
      );
      if (isOvertaken) return;
    }
    this.#judge.handedOut(
      member,
      String(partition),
      offsets.map((offset) => BigInt(offset)),
    );
  }

  #recentPause(member: string, at: number): Pause | undefined {
    const pause = this.#pauses.get(member);
    return pause !== undefined && at - pause.resumedAt < resumedMs ? pause : undefined;
  }
}

function keyOf(member: string, partition: number): string {
  return `${member}/${partition}`;
}
