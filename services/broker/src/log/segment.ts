/**
 * One segment of a log: `<base>.log`, whole batches one after the other, with its two indexes. Only the last segment of a log grows. What is
 * said of its size and newest record is what was written whole; a reader never looks beyond.
 */
import { limits, type Offset, type TopicConfig } from '@tributary/model';
import { type File, FileError } from '@tributary/ports';
import {
  baseOffsetOf,
  batchHeaderBytes,
  batchMagic,
  magicOf,
  newestTimestampOf,
  nextOffsetOf,
} from '@tributary/record';
import type { SegmentFacts } from './checkpoint-file.ts';
import type { Disk } from './disk.ts';
import type { IndexCache } from './index-cache.ts';
import type { IndexOrigin } from './index-file.ts';
import { deltaMax } from './index-search.ts';
import { deletedSuffix, fileName, type LogFileKind } from './names.ts';
import type { OffsetEntry } from './offset-index.ts';
import { scanFile } from './scan.ts';
import { SegmentFile } from './segment-file.ts';
import { SegmentIndex } from './segment-index.ts';

/** Log between two entries of an index that is made anew: the topic's setting is not known everywhere, and any is right. */
const rebuiltInterval = 4096;

/** Batches near an index entry are few: small reads do. */
const lookChunk = 16 * 1024;

export interface SegmentPlace {
  readonly disk: Disk;
  readonly indexes: IndexCache;
  /** Path of the partition's folder. */
  readonly folder: string;
}

/** What a segment needs to know of a batch. */
export interface NotedBatch {
  readonly baseOffset: Offset;
  readonly maxTimestamp: number;
}

export interface NewestRecord {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** Base offset of the batch that holds it. */
  readonly at: Offset;
}

/**
 * What is known of the indexes: `sound`: this process made or checked them; `closed`: found on the disk, to be checked against their last entry
 * at first use; `open`: as they were left when the log was closed, without a last entry.
 */
type IndexState = 'sound' | 'closed' | 'open';

export class Segment {
  readonly base: Offset;
  readonly path: string;
  readonly #place: SegmentPlace;
  readonly #file: SegmentFile;
  /** Bytes of whole batches. */
  bytes = 0;
  /** Newest record of the first batch, for segment.ms; −1: no timestamp. */
  firstTimestamp = -1;
  /** Wall clock when this process created, opened or last wrote it: the age of records without a timestamp. */
  touchedMs: number;
  readonly #createdMs: number;
  #index: SegmentIndex;
  #indexState: IndexState = 'sound';
  #isSealed = false;
  /** The newest record is known, whatever the state of the indexes. */
  #knowsNewest = true;
  #checking: Promise<void> | undefined;

  constructor(place: SegmentPlace, base: Offset, indexOrigin: IndexOrigin) {
    this.#place = place;
    this.base = base;
    this.path = this.#pathOf('log');
    this.#file = new SegmentFile(place.disk, this.path);
    this.#createdMs = place.disk.clock.wallMs();
    this.touchedMs = this.#createdMs;
    this.#index = new SegmentIndex(place, base, indexOrigin);
  }

  /** A segment that is not written any more, found on the disk. */
  static async openClosed(place: SegmentPlace, base: Offset): Promise<Segment> {
    const segment = new Segment(place, base, 'stored');
    segment.#indexState = 'closed';
    segment.#isSealed = true;
    segment.#knowsNewest = false;
    await segment.use((file) => {
      segment.bytes = file.size;
      return Promise.resolve();
    });
    return segment;
  }

  /** As it was left when its log was closed: nothing is opened or read. @param isLast it may be written again. */
  static fromFacts(place: SegmentPlace, facts: SegmentFacts, isLast: boolean): Segment {
    const segment = new Segment(place, facts.base, 'stored');
    segment.bytes = facts.bytes;
    segment.firstTimestamp = facts.firstTimestamp;
    segment.#indexState = isLast ? 'open' : 'closed';
    segment.#isSealed = !isLast;
    segment.#knowsNewest = facts.maxTimestamp !== undefined;
    segment.#index.continueAt(facts.bytes, facts.maxTimestamp ?? -1, facts.maxTimestampAt);
    return segment;
  }

  /** To be remembered when the log is closed. */
  get facts(): SegmentFacts {
    const { maxTimestamp, maxTimestampAt } = this.#index;
    return {
      base: this.base,
      bytes: this.bytes,
      maxTimestamp: this.#knowsNewest ? maxTimestamp : undefined,
      maxTimestampAt,
      firstTimestamp: this.firstTimestamp,
    };
  }

  #pathOf(kind: LogFileKind): string {
    return `${this.#place.folder}/${fileName(this.base, kind)}`;
  }

  /** Opens the file for appending, creating it. Whoever reads goes on with the file as it was opened before. */
  async openForAppend(): Promise<File> {
    return await this.#file.openForAppend();
  }

  /** Adds at the end; call {@link sync} to flush. @throws FileError. */
  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#file.write((file) => file.append(chunks));
  }

  /** As {@link append}. */
  truncate(bytes: number): Promise<void> {
    return this.#file.write((file) => file.truncate(bytes));
  }

  /** Flushes what was written before the call. Never rejects: when a sync fails the process ends (L2). */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  /** Also what another process wrote, or nobody: the page cache may have what the disk has not. */
  syncAnyway(): Promise<void> {
    return this.#file.syncAnyway();
  }

  /** Gives `task` the open file, which stays open until it is done. @throws SegmentRetired. */
  use<T>(task: (file: File) => Promise<T>): Promise<T> {
    return this.#file.use(task);
  }

  /** Takes an open file that gets its name later, and until {@link named} could not be opened again. */
  hold(file: File): void {
    this.#file.hold(file);
  }

  named(): void {
    this.#file.named();
  }

  get isRetired(): boolean {
    return this.#file.isRetired;
  }

  /** Another segment holds what is left of its records. Reads that are under way go on, later ones are told. */
  async retire(): Promise<void> {
    this.forgetIndex();
    await this.#file.retire();
  }

  /** Closes the file once nobody uses it. It opens again when it is read or written. */
  async release(): Promise<void> {
    await this.#file.release();
  }

  /** Whether the batch belongs into a new segment. @param written bytes, including what is about to be written. */
  isFullFor(
    batch: NotedBatch & { readonly lastOffset: Offset; readonly bytes: Uint8Array },
    written: number,
    config: TopicConfig,
  ): boolean {
    if (written === 0) return false;
    if (written + batch.bytes.length > config.segmentBytes) return true;
    if (batch.lastOffset - this.base > deltaMax) return true;
    if (this.#index.bytes >= limits.indexFile) return true;
    if (this.firstTimestamp >= 0) return batch.maxTimestamp - this.firstTimestamp >= config.segmentMs;
    return this.#place.disk.clock.wallMs() - this.#createdMs >= config.segmentMs;
  }

  /** A batch now lies at `position`. */
  note(batch: NotedBatch, position: number, indexIntervalBytes: number): void {
    if (position === 0) this.firstTimestamp = batch.maxTimestamp;
    this.#index.note(batch, position, indexIntervalBytes);
  }

  /** The segment is not written any more. */
  seal(end: Offset): void {
    this.#index.seal(end, this.bytes);
    this.#isSealed = true;
  }

  /** The log is being closed and may go on here. */
  pause(): void {
    this.#index.noteTime();
  }

  get hasUnsyncedIndex(): boolean {
    return this.#index.isDirty;
  }

  /** @returns false: the disk is full. */
  async persistIndex(): Promise<boolean> {
    return await this.#index.persist();
  }

  /** Where to begin walking so as to meet the batch that holds `offset`. */
  async positionBefore(offset: Offset): Promise<number> {
    await this.#checked();
    return await this.#confirmed(await this.#index.floor(offset));
  }

  /** Where to begin walking so as to meet the first batch with a record as new as `timestamp`. */
  async positionBeforeTime(timestamp: number): Promise<number> {
    await this.#checked();
    const entry = await this.#index.newestBefore(timestamp);
    if (entry === undefined) return 0;
    if (await this.#isNewest(entry)) return await this.positionBefore(entry.at);
    await this.#rebuild();
    return 0;
  }

  /** Whether the batch that a time entry names is as new as it says. */
  async #isNewest({ timestamp, at: wanted }: NewestRecord): Promise<boolean> {
    const from = await this.#confirmed(await this.#index.floor(wanted));
    let found = false;
    await this.use((file) =>
      scanFile(file, { from, to: this.bytes, check: false, chunk: lookChunk }, (bytes, at) => {
        const base = baseOffsetOf(bytes, at);
        found = base === wanted && newestTimestampOf(bytes, at) === timestamp;
        return base < wanted;
      }),
    );
    return found;
  }

  /** The log itself says whether an index entry is right; if not, all are made anew. */
  async #confirmed({ delta, position }: OffsetEntry): Promise<number> {
    if (position === 0 || position === this.bytes) return position;
    const header = Buffer.alloc(batchHeaderBytes);
    const got = position > this.bytes ? 0 : await this.use((file) => file.read(header, position));
    const isBatch = got === batchHeaderBytes && magicOf(header, 0) === batchMagic;
    if (isBatch && baseOffsetOf(header, 0) === this.base + BigInt(delta)) return position;
    await this.#rebuild();
    return 0;
  }

  /** Newest record, ms, and the base offset of the batch that holds it; −1: none has a timestamp. */
  async newest(): Promise<NewestRecord> {
    if (!this.#knowsNewest) await this.#checked();
    return { timestamp: this.#index.maxTimestamp, at: this.#index.maxTimestampAt };
  }

  /** As {@link newest}, where nothing has to be read for it. */
  get newestNow(): number | undefined {
    return this.#knowsNewest ? this.#index.maxTimestamp : undefined;
  }

  /** About where `offset` is, and how new, without reading: by the indexes if they are in memory, else in proportion. @param end of its offsets. */
  estimate(offset: Offset, end: Offset): { readonly position: number; readonly timestampMs: number } {
    const known = this.#index.estimate(offset);
    const share = end > this.base ? Number(offset - this.base) / Number(end - this.base) : 0;
    const position = known.position ?? Math.floor(this.bytes * share);
    const newest = this.#index.maxTimestamp;
    const first = this.firstTimestamp < 0 ? newest : this.firstTimestamp;
    const timestampMs = known.timestampMs ?? Math.round(first + (newest < 0 ? 0 : (newest - first) * share));
    return { position: Math.min(position, this.bytes), timestampMs };
  }

  async #checked(): Promise<void> {
    if (this.#indexState === 'sound') return;
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  async #check(): Promise<void> {
    const isRight = this.#indexState === 'open' ? await this.#index.isSound() : await this.#isWhole();
    if (!isRight) await this.#rebuild();
    this.#indexState = 'sound';
    this.#knowsNewest = true;
  }

  async #isWhole(): Promise<boolean> {
    if (!(await this.#index.isWhole(this.bytes))) return false;
    const { maxTimestamp: timestamp, maxTimestampAt: at } = this.#index;
    return timestamp < 0 || (await this.#isNewest({ timestamp, at }));
  }

  /** Reads all headers. Batches may be added meanwhile: the new index takes over when it has caught up. */
  async #rebuild(): Promise<void> {
    this.#place.disk.logger.warn('index rebuilt', { path: this.path });
    const index = new SegmentIndex(this.#place, this.base, 'reset');
    let end = this.base;
    let from = 0;
    while (from < this.bytes) {
      const ended = await this.use((file) =>
        scanFile(file, { from, to: this.bytes, check: false }, (bytes, at, position) => {
          const batch = { baseOffset: baseOffsetOf(bytes, at), maxTimestamp: newestTimestampOf(bytes, at) };
          index.note(batch, position, rebuiltInterval);
          end = nextOffsetOf(bytes, at);
          return true;
        }),
      );
      from = ended.position;
      if (ended.kind === 'damaged') break;
    }
    if (this.#isSealed) index.seal(end, this.bytes);
    this.#replaceIndex(index);
  }

  #replaceIndex(index: SegmentIndex): void {
    this.#index.forget();
    this.#index = index;
  }

  /** Nothing that the files say counts. For recovery, which then notes every batch. */
  resetIndex(): void {
    this.#replaceIndex(new SegmentIndex(this.#place, this.base, 'reset'));
  }

  /**
   * Forgets what the indexes say from `position` and `offset` on.
   * @returns where to walk from, noting each batch, so that they are whole again.
   */
  async cutIndex(position: number, offset: Offset): Promise<{ readonly position: number; readonly offset: Offset }> {
    const from = await this.#index.cut(position, offset);
    this.#indexState = 'sound';
    this.#isSealed = false;
    this.#knowsNewest = true;
    return from;
  }

  /** The file now ends at `bytes`, the log at `end`: what the indexes say beyond is forgotten, and the newest record found anew. */
  async reindexTail(end: Offset, indexIntervalBytes: number): Promise<void> {
    const { position: from } = await this.cutIndex(this.bytes, end);
    if (this.bytes === 0) this.firstTimestamp = -1;
    await this.use((file) =>
      scanFile(file, { from, to: this.bytes, check: false }, (bytes, at, position) => {
        const batch = { baseOffset: baseOffsetOf(bytes, at), maxTimestamp: newestTimestampOf(bytes, at) };
        this.note(batch, position, indexIntervalBytes);
        return true;
      }),
    );
  }

  forgetIndex(): void {
    this.#index.forget();
  }

  /** The files get names that do not count; readers that are under way go on. @returns what is left to remove. */
  async moveAway(): Promise<readonly string[]> {
    const moved: string[] = [];
    for (const kind of ['index', 'timeindex', 'log'] as const) {
      const away = `${this.#pathOf(kind)}${deletedSuffix}`;
      try {
        await this.#place.disk.files.rename(this.#pathOf(kind), away);
        moved.push(away);
      } catch (thrown) {
        // To list the folder for each of many segments would cost more than all of this.
        if (!(thrown instanceof FileError) || thrown.reason !== 'absent') throw thrown;
      }
    }
    this.forgetIndex();
    return moved;
  }

  /** Closes and removes the files. */
  async remove(): Promise<void> {
    this.forgetIndex();
    await this.release();
    for (const kind of ['index', 'timeindex', 'log'] as const) await this.#place.disk.files.remove(this.#pathOf(kind));
  }
}
