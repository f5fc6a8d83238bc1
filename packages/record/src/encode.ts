/** Building batches: what a producer does for every record it sends. */
import { type LeaderEpoch, leaderEpoch, type Offset, offset, TributaryError } from '@tributary/model';
import {
  attribute,
  batchHeaderBytes,
  batchMagic,
  batchPrefixBytes,
  type Compression,
  compressionNumber,
  noProducer,
  position,
} from './batch-header.ts';
import { writeI16, writeI32, writeI64, writeI64FromNumber } from './big-endian.ts';
import { compress } from './compression.ts';
import { type BatchProducer, stampCrc } from './restamp.ts';
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './varint.ts';

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** A string is written as UTF-8 straight into the batch. */
export type Payload = Uint8Array | string | null;

export interface BatchOptions {
  readonly compression?: Compression;
  /** Of gzip or zstd; Kafka's default if absent. */
  readonly compressionLevel?: number;
  /** Absent: not idempotent. */
  readonly producer?: BatchProducer;
  readonly transactional?: boolean;
  readonly control?: boolean;
  /** The leader stamps its own; 0 until then. */
  readonly baseOffset?: Offset;
  /** The leader stamps its own; −1 until then. */
  readonly leaderEpoch?: LeaderEpoch;
  /** The answer does not alias the builder's buffer, which may then be reset at once. */
  readonly copy?: boolean;
}

const noHeaders: readonly RecordHeader[] = [];
/** What Kafka calls "no timestamp". */
const timestampMin = -1;
/** Deltas between timestamps stay exact as numbers. */
const timestampMax = 2 ** 52 - 2;
/** A buffer begins with this much and doubles: a thousand idle partitions must not cost a thousand whole batches. */
const initialBytes = 2048;
/** Up to this, a loop copies faster than the call to `set` begins (13 ns). */
const shortCopy = 12;
/** Up to this, a loop writes an ASCII string faster than the call into C++ begins (30 ns). */
const shortText = 12;

/**
 * Collects records into one batch.
 *
 * ```ts
 * if (!builder.append(timestampMs, key, value)) { send(builder.build(options)); … }
 * ```
 * `reset` makes it ready for the next batch and keeps the buffer; until then what `build` answered stays valid.
 */
export class BatchBuilder {
  readonly capacity: number;
  #buffer: Buffer;
  #end = batchHeaderBytes;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  /** @param capacity bytes of a batch before compression, header included; a single record may exceed it. */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(Math.max(capacity, batchHeaderBytes), initialBytes));
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the batch as it stands, uncompressed. */
  get estimatedSize(): number {
    return this.#end;
  }

  /** Of the first record; milliseconds since 1970. */
  get baseTimestamp(): number {
    return this.#baseTimestamp;
  }

  /** Milliseconds since 1970. */
  get maxTimestamp(): number {
    return this.#maxTimestamp;
  }

  /**
   * Adds a record; its offset delta is the count before.
   * @param timestampMs milliseconds since 1970, or −1 for none.
   * @returns false if the batch is not empty and would exceed its capacity; nothing has changed then.
   * @throws TributaryError INVALID_TIMESTAMP.
   */
  append(timestampMs: number, key: Payload, value: Payload, headers: readonly RecordHeader[] = noHeaders): boolean {
    if (!(timestampMs >= timestampMin && timestampMs <= timestampMax && Number.isInteger(timestampMs))) {
      throw new TributaryError(
        'INVALID_TIMESTAMP',
        `timestamp ${timestampMs} is not a whole number of milliseconds since 1970`,
      );
    }
    const count = this.#count;
    const delta = count === 0 ? 0 : timestampMs - this.#baseTimestamp;
    const keyBytes = payloadBytes(key);
    const valueBytes = payloadBytes(value);
    let body = 1 + sizeOfVarlong(delta) + sizeOfVarint(count) + sizeOfVarint(keyBytes) + sizeOfVarint(valueBytes);
    if (keyBytes > 0) body += keyBytes;
    if (valueBytes > 0) body += valueBytes;
    body += headers.length === 0 ? 1 : headersBytes(headers);
    const end = this.#end + sizeOfVarint(body) + body;
    if (end > this.#buffer.length) {
      if (end > this.capacity && count > 0) return false;
      this.#grow(end);
    }
    if (count === 0) {
      this.#baseTimestamp = timestampMs;
      this.#maxTimestamp = timestampMs;
    } else if (timestampMs > this.#maxTimestamp) {
      this.#maxTimestamp = timestampMs;
    }
    const buffer = this.#buffer;
    let at = writeVarint(buffer, this.#end, body);
    buffer[at++] = 0;
    at = writeVarlong(buffer, at, delta);
    at = writeVarint(buffer, at, count);
    at = writePayload(buffer, at, key, keyBytes);
    at = writePayload(buffer, at, value, valueBytes);
    if (headers.length === 0) buffer[at] = 0;
    else writeHeaders(buffer, at, headers);
    this.#end = end;
    this.#count = count + 1;
    return true;
  }

  /**
   * The finished batch, header and CRC included: a view on the builder's buffer, valid until `reset`, unless compressed or asked to `copy`.
   * May be called again, with other options.
   */
  build(options: BatchOptions = {}): Uint8Array {
    const compression = options.compression ?? 'none';
    let batch: Uint8Array;
    if (compression === 'none') {
      const view = this.#buffer.subarray(0, this.#end);
      batch = options.copy === true ? Uint8Array.prototype.slice.call(view) : view;
    } else {
      const records = compress(
        compression,
        this.#buffer.subarray(batchHeaderBytes, this.#end),
        options.compressionLevel,
      );
      batch = Buffer.allocUnsafeSlow(batchHeaderBytes + records.length);
      batch.set(records, batchHeaderBytes);
    }
    const producer = options.producer ?? noProducer;
    const attributes =
      compressionNumber(compression) |
      (options.transactional === true ? attribute.transactional : 0) |
      (options.control === true ? attribute.control : 0);
    writeI64(batch, position.baseOffset, options.baseOffset ?? offset(0n));
    writeI32(batch, position.batchLength, batch.length - batchPrefixBytes);
    writeI32(batch, position.leaderEpoch, options.leaderEpoch ?? leaderEpoch(-1));
    batch[position.magic] = batchMagic;
    writeI16(batch, position.attributes, attributes);
    writeI32(batch, position.lastOffsetDelta, Math.max(this.#count - 1, 0));
    writeI64FromNumber(batch, position.baseTimestamp, this.#baseTimestamp);
    writeI64FromNumber(batch, position.maxTimestamp, this.#maxTimestamp);
    writeI64(batch, position.producerId, producer.id);
    writeI16(batch, position.producerEpoch, producer.epoch);
    writeI32(batch, position.baseSequence, producer.baseSequence);
    writeI32(batch, position.recordsCount, this.#count);
    stampCrc(batch, 0);
    return batch;
  }

  /** Empties the batch and keeps its buffer, which may be written to from now on. */
  reset(): void {
    this.#end = batchHeaderBytes;
    this.#count = 0;
    this.#baseTimestamp = 0;
    this.#maxTimestamp = 0;
    // One huge record must not hold its memory for ever.
    if (this.#buffer.length > this.capacity)
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(this.capacity, batchHeaderBytes));
  }

  #grow(needed: number): void {
    const doubled = Math.min(this.#buffer.length * 2, this.capacity);
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, doubled));
    grown.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = grown;
  }
}

/** −1 for null. */
const payloadBytes = (payload: Payload): number => {
  if (payload === null) return -1;
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
};

function writePayload(buffer: Buffer, position: number, payload: Payload, bytes: number): number {
  const at = writeVarint(buffer, position, bytes);
  if (payload === null) return at;
  if (typeof payload === 'string') writeText(buffer, at, payload, bytes);
  else copyBytes(buffer, at, payload, bytes);
  return at + bytes;
}

function writeText(buffer: Buffer, at: number, text: string, bytes: number): void {
  // As many bytes as UTF-16 units: all of it is ASCII.
  if (bytes !== text.length) buffer.write(text, at, bytes, 'utf8');
  else if (bytes > shortText) buffer.write(text, at, bytes, 'latin1');
  else for (let index = 0; index < bytes; index++) buffer[at + index] = text.charCodeAt(index);
}

function copyBytes(buffer: Buffer, at: number, source: Uint8Array, bytes: number): void {
  if (bytes > shortCopy) buffer.set(source, at);
  else for (let index = 0; index < bytes; index++) buffer[at + index] = source[index]!;
}

function headersBytes(headers: readonly RecordHeader[]): number {
  let bytes = sizeOfVarint(headers.length);
  for (const header of headers) {
    const keyBytes = Buffer.byteLength(header.key);
    const valueBytes = payloadBytes(header.value);
    bytes += sizeOfVarint(keyBytes) + keyBytes + sizeOfVarint(valueBytes) + Math.max(valueBytes, 0);
  }
  return bytes;
}

function writeHeaders(buffer: Buffer, position: number, headers: readonly RecordHeader[]): void {
  let at = writeVarint(buffer, position, headers.length);
  for (const header of headers) {
    at = writePayload(buffer, at, header.key, Buffer.byteLength(header.key));
    at = writePayload(buffer, at, header.value, payloadBytes(header.value));
  }
}

export interface NewRecord {
  /** Milliseconds since 1970; 0 if absent. */
  readonly timestamp?: number;
  readonly key?: Payload;
  readonly value: Payload;
  readonly headers?: readonly RecordHeader[];
}

/** One batch of all these records, however large, in memory of its own. */
export function encodeBatch(records: readonly NewRecord[], options: BatchOptions = {}): Uint8Array {
  const builder = new BatchBuilder(Number.MAX_SAFE_INTEGER);
  for (const record of records) builder.append(record.timestamp ?? 0, record.key ?? null, record.value, record.headers);
  return builder.build(options);
}
