/** Finding records by their timestamps: the indexes lead to a batch, and only that one is decoded. */
import { type Offset, TributaryError } from '@tributary/model';
import { baseOffsetOf, decodeBatch, lastOffsetOf, maxTimestampOf, newestTimestampOf } from '@tributary/record';
import type { FoundRecord } from './log-types.ts';
import { scanFile } from './scan.ts';
import type { Segment } from './segment.ts';

/** Batches near an index entry are few: small reads do. */
const chunk = 64 * 1024;

/** The first record at or after `start` with a timestamp ≥ `timestampMs`. @throws TributaryError CORRUPT_MESSAGE. */
export async function firstRecordSince(
  segments: readonly Segment[],
  start: Offset,
  timestampMs: number,
): Promise<FoundRecord | undefined> {
  for (const segment of segments) {
    if ((await segment.newest()).timestamp < timestampMs) continue;
    let position: number | undefined = await segment.positionBeforeTime(timestampMs);
    while (position !== undefined) {
      const batch = await nextBatch(
        segment,
        position,
        (bytes, at) => maxTimestampOf(bytes, at) >= timestampMs && lastOffsetOf(bytes, at) >= start,
      );
      if (batch === undefined) break;
      const found = recordIn(batch.bytes, (record) => record.timestamp >= timestampMs && record.offset >= start);
      if (found !== undefined) return found;
      position = batch.position + batch.bytes.length;
    }
  }
  return undefined;
}

/** The first record with the newest timestamp of all; undefined: no record has one. @throws TributaryError CORRUPT_MESSAGE. */
export async function newestRecord(segments: readonly Segment[], start: Offset): Promise<FoundRecord | undefined> {
  let newest: { readonly segment: Segment; readonly timestamp: number; readonly at: Offset } | undefined;
  for (const segment of segments) {
    const { timestamp, at } = await newestFrom(segment, start);
    if (timestamp >= 0 && (newest === undefined || timestamp > newest.timestamp)) newest = { segment, timestamp, at };
  }
  if (newest === undefined) return undefined;
  const { segment, timestamp, at: wanted } = newest;
  const position = await segment.positionBefore(wanted);
  const batch = await nextBatch(segment, position, (bytes, at) => lastOffsetOf(bytes, at) >= wanted);
  if (batch === undefined) return undefined;
  return recordIn(batch.bytes, (record) => record.timestamp === timestamp && record.offset >= start);
}

interface Newest {
  /** −1: no record has one. */
  readonly timestamp: number;
  /** An offset of the batch that holds it. */
  readonly at: Offset;
}

/** The newest of a segment, which may hold records that are deleted already. */
async function newestFrom(segment: Segment, start: Offset): Promise<Newest> {
  const known = await segment.newest();
  if (segment.base >= start || known.timestamp < 0) return known;
  // Where the log begins within a batch, its header tells of more than can be read.
  const position = await segment.positionBefore(start);
  const first = await nextBatch(segment, position, (bytes, at) => lastOffsetOf(bytes, at) >= start);
  if (first === undefined) return { timestamp: -1, at: start };
  let newest: Newest = { timestamp: -1, at: start };
  for (const { offset, timestamp } of decodeBatch(first.bytes).records)
    if (offset >= start && timestamp > newest.timestamp) newest = { timestamp, at: offset };
  await segment.use((file) =>
    scanFile(
      file,
      { from: first.position + first.bytes.length, to: segment.bytes, check: false, chunk },
      (bytes, at) => {
        const timestamp = newestTimestampOf(bytes, at);
        if (timestamp > newest.timestamp) newest = { timestamp, at: baseOffsetOf(bytes, at) };
        return true;
      },
    ),
  );
  return newest;
}

/** The first batch from `position` on that is wanted, in bytes of its own. */
async function nextBatch(
  segment: Segment,
  position: number,
  isWanted: (bytes: Uint8Array, at: number) => boolean,
): Promise<{ readonly bytes: Uint8Array; readonly position: number } | undefined> {
  return await segment.use(async (file) => {
    let size = 0;
    const ended = await scanFile(
      file,
      { from: position, to: segment.bytes, check: false, chunk },
      (bytes, at, _position, batchBytes) => {
        size = batchBytes;
        return !isWanted(bytes, at);
      },
    );
    if (ended.kind === 'damaged') {
      throw new TributaryError(
        'CORRUPT_MESSAGE',
        `${segment.path} is damaged at byte ${ended.position}: ${ended.why}.`,
      );
    }
    if (ended.kind === 'end') return undefined;
    const bytes = Buffer.allocUnsafeSlow(size);
    await file.read(bytes, ended.position);
    return { bytes, position: ended.position };
  });
}

function recordIn(
  batch: Uint8Array,
  isWanted: (record: { readonly offset: Offset; readonly timestamp: number }) => boolean,
): FoundRecord | undefined {
  for (const record of decodeBatch(batch).records) {
    if (isWanted(record)) return { offset: record.offset, timestampMs: record.timestamp };
  }
  return undefined;
}
