/**
 * What the data directory's checkpoints say of one log, as it stands now, and what must be written there before it may happen: a new log start (L4), a
 * cut (R2), the removal of tombstones (L5).
 */
import type { LeaderEpoch, Offset } from '@tributary/model';
import { FileError } from '@tributary/ports';
import type { PartitionCheckpoint, SegmentFacts } from './checkpoint-file.ts';
import { joinRanges } from './damage.ts';
import type { EpochHistory } from './epochs.ts';
import type { LogHome } from './log-home.ts';
import type { LogHealth } from './log-types.ts';

export class Chronicle {
  readonly epochs: EpochHistory;
  readonly #home: LogHome;
  /** How far the log could be lost back to: the high watermark is not written down beyond it. */
  readonly #bound: () => Offset;
  #start: Offset;
  /** On its way to the disk. */
  #nextStart: Offset | undefined;
  #health: LogHealth;
  highWatermark: Offset;
  recoveryPoint: Offset;
  /** Compaction has been through all below. */
  firstDirty: Offset;
  #tombstonesGone: Offset;

  constructor(home: LogHome, checkpoint: PartitionCheckpoint, epochs: EpochHistory, end: Offset, bound: () => Offset) {
    this.#home = home;
    this.epochs = epochs;
    this.#bound = bound;
    this.#start = checkpoint.logStart;
    this.#health = { suspect: checkpoint.suspect, possibleLoss: checkpoint.possibleLoss, damaged: checkpoint.damaged };
    this.highWatermark = checkpoint.highWatermark;
    this.recoveryPoint = checkpoint.recoveryPoint;
    // Offsets that a lossy stop of an `async` log gives out again were never compacted.
    this.firstDirty = checkpoint.firstDirty < end ? checkpoint.firstDirty : end;
    this.#tombstonesGone = checkpoint.tombstonesGone;
  }

  get start(): Offset {
    return this.#start;
  }

  get health(): LogHealth {
    return this.#health;
  }

  /** No tombstone has gone at or beyond this offset (L5). */
  get tombstonesGone(): Offset {
    return this.#tombstonesGone;
  }

  #checkpoint(closed?: readonly SegmentFacts[]): PartitionCheckpoint {
    const bound = this.#bound();
    return {
      recoveryPoint: this.recoveryPoint,
      highWatermark: this.highWatermark < bound ? this.highWatermark : bound,
      logStart: this.#nextStart ?? this.#start,
      isStartLost: false,
      firstDirty: this.firstDirty,
      tombstonesGone: this.#tombstonesGone,
      epochs: this.epochs.entries,
      ...this.#health,
      rewrite: false,
      lossy: false,
      closed,
    };
  }

  /** In memory, for whoever writes the checkpoints next. @param closed the log is not written any more, and these are its segments. */
  remember(closed?: readonly SegmentFacts[]): void {
    this.#home.remember(this.#checkpoint(closed));
  }

  /** @throws TributaryError KAFKA_STORAGE_ERROR when there is no room. */
  async persist(): Promise<void> {
    this.remember();
    try {
      await this.#home.persist();
    } catch (thrown) {
      if (thrown instanceof FileError)
        throw await this.#home.disk.storageError('write the checkpoint of', this.#home.folder, thrown);
      throw thrown;
    }
  }

  /** With the next checkpoint on the disk: a crash before it leaves what the batches of the epoch say, or no trace of one that has none. */
  beginEpoch(epoch: LeaderEpoch, start: Offset): void {
    if (this.epochs.begin(epoch, start)) this.remember();
  }

  /** The controller has taken the replica out of ISR and ELR: the mark has done its work (L3). */
  async clearSuspect(): Promise<void> {
    this.#health = { ...this.#health, suspect: false };
    await this.persist();
  }

  /** A crash on the way must not find a recovery point or a high watermark beyond the end. @throws TributaryError; nothing has changed then. */
  async cut(end: Offset): Promise<void> {
    const { recoveryPoint, highWatermark } = this;
    if (recoveryPoint <= end && highWatermark <= end) return;
    if (recoveryPoint > end) this.recoveryPoint = end;
    if (highWatermark > end) this.highWatermark = end;
    try {
      await this.persist();
    } catch (thrown) {
      this.recoveryPoint = recoveryPoint;
      this.highWatermark = highWatermark;
      this.remember();
      throw thrown;
    }
  }

  /** Nobody hears of the new start before it is on the disk: a crash would take it back (L4). Whoever writes a checkpoint meanwhile writes it too. */
  async moveStart(start: Offset): Promise<void> {
    this.#nextStart = start;
    try {
      await this.persist();
      this.#start = start;
    } finally {
      this.#nextStart = undefined;
      // Also where it failed: the next write must not bring what was not done.
      this.remember();
    }
    this.epochs.cutStart(start);
    this.#health = { ...this.#health, damaged: joinRanges(this.#health.damaged, start) };
  }

  /** L5: a replica or a link that is behind `offset` could miss a tombstone from now on, and must hear of it whatever happens. */
  async tombstonesGo(offset: Offset): Promise<void> {
    const before = this.#tombstonesGone;
    if (offset <= before) return;
    this.#tombstonesGone = offset;
    try {
      await this.persist();
    } catch (thrown) {
      // Or the next round would take it for written.
      this.#tombstonesGone = before;
      this.remember();
      throw thrown;
    }
  }
}
