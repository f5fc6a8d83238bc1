/** Finding records by their timestamps: the indexes lead to a batch, and only that one is decoded. */
import { type Offset, TributaryError } from '@tributary/model';
import { baseOffsetOf, decodeBatch, lastOffsetOf, maxTimestampOf } from '@tributary/record';
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
    const { timestamp, at } = await segment.newest();
    if (timestamp >= 0 && (newest === undefined || timestamp > newest.timestamp)) newest = { segment, timestamp, at };
  }
  if (newest === undefined) return undefined;
  const { segment, timestamp, at: wanted } = newest;
  const position = await segment.positionBefore(wanted);
  const batch = await nextBatch(segment, position, (bytes, at) => baseOffsetOf(bytes, at) >= wanted);
  if (batch === undefined) return undefined;
  return recordIn(batch.bytes, (record) => record.timestamp === timestamp && record.offset >= start);
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
