/**
 * The record level's large messages by hand: requests are read without a copy of any record and with a bound on their number, answers are written
 * into one buffer of the right size. The bytes are those that the generated code would make; what a broker never does is left to that code.
 */
import { limits, TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import { type Acks, RequestContext } from './gen/tributary/v1alpha/common.ts';
import {
  GroupAssignment,
  ProducerSequence,
  type PublishRecord,
  PublishRequest,
  PublishResponse,
  type RecordHeader,
  type RecordMetadata,
  type SubscribedRecord,
  type SubscribedRecords,
  SubscribeResponse,
} from './gen/tributary/v1alpha/record.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import {
  int32Size,
  int64Size,
  lengthDelimitedSize,
  presentStringSize,
  ProtobufWriter,
  stringSize,
} from './protobuf-writer.ts';

/** Smaller messages come from Node's shared pool; a larger one has memory of its own, which goes back as soon as it is sent. */
const pooledMax = 4096;
/** Shared by records without headers, and never added to. */
const noHeaders: RecordHeader[] = [];

function written(length: number, write: (to: ProtobufWriter) => void): Uint8Array {
  const into = length <= pooledMax ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
  write(new ProtobufWriter(into));
  return into;
}

/** @throws TributaryError INVALID_REQUEST. */
function generated<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new TributaryError('INVALID_REQUEST', `The message is not valid protobuf: ${what} cannot be read.`, {
      cause,
    });
  }
}

/** Decoding @throws TributaryError RECORD_LIST_TOO_LARGE: two bytes of a message would otherwise become an object of a hundred. */
export const publishRequestCodec: Codec<PublishRequest> = {
  encode: (message) => PublishRequest.encode(message).finish(),
  decode: (bytes) => {
    const from = new ProtobufReader(bytes);
    const message: PublishRequest = {
      context: undefined,
      topic: '',
      records: [],
      partition: undefined,
      acks: 0,
      timeoutMs: 0,
      sequence: undefined,
    };
    const count: Count = { headers: 0 };
    const readRecord = (record: ProtobufReader): PublishRecord => readPublishRecord(record, count);
    while (from.more) readPublishField(message, from, readRecord);
    return message;
  },
};

/** Of one request. */
interface Count {
  headers: number;
}

function readPublishField(
  message: PublishRequest,
  from: ProtobufReader,
  readRecord: (from: ProtobufReader) => PublishRecord,
): void {
  const tag = from.tag();
  switch (tag) {
    case 10: {
      const context = from.bytes();
      message.context = generated('its context', () => RequestContext.decode(context));
      return;
    }
    case 18:
      message.topic = from.string();
      return;
    case 26:
      if (message.records.length === limits.publishRecords) throw tooMany(limits.publishRecords, 'records');
      message.records.push(from.message(readRecord));
      return;
    case 32:
      message.partition = from.int32();
      return;
    case 40:
      message.acks = from.int32() as Acks;
      return;
    case 48:
      message.timeoutMs = from.int32();
      return;
    case 58: {
      const sequence = from.bytes();
      message.sequence = generated('its sequence', () => ProducerSequence.decode(sequence));
      return;
    }
    default:
      from.skip(tag);
  }
}

function tooMany(most: number, what: string): TributaryError {
  return new TributaryError(
    'RECORD_LIST_TOO_LARGE',
    `A request publishes more than ${most} ${what}: send them in several requests.`,
  );
}

function readPublishRecord(from: ProtobufReader, count: Count): PublishRecord {
  const record: PublishRecord = {
    key: undefined,
    value: undefined,
    headers: noHeaders,
    timestampMs: undefined,
    partition: undefined,
  };
  while (from.more) {
    const tag = from.tag();
    switch (tag) {
      case 10:
        record.key = from.bytes();
        break;
      case 18:
        record.value = from.bytes();
        break;
      case 26:
        if (++count.headers > limits.publishHeaders) throw tooMany(limits.publishHeaders, 'headers of records');
        if (record.headers === noHeaders) record.headers = [];
        record.headers.push(from.message(readHeader));
        break;
      case 32:
        record.timestampMs = from.int64();
        break;
      case 40:
        record.partition = from.int32();
        break;
      default:
        from.skip(tag);
    }
  }
  return record;
}

function readHeader(from: ProtobufReader): RecordHeader {
  const header: RecordHeader = { key: '', value: undefined };
  while (from.more) {
    const tag = from.tag();
    if (tag === 10) header.key = from.string();
    else if (tag === 18) header.value = from.bytes();
    else from.skip(tag);
  }
  return header;
}

export const publishResponseCodec: Codec<PublishResponse> = {
  encode: (message) => {
    let size = int32Size(message.throttleMs) + stringSize(message.topicId);
    for (const record of message.records) size += lengthDelimitedSize(metadataSize(record));
    return written(size, (to) => {
      to.int32(8, message.throttleMs);
      to.string(18, message.topicId);
      for (const record of message.records) writeMetadata(record, to);
    });
  },
  decode: (bytes) => generated('the answer', () => PublishResponse.decode(bytes)),
};

function metadataSize(record: RecordMetadata): number {
  return (
    int32Size(record.partition) +
    int64Size(record.offset) +
    int64Size(record.timestampMs) +
    int32Size(record.errorCode) +
    stringSize(record.errorMessage)
  );
}

function writeMetadata(record: RecordMetadata, to: ProtobufWriter): void {
  to.lengthPrefix(26, metadataSize(record));
  to.int32(8, record.partition);
  to.int64(16, record.offset);
  to.int64(24, record.timestampMs);
  to.int32(32, record.errorCode);
  to.string(42, record.errorMessage);
}

/** What is sent to several, encoded. */
const encodedOnce = new WeakMap<SubscribedRecords, Uint8Array>();

/** From now on sending `partition` sends the same bytes each time, whatever becomes of the memory of its records. */
export function encodeOnce(partition: SubscribedRecords): void {
  const { size, write } = bodyOf(partition);
  encodedOnce.set(partition, written(size, write));
}

interface Body {
  readonly size: number;
  readonly write: (to: ProtobufWriter) => void;
}

function bodyOf(partition: SubscribedRecords): Body {
  const encoded = encodedOnce.get(partition);
  if (encoded !== undefined) return { size: encoded.length, write: (to) => to.raw(encoded) };
  // Lengths stand before what they measure: each is added up once and kept for the writing.
  const sizes = partition.records.map(recordSize);
  return { size: recordsSize(partition, sizes), write: (to) => writeRecords(partition, sizes, to) };
}

export const subscribeResponseCodec: Codec<SubscribeResponse> = {
  encode: (message) => {
    const bodies = message.partitions.map(bodyOf);
    let size = int32Size(message.throttleMs) + stringSize(message.subscriptionId) + int64Size(message.creditNeeded);
    for (const body of bodies) size += lengthDelimitedSize(body.size);
    const assignment =
      message.assignment === undefined ? undefined : GroupAssignment.encode(message.assignment).finish();
    if (assignment !== undefined) size += lengthDelimitedSize(assignment.length);
    return written(size, (to) => {
      to.int32(8, message.throttleMs);
      to.string(18, message.subscriptionId);
      for (const body of bodies) {
        to.lengthPrefix(26, body.size);
        body.write(to);
      }
      to.uint64(32, message.creditNeeded);
      if (assignment !== undefined) present(42, assignment, to);
    });
  },
  decode: (bytes) => generated('the answer', () => SubscribeResponse.decode(bytes)),
};

function recordsSize(partition: SubscribedRecords, sizes: readonly number[]): number {
  let size =
    stringSize(partition.topic) +
    int32Size(partition.partition) +
    int32Size(partition.errorCode) +
    stringSize(partition.errorMessage) +
    int64Size(partition.highWatermark) +
    int64Size(partition.nextOffset);
  if (partition.topicId !== undefined) size += presentStringSize(partition.topicId);
  for (const each of sizes) size += lengthDelimitedSize(each);
  return size;
}

function writeRecords(partition: SubscribedRecords, sizes: readonly number[], to: ProtobufWriter): void {
  to.string(10, partition.topic);
  to.int32(16, partition.partition);
  to.int32(24, partition.errorCode);
  to.string(34, partition.errorMessage);
  to.int64(40, partition.highWatermark);
  for (let index = 0; index < sizes.length; index++) {
    const record = partition.records[index];
    if (record === undefined) break;
    to.lengthPrefix(50, sizes[index] ?? 0);
    writeRecord(record, to);
  }
  to.int64(56, partition.nextOffset);
  if (partition.topicId !== undefined) to.presentString(66, partition.topicId);
}

function recordSize(record: SubscribedRecord): number {
  let size = int64Size(record.offset) + int64Size(record.timestampMs) + int32Size(record.leaderEpoch);
  if (record.key !== undefined) size += lengthDelimitedSize(record.key.length);
  if (record.value !== undefined) size += lengthDelimitedSize(record.value.length);
  for (const header of record.headers) size += lengthDelimitedSize(headerSize(header));
  return size;
}

function writeRecord(record: SubscribedRecord, to: ProtobufWriter): void {
  to.int64(8, record.offset);
  to.int64(16, record.timestampMs);
  if (record.key !== undefined) present(26, record.key, to);
  if (record.value !== undefined) present(34, record.value, to);
  for (const header of record.headers) {
    to.lengthPrefix(42, headerSize(header));
    to.string(10, header.key);
    if (header.value !== undefined) present(18, header.value, to);
  }
  to.int32(48, record.leaderEpoch);
}

/** An optional field is written even if it is empty: an empty value is not a missing one. */
function present(tag: number, value: Uint8Array, to: ProtobufWriter): void {
  to.lengthPrefix(tag, value.length);
  to.raw(value);
}

function headerSize(header: RecordHeader): number {
  return stringSize(header.key) + (header.value === undefined ? 0 : lengthDelimitedSize(header.value.length));
}
