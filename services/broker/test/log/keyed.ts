/** Batches of records with keys, and what a reader finds of them. */
import { type Offset, offset, producerEpoch, producerId } from '@tributary/model';
import { type Compression, decodeBatch, encodeBatch, readBatchHeader } from '@tributary/record';
import type { LogBatch } from '../../src/log/log-types.ts';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { readAll } from './harness.ts';

export interface KeyedRecord {
  readonly key: string | null;
  /** null: a tombstone. */
  readonly value: string | null;
  readonly timestamp: number;
}

export interface KeyedBatch {
  readonly at: bigint;
  readonly records: readonly KeyedRecord[];
  readonly compression?: Compression;
  readonly producer?: { readonly id: number; readonly sequence: number };
}

export function keyedBatch({ at, records, compression = 'none', producer }: KeyedBatch): LogBatch {
  const bytes = encodeBatch(records, {
    baseOffset: offset(at),
    compression,
    copy: true,
    ...(producer !== undefined && {
      producer: { id: producerId(BigInt(producer.id)), epoch: producerEpoch(0), baseSequence: producer.sequence },
    }),
  });
  const { baseOffset, lastOffset, maxTimestamp, leaderEpoch } = readBatchHeader(bytes, 0);
  return { bytes, baseOffset, lastOffset, maxTimestamp, leaderEpoch };
}

export interface FoundKeyed extends KeyedRecord {
  readonly offset: bigint;
}

/** Every record from `from` to the end of the log, as a consumer would see it. */
export async function readKeyed(
  log: PartitionLog,
  from: bigint = log.startOffset,
  target = 300,
): Promise<FoundKeyed[]> {
  const found: FoundKeyed[] = [];
  for (const { bytes } of await readAll(log, from, log.endOffset, target)) {
    for (const record of decodeBatch(bytes).records) {
      if (record.offset < from) continue;
      const { timestamp } = record;
      found.push({ offset: record.offset, key: record.keyText(), value: record.valueText(), timestamp });
    }
  }
  return found;
}

export const at = (value: number | bigint): Offset => offset(BigInt(value));
