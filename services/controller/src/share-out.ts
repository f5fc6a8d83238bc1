// pure

/**
 * Balances things over holders within one, and moves as few as that takes. Deterministic.
 * @param held what each holder has; every holder is named.
 * @param homeless what nobody has.
 * @returns the new holder of each that moves, the homeless among them.
 */
export function shareOut<H extends number, T extends number>(
  held: ReadonlyMap<H, readonly T[]>,
  homeless: readonly T[],
): ReadonlyMap<T, H> {
  const holders = [...held].map(([id, things]) => ({ id, things: inOrder(things) })).sort((a, b) => a.id - b.id);
  const total = holders.reduce((sum, { things }) => sum + things.length, homeless.length);
  const least = Math.floor(total / holders.length);
  // Who has most keeps the ones that do not come out even.
  const ranked = holders.toSorted((a, b) => b.things.length - a.things.length || a.id - b.id);
  const withOneMore = new Set(ranked.slice(0, total % holders.length));
  const share = (holder: (typeof holders)[number]): number => least + (withOneMore.has(holder) ? 1 : 0);
  const pool = [...inOrder(homeless), ...holders.flatMap((holder) => holder.things.slice(share(holder)))];
  const moves = new Map<T, H>();
  for (const holder of holders) {
    const missing = Math.max(0, share(holder) - holder.things.length);
    for (const thing of pool.splice(0, missing)) moves.set(thing, holder.id);
  }
  return moves;
}

const inOrder = <T extends number>(all: readonly T[]): readonly T[] => all.toSorted((a, b) => a - b);
