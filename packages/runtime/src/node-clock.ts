import type { Clock } from '@tributary/ports';

/** Node's timers take 31 bits; beyond that they fire at once. Ms. */
export const timerMsMost = 2 ** 31 - 1;

/** The machine's clocks and timers. */
export const nodeClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep,
};

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    if (ms <= 0) {
      // What is ready has its turn, and nothing else is waited for: a timer would take a millisecond.
      setImmediate(() => {
        if (signal.aborted) reject(signal.reason);
        else resolve();
      });
      return;
    }
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const wakeAt = performance.now() + ms;
    const fired = (): void => {
      const remaining = wakeAt - performance.now();
      if (ms > timerMsMost && remaining > 0) {
        timer = setTimeout(fired, Math.min(remaining, timerMsMost));
        return;
      }
      signal.removeEventListener('abort', aborted);
      resolve();
    };
    let timer = setTimeout(fired, Math.min(ms, timerMsMost));
    signal.addEventListener('abort', aborted, { once: true });
  });
}
