// pure
/**
 * How far each partition had been sent when so many bytes of records had been sent in all: what a subscription that commits for its client may commit once
 * these bytes count as handled (ADR 9). Forgetting a mark is safe, as a later one of its partition says more and comes later. Those that are kept lie evenly
 * apart, however much has been sent and is not handled yet: else the older ones would be gone whenever what is handled comes to them.
 */
import { limits, type Offset } from '@tributary/model';

interface Mark {
  readonly key: string;
  /** Of all partitions, counted from the beginning: these bytes must be handled first. */
  readonly bytes: number;
  /** Reading goes on here. */
  readonly next: Offset;
}

export class SentMarks {
  #sent = 0;
  /** Of each partition the last; never forgotten before it has been said. */
  readonly #newest = new Map<string, Mark>();
  /** Older ones, of each partition in order. */
  #older: Mark[] = [];
  /** Bytes of the last of these that was kept. */
  readonly #kept = new Map<string, number>();
  /** Bytes between two of a partition at least; 0: all are kept. */
  #apart = 0;

  /** Bytes sent in all. */
  get sent(): number {
    return this.#sent;
  }

  /** Places that are remembered: `limits.autoCommitMarks` at most, and four of each partition where these are more. */
  get size(): number {
    return this.#older.length + this.#newest.size;
  }

  /** Records of so many bytes were sent; 0: the partition is read from here on. */
  add(key: string, bytes: number, next: Offset, records = 0): void {
    this.#sent += bytes;
    // Records without a byte are handled when something behind them is.
    const needed = records > 0 && bytes === 0 ? this.#sent + 1 : this.#sent;
    const before = this.#newest.get(key);
    this.#newest.set(key, { key, bytes: needed, next });
    if (before === undefined || before.bytes === needed) return;
    const kept = this.#kept.get(key);
    if (kept !== undefined && before.bytes - kept < this.#apart) return;
    this.#older.push(before);
    this.#kept.set(key, before.bytes);
    if (this.#older.length > this.#most) this.#thin();
  }

  /** What may be committed when so many bytes have been handled, by key; said once. */
  take(handled: number): Map<string, Offset> {
    const taken = new Map<string, Offset>();
    const rest: Mark[] = [];
    for (const mark of this.#older) {
      if (mark.bytes > handled) rest.push(mark);
      else taken.set(mark.key, mark.next);
    }
    this.#older = rest;
    for (const [key, { bytes, next }] of this.#newest) {
      if (bytes > handled) continue;
      taken.set(key, next);
      this.#newest.delete(key);
    }
    if (rest.length < this.#most / 4) this.#apart = Math.floor(this.#apart / 2);
    return taken;
  }

  forget(keys: ReadonlySet<string>): void {
    for (const key of keys) {
      this.#newest.delete(key);
      this.#kept.delete(key);
    }
    this.#older = this.#older.filter(({ key }) => !keys.has(key));
  }

  /** Some of each partition are always kept, or none could be left by the time that it may be said. */
  get #most(): number {
    return Math.max(limits.autoCommitMarks, 4 * this.#newest.size) - this.#newest.size;
  }

  /** Until half of the room is free, or each partition has one. */
  #thin(): void {
    const first = this.#older[0]?.bytes ?? 0;
    for (;;) {
      this.#apart = Math.max(1, 2 * this.#apart);
      const later = new Map<string, number>();
      const kept: Mark[] = [];
      for (const mark of this.#older.toReversed()) {
        const next = later.get(mark.key);
        if (next !== undefined && next - mark.bytes < this.#apart) continue;
        later.set(mark.key, mark.bytes);
        kept.push(mark);
      }
      this.#older = kept.reverse();
      if (this.#older.length <= this.#most / 2 || this.#apart > this.#sent - first) return;
    }
  }
}
