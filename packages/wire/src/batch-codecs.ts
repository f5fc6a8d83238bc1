/**
 * The messages that carry batches, and their answers, encoded by hand: their records are copied once on the way out and not at all on the way
 * in. The bytes are those that the generated code would make.
 */
import { TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import { RequestContext } from './gen/tributary/v1alpha/common.ts';
import type { Acks, ErrorCode } from './gen/tributary/v1alpha/common.ts';
import type {
  AbortedRange,
  FetchedPartition,
  FetchResponse,
  ProduceBatch,
  ProduceRequest,
  ProduceResponse,
  ProduceResult,
} from './gen/tributary/v1alpha/log.ts';
import { encoded, insetBytes, pieces } from './large-messages.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import {
  bytesSize,
  int32Size,
  int64Size,
  lengthDelimitedSize,
  presentInt64Size,
  type ProtobufWriter,
  stringSize,
  uint32Size,
} from './protobuf-writer.ts';

const noBytes = new Uint8Array(0);

export const produceRequestCodec: Codec<ProduceRequest> = {
  encode: (message) => {
    const context = contextOf(message);
    return encoded(produceRequestSize(message, context), (to) => writeProduceRequest(message, context, to));
  },
  pieces: (message) => {
    const context = contextOf(message);
    return pieces(produceRequestSize(message, context), insetBytes(message.batches), (to) =>
      writeProduceRequest(message, context, to),
    );
  },
  decode: (bytes) => readProduceRequest(new ProtobufReader(bytes)),
};

/** The first message of a stream has a context, the many that follow have none. */
function contextOf({ context }: ProduceRequest): Uint8Array | undefined {
  return context === undefined ? undefined : RequestContext.encode(context).finish();
}

function produceRequestSize(message: ProduceRequest, context: Uint8Array | undefined): number {
  let size = context === undefined ? 0 : lengthDelimitedSize(context.length);
  size += int32Size(message.acks) + int32Size(message.timeoutMs) + stringSize(message.transactionalId);
  for (const batch of message.batches) size += lengthDelimitedSize(produceBatchSize(batch));
  return size;
}

function writeProduceRequest(message: ProduceRequest, context: Uint8Array | undefined, to: ProtobufWriter): void {
  if (context !== undefined) {
    to.lengthPrefix(10, context.length);
    to.raw(context);
  }
  to.int32(16, message.acks);
  to.int32(24, message.timeoutMs);
  to.string(34, message.transactionalId);
  for (const batch of message.batches) {
    to.lengthPrefix(42, produceBatchSize(batch));
    writeProduceBatch(batch, to);
  }
}

function readProduceRequest(from: ProtobufReader): ProduceRequest {
  const message: ProduceRequest = { context: undefined, acks: 0, timeoutMs: 0, transactionalId: '', batches: [] };
  while (from.more) {
    const tag = from.tag();
    switch (tag) {
      case 10:
        message.context = readContext(from.bytes());
        break;
      case 16:
        message.acks = from.int32() as Acks;
        break;
      case 24:
        message.timeoutMs = from.int32();
        break;
      case 34:
        message.transactionalId = from.string();
        break;
      case 42:
        message.batches.push(from.message(readProduceBatch));
        break;
      default:
        from.skip(tag);
    }
  }
  return message;
}

function readContext(bytes: Uint8Array): RequestContext {
  try {
    return RequestContext.decode(bytes);
  } catch (cause) {
    throw new TributaryError('INVALID_REQUEST', 'The message is not valid protobuf: its context cannot be read.', {
      cause,
    });
  }
}

function produceBatchSize(batch: ProduceBatch): number {
  return (
    uint32Size(batch.correlationId) +
    stringSize(batch.topicId) +
    int32Size(batch.partition) +
    int32Size(batch.leaderEpoch) +
    bytesSize(batch.records) +
    (batch.writerEpoch === undefined ? 0 : presentInt64Size(batch.writerEpoch))
  );
}

function writeProduceBatch(batch: ProduceBatch, to: ProtobufWriter): void {
  to.uint32(8, batch.correlationId);
  to.string(18, batch.topicId);
  to.int32(24, batch.partition);
  to.int32(32, batch.leaderEpoch);
  to.bytes(42, batch.records);
  if (batch.writerEpoch !== undefined) to.presentInt64(48, batch.writerEpoch);
}

function readProduceBatch(from: ProtobufReader): ProduceBatch {
  const batch: ProduceBatch = {
    correlationId: 0,
    topicId: '',
    partition: 0,
    leaderEpoch: 0,
    records: noBytes,
    writerEpoch: undefined,
  };
  while (from.more) {
    const tag = from.tag();
    switch (tag) {
      case 8:
        batch.correlationId = from.uint32();
        break;
      case 18:
        batch.topicId = from.string();
        break;
      case 24:
        batch.partition = from.int32();
        break;
      case 32:
        batch.leaderEpoch = from.int32();
        break;
      case 42:
        batch.records = from.bytes();
        break;
      case 48:
        batch.writerEpoch = from.int64();
        break;
      default:
        from.skip(tag);
    }
  }
  return batch;
}

export const produceResponseCodec: Codec<ProduceResponse> = {
  encode: (message) => {
    let size = int32Size(message.throttleMs);
    for (const result of message.results) size += lengthDelimitedSize(produceResultSize(result));
    return encoded(size, (to) => {
      to.int32(8, message.throttleMs);
      for (const result of message.results) {
        to.lengthPrefix(18, produceResultSize(result));
        writeProduceResult(result, to);
      }
    });
  },
  decode: (bytes) => {
    const from = new ProtobufReader(bytes);
    const message: ProduceResponse = { throttleMs: 0, results: [] };
    while (from.more) {
      const tag = from.tag();
      if (tag === 8) message.throttleMs = from.int32();
      else if (tag === 18) message.results.push(from.message(readProduceResult));
      else from.skip(tag);
    }
    return message;
  },
};

function produceResultSize(result: ProduceResult): number {
  return (
    uint32Size(result.correlationId) +
    int32Size(result.errorCode) +
    stringSize(result.errorMessage) +
    int64Size(result.baseOffset) +
    int64Size(result.logAppendTimeMs) +
    int64Size(result.logStartOffset) +
    int32Size(result.leaderId) +
    int32Size(result.leaderEpoch)
  );
}

function writeProduceResult(result: ProduceResult, to: ProtobufWriter): void {
  to.uint32(8, result.correlationId);
  to.int32(16, result.errorCode);
  to.string(26, result.errorMessage);
  to.int64(32, result.baseOffset);
  to.int64(40, result.logAppendTimeMs);
  to.int64(48, result.logStartOffset);
  to.int32(56, result.leaderId);
  to.int32(64, result.leaderEpoch);
}

function readProduceResult(from: ProtobufReader): ProduceResult {
  const result: ProduceResult = {
    correlationId: 0,
    errorCode: 0,
    errorMessage: '',
    baseOffset: 0n,
    logAppendTimeMs: 0n,
    logStartOffset: 0n,
    leaderId: 0,
    leaderEpoch: 0,
  };
  while (from.more) {
    const tag = from.tag();
    switch (tag) {
      case 8:
        result.correlationId = from.uint32();
        break;
      case 16:
        result.errorCode = from.int32() as ErrorCode;
        break;
      case 26:
        result.errorMessage = from.string();
        break;
      case 32:
        result.baseOffset = from.int64();
        break;
      case 40:
        result.logAppendTimeMs = from.int64();
        break;
      case 48:
        result.logStartOffset = from.int64();
        break;
      case 56:
        result.leaderId = from.int32();
        break;
      case 64:
        result.leaderEpoch = from.int32();
        break;
      default:
        from.skip(tag);
    }
  }
  return result;
}

export const fetchResponseCodec: Codec<FetchResponse> = {
  encode: (message) => encoded(fetchResponseSize(message), (to) => writeFetchResponse(message, to)),
  pieces: (message) =>
    pieces(fetchResponseSize(message), insetBytes(message.partitions), (to) => writeFetchResponse(message, to)),
  decode: (bytes) => {
    const from = new ProtobufReader(bytes);
    const message: FetchResponse = { throttleMs: 0, partitions: [] };
    while (from.more) {
      const tag = from.tag();
      if (tag === 8) message.throttleMs = from.int32();
      else if (tag === 18) message.partitions.push(from.message(readFetchedPartition));
      else from.skip(tag);
    }
    return message;
  },
};

function fetchResponseSize(message: FetchResponse): number {
  let size = int32Size(message.throttleMs);
  for (const partition of message.partitions) size += lengthDelimitedSize(fetchedPartitionSize(partition));
  return size;
}

function writeFetchResponse(message: FetchResponse, to: ProtobufWriter): void {
  to.int32(8, message.throttleMs);
  for (const partition of message.partitions) {
    to.lengthPrefix(18, fetchedPartitionSize(partition));
    writeFetchedPartition(partition, to);
  }
}

function fetchedPartitionSize(partition: FetchedPartition): number {
  let size =
    stringSize(partition.topicId) +
    int32Size(partition.partition) +
    uint32Size(partition.generation) +
    int32Size(partition.errorCode) +
    stringSize(partition.errorMessage) +
    int64Size(partition.highWatermark) +
    int64Size(partition.lastStableOffset) +
    int64Size(partition.logStartOffset) +
    int64Size(partition.localLogStartOffset) +
    bytesSize(partition.records) +
    int32Size(partition.leaderId) +
    int32Size(partition.leaderEpoch) +
    int64Size(partition.creditNeeded);
  for (const range of partition.aborted) size += lengthDelimitedSize(abortedRangeSize(range));
  return size;
}

function writeFetchedPartition(partition: FetchedPartition, to: ProtobufWriter): void {
  to.string(10, partition.topicId);
  to.int32(16, partition.partition);
  to.uint32(24, partition.generation);
  to.int32(32, partition.errorCode);
  to.string(42, partition.errorMessage);
  to.int64(48, partition.highWatermark);
  to.int64(56, partition.lastStableOffset);
  to.int64(64, partition.logStartOffset);
  to.int64(72, partition.localLogStartOffset);
  for (const range of partition.aborted) {
    to.lengthPrefix(82, abortedRangeSize(range));
    to.int64(8, range.producerId);
    to.int64(16, range.firstOffset);
  }
  to.bytes(90, partition.records);
  to.int32(96, partition.leaderId);
  to.int32(104, partition.leaderEpoch);
  to.uint64(112, partition.creditNeeded);
}

function readFetchedPartition(from: ProtobufReader): FetchedPartition {
  const partition: FetchedPartition = {
    topicId: '',
    partition: 0,
    generation: 0,
    errorCode: 0,
    errorMessage: '',
    highWatermark: 0n,
    lastStableOffset: 0n,
    logStartOffset: 0n,
    localLogStartOffset: 0n,
    aborted: [],
    records: noBytes,
    leaderId: 0,
    leaderEpoch: 0,
    creditNeeded: 0n,
  };
  while (from.more) readFetchedField(partition, from);
  return partition;
}

function readFetchedField(partition: FetchedPartition, from: ProtobufReader): void {
  const tag = from.tag();
  switch (tag) {
    case 10:
      partition.topicId = from.string();
      return;
    case 16:
      partition.partition = from.int32();
      return;
    case 24:
      partition.generation = from.uint32();
      return;
    case 32:
      partition.errorCode = from.int32() as ErrorCode;
      return;
    case 42:
      partition.errorMessage = from.string();
      return;
    case 48:
      partition.highWatermark = from.int64();
      return;
    case 56:
      partition.lastStableOffset = from.int64();
      return;
    case 64:
      partition.logStartOffset = from.int64();
      return;
    case 72:
      partition.localLogStartOffset = from.int64();
      return;
    case 82:
      partition.aborted.push(from.message(readAbortedRange));
      return;
    case 90:
      partition.records = from.bytes();
      return;
    case 96:
      partition.leaderId = from.int32();
      return;
    case 104:
      partition.leaderEpoch = from.int32();
      return;
    case 112:
      partition.creditNeeded = from.uint64();
      return;
    default:
      from.skip(tag);
  }
}

function abortedRangeSize(range: AbortedRange): number {
  return int64Size(range.producerId) + int64Size(range.firstOffset);
}

function readAbortedRange(from: ProtobufReader): AbortedRange {
  const range: AbortedRange = { producerId: 0n, firstOffset: 0n };
  while (from.more) {
    const tag = from.tag();
    if (tag === 8) range.producerId = from.int64();
    else if (tag === 16) range.firstOffset = from.int64();
    else from.skip(tag);
  }
  return range;
}
