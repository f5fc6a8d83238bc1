// pure
/**
 * The header of a RecordBatch, magic 2: 61 bytes, byte for byte as Apache Kafka has it.
 *
 *      0 baseOffset i64          17 crc u32 (CRC32C of everything from 21 on)     35 maxTimestamp i64
 *      8 batchLength i32         21 attributes i16                                43 producerId i64
 *     12 partitionLeaderEpoch    23 lastOffsetDelta i32                           51 producerEpoch i16
 *     16 magic i8 = 2            27 baseTimestamp i64                             53 baseSequence i32, 57 recordsCount i32
 *
 * What a leader stamps (base offset, leader epoch) lies before the CRC's range, so that stamping keeps it valid. The readers trust their
 * caller: `checkBatch` or `BatchScanner` has been there first.
 */
import {
  type LeaderEpoch,
  leaderEpoch,
  type Offset,
  offset,
  type ProducerEpoch,
  type ProducerId,
  producerEpoch,
  producerId,
} from '@tributary/model';
import { readI16, readI32, readI64, readI64AsNumber, writeI32, writeI64 } from './big-endian.ts';

/** Bytes of the header; the records section follows. */
export const batchHeaderBytes = 61;
/** Bytes of base offset and length, which `batchLength` does not count. */
export const batchPrefixBytes = 12;
export const batchMagic = 2;

export const position = {
  baseOffset: 0,
  batchLength: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordsCount: 57,
} as const;

export const attribute = {
  compressionMask: 0b111,
  logAppendTime: 0b1000,
  transactional: 0b1_0000,
  control: 0b10_0000,
  /** The base timestamp is the time from which tombstones of this batch may go. */
  deleteHorizon: 0b100_0000,
} as const;

/** In codec order: the index is the number in the attributes. */
export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

/** What the three header fields hold when the producer is not idempotent. */
export const noProducer = { id: producerId(-1n), epoch: producerEpoch(-1), baseSequence: -1 } as const;

/** Size of the batch in bytes, header included; meaningful if at least 12 bytes are there. */
export const sizeOfBatch = (bytes: Uint8Array, at: number): number =>
  batchPrefixBytes + readI32(bytes, at + position.batchLength);

export const baseOffsetOf = (bytes: Uint8Array, at: number): Offset => offset(readI64(bytes, at + position.baseOffset));
export const leaderEpochOf = (bytes: Uint8Array, at: number): LeaderEpoch =>
  leaderEpoch(readI32(bytes, at + position.leaderEpoch));
export const magicOf = (bytes: Uint8Array, at: number): number => (bytes[at + position.magic]! << 24) >> 24;
export const crcOf = (bytes: Uint8Array, at: number): number => readI32(bytes, at + position.crc) >>> 0;
export const attributesOf = (bytes: Uint8Array, at: number): number => readI16(bytes, at + position.attributes);
export const lastOffsetDeltaOf = (bytes: Uint8Array, at: number): number =>
  readI32(bytes, at + position.lastOffsetDelta);
export const lastOffsetOf = (bytes: Uint8Array, at: number): Offset =>
  offset(baseOffsetOf(bytes, at) + BigInt(lastOffsetDeltaOf(bytes, at)));
/** The offset after the batch's last one. */
export const nextOffsetOf = (bytes: Uint8Array, at: number): Offset =>
  offset(baseOffsetOf(bytes, at) + BigInt(lastOffsetDeltaOf(bytes, at) + 1));
/** Milliseconds since 1970. */
export const baseTimestampOf = (bytes: Uint8Array, at: number): number =>
  readI64AsNumber(bytes, at + position.baseTimestamp);
/** Milliseconds since 1970. */
export const maxTimestampOf = (bytes: Uint8Array, at: number): number =>
  readI64AsNumber(bytes, at + position.maxTimestamp);
/** −1 for a producer that is not idempotent. */
export const producerIdOf = (bytes: Uint8Array, at: number): ProducerId =>
  producerId(readI64(bytes, at + position.producerId));
export const hasProducerId = (bytes: Uint8Array, at: number): boolean => readI32(bytes, at + position.producerId) >= 0;
export const producerEpochOf = (bytes: Uint8Array, at: number): ProducerEpoch =>
  producerEpoch(readI16(bytes, at + position.producerEpoch));
export const baseSequenceOf = (bytes: Uint8Array, at: number): number => readI32(bytes, at + position.baseSequence);
export const recordsCountOf = (bytes: Uint8Array, at: number): number => readI32(bytes, at + position.recordsCount);

export const isControlBatch = (bytes: Uint8Array, at: number): boolean =>
  (attributesOf(bytes, at) & attribute.control) !== 0;
export const isTransactionalBatch = (bytes: Uint8Array, at: number): boolean =>
  (attributesOf(bytes, at) & attribute.transactional) !== 0;

/** The codec, or undefined for a number that Kafka has not given out. */
export const compressionOf = (attributes: number): Compression | undefined =>
  compressions[attributes & attribute.compressionMask];
export const compressionNumber = (compression: Compression): number => compressions.indexOf(compression);

/** Sequences wrap from 2³¹ − 1 to 0. */
export const sequenceAfter = (sequence: number, count: number): number => (sequence + count) & 0x7fffffff;

/** A header read whole; a copy, so it outlives the bytes. */
export class BatchHeader {
  readonly baseOffset: Offset;
  /** Bytes of the whole batch, header included. */
  readonly size: number;
  readonly leaderEpoch: LeaderEpoch;
  readonly magic: number;
  readonly crc: number;
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  /** Milliseconds since 1970. */
  readonly baseTimestamp: number;
  /** Milliseconds since 1970. */
  readonly maxTimestamp: number;
  /** −1 for a producer that is not idempotent. */
  readonly producerId: ProducerId;
  readonly producerEpoch: ProducerEpoch;
  readonly baseSequence: number;
  readonly recordsCount: number;

  constructor(bytes: Uint8Array, at: number) {
    this.baseOffset = baseOffsetOf(bytes, at);
    this.size = sizeOfBatch(bytes, at);
    this.leaderEpoch = leaderEpochOf(bytes, at);
    this.magic = magicOf(bytes, at);
    this.crc = crcOf(bytes, at);
    this.attributes = attributesOf(bytes, at);
    this.lastOffsetDelta = lastOffsetDeltaOf(bytes, at);
    this.baseTimestamp = baseTimestampOf(bytes, at);
    this.maxTimestamp = maxTimestampOf(bytes, at);
    this.producerId = producerIdOf(bytes, at);
    this.producerEpoch = producerEpochOf(bytes, at);
    this.baseSequence = baseSequenceOf(bytes, at);
    this.recordsCount = recordsCountOf(bytes, at);
  }

  get lastOffset(): Offset {
    return offset(this.baseOffset + BigInt(this.lastOffsetDelta));
  }

  get nextOffset(): Offset {
    return offset(this.baseOffset + BigInt(this.lastOffsetDelta + 1));
  }

  get compression(): Compression | undefined {
    return compressionOf(this.attributes);
  }

  get timestampType(): 'create' | 'log-append' {
    return (this.attributes & attribute.logAppendTime) === 0 ? 'create' : 'log-append';
  }

  get isTransactional(): boolean {
    return (this.attributes & attribute.transactional) !== 0;
  }

  /** Its records are markers of a transaction's end, not a user's. */
  get isControl(): boolean {
    return (this.attributes & attribute.control) !== 0;
  }

  get hasDeleteHorizon(): boolean {
    return (this.attributes & attribute.deleteHorizon) !== 0;
  }

  get hasProducer(): boolean {
    return this.producerId >= 0n;
  }

  /** Sequence of the last record; wraps after 2³¹ − 1. Meaningful if `hasProducer`. */
  get lastSequence(): number {
    return sequenceAfter(this.baseSequence, this.lastOffsetDelta);
  }
}

export const readBatchHeader = (bytes: Uint8Array, at: number): BatchHeader => new BatchHeader(bytes, at);

/** Outside the CRC. */
export function stampBaseOffset(bytes: Uint8Array, at: number, value: Offset): void {
  writeI64(bytes, at + position.baseOffset, value);
}

/** Outside the CRC. */
export function stampLeaderEpoch(bytes: Uint8Array, at: number, value: LeaderEpoch): void {
  writeI32(bytes, at + position.leaderEpoch, value);
}
