import { LinkedAbort } from '@tributary/metadata';
import { TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';

/** Runs `act` with a signal that is aborted `ms` from now, or with `signal`. @throws TributaryError REQUEST_TIMED_OUT with `sentence`. */
export async function within<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  sentence: string,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using limited = new LinkedAbort(signal);
  const late = new TributaryError('REQUEST_TIMED_OUT', sentence);
  const expiring = clock.sleep(ms, limited.signal).then(
    () => limited.abort(late),
    () => undefined,
  );
  try {
    return await act(limited.signal);
  } finally {
    limited.abort(new Error('done'));
    await expiring;
  }
}
