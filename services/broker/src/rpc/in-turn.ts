// pure
import { limits } from '@tributary/model';

/** Works on the items, so many at a time: opening a partition, or searching it for a position, reads files. */
export async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const remaining = items.values();
  const worker = async (): Promise<void> => {
    for (const item of remaining) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(items.length, limits.partitionsOpenedAtOnce) }, worker));
}
