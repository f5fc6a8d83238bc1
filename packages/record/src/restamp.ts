/** Changes to a finished batch that lie inside the CRC's range and therefore recompute it. */
import type { ProducerEpoch, ProducerId } from '@tributary/model';
import { writeI16, writeI32, writeI64, writeI64FromNumber } from './big-endian.ts';
import { attribute, attributesOf, position, sizeOfBatch } from './batch-header.ts';
import { crc32c } from './crc32c.ts';

/** The CRC that the batch should carry. */
export function computeCrc(bytes: Uint8Array, at: number): number {
  return crc32c(bytes, at + position.attributes, at + sizeOfBatch(bytes, at));
}

export function stampCrc(bytes: Uint8Array, at: number): void {
  writeI32(bytes, at + position.crc, computeCrc(bytes, at));
}

/**
 * For topics with `message.timestamp.type=LogAppendTime`: every record's timestamp becomes `timestampMs`. The records and the base timestamp
 * stay as they are; readers take the maximum for all of them.
 */
export function stampLogAppendTime(bytes: Uint8Array, at: number, timestampMs: number): void {
  writeI16(bytes, at + position.attributes, attributesOf(bytes, at) | attribute.logAppendTime);
  writeI64FromNumber(bytes, at + position.maxTimestamp, timestampMs);
  stampCrc(bytes, at);
}

export interface BatchProducer {
  readonly id: ProducerId;
  readonly epoch: ProducerEpoch;
  readonly baseSequence: number;
}

/** For a producer whose epoch was bumped with batches waiting, and for a mirror's link, which clears it (`noProducer`). */
export function setProducer(bytes: Uint8Array, at: number, producer: BatchProducer): void {
  writeI64(bytes, at + position.producerId, producer.id);
  writeI16(bytes, at + position.producerEpoch, producer.epoch);
  writeI32(bytes, at + position.baseSequence, producer.baseSequence);
  stampCrc(bytes, at);
}
