/** M4: a request may ask for an answer that reflects at least some metadata revision. */
import type { ClusterImage, ImageSource } from '@tributary/metadata';
import { limits, TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';

/** @throws TributaryError REQUEST_TIMED_OUT when the image does not get there within `limits.minRevisionWaitMs`. */
export async function imageAtLeast(
  source: ImageSource,
  clock: Clock,
  revision: bigint,
  signal: AbortSignal,
): Promise<ClusterImage> {
  if (source.current.revision >= revision) return source.current;
  const waiting = new AbortController();
  const stop = (): void =>
    waiting.abort(
      new TributaryError(
        'REQUEST_TIMED_OUT',
        `This broker has seen metadata revision ${source.current.revision}, asked for was ${revision}; try again.`,
      ),
    );
  signal.addEventListener('abort', stop, { once: true });
  clock.sleep(limits.minRevisionWaitMs, waiting.signal).then(stop, () => {});
  try {
    return await source.reached(revision, waiting.signal);
  } finally {
    signal.removeEventListener('abort', stop);
    waiting.abort();
  }
}
