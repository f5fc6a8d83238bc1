// pure
/** Walking records without making an object of each: where one lies in the section, its key, its deltas. For those who look at every record of a log. */
import { TributaryError } from '@tributary/model';
import { VarintReader } from './varint.ts';

/** Attributes, two deltas, key length, value length, number of headers: a byte each at least. */
const bodyBytesMin = 6;

/**
 * ```ts
 * const spans = new RecordSpans(section, 0, section.length);
 * while (spans.next()) use(section, spans.keyStart, spans.keyLength);
 * ```
 * Headers are not looked at. Positions are in `section`; a length of −1 means null.
 */
export class RecordSpans {
  readonly section: Uint8Array;
  readonly #reader: VarintReader;
  #previousDelta = -1;
  /** Bytes [start, end) are the record, its length included. */
  start = 0;
  end = 0;
  /** Its attributes; the timestamp delta follows. */
  bodyStart = 0;
  /** Behind the timestamp delta. */
  restStart = 0;
  timestampDelta = 0;
  offsetDelta = 0;
  keyStart = 0;
  keyLength = 0;
  valueLength = 0;

  /** @param from first byte of a record. @param to end of the last one. */
  constructor(section: Uint8Array, from: number, to: number) {
    this.section = section;
    this.#reader = new VarintReader(section, from, to);
  }

  /** Moves to the next record; false: there is none. @throws TributaryError CORRUPT_MESSAGE. */
  next(): boolean {
    const reader = this.#reader;
    this.start = reader.position;
    if (this.start === reader.limit) return false;
    const length = reader.int();
    this.bodyStart = reader.position;
    this.end = this.bodyStart + length;
    if (length < bodyBytesMin || this.end > reader.limit) throw this.#corrupt(`has length ${length}`);
    reader.position++;
    this.timestampDelta = reader.long();
    this.restStart = reader.position;
    this.offsetDelta = reader.int();
    if (this.offsetDelta <= this.#previousDelta)
      throw this.#corrupt(`has offset delta ${this.offsetDelta} after ${this.#previousDelta}`);
    this.#previousDelta = this.offsetDelta;
    this.keyLength = reader.int();
    this.keyStart = reader.position;
    if (this.keyLength > 0) reader.position += this.keyLength;
    if (this.keyLength < -1 || reader.position >= this.end)
      throw this.#corrupt(`has a key of length ${this.keyLength}`);
    this.valueLength = reader.int();
    if (this.valueLength < -1 || reader.position + this.valueLength >= this.end)
      throw this.#corrupt(`has a value of length ${this.valueLength}`);
    reader.position = this.end;
    return true;
  }

  #corrupt(what: string): TributaryError {
    return new TributaryError('CORRUPT_MESSAGE', `record at byte ${this.start} of its batch ${what}`);
  }
}
