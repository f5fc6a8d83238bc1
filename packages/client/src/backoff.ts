// pure
import { limits } from '@tributary/model';

/**
 * How long to wait before the next attempt, ms, with jitter so that clients which failed together do not come back together: short while something has
 * failed for less than `limits.quickRetriesMs`, as an election lasts, then a quarter of the time for which it has.
 * @param failingForMs since the first failure in a row. @param first the longest wait at the beginning. @param most the longest of all.
 */
export function pauseMs(failingForMs: number, first: number, most: number, random: { nextU32(): number }): number {
  const chance = random.nextU32() / 2 ** 32;
  const quick = Math.min(first, most);
  if (failingForMs < limits.quickRetriesMs) return quick * (0.4 + 0.6 * chance);
  return Math.min(most, Math.max(quick, failingForMs / 4)) * (0.8 + 0.4 * chance);
}
