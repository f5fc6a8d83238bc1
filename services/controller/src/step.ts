// pure
import { limits } from '@tributary/model';
import type { StateTransaction } from '@tributary/metadata';

/** One transaction of the controller, without the fence that the shell adds (M3). Steps of one decision are committed in order. */
export interface Step {
  /** For the log. */
  readonly why: string;
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
