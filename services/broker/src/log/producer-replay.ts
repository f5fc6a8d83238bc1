/** Keeping what is a function of the log in step with it: the newest snapshot, then the header of every batch after it (P3). */
import { limits, type Offset, type ProducerId } from '@tributary/model';
import { nextOffsetOf, readBatchHeader } from '@tributary/record';
import type { Disk } from './disk.ts';
import type { LogReplay, ProducerSnapshot } from './log-types.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import { scanFile } from './scan.ts';
import type { SegmentList } from './segment-list.ts';

/** Of the log. */
interface Marks {
  readonly recoveryPoint: Offset;
  /** No cut goes below. */
  readonly highWatermark: Offset;
}

export class ProducerReplay {
  readonly #disk: Disk;
  readonly #replay: LogReplay;
  readonly #snapshots: ProducerSnapshots;
  /** Log that a replay would read. */
  #bytesSinceSnapshot = 0;
  #isWhole = true;

  constructor(disk: Disk, replay: LogReplay, snapshots: ProducerSnapshots) {
    this.#disk = disk;
    this.#replay = replay;
    this.#snapshots = snapshots;
  }

  /** false: the log begins above 0, and nothing says what producers wrote below. Only another replica can (P3). */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** A state of all batches below some offset that is not above `most`; undefined: there is none now, and will be soon. */
  async asOf(most: Offset): Promise<ProducerSnapshot | undefined> {
    const now = this.#replay.take();
    if (now.end <= most) return now;
    const written = await this.#snapshots.newestBelow(most);
    if (written === undefined) this.wantSnapshot();
    return written;
  }

  grown(bytes: number): void {
    this.#bytesSinceSnapshot += bytes;
  }

  /** A replay would read too much. */
  get isSnapshotDue(): boolean {
    return this.#bytesSinceSnapshot >= limits.snapshotInterval;
  }

  /** At the next call of `append`, before which alone the state is not ahead of the log. */
  wantSnapshot(): void {
    this.#bytesSinceSnapshot = limits.snapshotInterval;
  }

  /** As the state is now; it may be ahead of the log. */
  take(): ProducerSnapshot {
    return this.#replay.take();
  }

  /** See LogReplay. */
  remembers(producer: ProducerId, baseOffset: Offset): boolean {
    return this.#replay.remembers(producer, baseOffset);
  }

  /** The log holds all that the snapshot does: {@link write} will not be asked for another one soon. */
  accepted(): void {
    this.#bytesSinceSnapshot = 0;
  }

  /** @returns false: there was no room. */
  async write(snapshot: ProducerSnapshot, { recoveryPoint, highWatermark }: Marks): Promise<boolean> {
    const written = await this.#snapshots.write(snapshot);
    await this.#snapshots.prune(recoveryPoint, highWatermark);
    return written;
  }

  /**
   * P3: what producers wrote below `start` is in a snapshot before those batches go; its name must then be made durable. One above the high watermark does not
   * count: a new leader may not have that, and the cut would take it (R2).
   * @param end of the log. @returns false: they must stay. The high watermark is to reach the snapshot that there is, or the state runs ahead of the log
   *   and there will be another one soon; or the disk is so full that not even the headroom is left.
   */
  async secure(start: Offset, end: Offset, marks: Marks): Promise<boolean> {
    if (this.#snapshots.hasBetween(start, marks.highWatermark)) return true;
    if (this.#snapshots.hasBetween(start, end)) return false;
    const snapshot = this.#replay.take();
    const isWritten = snapshot.end >= start && snapshot.end <= end && (await this.write(snapshot, marks));
    // Or none would ever be taken while records keep coming.
    if (!isWritten) this.wantSnapshot();
    return isWritten && snapshot.end <= marks.highWatermark;
  }

  /** The log was cut: snapshots of more than it holds go. Their names must then go durably. */
  async cut(end: Offset): Promise<void> {
    await this.#snapshots.dropAbove(end);
  }

  /** @param start of the log. */
  async rebuild(segments: SegmentList, start: Offset, end: Offset): Promise<void> {
    const from = await this.#restore(start);
    this.#bytesSinceSnapshot = 0;
    for (let index = segments.indexOf(from); from < end && index < segments.count; index++) {
      const segment = segments.at(index);
      if (segment === undefined || segment.bytes === 0) continue;
      const position = segment.base < from ? await segment.positionBefore(from) : 0;
      const ended = await segment.use((file) =>
        scanFile(file, { from: position, to: segment.bytes, check: false }, (bytes, at) => {
          if (nextOffsetOf(bytes, at) > from) this.#replay.batch(readBatchHeader(bytes, at));
          return true;
        }),
      );
      this.#bytesSinceSnapshot += ended.position - position;
      if (ended.kind !== 'damaged') continue;
      this.#disk.logger.error('log damaged below the recovery point', { path: segment.path, ...ended });
    }
  }

  /** @returns the offset from which batches are to be replayed. */
  async #restore(start: Offset): Promise<Offset> {
    for (;;) {
      const snapshot = await this.#snapshots.newest();
      try {
        this.#replay.restore(snapshot?.bytes, snapshot?.end ?? start);
        // One from before the start says nothing of the batches between, which are gone.
        this.#isWhole = start === 0n || (snapshot !== undefined && snapshot.end >= start);
        return snapshot?.end ?? start;
      } catch (thrown) {
        if (snapshot === undefined) throw thrown;
        await this.#snapshots.dropNewest(thrown instanceof Error ? thrown.message : String(thrown));
      }
    }
  }
}
