// pure
import { limits } from '@tributary/model';
import type { Assignor } from './assignor.ts';
import { Plan, type TopicClass } from './plan.ts';

/**
 * As balanced as sticky-uniform, and where that leaves a choice partitions go to members in the rack of one of their replicas: no exchange of two
 * partitions with the same subscribers would bring more of them home.
 */
export const rackAware: Assignor = (members) => {
  const plan = new Plan(members);
  const racks = members.map(({ rack }) => rack);
  const isLocal = (partition: number, member: number) => {
    const rack = racks[member] ?? '';
    return rack !== '' && plan.racksOf(partition).includes(rack);
  };
  plan.keep();
  plan.fill();
  plan.balance((owned, from, to) => {
    let best = owned.length - 1;
    let gain = -2;
    for (const [index, partition] of owned.entries()) {
      const here = Number(isLocal(partition, to)) - Number(isLocal(partition, from));
      if (here > gain) [best, gain] = [index, here];
    }
    return best;
  });
  for (const topics of plan.classes) exchange(plan, topics, racks, isLocal);
  return plan.assignment();
};

/** Within one class, so that no load and no bound of the balance changes. */
function exchange(
  plan: Plan,
  { partitions }: TopicClass,
  racks: readonly string[],
  isLocal: (partition: number, member: number) => boolean,
): void {
  const ownersRack = (partition: number) => racks[plan.ownerOf(partition)] ?? '';
  for (let round = 0; round < limits.groupBalanceRounds; round++) {
    let moved = false;
    const byRack = new Map<string, number[]>();
    for (const partition of partitions) {
      const rack = ownersRack(partition);
      const list = byRack.get(rack);
      if (list === undefined) byRack.set(rack, [partition]);
      else list.push(partition);
    }
    // From one rack to another, what was not fit for one partition is not fit for the next: each looks on from there.
    const looked = new Map<string, number>();
    for (const partition of partitions) {
      const from = plan.ownerOf(partition);
      if (isLocal(partition, from)) continue;
      for (const rack of plan.racksOf(partition)) {
        const way = `${racks[from] ?? ''}\n${rack}`;
        const candidates = byRack.get(rack) ?? [];
        let index = looked.get(way) ?? 0;
        for (; index < candidates.length; index++) {
          const candidate = candidates[index] ?? 0;
          const owner = plan.ownerOf(candidate);
          if (racks[owner] === rack && (isLocal(candidate, from) || !isLocal(candidate, owner))) break;
        }
        looked.set(way, index);
        const other = candidates[index];
        if (other === undefined) continue;
        const to = plan.ownerOf(other);
        plan.give(partition, to);
        plan.give(other, from);
        moved = true;
        break;
      }
    }
    if (!moved) return;
  }
}
