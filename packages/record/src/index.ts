export {
  attribute,
  attributesOf,
  BatchHeader,
  baseOffsetOf,
  baseSequenceOf,
  baseTimestampOf,
  batchHeaderBytes,
  batchMagic,
  batchPrefixBytes,
  type Compression,
  compressionNumber,
  compressionOf,
  compressions,
  crcOf,
  hasProducerId,
  isControlBatch,
  isTransactionalBatch,
  lastOffsetDeltaOf,
  lastOffsetOf,
  leaderEpochOf,
  magicOf,
  maxTimestampOf,
  nextOffsetOf,
  noProducer,
  producerEpochOf,
  producerIdOf,
  readBatchHeader,
  recordsCountOf,
  sequenceAfter,
  sizeOfBatch,
  stampBaseOffset,
  stampLeaderEpoch,
} from './batch-header.ts';
export { BatchScanner, type BatchSpan, scanBatches } from './batch-scanner.ts';
export {
  checkKeys,
  deleteHorizonMax,
  deleteHorizonOf,
  emptiedBatch,
  KeptRecords,
  newestTimestampOf,
} from './compact-batch.ts';
export { compress, decompress, decompressedBytesMax } from './compression.ts';
export {
  type ControlBatchFields,
  type ControlRecord,
  encodeControlBatch,
  readControlRecord,
  type TransactionEnd,
} from './control-batch.ts';
export { crc32c } from './crc32c.ts';
export { decodeBatch, openBatch, RecordBatch, RecordCursor, RecordView } from './decode.ts';
export {
  BatchBuilder,
  type BatchOptions,
  encodeBatch,
  type NewRecord,
  type Payload,
  type RecordHeader,
} from './encode.ts';
export { partitionOfKey } from './key-partition.ts';
export { RecordSpans } from './record-spans.ts';
export { type BatchProducer, computeCrc, setProducer, stampCrc, stampLogAppendTime } from './restamp.ts';
export { type BatchOrigin, checkBatch, checkFrame } from './validate-batch.ts';
