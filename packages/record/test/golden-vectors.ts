/** The golden vectors: bytes of a real Kafka broker, and what Kafka's own classes read in them. How they were made: golden/generate/README.md. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Compression } from '@tributary/record';

export const scenarios = [
  'plain',
  'gzip',
  'snappy',
  'lz4',
  'zstd',
  'idempotent',
  'transactional',
  'log-append-time',
  'compacted',
] as const;
export type Scenario = (typeof scenarios)[number];

export interface ExpectedRecord {
  readonly offset: string;
  readonly timestamp: number;
  readonly key: ExpectedBytes;
  readonly value: ExpectedBytes;
  readonly headers: readonly { readonly key: string; readonly value: ExpectedBytes }[];
  readonly control?: 'commit' | 'abort';
  readonly coordinatorEpoch?: number;
}

/** Hex if short, else length and digest. */
export type ExpectedBytes = string | { readonly length: number; readonly sha256: string } | null;

export interface ExpectedBatch {
  readonly at: number;
  readonly size: number;
  readonly baseOffset: string;
  readonly lastOffset: string;
  readonly leaderEpoch: number;
  readonly crc: number;
  readonly attributes: number;
  readonly compression: Compression;
  readonly timestampType: 'CreateTime' | 'LogAppendTime';
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly transactional: boolean;
  readonly control: boolean;
  readonly deleteHorizon: boolean;
  readonly records: readonly ExpectedRecord[];
}

export interface Golden {
  readonly bytes: Buffer;
  readonly batches: readonly ExpectedBatch[];
}

export function golden(scenario: Scenario): Golden {
  const folder = new URL('golden/', import.meta.url);
  const { batches } = JSON.parse(readFileSync(new URL(`${scenario}.json`, folder), 'utf8')) as {
    batches: ExpectedBatch[];
  };
  return { bytes: readFileSync(new URL(`${scenario}.bin`, folder)), batches };
}

/** In the form in which the vectors describe bytes. */
export function described(bytes: Uint8Array | null): ExpectedBytes {
  if (bytes === null) return null;
  if (bytes.length <= 64) return Buffer.from(bytes).toString('hex');
  return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
