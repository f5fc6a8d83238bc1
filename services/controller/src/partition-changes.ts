// pure
/** Changes of partitions' keys, as transactions that hold no more than the store takes (M3). */
import type { Expectation, PartitionInfo, Stored } from '@tributary/metadata';
import { type NodeId, limits } from '@tributary/model';
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

/** Brokers, or coordinators, that a single change rests on, and what must still hold of each as it is committed. */
export interface Grounds<C = PartitionChange> {
  brokersOf(change: C): readonly NodeId[];
  expect(broker: NodeId): readonly Expectation[];
}

const noGrounds: Grounds = { brokersOf: () => [], expect: () => [] };

/**
 * Each partition is compared by its revision. New leaders come first: somebody waits for them.
 * @param expect of each transaction: a few.
 * @param grounds compared in the transactions of the changes that rest on them, and nowhere else: a cluster may have more brokers than one holds.
 */
export function partitionSteps(
  changes: readonly PartitionChange[],
  why: (count: number) => string,
  reason: PartitionReason,
  expect: readonly Expectation[] = [],
  grounds: Grounds = noGrounds,
): Step[] {
  const ordered = [...changes.filter(isNewLeader), ...changes.filter((change) => !isNewLeader(change))];
  return packed(ordered, expect, grounds).map((part) => ({
    why: why(part.changes.length),
    facts: factsOf(part.changes, reason),
    transaction: {
      expect: [...part.expect, ...part.changes.map(({ before }) => unchanged(before))],
      put: part.changes.map(({ after }) => ({ kind: 'partition', value: withoutRevisions(after) })),
      delete: [],
    },
  }));
}

interface Part<C> {
  readonly changes: C[];
  readonly expect: Expectation[];
}

/** In order, as many together as a transaction holds comparisons for; one of them is the fence, and one is of each change itself. */
export function packed<C>(changes: readonly C[], expect: readonly Expectation[], grounds: Grounds<C>): Part<C>[] {
  const parts: Part<C>[] = [];
  let brokers = new Set<NodeId>();
  for (const change of changes) {
    const expectAnew = (): Expectation[] =>
      grounds.brokersOf(change).flatMap((node) => (brokers.has(node) ? [] : grounds.expect(node)));
    let part = parts.at(-1);
    if (
      part === undefined ||
      2 + part.changes.length + part.expect.length + expectAnew().length > limits.transactionOperations
    ) {
      part = { changes: [], expect: [...expect] };
      parts.push(part);
      brokers = new Set();
    }
    part.expect.push(...expectAnew());
    part.changes.push(change);
    for (const node of grounds.brokersOf(change)) brokers.add(node);
  }
  return parts;
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
