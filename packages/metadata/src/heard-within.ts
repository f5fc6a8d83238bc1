import type { Clock } from '@tributary/ports';
import { type Bell, LinkedAbort } from './waiting.ts';

/** Resolves at the next ring, or after `ms`. Rejects with the signal's reason. Who waits often takes an `Alarm`: a timer for each time is dear. */
export async function heardWithin(bell: Bell, ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  using waiting = new LinkedAbort(signal);
  const either = [bell.heard(waiting.signal), clock.sleep(ms, waiting.signal)];
  for (const each of either) each.catch(() => undefined);
  try {
    await Promise.race(either);
  } finally {
    waiting.abort(new Error('Waited long enough.'));
  }
}
