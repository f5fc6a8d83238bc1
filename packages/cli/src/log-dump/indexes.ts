/** The two indexes of a segment: each entry, and whether it leads to where it says when the segment is there to be asked. */
import { inspectOffsetIndex, inspectTimeIndex } from '@tributary/broker';
import type { Offset } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';
import { type Report, timeText } from './report.ts';

/** Fed with the batches of the segment in order. */
export interface IndexChecks {
  batch(header: BatchHeader, position: number, size: number): void;
  /** @param isOpen the segment may still be written: its indexes are not closed. */
  finish(end: Offset, size: number, isOpen: boolean): void;
}

/** Mistakes of one index that are told one by one; the rest is counted. */
const toldMost = 10;

abstract class IndexCheck implements IndexChecks {
  readonly #path: string;
  readonly #report: Report;
  readonly #entryBytes: number;
  #wrong = 0;

  constructor(path: string, report: Report, entryBytes: number) {
    this.#path = path;
    this.#report = report;
    this.#entryBytes = entryBytes;
  }

  abstract batch(header: BatchHeader, position: number, size: number): void;
  abstract finish(end: Offset, size: number, isOpen: boolean): void;

  protected wrong(index: number, why: string): void {
    if (++this.#wrong <= toldMost)
      this.#report.finding({ kind: 'problem', file: this.#path, position: index * this.#entryBytes, why });
  }

  protected tellRest(): void {
    if (this.#wrong > toldMost)
      this.#report.finding({
        kind: 'problem',
        file: this.#path,
        why: `${this.#wrong - toldMost} more entries are wrong`,
      });
  }
}

/** Prints the entries. @returns what checks them against the segment. */
export function dumpOffsetIndex(path: string, bytes: Buffer, base: Offset, report: Report): IndexChecks {
  const { entries, sound, entryBytes, tornBytes } = inspectOffsetIndex(bytes, base);
  if (report.options.details) {
    for (const { offset, position } of entries)
      report.line(`offset ${offset}  position ${position}`, { what: 'index-entry', file: path, offset, position });
  }
  tellShape(path, report, { count: entries.length, sound, entryBytes, tornBytes }, 'offset index');
  return new OffsetIndexCheck(path, report, entries.slice(0, sound), entryBytes);
}

/** As {@link dumpOffsetIndex}. */
export function dumpTimeIndex(path: string, bytes: Buffer, base: Offset, report: Report): IndexChecks {
  const { entries, sound, entryBytes, tornBytes } = inspectTimeIndex(bytes, base);
  if (report.options.details) {
    for (const { timestamp, offset } of entries)
      report.line(`${timeText(timestamp)}  offset ${offset}`, { what: 'time-entry', file: path, timestamp, offset });
  }
  tellShape(path, report, { count: entries.length, sound, entryBytes, tornBytes }, 'time index');
  return new TimeIndexCheck(path, report, entries.slice(0, sound), entryBytes);
}

interface IndexShape {
  readonly count: number;
  readonly sound: number;
  readonly entryBytes: number;
  readonly tornBytes: number;
}

function tellShape(
  path: string,
  report: Report,
  { count, sound, entryBytes, tornBytes }: IndexShape,
  what: string,
): void {
  if (sound < count) {
    report.finding({
      kind: 'problem',
      file: path,
      position: sound * entryBytes,
      why: `entry ${sound} does not rise above the one before it; ${count - sound} entries from here on cannot be believed`,
    });
  }
  if (tornBytes > 0) {
    report.finding({
      kind: 'problem',
      file: path,
      position: count * entryBytes,
      why: `the last entry is cut: ${tornBytes} of ${entryBytes} bytes are there`,
    });
  }
  report.line(`${what}: ${count} entries`, { what: what.replace(' ', '-'), file: path, entries: count, sound });
}

interface OffsetEntry {
  readonly offset: Offset;
  readonly position: number;
}

interface TimeEntry {
  readonly timestamp: number;
  readonly offset: Offset;
}

class OffsetIndexCheck extends IndexCheck {
  readonly #entries: readonly OffsetEntry[];
  #next = 0;

  constructor(path: string, report: Report, entries: readonly OffsetEntry[], entryBytes: number) {
    super(path, report, entryBytes);
    this.#entries = entries;
  }

  batch(header: BatchHeader, position: number, size: number): void {
    for (; ; this.#next++) {
      const entry = this.#entries[this.#next];
      if (entry === undefined || entry.position >= position + size) return;
      if (entry.position < position)
        this.wrong(this.#next, `it leads to byte ${entry.position}, where no whole batch is`);
      else if (entry.position > position)
        this.wrong(this.#next, `it leads into the middle of the batch at byte ${position}`);
      else if (entry.offset > header.baseOffset)
        this.wrong(
          this.#next,
          `it says offset ${entry.offset} for the batch at byte ${position}, which begins at ${header.baseOffset}`,
        );
    }
  }

  finish(end: Offset, size: number): void {
    for (; this.#next < this.#entries.length; this.#next++) {
      const entry = this.#entries[this.#next];
      // The last entry of a closed segment says where it ends.
      if (entry === undefined || (entry.position === size && this.#next === this.#entries.length - 1)) break;
      this.wrong(this.#next, `it leads to byte ${entry.position}, and the log ends at ${size} (offset ${end})`);
    }
    this.tellRest();
  }
}

class TimeIndexCheck extends IndexCheck {
  readonly #entries: readonly TimeEntry[];
  #next = 0;

  constructor(path: string, report: Report, entries: readonly TimeEntry[], entryBytes: number) {
    super(path, report, entryBytes);
    this.#entries = entries;
  }

  batch(header: BatchHeader): void {
    for (; ; this.#next++) {
      const entry = this.#entries[this.#next];
      if (entry === undefined || entry.offset >= header.nextOffset) return;
      if (entry.offset === header.baseOffset && entry.timestamp === header.maxTimestamp) continue;
      const there = entry.offset === header.baseOffset ? `${header.maxTimestamp}` : 'in another place';
      this.wrong(
        this.#next,
        `it says that offset ${entry.offset} is as new as ${entry.timestamp}; the batch there is ${there}`,
      );
    }
  }

  finish(end: Offset): void {
    for (; this.#next < this.#entries.length; this.#next++) {
      const entry = this.#entries[this.#next];
      if (entry === undefined || entry.offset <= end) continue;
      this.wrong(this.#next, `it leads to offset ${entry.offset}, and the log ends at ${end}`);
    }
    this.tellRest();
  }
}

/** Several as one. */
export function allOf(checks: readonly IndexChecks[]): IndexChecks {
  return {
    batch: (header, position, size) => {
      for (const check of checks) check.batch(header, position, size);
    },
    finish: (end, size, isOpen) => {
      for (const check of checks) check.finish(end, size, isOpen);
    },
  };
}
