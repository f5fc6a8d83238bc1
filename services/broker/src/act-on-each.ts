/**
 * Acts on each item as it comes: one that takes long holds up no other, until so many are under way. Ends as the items do, when nothing is under way any more.
 * @param act never rejects.
 */
export async function actOnEach<T>(
  items: AsyncIterable<T>,
  most: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const under = new Set<Promise<void>>();
  try {
    for await (const item of items) {
      const acting: Promise<void> = act(item).then(() => void under.delete(acting));
      under.add(acting);
      while (under.size >= most) await Promise.race(under);
    }
  } finally {
    await Promise.all(under);
  }
}
