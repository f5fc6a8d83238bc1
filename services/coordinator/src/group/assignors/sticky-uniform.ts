// pure
import type { Assignor } from './assignor.ts';
import { Plan } from './plan.ts';

/**
 * Balanced within one where all subscribe to the same; else no subscriber of a partition has two less than its owner. Nothing moves between
 * members that stay, beyond what balance needs.
 */
export const stickyUniform: Assignor = (members) => {
  const plan = new Plan(members);
  plan.keep();
  plan.fill();
  // What comes last came last: partitions that just found an owner go before those that have been with theirs.
  plan.balance((owned) => owned.length - 1);
  return plan.assignment();
};
