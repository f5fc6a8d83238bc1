/** Work in the background, in slices: the event loop belongs to those who wait for an answer. */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

export class Pace {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #bytesPerSecond: number | undefined;
  #began: number;
  /** When the bytes so far may have been read and written, at the given rate. */
  #earliest: number;
  /** Longest slice so far, ms. */
  longestMs = 0;

  /** @param bytesPerSecond of reads and writes; undefined: as fast as it goes. */
  constructor(clock: Clock, signal: AbortSignal, bytesPerSecond: number | undefined) {
    this.#clock = clock;
    this.#signal = signal;
    this.#bytesPerSecond = bytesPerSecond;
    this.#began = clock.monotonicMs();
    this.#earliest = this.#began;
  }

  /** It is time to let others have their turn. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#began >= limits.compactionSliceMs;
  }

  /** @throws the signal's reason when it is aborted. */
  async rest(): Promise<void> {
    this.#end();
    await this.#clock.sleep(0, this.#signal);
    this.begin();
  }

  /** The event loop has been elsewhere: a new slice begins. */
  begin(): void {
    this.#began = this.#clock.monotonicMs();
  }

  /** Beside the work; shorter when the signal is aborted. */
  async pause(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#signal).catch(() => {});
  }

  #end(): void {
    this.longestMs = Math.max(this.longestMs, this.#clock.monotonicMs() - this.#began);
  }

  /** So many bytes were read or written. @throws the signal's reason when it is aborted. */
  async moved(bytes: number): Promise<void> {
    this.#signal.throwIfAborted();
    this.begin();
    if (this.#bytesPerSecond === undefined) return;
    this.#earliest = Math.max(this.#earliest, this.#began) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#earliest > this.#began) await this.#clock.sleep(this.#earliest - this.#began, this.#signal);
    this.begin();
  }
}
