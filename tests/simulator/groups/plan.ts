/** What the groups of a run are, and who is in them. */
import type { TopicPlan } from '../cluster/plan.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { GroupPromise } from './group-judge.ts';

/** The shortest that the product allows is a second. */
const SESSION_TIMEOUTS_MS = [1_500, 2_500, 4_000] as const;

/** Nothing that is read here is ever removed, and all of it is flushed: what a group must see is known. */
export const topics: readonly TopicPlan[] = [
  {
    name: 'ledger',
    partitions: 2,
    replicationFactor: 3,
    flushPolicy: 'commit',
    configs: { 'segment.bytes': '6000', 'min.insync.replicas': '2' },
  },
  {
    name: 'orders',
    partitions: 3,
    replicationFactor: 3,
    flushPolicy: 'commit',
    configs: { 'segment.bytes': '8000', 'min.insync.replicas': '2' },
  },
];

export interface SeatPlan {
  readonly name: string;
  readonly instanceId: string | undefined;
  readonly autoCommit: boolean;
  readonly usesPattern: boolean;
}

export interface GroupPlan extends GroupPromise {
  readonly sessionTimeoutMs: number;
  /** `own`: one that a member computes. */
  readonly assignor: 'sticky-uniform' | 'range' | 'rack' | 'own';
  readonly seats: readonly SeatPlan[];
}

/** @param index from 0 on. */
export const groupIdOf = (index: number): string => `readers ${index + 1}`;

/** One or two groups of two to four members, every other one strict about ownership. */
export function groupPlans(random: SeededRandom): readonly GroupPlan[] {
  return Array.from({ length: random.between(1, 2) }, (_, index) => {
    const groupId = groupIdOf(index);
    const usesPattern = random.chance(0.3);
    return {
      groupId,
      isStrict: index === 0 ? random.chance(0.7) : random.chance(0.3),
      sessionTimeoutMs: random.pick(SESSION_TIMEOUTS_MS),
      assignor: random.pick(['sticky-uniform', 'range', 'rack', 'own'] as const),
      seats: Array.from({ length: random.between(2, 4) }, (__, seat) => ({
        name: `${index + 1}.${seat + 1}`,
        instanceId: random.chance(0.3) ? `seat ${index + 1}.${seat + 1}` : undefined,
        autoCommit: random.chance(0.5),
        usesPattern,
      })),
    };
  });
}
