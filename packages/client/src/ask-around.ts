/** Asking several brokers the same thing, of which one answer is enough: a dead or silent one must not hold the others up. */
import { limits, TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import { Bell, noLongerNeeded } from './waiting.ts';

export interface Asking<T> {
  /** In the order in which they are asked: the next one when one has failed, or is silent for `limits.hedgeMs`. */
  readonly addresses: readonly string[];
  readonly ask: (address: string, deadlineMs: number, signal: AbortSignal) => Promise<T>;
  /** @throws TributaryError: why the answer will not do. */
  readonly take: (answer: T, address: string) => void;
  readonly failed: (address: string, error: TributaryError) => void;
  /** For all together. */
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** @returns whose answer was taken; undefined: nobody's, in time. */
export async function askAround<T>(asking: Asking<T>): Promise<string | undefined> {
  const { addresses, ask, take, failed, deadlineMs, clock, signal } = asking;
  const until = clock.monotonicMs() + deadlineMs;
  const over = new AbortController();
  const stop = (): void => over.abort(noLongerNeeded);
  signal.addEventListener('abort', stop, { once: true });
  const heard = new Bell();
  let begun = 0;
  let silent = 0;
  let failures = 0;
  let taken: string | undefined;
  const one = async (address: string): Promise<void> => {
    silent++;
    try {
      const answer = await ask(address, Math.max(until - clock.monotonicMs(), 1), over.signal);
      if (over.signal.aborted) return;
      take(answer, address);
      taken = address;
    } catch (thrown) {
      if (over.signal.aborted) return;
      failures++;
      failed(address, TributaryError.from(thrown));
    } finally {
      silent--;
      heard.ring();
    }
  };
  try {
    while (taken === undefined && !signal.aborted && clock.monotonicMs() < until) {
      const address = addresses[begun];
      if (address === undefined && silent === 0) break;
      if (address !== undefined) {
        begun++;
        void one(address);
      }
      const before = failures;
      const next = clock.monotonicMs() + limits.hedgeMs;
      const waitUntil = begun < addresses.length ? Math.min(next, until) : until;
      while (taken === undefined && failures === before && !signal.aborted && clock.monotonicMs() < waitUntil)
        await heard.within(waitUntil - clock.monotonicMs(), clock, signal);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort(noLongerNeeded);
  }
  return taken;
}
