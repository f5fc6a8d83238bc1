// pure
/** Decisions on their way to the journal, whole: what memory holds is the log, and these. */
import type { JournalRecord } from '../journal/journal-record.ts';

interface StagedDecision {
  readonly number: number;
  readonly records: readonly JournalRecord[];
  readonly bytes: number;
}

/** What goes out together. */
export interface NextWrite {
  readonly records: readonly JournalRecord[];
  /** Number of the last decision that ends in it; 0: none does. */
  readonly upTo: number;
}

export class Staged {
  readonly #waiting: StagedDecision[] = [];
  #last = 0;
  #bytes = 0;

  /** Number of the last decision that changed anything; 0: none has. */
  get last(): number {
    return this.#last;
  }

  /** Of what waits for its write. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(records: readonly JournalRecord[]): void {
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
    this.#waiting.push({ number: ++this.#last, records, bytes });
    this.#bytes += bytes;
  }

  /**
   * Whole decisions, and no more than `bytesMax`. One that is larger goes out in several writes, in its order: no beginning of it gives a partition two owners,
   * whoever reads only a beginning looks at all groups again (`Groups.topicsChanged`), and nobody was told of it.
   * @returns undefined: nothing waits.
   */
  take(bytesMax: number): NextWrite | undefined {
    let bytes = 0;
    let count = 0;
    let upTo = 0;
    const records: JournalRecord[] = [];
    for (const decision of this.#waiting) {
      if (bytes + decision.bytes > bytesMax) break;
      bytes += decision.bytes;
      count++;
      upTo = decision.number;
      for (const record of decision.records) records.push(record);
    }
    this.#waiting.splice(0, count);
    this.#bytes -= bytes;
    if (count > 0) return { records, upTo };
    const [large] = this.#waiting;
    return large === undefined ? undefined : this.#beginningOf(large, bytesMax);
  }

  /** At least one record. */
  #beginningOf({ number, records, bytes: all }: StagedDecision, bytesMax: number): NextWrite {
    let bytes = 0;
    let count = 0;
    for (const record of records) {
      const size = sizeOf(record);
      if (count > 0 && bytes + size > bytesMax) break;
      bytes += size;
      count++;
    }
    this.#bytes -= bytes;
    const isWhole = count === records.length;
    if (isWhole) this.#waiting.shift();
    else this.#waiting[0] = { number, records: records.slice(count), bytes: all - bytes };
    return { records: records.slice(0, count), upTo: isWhole ? number : 0 };
  }
}

/** Lengths, deltas and attributes of one record in a batch. */
const recordOverhead = 16;

function sizeOf({ key, value }: JournalRecord): number {
  return key.length + (value?.length ?? 0) + recordOverhead;
}
