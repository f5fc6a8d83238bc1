// pure
import { limits, TributaryError } from '@tributary/model';
import type { GroupOptions } from './group/group-options.ts';
import type { Deserializer } from './serializers.ts';

/** Where reading goes on when a position is not in the log, or none was given. */
export type OffsetReset = 'earliest' | 'latest' | 'none';

/** Names and defaults are those of Kafka's consumer where it has them. Sizes are bytes. */
export interface ConsumerOptions<K = Uint8Array, V = Uint8Array> extends GroupOptions {
  /** Default: bytes as they are, as a view onto the fetched batch. */
  readonly keyDeserializer?: Deserializer<K>;
  /** Default: bytes as they are, as a view onto the fetched batch. */
  readonly valueDeserializer?: Deserializer<V>;
  /**
   * Where a partition begins that was assigned without an offset, or of which the group has committed none, and goes on when its offset is not in the log: `'latest'` (default), `'earliest'`, or
   * `'none'`: an error that names the gap.
   */
  readonly autoOffsetReset?: OffsetReset;
  /** Bytes of one partition fetched ahead. Default 1 MiB. A larger batch comes alone. */
  readonly maxPartitionFetchBytes?: number;
  /** Bytes fetched ahead over all partitions. Default 32 MiB; no partition's share falls below 64 KiB. */
  readonly maxBufferedBytes?: number;
  /** Check the CRC32C of each batch. Default true. */
  readonly checkCrcs?: boolean;
  /** `'read_committed'` leaves out what aborted transactions wrote. Default `'read_uncommitted'`. */
  readonly isolationLevel?: 'read_uncommitted' | 'read_committed';
  /** Where this client is: partitions are read from in-sync followers in that rack where there are any, and from their leaders otherwise. */
  readonly rack?: string;
}

export interface ConsumerSettings {
  readonly autoOffsetReset: OffsetReset;
  readonly maxPartitionFetchBytes: number;
  readonly maxBufferedBytes: number;
  readonly checkCrcs: boolean;
  readonly readCommitted: boolean;
  readonly rack: string;
}

/** @throws TributaryError INVALID_CONFIG naming the option, its value and what is allowed. */
export function consumerSettings<K, V>(options: ConsumerOptions<K, V>): ConsumerSettings {
  const autoOffsetReset = options.autoOffsetReset ?? 'latest';
  if (!['earliest', 'latest', 'none'].includes(autoOffsetReset))
    refuse('autoOffsetReset', autoOffsetReset, 'earliest, latest or none');
  const isolationLevel = options.isolationLevel ?? 'read_uncommitted';
  if (!['read_uncommitted', 'read_committed'].includes(isolationLevel))
    refuse('isolationLevel', isolationLevel, 'read_uncommitted or read_committed');
  return {
    autoOffsetReset,
    maxPartitionFetchBytes: whole('maxPartitionFetchBytes', options.maxPartitionFetchBytes, limits.fetchWindow),
    maxBufferedBytes: whole('maxBufferedBytes', options.maxBufferedBytes, limits.consumerBuffer),
    checkCrcs: options.checkCrcs ?? true,
    readCommitted: isolationLevel === 'read_committed',
    rack: options.rack ?? '',
  };
}

/** Bytes that each of the partitions may fetch ahead. */
export function fetchWindow(settings: ConsumerSettings, partitions: number): number {
  const share = Math.max(Math.floor(settings.maxBufferedBytes / Math.max(partitions, 1)), limits.fetchWindowMin);
  return Math.min(settings.maxPartitionFetchBytes, share);
}

function whole(name: string, value: number | undefined, preset: number): number {
  if (value === undefined) return preset;
  if (!Number.isSafeInteger(value) || value < 1) refuse(name, value, 'a whole number ≥ 1');
  return value;
}

function refuse(name: string, value: unknown, allowed: string): never {
  throw new TributaryError(
    'INVALID_CONFIG',
    `Bad value ${JSON.stringify(value) ?? String(value)} for the consumer's option ${name}: allowed is ${allowed}.`,
  );
}
