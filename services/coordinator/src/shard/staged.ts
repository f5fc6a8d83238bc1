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
  /** Number of the last decision in it. */
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
    let bytes = 0;
    for (const { key, value } of records) bytes += key.length + (value?.length ?? 0) + recordOverhead;
    this.#waiting.push({ number: ++this.#last, records, bytes });
    this.#bytes += bytes;
  }

  /** Whole decisions, at least one, and no more than `bytesMax` where there are several. @returns undefined: nothing waits. */
  take(bytesMax: number): NextWrite | undefined {
    let bytes = 0;
    let count = 0;
    const records: JournalRecord[] = [];
    for (const decision of this.#waiting) {
      if (count > 0 && bytes + decision.bytes > bytesMax) break;
      bytes += decision.bytes;
      count++;
      for (const record of decision.records) records.push(record);
    }
    const taken = this.#waiting.splice(0, count);
    this.#bytes -= bytes;
    const last = taken.at(-1);
    return last === undefined ? undefined : { records, upTo: last.number };
  }
}

/** Lengths, deltas and attributes of one record in a batch. */
const recordOverhead = 16;
