/** Work in the background, in slices: the event loop belongs to those who wait for an answer. */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

export class Pace {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #bytesPerSecond: number | undefined;
  /** Work since others had their turn for sure, up to the last wait. */
  #workedMs = 0;
  /** When work went on. */
  #since: number;
  /** When the bytes so far may have been read and written, at the given rate. */
  #earliest: number;
  /** Longest slice so far, ms. */
  longestMs = 0;

  /** @param bytesPerSecond of reads and writes; undefined: as fast as it goes. */
  constructor(clock: Clock, signal: AbortSignal, bytesPerSecond: number | undefined) {
    this.#clock = clock;
    this.#signal = signal;
    this.#bytesPerSecond = bytesPerSecond;
    this.#since = clock.monotonicMs();
    this.#earliest = this.#since;
  }

  /** It is time to let others have their turn. */
  get isOver(): boolean {
    return this.#worked >= limits.compactionSliceMs;
  }

  get #worked(): number {
    return this.#workedMs + this.#clock.monotonicMs() - this.#since;
  }

  /** @throws the signal's reason when it is aborted. */
  async rest(): Promise<void> {
    this.longestMs = Math.max(this.longestMs, this.#worked);
    await this.#clock.sleep(0, this.#signal);
    this.#workedMs = 0;
    this.#since = this.#clock.monotonicMs();
  }

  /**
   * Waits for the disk, which is no work. It does not end the slice either: what the page cache has comes at once, without a turn for others.
   */
  async waiting<T>(io: Promise<T>): Promise<T> {
    this.#workedMs = this.#worked;
    try {
      return await io;
    } finally {
      this.#since = this.#clock.monotonicMs();
    }
  }

  /** Beside the work; shorter when the signal is aborted. */
  async pause(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#signal).catch(() => {});
  }

  /** So many bytes were read or written. @throws the signal's reason when it is aborted. */
  async moved(bytes: number): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#bytesPerSecond === undefined) return;
    const now = this.#clock.monotonicMs();
    this.#earliest = Math.max(this.#earliest, now) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#earliest > now) await this.waiting(this.#clock.sleep(this.#earliest - now, this.#signal));
  }
}
