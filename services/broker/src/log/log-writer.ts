/** Writing batches to the end of a log, over the edge of segments where they are full: all of a call or nothing. */
import { assert, type Offset, type TopicConfig } from '@tributary/model';
import { isFull } from './disk.ts';
import type { LogHome } from './log-home.ts';
import type { LogBatch } from './log-types.ts';
import { Segment } from './segment.ts';

/** What went into one segment. */
export interface WrittenPart {
  readonly segment: Segment;
  /** The segment was made for it. */
  readonly isNew: boolean;
  /** Where its first batch begins in the file. */
  readonly position: number;
  readonly batches: readonly LogBatch[];
}

interface Part extends WrittenPart {
  readonly batches: LogBatch[];
  readonly chunks: Uint8Array[];
  bytes: number;
}

/**
 * The segments do not count the new bytes yet: that is for the caller to say, all at once.
 * @param end of the log.
 * @throws TributaryError KAFKA_STORAGE_ERROR when the disk is full; the files are then as before.
 */
export async function writeBatches(
  home: LogHome,
  active: Segment,
  end: Offset,
  batches: readonly LogBatch[],
  config: TopicConfig,
): Promise<readonly WrittenPart[]> {
  const parts = split(home, active, end, batches, config);
  for (const [index, part] of parts.entries()) {
    try {
      await part.segment.append(part.chunks);
      home.disk.wrote(part.bytes);
    } catch (thrown) {
      if (!isFull(thrown)) return await home.disk.fail(part.segment.path, thrown);
      await undo(home, parts.slice(0, index + 1));
      throw await home.disk.storageError('write to', part.segment.path, thrown);
    }
  }
  return parts;
}

function split(
  home: LogHome,
  active: Segment,
  end: Offset,
  batches: readonly LogBatch[],
  config: TopicConfig,
): readonly Part[] {
  let part: Part = { segment: active, isNew: false, position: active.bytes, batches: [], chunks: [], bytes: 0 };
  const parts = [part];
  let written = active.bytes;
  let expected = end;
  for (const batch of batches) {
    assert(
      batch.baseOffset >= expected,
      `${active.path}: batch at ${batch.baseOffset}, the log ends at ${expected} (L6)`,
    );
    if (part.segment.isFullFor(batch, written, config)) {
      part = {
        segment: new Segment(home, expected, 'new'),
        isNew: true,
        position: 0,
        batches: [],
        chunks: [],
        bytes: 0,
      };
      parts.push(part);
      written = 0;
    }
    part.batches.push(batch);
    part.chunks.push(batch.bytes);
    part.bytes += batch.bytes.length;
    written += batch.bytes.length;
    expected = (batch.lastOffset + 1n) as Offset;
  }
  return parts.filter((one) => one.batches.length > 0);
}

/** The last part first: a file that is longer than the next one's base would be taken for the rest of a repair. */
async function undo(home: LogHome, parts: readonly Part[]): Promise<void> {
  for (const { segment, isNew } of parts.toReversed()) {
    try {
      if (isNew) await segment.remove();
      else await segment.truncate(segment.bytes);
    } catch (thrown) {
      await home.disk.fail(segment.path, thrown);
    }
  }
}
