// pure
/**
 * The newest batches of all logs, in memory, under one budget: what consumers at the end of a log and followers read, without a copy and
 * without waiting. The oldest batch of all logs goes first. A batch lies in the memory of the message that it came in, and keeps all of that: so
 * much is counted.
 */
import type { Offset } from '@tributary/model';
import type { LogBatch, LogSlice } from './log-types.ts';

export class TailCache {
  readonly #budget: number;
  #bytes = 0;
  /** How many batches keep a piece of memory. */
  readonly #keepers = new Map<ArrayBufferLike, number>();
  /** Whose turn it is to give up its oldest batch: one entry for each batch added. Entries before #first are gone. */
  #order: LogTail[] = [];
  #first = 0;

  /** @param budget bytes. */
  constructor(budget: number) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The part of one log. */
  tail(): LogTail {
    return new LogTail(this);
  }

  /** For {@link LogTail}. */
  grown(tail: LogTail, { buffer }: Uint8Array): void {
    const keepers = this.#keepers.get(buffer) ?? 0;
    if (keepers === 0) this.#bytes += buffer.byteLength;
    this.#keepers.set(buffer, keepers + 1);
    this.#order.push(tail);
    while (this.#bytes > this.#budget && this.#first < this.#order.length) {
      this.#order[this.#first]?.dropOldest();
      this.#first++;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#first);
      this.#first = 0;
    }
  }

  /** For {@link LogTail}. */
  shrunk({ buffer }: Uint8Array): void {
    const left = (this.#keepers.get(buffer) ?? 1) - 1;
    if (left > 0) {
      this.#keepers.set(buffer, left);
      return;
    }
    this.#keepers.delete(buffer);
    this.#bytes -= buffer.byteLength;
  }

  /** For {@link LogTail}: it no longer holds so many of its oldest. */
  forget(tail: LogTail, count = Number.POSITIVE_INFINITY): void {
    let left = count;
    this.#order = this.#order.slice(this.#first).filter((other) => other !== tail || left-- <= 0);
    this.#first = 0;
  }
}

const end: LogSlice = { kind: 'end' };

export class LogTail {
  readonly #cache: TailCache;
  #isKept = true;
  /** In offset order, without a hole from the first to the end of the log; those before #first are gone. */
  #batches: (LogBatch | undefined)[] = [];
  /** Of each batch, where it began: bytes ever added before it. */
  #starts: number[] = [];
  #added = 0;
  #first = 0;

  constructor(cache: TailCache) {
    this.#cache = cache;
  }

  /**
   * Followers keep none: nobody reads it there, and memory that is let go at once is collected young. Whoever leads begins anew.
   */
  set isKept(isKept: boolean) {
    this.#isKept = isKept;
    if (!isKept) this.clear();
  }

  add(batch: LogBatch): void {
    if (!this.#isKept) return;
    this.#batches.push(batch);
    this.#starts.push(this.#added);
    this.#added += batch.bytes.length;
    this.#cache.grown(this, batch.bytes);
  }

  /** For {@link TailCache}. */
  dropOldest(): void {
    const batch = this.#batches[this.#first];
    if (batch === undefined) return;
    this.#batches[this.#first++] = undefined;
    this.#cache.shrunk(batch.bytes);
    if (this.#first > 64 && this.#first * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#first);
      this.#starts = this.#starts.slice(this.#first);
      this.#first = 0;
    }
  }

  reaches(from: Offset): boolean {
    const oldest = this.#batches[this.#first];
    return oldest !== undefined && from >= oldest.baseOffset;
  }

  /** The first batch that reaches `offset`, and how many bytes of log lie from its first to the end; undefined: they are not all here. */
  place(offset: Offset): { readonly batch: LogBatch; readonly bytesToEnd: number } | undefined {
    if (!this.reaches(offset)) return undefined;
    const at = this.#find(offset);
    const batch = this.#batches[at];
    return batch && { batch, bytesToEnd: this.#added - (this.#starts[at] ?? this.#added) };
  }

  /** See PartitionLog.read; undefined: `from` lies before what is held here. */
  read(from: Offset, target: number, most: number, upTo: Offset): LogSlice | undefined {
    const oldest = this.#batches[this.#first];
    if (oldest === undefined || from < oldest.baseOffset) return undefined;
    let at = this.#find(from);
    const first = this.#batches[at];
    if (first === undefined || first.lastOffset >= upTo) return end;
    if (first.bytes.length > most) return { kind: 'too-large', size: first.bytes.length };
    const records = [first.bytes];
    let bytes = first.bytes.length;
    let last = first.lastOffset;
    for (let batch = this.#batches[++at]; batch !== undefined; batch = this.#batches[++at]) {
      bytes += batch.bytes.length;
      if (bytes > target || batch.lastOffset >= upTo) break;
      records.push(batch.bytes);
      last = batch.lastOffset;
    }
    return { kind: 'records', records, next: (last + 1n) as Offset };
  }

  /** Index of the first batch that reaches `from`. */
  #find(from: Offset): number {
    let low = this.#first;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#batches[middle]?.lastOffset ?? 0n) < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Drops the batches that reach `offset` or beyond. */
  truncate(offset: Offset): void {
    while (this.#batches.length > this.#first) {
      const batch = this.#batches[this.#batches.length - 1];
      if (batch === undefined || batch.lastOffset < offset) return;
      this.#batches.pop();
      this.#added = this.#starts.pop() ?? 0;
      this.#cache.shrunk(batch.bytes);
    }
  }

  /** Compaction was there: what lies below `offset` is read from the files from now on, which have less of it. */
  dropBelow(offset: Offset): void {
    let count = 0;
    for (let oldest = this.#batches[this.#first]; oldest !== undefined; oldest = this.#batches[this.#first]) {
      if (oldest.lastOffset >= offset) break;
      this.dropOldest();
      count++;
    }
    if (count > 0) this.#cache.forget(this, count);
  }

  clear(): void {
    while (this.#batches.length > this.#first) this.dropOldest();
    this.#batches = [];
    this.#starts = [];
    this.#first = 0;
    this.#cache.forget(this);
  }
}
