// pure
import { limits, TributaryError } from '@tributary/model';
import type { Compression } from '@tributary/record';
import type { Serializer } from './serializers.ts';

/**
 * A user's own choice of partition.
 * @param key as serialised; null if there is none. @param partitions how many there are, ≥ 1.
 * @returns 0 … partitions − 1.
 */
export type Partitioner = (topic: string, key: Uint8Array | string | null, partitions: number) => number;

/** A batch of records that failed. */
export interface DeliveryFailure {
  readonly topic: string;
  /** Undefined when the topic's partitions could not be learnt. */
  readonly partition: number | undefined;
  /** How many records. */
  readonly records: number;
  readonly error: TributaryError;
}

/** Names and defaults are those of Kafka's producer where it has them. Sizes are bytes, times milliseconds. */
export interface ProducerOptions<K = Uint8Array | string, V = Uint8Array | string> {
  /** When a record counts as sent: `'all'`: durable on every in-sync replica (default); 1: appended at the leader; 0: handed to the network. */
  readonly acks?: 0 | 1 | 'all';
  /** A partition's batch is sent when it has so many bytes. Default 128 KiB. */
  readonly batchSize?: number;
  /** How long a batch that is not full waits for more records. Default 0: batches fill by themselves while others are on their way. */
  readonly lingerMs?: number;
  /** Default `'none'`. */
  readonly compression?: Compression;
  /** No retry duplicates or reorders (P1). Default: with `acks: 'all'`, for which alone it can be promised. Without, one batch at a time is on its way. */
  readonly idempotent?: boolean;
  /** A record not acknowledged after this fails; its outcome may then be unknown. Default 120,000. */
  readonly deliveryTimeoutMs?: number;
  /** Encoded bytes accepted and not yet acknowledged, above which `send` refuses. Default 32 MiB. */
  readonly maxBufferedBytes?: number;
  /** The largest record, encoded. Default 1 MiB. */
  readonly maxRequestBytes?: number;
  /** For records that name no partition. Default: murmur2 of the key as Kafka's Java client; without a key sticky and even. */
  readonly partitioner?: Partitioner;
  /** Default: strings as UTF-8, bytes as they are. */
  readonly keySerializer?: Serializer<K>;
  /** Default: strings as UTF-8, bytes as they are. */
  readonly valueSerializer?: Serializer<V>;
  /** Told of every batch that failed, whether or not its records are awaited. */
  readonly onError?: (failure: DeliveryFailure) => void;
}

export interface ProducerSettings {
  readonly acks: 0 | 1 | 'all';
  readonly batchSize: number;
  readonly lingerMs: number;
  readonly compression: Compression;
  readonly idempotent: boolean;
  readonly deliveryTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxRequestBytes: number;
}

const producerDefaults = {
  // Measured, 100 B and 1 KiB records: from 16 to 128 KiB the client's processor time for a byte falls by a fifth to a third and the broker's by as much;
  // beyond that by next to nothing. Five in flight also cover a sync of the disk.
  batchSize: 128 * 1024,
  // What is sent in one tick shares a batch anyway, and so does what comes while five are on their way: lingering would buy
  // a lone record nothing but its delay.
  lingerMs: 0,
  deliveryTimeoutMs: limits.deliveryTimeoutMs,
  maxBufferedBytes: limits.producerBuffer,
  maxRequestBytes: limits.recordBytes,
} as const;

/** @throws TributaryError INVALID_CONFIG naming the option, its value and what is allowed. */
export function producerSettings<K, V>(options: ProducerOptions<K, V>): ProducerSettings {
  const acks = options.acks ?? 'all';
  if (acks !== 0 && acks !== 1 && acks !== 'all') refuse('acks', acks, "0, 1 or 'all'");
  const compression = options.compression ?? 'none';
  if (!['none', 'gzip', 'snappy', 'lz4', 'zstd'].includes(compression))
    refuse('compression', compression, 'none, gzip, snappy, lz4 or zstd');
  if (options.idempotent === true && acks !== 'all') refuse('idempotent', true, "false unless acks is 'all'");
  const maxRequestBytes = whole(
    'maxRequestBytes',
    options.maxRequestBytes,
    producerDefaults.maxRequestBytes,
    1,
    limits.batchBytesMax,
  );
  return {
    acks,
    compression,
    idempotent: options.idempotent ?? acks === 'all',
    batchSize: whole('batchSize', options.batchSize, producerDefaults.batchSize, 0, limits.batchBytesMax),
    lingerMs: whole('lingerMs', options.lingerMs, producerDefaults.lingerMs, 0, 3_600_000),
    deliveryTimeoutMs: whole(
      'deliveryTimeoutMs',
      options.deliveryTimeoutMs,
      producerDefaults.deliveryTimeoutMs,
      1,
      2 ** 31 - 1,
    ),
    maxBufferedBytes: whole(
      'maxBufferedBytes',
      options.maxBufferedBytes,
      producerDefaults.maxBufferedBytes,
      maxRequestBytes,
      Number.MAX_SAFE_INTEGER,
    ),
    maxRequestBytes,
  };
}

function whole(name: string, value: number | undefined, preset: number, least: number, most: number): number {
  if (value === undefined) return preset;
  if (!Number.isSafeInteger(value) || value < least || value > most)
    refuse(name, value, `a whole number from ${least} to ${most}`);
  return value;
}

function refuse(name: string, value: unknown, allowed: string): never {
  throw new TributaryError(
    'INVALID_CONFIG',
    `Bad value ${JSON.stringify(value) ?? String(value)} for the producer's option ${name}: allowed is ${allowed}.`,
  );
}
