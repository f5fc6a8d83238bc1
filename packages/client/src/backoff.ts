// pure

/**
 * How long to wait before the next attempt, ms: `first`, doubled at each failure up to `most`, ± 20 % so that clients which failed together do
 * not come back together.
 * @param failures that have happened in a row, ≥ 1.
 */
export function backoffMs(failures: number, first: number, most: number, random: { nextU32(): number }): number {
  const ceiling = Math.min(most, first * 2 ** Math.min(failures - 1, 30));
  return ceiling * (0.8 + (0.4 * random.nextU32()) / 2 ** 32);
}
