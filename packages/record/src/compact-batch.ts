/**
 * Taking records out of a batch, as compaction does (L5). What stays keeps its offset and its timestamp: the batch keeps base offset, last offset delta,
 * producer and sequence, and the CRC is made anew.
 */
import { TributaryError } from '@tributary/model';
import {
  attribute,
  attributesOf,
  batchHeaderBytes,
  batchPrefixBytes,
  baseTimestampOf,
  maxTimestampOf,
  position,
  recordsCountOf,
} from './batch-header.ts';
import { writeI16, writeI32, writeI64FromNumber } from './big-endian.ts';
import { compress } from './compression.ts';
import { openBatch, type RecordBatch } from './decode.ts';
import { RecordSpans } from './record-spans.ts';
import { stampCrc } from './restamp.ts';
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './varint.ts';

/** Deltas to it stay exact as numbers. */
export const deleteHorizonMax = 2 ** 52 - 2;

/** From when on the tombstones of the batch may go, ms since 1970; undefined: compaction has not met it yet. */
export const deleteHorizonOf = (bytes: Uint8Array, at: number): number | undefined =>
  (attributesOf(bytes, at) & attribute.deleteHorizon) === 0 ? undefined : baseTimestampOf(bytes, at);

/** Newest record, for indexes; −1: it has no timestamp, or there is none any more. */
export const newestTimestampOf = (bytes: Uint8Array, at: number): number =>
  recordsCountOf(bytes, at) === 0 ? -1 : maxTimestampOf(bytes, at);

/** The header alone: what producers need of a batch whose records have all gone (P3). */
export function emptiedBatch(bytes: Uint8Array, at: number): Uint8Array {
  const batch = Uint8Array.prototype.slice.call(bytes, at, at + batchHeaderBytes);
  const flags = attributesOf(bytes, at) & ~attribute.compressionMask;
  writeI32(batch, position.batchLength, batchHeaderBytes - batchPrefixBytes);
  writeI16(batch, position.attributes, flags);
  writeI32(batch, position.recordsCount, 0);
  stampCrc(batch, 0);
  return batch;
}

/** Which records of one batch stay. */
export class KeptRecords {
  readonly batch: RecordBatch;
  readonly spans: RecordSpans;
  /** Bytes [start, end), one after the other, of records that follow each other and stay. */
  readonly #runs: number[] = [];
  #maxTimestamp = -1;
  seen = 0;
  count = 0;

  constructor(batch: RecordBatch) {
    this.batch = batch;
    this.spans = new RecordSpans(batch.section, 0, batch.section.length);
  }

  /** Moves `spans` to the next record. @throws TributaryError CORRUPT_MESSAGE: nothing is known of the batch then. */
  next(): boolean {
    const { header } = this.batch;
    if (!this.spans.next()) {
      if (this.seen !== header.recordsCount)
        throw new TributaryError(
          'CORRUPT_MESSAGE',
          `batch at offset ${header.baseOffset} has ${this.seen} records and says ${header.recordsCount}`,
        );
      return false;
    }
    this.seen++;
    if (this.spans.offsetDelta > header.lastOffsetDelta)
      throw new TributaryError(
        'CORRUPT_MESSAGE',
        `batch at offset ${header.baseOffset} holds offset delta ${this.spans.offsetDelta} and ends at ${header.lastOffsetDelta}`,
      );
    return true;
  }

  /** The record that `spans` is at stays. */
  keep(): void {
    const { start, end, timestampDelta } = this.spans;
    if (this.#runs.at(-1) === start) this.#runs[this.#runs.length - 1] = end;
    else this.#runs.push(start, end);
    const timestamp = this.batch.header.baseTimestamp + timestampDelta;
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
    this.count++;
  }

  /** All of them: the batch need not be written anew. */
  get isWhole(): boolean {
    return this.count === this.seen;
  }

  /**
   * The batch with these records, at least one.
   * @param deleteHorizonMs when its tombstones may go; undefined: as it says already.
   * @param room memory for the answer, by its size: a compaction that takes its own again and again leaves no garbage.
   */
  build(
    bytes: Uint8Array,
    at: number,
    deleteHorizonMs: number | undefined,
    room: (size: number) => Buffer = Buffer.allocUnsafeSlow,
  ): Uint8Array {
    const { header } = this.batch;
    const shift = deleteHorizonMs === undefined ? undefined : header.baseTimestamp - deleteHorizonMs;
    const size = shift === undefined ? this.#keptBytes() : this.#shiftedBytes(shift);
    let batch: Buffer;
    if (header.compression === 'none') {
      batch = room(batchHeaderBytes + size);
      this.#write(batch, batchHeaderBytes, shift);
    } else {
      const section = Buffer.allocUnsafeSlow(size);
      this.#write(section, 0, shift);
      const records = compress(header.compression ?? 'none', section);
      batch = room(batchHeaderBytes + records.length);
      batch.set(records, batchHeaderBytes);
    }
    batch.set(bytes.subarray(at, at + batchHeaderBytes));
    writeI32(batch, position.batchLength, batch.length - batchPrefixBytes);
    if (deleteHorizonMs !== undefined) {
      writeI16(batch, position.attributes, header.attributes | attribute.deleteHorizon);
      writeI64FromNumber(batch, position.baseTimestamp, deleteHorizonMs);
    }
    // Log append time is the maximum that the broker gave; nothing else says what it was.
    if (header.timestampType === 'create') writeI64FromNumber(batch, position.maxTimestamp, this.#maxTimestamp);
    writeI32(batch, position.recordsCount, this.count);
    stampCrc(batch, 0);
    return batch;
  }

  #keptBytes(): number {
    let size = 0;
    for (let run = 0; run < this.#runs.length; run += 2) size += this.#at(run + 1) - this.#at(run);
    return size;
  }

  #shiftedBytes(shift: number): number {
    let size = 0;
    this.#each((span) => {
      const body = 1 + sizeOfVarlong(this.#shifted(span, shift)) + span.end - span.restStart;
      size += sizeOfVarint(body) + body;
    });
    return size;
  }

  /** With log append time a delta says nothing, and may be anything. */
  #shifted(span: RecordSpans, shift: number): number {
    return this.batch.header.timestampType === 'create' ? span.timestampDelta + shift : 0;
  }

  /** @param shift of the timestamps' base; undefined: it stays, and so does every byte. */
  #write(into: Buffer, start: number, shift: number | undefined): void {
    const { section } = this.batch;
    let to = start;
    if (shift === undefined) {
      for (let run = 0; run < this.#runs.length; run += 2)
        to += section.copy(into, to, this.#at(run), this.#at(run + 1));
      return;
    }
    this.#each((span) => {
      const delta = this.#shifted(span, shift);
      to = writeVarint(into, to, 1 + sizeOfVarlong(delta) + span.end - span.restStart);
      into[to++] = section[span.bodyStart] ?? 0;
      to = writeVarlong(into, to, delta);
      to += section.copy(into, to, span.restStart, span.end);
    });
  }

  #at(index: number): number {
    return this.#runs[index] ?? 0;
  }

  #each(visit: (span: RecordSpans) => void): void {
    for (let run = 0; run < this.#runs.length; run += 2) {
      const spans = new RecordSpans(this.batch.section, this.#at(run), this.#at(run + 1));
      while (spans.next()) visit(spans);
    }
  }
}

/**
 * For topics whose records are kept by their keys (`cleanup.policy=compact`).
 * @param maxBytes limit of the records after decompression.
 * @throws TributaryError INVALID_RECORD naming the first record without a key, CORRUPT_MESSAGE, MESSAGE_TOO_LARGE.
 */
export function checkKeys(bytes: Uint8Array, at: number, maxBytes?: number): void {
  const records = new KeptRecords(openBatch(bytes, at, maxBytes));
  while (records.next()) {
    if (records.spans.keyLength >= 0) continue;
    throw new TributaryError(
      'INVALID_RECORD',
      `record ${records.spans.offsetDelta} of the batch has no key; with cleanup.policy=compact the newest record of each key stays, so each needs one.`,
    );
  }
}
