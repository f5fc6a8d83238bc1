/** Is this a whole, undamaged batch? Answered from the header and the CRC, without decoding records. */
import { TributaryError } from '@tributary/model';
import {
  attribute,
  attributesOf,
  baseSequenceOf,
  baseTimestampOf,
  batchHeaderBytes,
  batchMagic,
  compressionOf,
  crcOf,
  hasProducerId,
  lastOffsetDeltaOf,
  magicOf,
  maxTimestampOf,
  producerEpochOf,
  producerIdOf,
  recordsCountOf,
  sizeOfBatch,
} from './batch-header.ts';
import { wrongMagic } from './batch-scanner.ts';
import { computeCrc } from './restamp.ts';

/**
 * `log`: a batch that some broker once accepted; compaction may have removed records or all of them.
 * `producer`: fresh from a client: dense, non-empty, not a control batch, codec known, create time, sequence consistent with its producer id.
 */
export type BatchOrigin = 'producer' | 'log';

/**
 * Checks the batch that begins at `at`.
 * @param limit end of the bytes that are there.
 * @returns the size of the batch in bytes.
 * @throws TributaryError CORRUPT_MESSAGE (cut, bad length, bad CRC, impossible header), UNSUPPORTED_FOR_MESSAGE_FORMAT (magic 0 or 1);
 *   from a producer also INVALID_RECORD, INVALID_TIMESTAMP and UNSUPPORTED_COMPRESSION_TYPE.
 */
export function checkBatch(bytes: Uint8Array, at: number, limit: number, origin: BatchOrigin): number {
  const size = checkFrame(bytes, at, limit);
  const expected = computeCrc(bytes, at);
  if (crcOf(bytes, at) !== expected) {
    throw corrupt(at, `CRC32C is ${hex(crcOf(bytes, at))} in the header, ${hex(expected)} over the bytes`);
  }
  const count = recordsCountOf(bytes, at);
  const lastDelta = lastOffsetDeltaOf(bytes, at);
  if (lastDelta < 0) throw corrupt(at, `last offset delta is ${lastDelta}`);
  if (count < 0 || count > lastDelta + 1) throw corrupt(at, `${count} records cannot fill ${lastDelta + 1} offsets`);
  if (!Number.isSafeInteger(baseTimestampOf(bytes, at)) || !Number.isSafeInteger(maxTimestampOf(bytes, at))) {
    throw corrupt(at, 'timestamps lie beyond 2^53 ms');
  }
  if (origin === 'producer') checkFresh(bytes, at, count, lastDelta);
  return size;
}

/** Checks that a whole batch of the current format lies within [at, limit). @returns its size in bytes. */
export function checkFrame(bytes: Uint8Array, at: number, limit: number): number {
  const there = Math.min(limit, bytes.length) - at;
  if (at < 0 || there < batchHeaderBytes)
    throw corrupt(at, `only ${Math.max(there, 0)} of at least ${batchHeaderBytes} bytes are there`);
  const magic = magicOf(bytes, at);
  if (magic !== batchMagic) throw wrongMagic(at, magic);
  const size = sizeOfBatch(bytes, at);
  if (size < batchHeaderBytes)
    throw corrupt(at, `length field says ${size} bytes, the header alone has ${batchHeaderBytes}`);
  if (size > there) throw corrupt(at, `length field says ${size} bytes, ${there} are there`);
  return size;
}

function checkFresh(bytes: Uint8Array, at: number, count: number, lastDelta: number): void {
  const attributes = attributesOf(bytes, at);
  if (count !== lastDelta + 1 || count === 0) {
    throw invalid(
      at,
      `a producer's batch has ${count} records and last offset delta ${lastDelta}; it must be dense and not empty`,
    );
  }
  if ((attributes & attribute.control) !== 0) throw invalid(at, 'clients may not write control records');
  // Compaction would take the base timestamp for the time from which tombstones may go.
  if ((attributes & attribute.deleteHorizon) !== 0) throw invalid(at, 'a producer may not claim a delete horizon');
  if (compressionOf(attributes) === undefined) {
    throw new TributaryError(
      'UNSUPPORTED_COMPRESSION_TYPE',
      `batch at byte ${at}: compression codec ${attributes & attribute.compressionMask} is unknown`,
    );
  }
  // Else one small batch could take two thousand million offsets, and stop every consumer of the partition.
  const room = sizeOfBatch(bytes, at) - batchHeaderBytes;
  if (compressionOf(attributes) === 'none' && count * recordBytesLeast > room) {
    throw invalid(at, `${count} records do not fit into ${room} bytes`);
  }
  const base = baseTimestampOf(bytes, at);
  const max = maxTimestampOf(bytes, at);
  if ((attributes & attribute.logAppendTime) !== 0) throw badTimestamp(at, 'a producer may not claim log append time');
  if (base < -1 || max < base)
    throw badTimestamp(at, `base timestamp ${base} and max timestamp ${max} do not fit together`);
  if (hasProducerId(bytes, at)) {
    if (baseSequenceOf(bytes, at) < 0 || producerEpochOf(bytes, at) < 0) {
      throw invalid(
        at,
        `producer ${producerIdOf(bytes, at)} sent epoch ${producerEpochOf(bytes, at)} and base sequence ${baseSequenceOf(bytes, at)}; both must be >= 0`,
      );
    }
  } else if (producerIdOf(bytes, at) !== -1n) {
    throw invalid(at, `producer id ${producerIdOf(bytes, at)} is negative; a producer that is not idempotent sends -1`);
  } else if ((attributes & attribute.transactional) !== 0) {
    throw invalid(at, 'a transactional batch needs a producer id');
  }
}

/** Length, attributes, both deltas, no key, no value, no headers: a byte each. */
const recordBytesLeast = 7;

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
const corrupt = (at: number, what: string): TributaryError =>
  new TributaryError('CORRUPT_MESSAGE', `batch at byte ${at}: ${what}`);
const invalid = (at: number, what: string): TributaryError =>
  new TributaryError('INVALID_RECORD', `batch at byte ${at}: ${what}`);
const badTimestamp = (at: number, what: string): TributaryError =>
  new TributaryError('INVALID_TIMESTAMP', `batch at byte ${at}: ${what}`);
