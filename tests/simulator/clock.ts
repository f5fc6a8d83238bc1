import type { Clock } from '@tributary/ports';
import type { Scheduler } from './scheduler.ts';

/** The wall clock of every run begins here: 2026-01-01T00:00:00Z, a fixed day so that traces repeat. */
const WALL_EPOCH_MS = 1_767_225_600_000;

export interface ClockOptions {
  /** How far the wall clock is ahead of true time. */
  readonly wallAheadMs?: number;
  /** Ticks per true tick of the monotonic clock: crystals differ by some 50 millionths. */
  readonly rate?: number;
}

/** The clock of one machine. It keeps its own pace, and its wall clock may be wrong and jump; true time belongs to the scheduler. */
export class MachineClock {
  readonly #scheduler: Scheduler;
  readonly #rate: number;
  #wallAheadMs: number;

  constructor(scheduler: Scheduler, options: ClockOptions = {}) {
    this.#scheduler = scheduler;
    this.#rate = options.rate ?? 1;
    this.#wallAheadMs = options.wallAheadMs ?? 0;
  }

  /** An operator or a time daemon sets the clock. */
  jumpWall(byMs: number): void {
    this.#wallAheadMs += byMs;
  }

  monotonicMs(): number {
    return (this.#scheduler.nowMicros / 1_000) * this.#rate;
  }

  wallMs(): number {
    return WALL_EPOCH_MS + Math.floor(this.monotonicMs() + this.#wallAheadMs);
  }

  trueMicros(ms: number): number {
    return (ms * 1_000) / this.#rate;
  }

  /**
   * The clock as one process sees it.
   * @param isAlive once false, its sleeps never end and its time stands still. @param enter through which its timers wake it.
   */
  forProcess(isAlive: () => boolean, enter: (action: () => void) => void = (action) => action()): Clock {
    const begunMs = this.monotonicMs();
    let lastMs = 0;
    const monotonicMs = (): number => {
      if (isAlive()) lastMs = this.monotonicMs() - begunMs;
      return lastMs;
    };
    return {
      monotonicMs,
      wallMs: () => this.wallMs(),
      sleep: (ms, signal) => this.#sleep(ms, signal, isAlive, enter),
    };
  }

  #sleep(ms: number, signal: AbortSignal, isAlive: () => boolean, enter: (action: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!isAlive()) return;
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const timer = this.#scheduler.after(this.trueMicros(ms), () => {
        enter(() => {
          signal.removeEventListener('abort', abort);
          if (isAlive()) resolve();
        });
      });
      const abort = (): void => {
        timer.cancel();
        if (isAlive()) reject(signal.reason as Error);
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
