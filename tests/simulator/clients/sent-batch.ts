import { encodeBatch, type Compression } from '@tributary/record';
import type { ProducerEpoch, ProducerId } from '@tributary/model';
import type { SentRecord } from '../history.ts';
import type { SeededRandom } from '../seeded-random.ts';

/** One batch as its producer keeps it until it is answered. */
export interface SentBatch {
  readonly topic: string;
  readonly partition: number;
  readonly acks: SentRecord['acks'];
  readonly records: readonly SentRecord[];
  /** The master copy: what is sent is copied from it. */
  readonly bytes: Uint8Array;
}

export interface BatchPlan {
  readonly topic: string;
  readonly partition: number;
  readonly acks: SentRecord['acks'];
  /** Distinguishes the incarnations of a producer: order is promised within one. */
  readonly producer: string;
  readonly firstOrder: number;
  readonly timestampMs: number;
  /** See RawProducerPlan. */
  readonly keys: number | undefined;
  readonly idempotence:
    | { readonly id: ProducerId; readonly epoch: ProducerEpoch; readonly baseSequence: number }
    | undefined;
}

const RECORDS_MAX = 4;
const PADDING_MAX = 300;

/** Records that nobody else writes, with the seed's sizes and now and then a codec. */
export function makeBatch(plan: BatchPlan, random: SeededRandom): SentBatch {
  const count = random.between(1, RECORDS_MAX);
  const records = Array.from({ length: count }, (_, i): SentRecord => {
    const order = plan.firstOrder + i;
    const id = `${plan.producer}/${plan.partition}#${order}`;
    const padding = 'x'.repeat(
      random.chance(0.05) ? random.between(PADDING_MAX, 10 * PADDING_MAX) : random.below(PADDING_MAX),
    );
    return {
      id,
      producer: plan.producer,
      order,
      value: `${id} ${padding}`,
      acks: plan.acks,
      idempotent: plan.idempotence !== undefined,
      ...(plan.keys !== undefined && { key: `key ${random.below(plan.keys)}` }),
    };
  });
  const compression: Compression = random.chance(0.1) ? random.pick(['gzip', 'snappy', 'lz4', 'zstd']) : 'none';
  const encoded = encodeBatch(
    records.map(({ value, producer, key }) => ({
      timestamp: plan.timestampMs,
      key: key ?? (random.chance(0.5) ? producer : null),
      value,
    })),
    { compression, ...(plan.idempotence === undefined ? {} : { producer: plan.idempotence }) },
  );
  return { topic: plan.topic, partition: plan.partition, acks: plan.acks, records, bytes: encoded };
}
