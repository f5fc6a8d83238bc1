/** Files that were taken out of a log stay for a while, for those who still read. What a stop leaves is removed at the next start. */
import type { Disk } from './disk.ts';

/** Does not wait. @param signal ends the delay without a removal. */
export function removeLater(disk: Disk, files: readonly string[], delayMs: number, signal: AbortSignal): void {
  if (files.length === 0) return;
  const remove = async (): Promise<void> => {
    await disk.clock.sleep(delayMs, signal);
    for (const file of files) await disk.files.remove(file);
  };
  remove().catch((thrown: unknown) => {
    if (!signal.aborted) disk.logger.warn('files not removed', { files, why: String(thrown) });
  });
}
