// pure
/** Changes of partitions' keys, as transactions that hold no more than the store takes (M3). */
import type { Expectation, PartitionInfo, Stored } from '@tributary/metadata';
import { assert, limits } from '@tributary/model';
import type { PartitionReason, Step } from './step.ts';

export interface PartitionChange {
  readonly before: Stored<PartitionInfo>;
  readonly after: PartitionInfo;
}

/** Those that `change` makes another object of. */
export function changesOf(
  partitions: Iterable<Stored<PartitionInfo>>,
  change: (partition: Stored<PartitionInfo>) => PartitionInfo,
): PartitionChange[] {
  const changes: PartitionChange[] = [];
  for (const before of partitions) {
    const after = change(before);
    if (after !== before) changes.push({ before, after });
  }
  return changes;
}

/**
 * Each partition is compared by its revision. New leaders come first: somebody waits for them.
 * @param expect of each transaction: fewer than it holds.
 */
export function partitionSteps(
  changes: readonly PartitionChange[],
  why: (count: number) => string,
  reason: PartitionReason,
  expect: readonly Expectation[] = [],
): Step[] {
  // One comparison is the fence.
  const room = limits.transactionOperations - 1 - expect.length;
  assert(room > 0, `${expect.length} comparisons leave room in a transaction`);
  const ordered = [...changes.filter(isNewLeader), ...changes.filter((change) => !isNewLeader(change))];
  return Array.from({ length: Math.ceil(ordered.length / room) }, (_, i) => {
    const part = ordered.slice(i * room, (i + 1) * room);
    return {
      why: why(part.length),
      facts: factsOf(part, reason),
      transaction: {
        expect: [...expect, ...part.map(({ before }) => unchanged(before))],
        put: part.map(({ after }) => ({ kind: 'partition', value: withoutRevisions(after) })),
        delete: [],
      },
    };
  });
}

function factsOf(changes: readonly PartitionChange[], reason: PartitionReason): NonNullable<Step['facts']> {
  const count = (is: (change: PartitionChange) => boolean): number => changes.filter(is).length;
  return {
    reason,
    elections: count(
      (change) => change.after.leader !== undefined && change.after.leaderEpoch > change.before.leaderEpoch,
    ),
    uncleanElections: count(({ before, after }) => after.uncleanEpoch !== before.uncleanEpoch),
    isrShrinks: count(({ before, after }) => before.isr.some((node) => !after.isr.includes(node))),
    isrExpands: count(({ before, after }) => after.isr.some((node) => !before.isr.includes(node))),
  };
}

const isNewLeader = ({ before, after }: PartitionChange): boolean => before.leader !== after.leader;

const unchanged = ({ topicId, partition, modRevision }: Stored<PartitionInfo>): Expectation => {
  return { place: { kind: 'partition', topicId, partition }, is: 'modified-at', revision: modRevision };
};

function withoutRevisions(partition: PartitionInfo & Partial<Stored<unknown>>): PartitionInfo {
  const { createRevision: _created, modRevision: _modified, ...info } = partition;
  return info;
}
