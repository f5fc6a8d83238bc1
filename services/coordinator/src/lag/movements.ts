// pure
/** Since when a group's commits have stood still although there was something to read: one sample per group and partition, renewed by the poller. */
import { limits, type Offset } from '@tributary/model';

interface Sample {
  readonly offset: Offset;
  /** On the monotonic clock, ms. */
  readonly sinceMs: number;
  seenMs: number;
}

export class Movements {
  readonly #samples = new Map<string, Sample>();

  /** What was found at `nowMs`. @param isBehind there is something to read. */
  saw(groupId: string, place: string, offset: Offset, isBehind: boolean, nowMs: number): void {
    const key = `${groupId}\0${place}`;
    const before = this.#samples.get(key);
    if (!isBehind) {
      this.#samples.delete(key);
      return;
    }
    if (before?.offset === offset) {
      before.seenMs = nowMs;
      return;
    }
    if (before === undefined && this.#samples.size >= limits.lagSamples) return;
    this.#samples.set(key, { offset, sinceMs: nowMs, seenMs: nowMs });
  }

  isStill(groupId: string, place: string, offset: Offset, nowMs: number): boolean {
    const sample = this.#samples.get(`${groupId}\0${place}`);
    return sample?.offset === offset && nowMs - sample.sinceMs >= limits.lagStillMs;
  }

  /** Forgets what was not seen since. */
  forgetBefore(ms: number): void {
    for (const [key, { seenMs }] of this.#samples) if (seenMs < ms) this.#samples.delete(key);
  }
}
