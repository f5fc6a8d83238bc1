/**
 * One partition's log: a folder of segments, and what is known of them in memory. Written means in the page cache, durable means flushed (L2).
 * The caller appends one group at a time; reading, flushing, retention and checkpoints go on meanwhile.
 */
import { assert, type LeaderEpoch, type Offset, type TopicConfig, type TributaryError } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { Chronicle } from './chronicle.ts';
import { cutFiles } from './cut-files.ts';
import { findEnd } from './cut-position.ts';
import { outOfRange, refuseBeyond, refuseDamaged } from './damage.ts';
import type { CompactionOptions, CompactionReport } from './compaction.ts';
import type { Cleanable } from './compaction-plan.ts';
import { type Disk, unlessFull } from './disk.ts';
import { countRemovable } from './expired-segments.ts';
import { RemovalPreview } from './removal-preview.ts';
import { Flusher } from './flusher.ts';
import { removeLater } from './late-removal.ts';
import { LagMeter } from './lag-meter.ts';
import { LogCompaction } from './log-compaction.ts';
import type { LogHome } from './log-home.ts';
import { LogReader, onCurrentSegments } from './log-reader.ts';
import type {
  FoundRecord,
  LogBatch,
  LogHealth,
  LogSlice,
  OpenLogOptions,
  ProducerSnapshot,
  RecoveryReport,
} from './log-types.ts';
import { type WrittenPart, writeBatches } from './log-writer.ts';
import { Mutex } from './mutex.ts';
import { type OpenedLog, openFiles } from './opening.ts';
import { ProducerReplay } from './producer-replay.ts';
import type { RetentionRule } from './retention.ts';
import { Segment } from './segment.ts';
import { SegmentList } from './segment-list.ts';
import type { LogTail } from './tail-cache.ts';
import { firstRecordSince, newestRecord } from './time-search.ts';

const nothing: LogSlice = { kind: 'end' };

export class PartitionLog {
  readonly recovery: RecoveryReport;
  readonly #home: LogHome;
  readonly #disk: Disk;
  readonly #producers: ProducerReplay;
  readonly #segments: SegmentList;
  readonly #chronicle: Chronicle;
  readonly #reader: LogReader;
  /** What is read without waiting for a file. */
  readonly tail: LogTail;
  #config: TopicConfig;
  #end: Offset;
  readonly #flusher: Flusher;
  /** Of appending, and of whatever must not meet it. */
  readonly #writing = new Mutex();
  /** Of what changes the list of segments or writes checkpoints, one at a time. */
  readonly #upkeep = new Mutex();
  /** Work that nobody waits for. */
  #background: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();
  readonly #compaction: LogCompaction;
  readonly preview: RemovalPreview;
  readonly lag: LagMeter;

  private constructor(home: LogHome, opened: OpenedLog, { config, replay }: OpenLogOptions) {
    const { checkpoint, segments, end, epochs, snapshots, report } = opened;
    this.#home = home;
    this.#disk = home.disk;
    this.#producers = new ProducerReplay(home.disk, replay, snapshots);
    this.#config = config;
    this.#segments = new SegmentList(segments);
    this.#reader = new LogReader(this.#segments, home.reads);
    this.tail = home.tail.tail();
    this.#end = end;
    this.recovery = report;
    this.#flusher = new Flusher(home.disk, home.folder, end, report.how === 'created');
    this.#chronicle = new Chronicle(home, checkpoint, epochs, end, () =>
      this.#config.flushPolicy === 'commit' ? this.#flusher.durable : this.#end,
    );
    this.preview = new RemovalPreview(this.#segments, this.#chronicle, () => this.#end);
    const shared = { segments: this.#segments, tail: this.tail, config: () => this.#config, end: () => this.#end };
    this.lag = new LagMeter({ ...shared, start: () => this.#chronicle.start });
    this.#compaction = new LogCompaction({
      ...shared,
      home,
      chronicle: this.#chronicle,
      producers: this.#producers,
      reader: this.#reader,
      upkeep: this.#upkeep,
      closing: this.#closing.signal,
      durable: () => this.#flusher.durable,
      sync: () => this.sync(),
      settled: () => this.#background,
      roll: () => this.#rollEmpty(),
    });
  }

  /** Recovers if need be, and replays the producer state. */
  static async open(home: LogHome, options: OpenLogOptions): Promise<PartitionLog> {
    const log = new PartitionLog(home, await openFiles(home, options), options);
    await log.#producers.rebuild(log.#segments, log.#chronicle.start, log.#end);
    log.#chronicle.remember();
    return log;
  }

  get startOffset(): Offset {
    return this.#chronicle.start;
  }

  /** Written; the next batch begins here or later. */
  get endOffset(): Offset {
    return this.#end;
  }

  /** Flushed; after opening it is the end. */
  get durableOffset(): Offset {
    return this.#flusher.durable;
  }

  /** As checkpointed, or noted since. */
  get highWatermark(): Offset {
    return this.#chronicle.highWatermark;
  }

  get health(): LogHealth {
    return this.#chronicle.health;
  }

  get latestEpoch(): LeaderEpoch | undefined {
    return this.#chronicle.epochs.latest;
  }

  /** Compaction has been through all below. */
  get firstDirty(): Offset {
    return this.#chronicle.firstDirty;
  }

  get sizeBytes(): number {
    return this.#segments.bytes;
  }

  /** What another replica may need to know of them, or this one (P3). */
  get producers(): Pick<ProducerReplay, 'asOf' | 'isWhole'> {
    return this.#producers;
  }

  /** See Chronicle. */
  get tombstonesGone(): Offset {
    return this.#chronicle.tombstonesGone;
  }

  /** What is copied from a leader lacks the tombstones that it lacks there (L5). @throws TributaryError KAFKA_STORAGE_ERROR. */
  async inheritTombstonesGone(offset: Offset): Promise<void> {
    await this.#upkeep.run(() => this.#chronicle.tombstonesGo(offset));
  }

  get segmentCount(): number {
    return this.#segments.count;
  }

  /** Why the disk takes no records now; undefined: it does. */
  get refusal(): string | undefined {
    return this.#disk.refusal;
  }

  /** For the next checkpoint and for retention. */
  noteHighWatermark(offset: Offset): void {
    this.#chronicle.highWatermark = offset;
  }

  /** Applies to what happens from now on. */
  configure(config: TopicConfig): void {
    this.#config = config;
  }

  /**
   * Adds stamped and checked batches at the end: all or none. One call at a time.
   * @throws TributaryError KAFKA_STORAGE_ERROR when the disk is full; nothing has changed then.
   */
  async append(batches: readonly LogBatch[]): Promise<void> {
    const first = batches[0];
    if (first === undefined) return;
    const { active } = this.#segments;
    const isSnapshotDue = this.#producers.isSnapshotDue || active.isFullFor(first, active.bytes, this.#config);
    const snapshot = isSnapshotDue ? this.#producers.take() : undefined;
    if (!this.#writing.tryLock()) await this.#writing.lock();
    try {
      this.#count(await writeBatches(this.#home, this.#segments.active, this.#end, batches, this.#config));
    } catch (thrown) {
      // What was undone must not come back beside or before what is written later.
      this.#flusher.namesChanged();
      this.#flusher.wrote(this.#segments.active, this.#end);
      throw thrown;
    } finally {
      this.#writing.unlock();
    }
    if (snapshot !== undefined) this.#keepSnapshot(snapshot);
  }

  /** Readers see the batches from now on. */
  #count(parts: readonly WrittenPart[]): void {
    for (const { segment, isNew, position, batches } of parts) {
      if (isNew) this.#roll(segment);
      let at = position;
      for (const batch of batches) {
        if (batch.leaderEpoch !== this.#chronicle.epochs.latest)
          this.#chronicle.epochs.begin(batch.leaderEpoch, batch.baseOffset);
        segment.note(batch, at, this.#config.indexIntervalBytes);
        at += batch.bytes.length;
        this.tail.add(batch);
        this.#end = (batch.lastOffset + 1n) as Offset;
      }
      this.#producers.grown(at - position);
      segment.bytes = at;
      segment.touchedMs = this.#disk.clock.wallMs();
      this.#flusher.wrote(segment, this.#end);
    }
  }

  #roll(segment: Segment): void {
    const sealed = this.#segments.active;
    sealed.seal(segment.base);
    this.#segments.add(segment);
    this.#flusher.namesChanged();
    this.#run(async () => {
      // Nobody else flushes an `async` log, and recovery begins at what is flushed.
      await this.sync();
      await sealed.release();
    });
  }

  #keepSnapshot(snapshot: ProducerSnapshot): void {
    // The state was ahead of the log, or the log was cut: another one is taken soon.
    if (snapshot.end > this.#end) return;
    this.#producers.accepted();
    this.#run(async () => void (await this.#producers.write(snapshot, this.#chronicle)));
  }

  /** One piece of work after the other, before the log is cut or closed. */
  #run(work: () => Promise<void>): void {
    this.#background = this.#background
      .then(work)
      .catch((thrown: unknown) => this.#disk.fail(this.#home.folder, thrown));
  }

  /**
   * Flushes all that was written before the call.
   * @returns the end of what is flushed. Never rejects: when a sync fails the process ends (L2).
   */
  sync(): Promise<Offset> {
    return this.#flusher.sync();
  }

  /**
   * Batches from `from` on whose last offset is below `upTo`: about `target` bytes, at least one batch, never above `most`.
   * @throws TributaryError OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE where the disk has lost what was there.
   */
  read(from: Offset, target: number, most: number, upTo: Offset): LogSlice | Promise<LogSlice> {
    if (from < this.#chronicle.start || from > this.#end) throw this.#outOfRange(from);
    if (this.#chronicle.health.damaged.length > 0)
      refuseDamaged(this.#home.folder, this.#chronicle.health.damaged, from);
    if (from >= upTo) return nothing;
    return this.tail.read(from, target, most, upTo) ?? this.#readFile(from, target, most, upTo);
  }

  async #readFile(from: Offset, target: number, most: number, upTo: Offset): Promise<LogSlice> {
    try {
      return await this.#reader.read(from, target, most, upTo);
    } catch (thrown) {
      // Retention took the segment while it was being opened.
      if (from < this.#chronicle.start) throw this.#outOfRange(from);
      if (thrown instanceof FileError) throw await this.#disk.storageError('read', this.#home.folder, thrown);
      throw thrown;
    }
  }

  #outOfRange(from: Offset): TributaryError {
    return outOfRange(this.#home.folder, this.#chronicle.start, this.#end, from);
  }

  /** First record with a timestamp ≥ `timestampMs`; undefined: there is none. @throws TributaryError CORRUPT_MESSAGE. */
  async offsetForTimestamp(timestampMs: number): Promise<FoundRecord | undefined> {
    return await onCurrentSegments(() => firstRecordSince([...this.#segments.all], this.#chronicle.start, timestampMs));
  }

  /** First record with the newest timestamp; undefined: no record has one. @throws TributaryError CORRUPT_MESSAGE. */
  async offsetOfMaxTimestamp(): Promise<FoundRecord | undefined> {
    return await onCurrentSegments(() => newestRecord([...this.#segments.all], this.#chronicle.start));
  }

  /** @param start where its first batch will begin. */
  beginEpoch(epoch: LeaderEpoch, start: Offset): void {
    this.#chronicle.beginEpoch(epoch, start);
  }

  /** End of the newest epoch ≤ `epoch`, and that epoch (R2); undefined: nothing is known, or `epoch` is newer than all here. */
  endOffsetFor(epoch: LeaderEpoch): { readonly epoch: LeaderEpoch; readonly end: Offset } | undefined {
    return this.#chronicle.epochs.endOffsetFor(epoch, this.#end);
  }

  /**
   * Cuts every batch that reaches `offset` or beyond (there may be none), then replays the producer state up to the new end. The caller does not
   * append meanwhile, and knows that nothing below the high watermark goes (R2). @param isUndo of a write that failed: the epoch under way goes on.
   */
  async truncateTo(offset: Offset, isUndo = false): Promise<void> {
    await this.#exclusively(async () => {
      if (offset < this.#end) await this.#cut(offset);
      // One that began at the end without a batch is not the leader's either (R2).
      else if (!isUndo) this.#chronicle.epochs.cutEnd(offset);
      await this.#producers.rebuild(this.#segments, this.#chronicle.start, this.#end);
    });
  }

  async #cut(offset: Offset): Promise<void> {
    assert(
      offset >= this.#chronicle.start,
      `${this.#home.folder}: cut at ${offset}, below the log start ${this.#chronicle.start}`,
    );
    const index = this.#segments.indexOf(offset);
    const segment = this.#segments.at(index);
    assert(segment !== undefined, 'every offset has a segment');
    const { position, end } = await findEnd(segment, offset);
    await this.#chronicle.cut(end);
    this.#chronicle.epochs.cutEnd(end);
    this.#end = end;
    this.#flusher.cut(end);
    this.tail.truncate(end);
    this.#reader.forget();
    const removed = this.#segments.keepFirst(index + 1);
    await this.#producers.cut(end);
    await cutFiles(this.#home, this.#flusher, removed, segment, { position, end }, this.#config.indexIntervalBytes);
  }

  /** Nobody appends, flushes or keeps house. */
  async #exclusively<T>(task: () => Promise<T>): Promise<T> {
    return await this.#upkeep.run(() =>
      this.#writing.run(async () => {
        await this.#background;
        return await this.#flusher.exclusively(task);
      }),
    );
  }

  /**
   * Raises the log start, persisted, and removes the segments wholly below it.
   * @returns false: what producers wrote below it is not in a snapshot yet (P3), or there is no room for one; to be called again.
   * @throws TributaryError OFFSET_OUT_OF_RANGE above the high watermark (L4).
   */
  async advanceStart(offset: Offset): Promise<boolean> {
    refuseBeyond(this.#home.folder, offset, this.#chronicle.highWatermark, this.#end);
    // Under `async` a loss of power could else leave a log that ends before it begins.
    if (offset > this.#flusher.durable) await this.sync();
    return await this.#upkeep.run(async () => {
      if (offset <= this.#chronicle.start) return true;
      if (this.#closing.signal.aborted) return false;
      // Without room the records go all the same, and their file when there is some.
      if (offset === this.#end) await this.#rollEmpty().catch(unlessFull);
      await this.#moveStart(offset);
      return this.#chronicle.start >= offset;
    });
  }

  /** @param now wall clock, ms. @returns how many segments went. */
  async enforceRetention(now: number): Promise<number> {
    return await this.#upkeep.run(async () => {
      if (this.#closing.signal.aborted || !this.#config.cleanup.delete) return 0;
      const rule: RetentionRule = { ...this.#config, now, highWatermark: this.#chronicle.highWatermark };
      const count = await countRemovable(this.#segments, this.#end, rule);
      if (count === 0) return 0;
      if (count === this.#segments.count) await this.#rollEmpty();
      const start = this.#segments.at(count)?.base ?? this.#end;
      return await this.#moveStart(start > this.#chronicle.start ? start : this.#chronicle.start);
    });
  }

  /** What compaction would take up, and whether it is time; undefined: nothing, or the topic is not compacted. @param now wall clock, ms. */
  async cleanable(now: number): Promise<Cleanable | undefined> {
    return await this.#explained(() => this.#compaction.cleanable(now));
  }

  /**
   * One round of compaction (L5); one at a time.
   * @returns undefined: nothing to do, or the log changed meanwhile.
   * @throws TributaryError CORRUPT_MESSAGE: what is damaged stays as it is, with all behind it; KAFKA_STORAGE_ERROR; the reason of the signal.
   */
  async compact(options: CompactionOptions): Promise<CompactionReport | undefined> {
    return await this.#explained(() => this.#compaction.compact(options));
  }

  async #explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof FileError) throw await this.#disk.storageError('compact', this.#home.folder, thrown);
      throw thrown;
    }
  }

  /** So that the segment that was written until now can go. */
  async #rollEmpty(): Promise<void> {
    await this.#writing.run(async () => {
      const segment = new Segment(this.#home, this.#end, 'new');
      if (segment.base <= this.#segments.active.base) return;
      await segment.openForAppend();
      this.#roll(segment);
    });
  }

  /** The new start is on the disk before a file goes: afterwards nobody could tell retention from loss. */
  async #moveStart(start: Offset): Promise<number> {
    await this.#background;
    if (!(await this.#producers.secure(start, this.#end, this.#chronicle))) return 0;
    // Or a loss of power would leave less than the snapshot says, and it would not count.
    await this.sync();
    await this.#disk.syncDirectory(this.#home.folder);
    await this.#chronicle.moveStart(start);
    const gone = this.#segments.dropFirst(this.#segments.indexOf(start));
    const files: string[] = [];
    await this.#flusher.exclusively(async () => {
      for (const segment of gone) {
        this.#flusher.forget(segment);
        files.push(...(await segment.moveAway()));
        await segment.release();
      }
    });
    removeLater(this.#disk, files, this.#config.fileDeleteDelayMs, this.#closing.signal);
    return gone.length;
  }

  /** The controller has taken the replica out of ISR and ELR: the mark has done its work (L3). */
  async clearSuspect(): Promise<void> {
    await this.#chronicle.clearSuspect();
  }

  /** Brings the indexes to the disk and tells the data directory how far recovery can trust both. */
  async prepareCheckpoint(): Promise<void> {
    await this.#upkeep.run(async () => {
      if (this.#closing.signal.aborted) return;
      await this.#advanceRecoveryPoint();
      this.#chronicle.remember();
    });
  }

  async #advanceRecoveryPoint(): Promise<boolean> {
    const { durable } = this.#flusher;
    let complete = true;
    for (const segment of [...this.#segments.all]) {
      if (segment.hasUnsyncedIndex && !(await segment.persistIndex())) complete = false;
    }
    if (complete) this.#chronicle.recoveryPoint = durable;
    return complete;
  }

  /** Flushes, and leaves the log so that opening it again reads nothing. The log is not to be used any more. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#compaction.ended();
    await this.#exclusively(async () => {
      await this.#flusher.flushNow();
      this.#segments.active.pause();
      const complete = await this.#advanceRecoveryPoint();
      await this.#writeLastSnapshot();
      const closed = complete ? this.#segments.all.map((segment) => segment.facts) : undefined;
      this.#chronicle.remember(closed);
      await this.#letGo();
      this.#home.closed();
    });
  }

  async #writeLastSnapshot(): Promise<void> {
    const snapshot = this.#producers.take();
    if (snapshot.end === this.#end && this.#end > this.#chronicle.start) {
      await this.#producers.write(snapshot, this.#chronicle);
    }
    await this.#disk.syncDirectory(this.#home.folder);
  }

  /** The partition is being deleted: nothing is flushed. */
  async abandon(): Promise<void> {
    this.#closing.abort();
    await this.#compaction.ended();
    await this.#exclusively(() => this.#letGo());
  }

  async #letGo(): Promise<void> {
    this.tail.clear();
    for (const segment of this.#segments.all) {
      segment.forgetIndex();
      await segment.release();
    }
  }
}
