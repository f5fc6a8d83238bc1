/** Time that passes only when nothing else is left to do in this process. */
import type { Clock } from '@tributary/ports';

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  readonly #timers: Timer[] = [];
  #turning = false;

  monotonicMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + Math.floor(this.#now);
  }

  /** Timers of one instant run in the order in which they were set. */
  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    const index = this.#timers.findLastIndex((other) => other.at <= timer.at);
    this.#timers.splice(index + 1, 0, timer);
    this.#turn();
    return () => {
      const place = this.#timers.indexOf(timer);
      if (place >= 0) this.#timers.splice(place, 1);
    };
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const cancel = this.after(ms, () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      });
      const aborted = (): void => {
        cancel();
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(() => {
      this.#turning = false;
      const timer = this.#timers.shift();
      if (timer === undefined) return;
      this.#now = Math.max(this.#now, timer.at);
      timer.run();
      if (this.#timers.length > 0) this.#turn();
    });
  }
}

/** A small seeded generator. */
export function seededRandom(seed: number): { nextU32(): number } {
  let state = seed >>> 0;
  return {
    nextU32: () => {
      state = (state + 0x9e3779b9) >>> 0;
      let mixed = state;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return (mixed ^ (mixed >>> 15)) >>> 0;
    },
  };
}
