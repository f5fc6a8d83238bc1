/**
 * Reading a batch's records. Their structure is checked in one pass; keys, values and headers are made when asked for, as views onto the batch.
 * The CRC is `checkBatch`'s business: whatever gets past it ends here in CORRUPT_MESSAGE, and nothing is read beyond the batch.
 */
import { type Offset, offset, TributaryError } from '@tributary/model';
import { BatchHeader, batchHeaderBytes } from './batch-header.ts';
import { decompress, decompressedBytesMax } from './compression.ts';
import type { RecordHeader } from './encode.ts';
import { checkFrame } from './validate-batch.ts';
import { VarintReader } from './varint.ts';

/** length, attributes, timestamp delta, offset delta, key length, value length, number of headers: a byte each at least. */
const recordBytesMin = 7;
/** Key length and value length. */
const headerBytesMin = 2;

const noHeaders: readonly RecordHeader[] = [];

/** One record of a batch. Valid as long as the batch's bytes are. */
export class RecordView {
  readonly batch: RecordBatch;
  readonly offsetDelta: number;
  readonly timestampDelta: number;
  /** Positions are in the batch's `section`; a length of −1 means null. */
  readonly keyStart: number;
  readonly keyLength: number;
  readonly valueStart: number;
  readonly valueLength: number;
  readonly headersStart: number;
  readonly headersCount: number;

  constructor(
    batch: RecordBatch,
    offsetDelta: number,
    timestampDelta: number,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number,
    headersStart: number,
    headersCount: number,
  ) {
    this.batch = batch;
    this.offsetDelta = offsetDelta;
    this.timestampDelta = timestampDelta;
    this.keyStart = keyStart;
    this.keyLength = keyLength;
    this.valueStart = valueStart;
    this.valueLength = valueLength;
    this.headersStart = headersStart;
    this.headersCount = headersCount;
  }

  get offset(): Offset {
    return offset(this.batch.header.baseOffset + BigInt(this.offsetDelta));
  }

  /** Milliseconds since 1970. */
  get timestamp(): number {
    const { header } = this.batch;
    return header.timestampType === 'log-append' ? header.maxTimestamp : header.baseTimestamp + this.timestampDelta;
  }

  /** A view onto the batch: copy it to keep it longer. */
  get key(): Uint8Array | null {
    return this.keyLength < 0 ? null : this.batch.section.subarray(this.keyStart, this.keyStart + this.keyLength);
  }

  /** A view onto the batch: copy it to keep it longer. */
  get value(): Uint8Array | null {
    return this.valueLength < 0
      ? null
      : this.batch.section.subarray(this.valueStart, this.valueStart + this.valueLength);
  }

  /** The key as UTF-8, without a view in between. */
  keyText(): string | null {
    return this.keyLength < 0
      ? null
      : this.batch.section.toString('utf8', this.keyStart, this.keyStart + this.keyLength);
  }

  /** The value as UTF-8, without a view in between. */
  valueText(): string | null {
    return this.valueLength < 0
      ? null
      : this.batch.section.toString('utf8', this.valueStart, this.valueStart + this.valueLength);
  }

  /** Decoded at each call. */
  get headers(): readonly RecordHeader[] {
    if (this.headersCount === 0) return noHeaders;
    const { section } = this.batch;
    const reader = new VarintReader(section, this.headersStart, section.length);
    const headers: RecordHeader[] = [];
    for (let index = 0; index < this.headersCount; index++) {
      const keyLength = reader.int();
      const key = section.toString('utf8', reader.position, reader.position + keyLength);
      reader.position += keyLength;
      const valueLength = reader.int();
      const value = valueLength < 0 ? null : section.subarray(reader.position, reader.position + valueLength);
      reader.position += Math.max(valueLength, 0);
      headers.push({ key, value });
    }
    return headers;
  }
}

/** A batch whose records can be read: all at once (`records`), or one by one (`cursor`) where a batch may hold more than is wanted. */
export class RecordBatch {
  readonly header: BatchHeader;
  /** The bytes of the records, decompressed. */
  readonly section: Buffer;
  #records: readonly RecordView[] | undefined;

  constructor(header: BatchHeader, section: Buffer) {
    this.header = header;
    this.section = section;
  }

  /** Decoded at the first call. @throws TributaryError CORRUPT_MESSAGE, if anything in the batch is malformed. */
  get records(): readonly RecordView[] {
    this.#records ??= readRecords(this);
    return this.#records;
  }

  /** From the first record. Costs memory for one record at a time, but may have given some before it meets what is malformed. */
  cursor(): RecordCursor {
    return new RecordCursor(this);
  }

  [Symbol.iterator](): ArrayIterator<RecordView> {
    return this.records[Symbol.iterator]();
  }
}

export class RecordCursor {
  readonly #batch: RecordBatch;
  readonly #reader: VarintReader;
  #remaining: number;
  #previousDelta = -1;

  constructor(batch: RecordBatch) {
    const { header, section } = batch;
    const count = header.recordsCount;
    if (count < 0 || count * recordBytesMin > section.length)
      throw corrupt(header, `${count} records cannot be in ${section.length} bytes`);
    this.#batch = batch;
    this.#reader = new VarintReader(section, 0, section.length);
    this.#remaining = count;
  }

  /** Records that are still to come. */
  get remaining(): number {
    return this.#remaining;
  }

  /** @returns undefined after the last one. @throws TributaryError CORRUPT_MESSAGE. */
  next(): RecordView | undefined {
    if (this.#remaining === 0) {
      this.#checkEnd();
      return undefined;
    }
    const { header } = this.#batch;
    const record = readRecord(this.#batch, this.#reader);
    if (record.offsetDelta <= this.#previousDelta || record.offsetDelta > header.lastOffsetDelta) {
      throw corrupt(
        header,
        `offset delta ${record.offsetDelta} follows ${this.#previousDelta}, the last is ${header.lastOffsetDelta}`,
      );
    }
    this.#previousDelta = record.offsetDelta;
    this.#remaining--;
    return record;
  }

  #checkEnd(): void {
    const rest = this.#reader.limit - this.#reader.position;
    if (rest !== 0) throw corrupt(this.#batch.header, `${rest} bytes follow the last record`);
  }
}

/**
 * Opens the batch that begins at `at`, decompressing it; its records are decoded when asked for.
 * @param maxBytes limit of its records after decompression.
 * @throws TributaryError CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE, UNSUPPORTED_FOR_MESSAGE_FORMAT.
 */
export function openBatch(bytes: Uint8Array, at = 0, maxBytes: number = decompressedBytesMax): RecordBatch {
  const size = checkFrame(bytes, at, bytes.length);
  const header = new BatchHeader(bytes, at);
  if (!Number.isSafeInteger(header.baseTimestamp) || !Number.isSafeInteger(header.maxTimestamp))
    throw corrupt(header, 'timestamps lie beyond 2^53 ms');
  const { compression } = header;
  if (compression === undefined) {
    throw new TributaryError(
      'UNSUPPORTED_COMPRESSION_TYPE',
      `batch at offset ${header.baseOffset}: compression codec ${header.attributes & 7} is unknown`,
    );
  }
  const stored = bytes.subarray(at + batchHeaderBytes, at + size);
  const section = compression === 'none' || stored.length === 0 ? stored : decompress(compression, stored, maxBytes);
  return new RecordBatch(header, Buffer.from(section.buffer, section.byteOffset, section.byteLength));
}

/** As {@link openBatch}, with every record decoded: a malformed batch gives none at all. */
export function decodeBatch(bytes: Uint8Array, at = 0, maxBytes: number = decompressedBytesMax): RecordBatch {
  const batch = openBatch(bytes, at, maxBytes);
  void batch.records;
  return batch;
}

function readRecords(batch: RecordBatch): RecordView[] {
  const cursor = batch.cursor();
  const records: RecordView[] = [];
  for (let record = cursor.next(); record !== undefined; record = cursor.next()) records.push(record);
  return records;
}

function readRecord(batch: RecordBatch, reader: VarintReader): RecordView {
  const { header } = batch;
  const start = reader.position;
  const length = reader.int();
  const end = reader.position + length;
  if (length < recordBytesMin - 1 || end > reader.limit)
    throw corrupt(
      header,
      `record at byte ${start} has length ${length}, ${reader.limit - reader.position} bytes are there`,
    );
  reader.position++;
  const timestampDelta = reader.long();
  const offsetDelta = reader.int();
  const keyLength = reader.int();
  const keyStart = reader.position;
  if (keyLength > 0) reader.position = keyStart + keyLength;
  if (keyLength < -1 || reader.position > end)
    throw corrupt(header, `record at byte ${start} has a key of length ${keyLength}`);
  const valueLength = reader.int();
  const valueStart = reader.position;
  if (valueLength > 0) reader.position = valueStart + valueLength;
  if (valueLength < -1 || reader.position > end)
    throw corrupt(header, `record at byte ${start} has a value of length ${valueLength}`);
  const headersCount = reader.int();
  const headersStart = reader.position;
  if (headersCount !== 0) skipHeaders(header, reader, headersCount, end);
  if (reader.position !== end)
    throw corrupt(header, `record at byte ${start} is ${reader.position - start} bytes long and says ${end - start}`);
  return new RecordView(
    batch,
    offsetDelta,
    timestampDelta,
    keyStart,
    keyLength,
    valueStart,
    valueLength,
    headersStart,
    headersCount,
  );
}

function skipHeaders(header: BatchHeader, reader: VarintReader, count: number, end: number): void {
  const start = reader.position;
  if (count < 0 || count * headerBytesMin > end - start)
    throw corrupt(header, `${count} headers cannot be in ${end - start} bytes`);
  for (let index = 0; index < count; index++) {
    const keyLength = reader.int();
    if (keyLength < 0 || keyLength > end - reader.position)
      throw corrupt(header, `header at byte ${reader.position} has a key of length ${keyLength}`);
    reader.position += keyLength;
    const valueLength = reader.int();
    if (valueLength < -1 || valueLength > end - reader.position)
      throw corrupt(header, `header at byte ${reader.position} has a value of length ${valueLength}`);
    if (valueLength > 0) reader.position += valueLength;
  }
}

const corrupt = (header: BatchHeader, what: string): TributaryError =>
  new TributaryError('CORRUPT_MESSAGE', `batch of ${header.size} bytes at offset ${header.baseOffset}: ${what}`);
