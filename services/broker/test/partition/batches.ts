import { leaderEpoch, type NodeId, offset, partitionEpoch, producerEpoch, producerId } from '@tributary/model';
import { type BatchHeader, encodeBatch, readBatchHeader } from '@tributary/record';

import type { LeaderTerm } from '../../src/partition/leadership.ts';

export interface Sent {
  readonly id?: bigint;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly count?: number;
  readonly at?: bigint;
  readonly timestamp?: number;
  readonly value?: string;
}

/** A small batch as a producer sends it, or, with `at`, as the log holds it. */
export function batch({
  id,
  epoch = 0,
  sequence = 0,
  count = 1,
  at = 0n,
  timestamp = 1_000,
  value = 'v',
}: Sent): Uint8Array {
  const records = Array.from({ length: count }, () => ({ timestamp, value }));
  const producer =
    id === undefined ? {} : { producer: { id: producerId(id), epoch: producerEpoch(epoch), baseSequence: sequence } };
  return encodeBatch(records, { ...producer, baseOffset: offset(at), leaderEpoch: leaderEpoch(0) });
}

export const header = (sent: Sent): BatchHeader => readBatchHeader(batch(sent), 0);

/** Of a partition whose replicas are all in sync. */
export const term = (epoch: number, isr: readonly NodeId[], minIsr: number): LeaderTerm => ({
  epoch: leaderEpoch(epoch),
  partitionEpoch: partitionEpoch(0),
  isr,
  replicas: isr,
  minIsr,
});
