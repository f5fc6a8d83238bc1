import { type Bell, LinkedAbort } from '@tributary/metadata';
import type { Clock } from '@tributary/ports';

/** Resolves at the next ring, or after `ms`; Infinity: at the next ring. Rejects with the signal's reason. */
export async function heardWithin(bell: Bell, ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  if (ms === Number.POSITIVE_INFINITY) return await bell.heard(signal);
  using waiting = new LinkedAbort(signal);
  const either = [bell.heard(waiting.signal), clock.sleep(ms, waiting.signal)];
  for (const each of either) each.catch(() => undefined);
  try {
    await Promise.race(either);
  } finally {
    waiting.abort(new Error('Waited long enough.'));
  }
}
