// pure
/**
 * How far each partition had been sent when so many bytes of records had been sent in all: what a subscription that commits for its client may commit once
 * these bytes count as handled (ADR 9). Forgetting a mark is safe, as a later one of its partition says more and comes later.
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
  #marks: Mark[] = [];
  #sent = 0;
  #most: number = limits.autoCommitMarks;

  /** Bytes sent in all. */
  get sent(): number {
    return this.#sent;
  }

  /** Records of so many bytes were sent; 0: the partition is read from here on. */
  add(key: string, bytes: number, next: Offset, records = 0): void {
    this.#sent += bytes;
    // Records without a byte are handled when something behind them is.
    const needed = records > 0 && bytes === 0 ? this.#sent + 1 : this.#sent;
    const last = this.#marks.at(-1);
    if (last?.key === key && last.bytes === needed) this.#marks.pop();
    this.#marks.push({ key, bytes: needed, next });
    if (this.#marks.length > this.#most) this.#thin();
  }

  /** What may be committed when so many bytes have been handled, by key; said once. */
  take(handled: number): Map<string, Offset> {
    const taken = new Map<string, Offset>();
    let count = 0;
    for (const { key, bytes, next } of this.#marks) {
      if (bytes > handled) break;
      taken.set(key, next);
      count++;
    }
    if (count > 0) this.#marks.splice(0, count);
    return taken;
  }

  forget(keys: ReadonlySet<string>): void {
    this.#marks = this.#marks.filter(({ key }) => !keys.has(key));
  }

  /** Of each partition every other mark goes, but never its last. */
  #thin(): void {
    const seen = new Map<string, number>();
    const kept: Mark[] = [];
    for (const mark of this.#marks.toReversed()) {
      const count = seen.get(mark.key) ?? 0;
      seen.set(mark.key, count + 1);
      if (count % 2 === 0) kept.push(mark);
    }
    this.#marks = kept.reverse();
    // As many partitions as that have one each: there is nothing more to thin out.
    this.#most = Math.max(limits.autoCommitMarks, this.#marks.length * 2);
  }
}
