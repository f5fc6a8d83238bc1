/** Control batches: the markers that end a transaction. Their one record has a key [i16 version, i16 type] and a value [i16 version, i32 coordinator epoch]. */
import { type LeaderEpoch, type Offset, type ProducerEpoch, type ProducerId, TributaryError } from '@tributary/model';
import { readI16, readI32, writeI16, writeI32 } from './big-endian.ts';
import type { RecordView } from './decode.ts';
import { encodeBatch } from './encode.ts';

export type TransactionEnd = 'abort' | 'commit';

export interface ControlBatchFields {
  readonly end: TransactionEnd;
  readonly producerId: ProducerId;
  readonly producerEpoch: ProducerEpoch;
  readonly coordinatorEpoch: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly baseOffset?: Offset;
  readonly leaderEpoch?: LeaderEpoch;
}

const typeNumber = { abort: 0, commit: 1 } as const;
const keyBytes = 4;
const valueBytes = 6;

export function encodeControlBatch(fields: ControlBatchFields): Uint8Array {
  const key = new Uint8Array(keyBytes);
  writeI16(key, 2, typeNumber[fields.end]);
  const value = new Uint8Array(valueBytes);
  writeI32(value, 2, fields.coordinatorEpoch);
  return encodeBatch([{ timestamp: fields.timestamp, key, value }], {
    control: true,
    transactional: true,
    producer: { id: fields.producerId, epoch: fields.producerEpoch, baseSequence: -1 },
    ...(fields.baseOffset === undefined ? {} : { baseOffset: fields.baseOffset }),
    ...(fields.leaderEpoch === undefined ? {} : { leaderEpoch: fields.leaderEpoch }),
  });
}

export type ControlRecord =
  | { readonly kind: TransactionEnd; readonly coordinatorEpoch: number }
  /** Of a type that is not a transaction's end (Kafka's own metadata log has some): to be skipped. */
  | { readonly kind: 'other'; readonly type: number };

/** @throws TributaryError CORRUPT_MESSAGE. */
export function readControlRecord(record: RecordView): ControlRecord {
  const { key, value } = record;
  if (key === null || key.length < keyBytes)
    throw new TributaryError('CORRUPT_MESSAGE', `control record at offset ${record.offset} has no type`);
  const type = readI16(key, 2);
  if (type !== typeNumber.abort && type !== typeNumber.commit) return { kind: 'other', type };
  if (value === null || value.length < valueBytes) {
    throw new TributaryError('CORRUPT_MESSAGE', `control record at offset ${record.offset} has no coordinator epoch`);
  }
  return { kind: type === typeNumber.commit ? 'commit' : 'abort', coordinatorEpoch: readI32(value, 2) };
}
