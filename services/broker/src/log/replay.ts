/** Rebuilding what is a function of the log: the newest snapshot, then the header of every batch after it (P3). */
import type { Offset } from '@tributary/model';
import { baseOffsetOf, nextOffsetOf, readBatchHeader } from '@tributary/record';
import type { Disk } from './disk.ts';
import type { LogReplay } from './log-types.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import { scanFile } from './scan.ts';
import type { SegmentList } from './segment-list.ts';

/** @param start of the log. @returns bytes of log that were read. */
export async function replayProducers(
  disk: Disk,
  segments: SegmentList,
  snapshots: ProducerSnapshots,
  replay: LogReplay,
  start: Offset,
  end: Offset,
): Promise<number> {
  const from = await restore(snapshots, replay, start);
  let read = 0;
  for (let index = segments.indexOf(from); from < end && index < segments.count; index++) {
    const segment = segments.at(index);
    if (segment === undefined || segment.bytes === 0) continue;
    const position = segment.base < from ? await segment.positionBefore(from) : 0;
    const ended = await segment.use((file) =>
      scanFile(file, { from: position, to: segment.bytes, check: false }, (bytes, at) => {
        if (baseOffsetOf(bytes, at) >= from || nextOffsetOf(bytes, at) > from) replay.batch(readBatchHeader(bytes, at));
        return true;
      }),
    );
    read += ended.position - position;
    if (ended.kind === 'damaged')
      disk.logger.error('log damaged below the recovery point', { path: segment.path, ...ended });
  }
  return read;
}

/** @returns the offset from which batches are to be replayed. */
async function restore(snapshots: ProducerSnapshots, replay: LogReplay, start: Offset): Promise<Offset> {
  for (;;) {
    const snapshot = await snapshots.newest();
    try {
      replay.restore(snapshot?.bytes, snapshot?.end ?? start);
      return snapshot?.end ?? start;
    } catch (thrown) {
      if (snapshot === undefined) throw thrown;
      await snapshots.dropNewest(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }
}
