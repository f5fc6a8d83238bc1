// pure
import { limits } from '@tributary/model';
import type { StateTransaction } from '@tributary/metadata';

/** Why partitions change. */
export type PartitionReason =
  | 'broker-lost'
  | 'broker-registered'
  | 'broker-leaving'
  | 'proposal'
  | 'settings'
  | 'preferred'
  | 'unclean'
  | 'longest-log';

/** What a transaction makes of partitions, in counts of them. */
export interface PartitionFacts {
  readonly reason: PartitionReason;
  /** They got a leader, in a new leader epoch. */
  readonly elections: number;
  /** Of those, with a leader that may lack acknowledged records. */
  readonly uncleanElections: number;
  readonly isrShrinks: number;
  readonly isrExpands: number;
}

/** Why a partition of groups gets another owner. */
export type GroupMoveReason =
  /** Nobody had it. */
  | 'unowned'
  | 'coordinator-lost'
  /** It has registered anew. */
  | 'coordinator-returned'
  | 'coordinator-leaving'
  | 'balance';

/** One transaction of the controller, without the fence that the shell adds (M3). Steps of one decision are committed in order. */
export interface Step {
  /** For the log. */
  readonly why: string;
  /** For the metrics, once it is committed. */
  readonly facts?: PartitionFacts;
  /** Partitions of groups that it gives another owner; for the metrics, too. */
  readonly groupMoves?: readonly GroupMoveReason[];
  readonly transaction: StateTransaction;
}

/**
 * Changes of one kind in one transaction (M3). Room is left for the fence, the registration or topic that they rest on, and what ends a
 * sequence.
 */
export const changesPerStep = limits.transactionOperations - 10;

/** In order, at most {@link changesPerStep} together. */
export function chunks<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / changesPerStep) }, (_, i) =>
    all.slice(i * changesPerStep, (i + 1) * changesPerStep),
  );
}
