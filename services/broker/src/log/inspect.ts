/**
 * What the files of a data directory hold, for whoever looks at them from outside (`tributary log dump`): the readers of the log itself, and its
 * indexes entry by entry. Nothing here writes.
 */
import { type Offset, offset, TributaryError } from '@tributary/model';
import { decodeFile, type PartitionCheckpoint } from './checkpoint-file.ts';
import {
  countSound,
  deltaAt,
  offsetEntryBytes,
  positionAt,
  timeDeltaAt,
  timeEntryBytes,
  timestampAt,
} from './index-search.ts';
import { decodeSnapshotFile } from './producer-snapshots.ts';

export type { PartitionCheckpoint } from './checkpoint-file.ts';
export { decodeMeta } from './meta.ts';
export { isLeftover, parseFileName, parseFolderName, parseSwapName } from './names.ts';
export { findNextBatch, scanFile } from './scan.ts';

export interface InspectedIndex<Entry> {
  readonly entries: readonly Entry[];
  /** How many, from the first on, can be believed. */
  readonly sound: number;
  /** Of one entry. */
  readonly entryBytes: number;
  /** Behind the last whole entry. */
  readonly tornBytes: number;
}

export interface InspectedOffsetEntry {
  readonly offset: Offset;
  readonly position: number;
}

export interface InspectedTimeEntry {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly offset: Offset;
}

/** @param base of the segment. */
export function inspectOffsetIndex(bytes: Buffer, base: Offset): InspectedIndex<InspectedOffsetEntry> {
  return inspectIndex(bytes, offsetEntryBytes, (index) => ({
    offset: offset(base + BigInt(deltaAt(bytes, index))),
    position: positionAt(bytes, index),
  }));
}

/** @param base of the segment. */
export function inspectTimeIndex(bytes: Buffer, base: Offset): InspectedIndex<InspectedTimeEntry> {
  return inspectIndex(bytes, timeEntryBytes, (index) => ({
    timestamp: timestampAt(bytes, index),
    offset: offset(base + BigInt(timeDeltaAt(bytes, index))),
  }));
}

function inspectIndex<Entry>(
  bytes: Buffer,
  entryBytes: number,
  entryAt: (index: number) => Entry,
): InspectedIndex<Entry> {
  return {
    entries: Array.from({ length: Math.floor(bytes.length / entryBytes) }, (_, index) => entryAt(index)),
    sound: countSound(bytes, entryBytes),
    entryBytes,
    tornBytes: bytes.length % entryBytes,
  };
}

/** @returns the producers' state as it was written. @throws TributaryError CORRUPT_MESSAGE. */
export function inspectSnapshot(file: Uint8Array): unknown {
  const bytes = decodeSnapshotFile(file);
  if (bytes === undefined) throw new TributaryError('CORRUPT_MESSAGE', 'it is cut short, or its checksum does not fit');
  return JSON.parse(Buffer.from(bytes).toString('utf8'));
}

/** @throws TributaryError CORRUPT_MESSAGE. */
export function inspectCheckpoints(file: Uint8Array): ReadonlyMap<string, PartitionCheckpoint> {
  const checkpoints = decodeFile(file);
  if (checkpoints === undefined)
    throw new TributaryError('CORRUPT_MESSAGE', 'it is cut short, or its checksum does not fit');
  return checkpoints;
}
