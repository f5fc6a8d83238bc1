/**
 * One segment of a log: `<base>.log`, whole batches one after the other, with its two indexes. Only the last segment of a log grows. What is
 * said of its size and newest record is what was written whole; a reader never looks beyond.
 */
import { assert, limits, type Offset, type TopicConfig } from '@tributary/model';
import type { File } from '@tributary/ports';
import { baseOffsetOf, maxTimestampOf, nextOffsetOf } from '@tributary/record';
import type { SegmentFacts } from './checkpoint-file.ts';
import type { Disk } from './disk.ts';
import type { IndexCache } from './index-cache.ts';
import type { IndexOrigin } from './index-file.ts';
import { deletedSuffix, fileName, type LogFileKind } from './names.ts';
import { OffsetIndex } from './offset-index.ts';
import { scanFile } from './scan.ts';
import { TimeIndex } from './time-index.ts';

/** Offsets are stored as the distance from the segment's base, in signed 32 bits as Kafka does. */
const deltaMax = 0x7fff_ffffn;

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

interface Handle {
  readonly file: File;
  readonly isWritable: boolean;
  users: number;
  /** Closed when the last user is done. */
  isReleased: boolean;
}

export class Segment {
  readonly base: Offset;
  readonly path: string;
  readonly #place: SegmentPlace;
  offsets: OffsetIndex;
  times: TimeIndex;
  /** Bytes of whole batches. */
  bytes = 0;
  /** −1: no record has a timestamp, or none is known yet. */
  maxTimestamp = -1;
  /** Base offset of the batch that holds it. */
  maxTimestampAt: Offset;
  /** Newest record of the first batch, for segment.ms; −1: no timestamp. */
  firstTimestamp = -1;
  /** Wall clock when this process created, opened or last wrote it: the age of records without a timestamp. */
  touchedMs: number;
  readonly #createdMs: number;
  #indexedTo = 0;
  /** `unverified`: nobody has looked whether the indexes are whole. `sound`: they are, and say how new the records are. */
  #indexState: 'unverified' | 'sound' = 'sound';
  #verifying: Promise<void> | undefined;
  #handle: Handle | undefined;
  #opening: Promise<Handle> | undefined;

  constructor(place: SegmentPlace, base: Offset, indexOrigin: IndexOrigin) {
    this.#place = place;
    this.base = base;
    this.path = this.#pathOf('log');
    this.maxTimestampAt = base;
    this.#createdMs = place.disk.clock.wallMs();
    this.touchedMs = this.#createdMs;
    this.offsets = this.#offsetIndex(indexOrigin);
    this.times = this.#timeIndex(indexOrigin);
  }

  /** A segment that is not written any more, found on the disk. Its indexes are checked when first needed. */
  static async openClosed(place: SegmentPlace, base: Offset): Promise<Segment> {
    const segment = new Segment(place, base, 'stored');
    segment.#indexState = 'unverified';
    await segment.use((file) => {
      segment.bytes = file.size;
      return Promise.resolve();
    });
    return segment;
  }

  /** As it was closed: nothing is opened or read. */
  static fromFacts(place: SegmentPlace, facts: SegmentFacts): Segment {
    const segment = new Segment(place, facts.base, 'stored');
    segment.bytes = facts.bytes;
    segment.maxTimestamp = facts.maxTimestamp;
    segment.maxTimestampAt = facts.maxTimestampAt;
    segment.firstTimestamp = facts.firstTimestamp;
    segment.offsets.continueAt(facts.bytes);
    segment.times.continueAt(facts.maxTimestamp);
    segment.#indexedTo = facts.bytes;
    return segment;
  }

  get facts(): SegmentFacts {
    const { base, bytes, maxTimestamp, maxTimestampAt, firstTimestamp } = this;
    return { base, bytes, maxTimestamp, maxTimestampAt, firstTimestamp };
  }

  #pathOf(kind: LogFileKind): string {
    return `${this.#place.folder}/${fileName(this.base, kind)}`;
  }

  #offsetIndex(origin: IndexOrigin): OffsetIndex {
    return new OffsetIndex(this.#place.disk, this.#place.indexes, this.#pathOf('index'), origin);
  }

  #timeIndex(origin: IndexOrigin): TimeIndex {
    return new TimeIndex(this.#place.disk, this.#place.indexes, this.#pathOf('timeindex'), origin);
  }

  /** Opens the file for appending, creating it. Whoever reads goes on with the file as it was opened before. */
  async openForAppend(): Promise<File> {
    if (this.#handle?.isWritable !== true) {
      await this.release();
      const file = await this.#place.disk.files.open(this.path, 'append');
      this.#handle = { file, isWritable: true, users: 0, isReleased: false };
    }
    return this.file;
  }

  /** Of a segment that is open for appending. */
  get file(): File {
    assert(this.#handle?.isWritable === true, `${this.path} is not open for appending`);
    return this.#handle.file;
  }

  /** Gives `task` the open file, which stays open until it is done. */
  async use<T>(task: (file: File) => Promise<T>): Promise<T> {
    const handle = this.#handle ?? (await this.#open());
    handle.users++;
    try {
      return await task(handle.file);
    } finally {
      handle.users--;
      if (handle.isReleased && handle.users === 0) await handle.file.close();
    }
  }

  async #open(): Promise<Handle> {
    this.#opening ??= this.#place.disk.files.open(this.path, 'read').then(
      (file) => {
        this.#opening = undefined;
        this.#handle ??= { file, isWritable: false, users: 0, isReleased: false };
        return this.#handle;
      },
      (thrown: unknown) => {
        this.#opening = undefined;
        throw thrown;
      },
    );
    return await this.#opening;
  }

  /** Closes the file once nobody uses it. A segment that is not written opens again when it is read. */
  async release(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    handle.isReleased = true;
    if (handle.users === 0) await handle.file.close();
  }

  /** Whether the batch belongs into a new segment. */
  isFullFor(
    batch: NotedBatch & { readonly lastOffset: Offset; readonly bytes: Uint8Array },
    written: number,
    config: TopicConfig,
  ): boolean {
    if (written === 0) return false;
    if (written + batch.bytes.length > config.segmentBytes) return true;
    if (batch.lastOffset - this.base > deltaMax) return true;
    if (this.offsets.file.knownBytes >= limits.indexFile) return true;
    if (this.firstTimestamp >= 0) return batch.maxTimestamp - this.firstTimestamp >= config.segmentMs;
    return this.#place.disk.clock.wallMs() - this.#createdMs >= config.segmentMs;
  }

  /** A batch now lies at `position`. */
  note(batch: NotedBatch, position: number, indexIntervalBytes: number): void {
    if (position === 0) this.firstTimestamp = batch.maxTimestamp;
    if (batch.maxTimestamp > this.maxTimestamp) {
      this.maxTimestamp = batch.maxTimestamp;
      this.maxTimestampAt = batch.baseOffset;
    }
    if (position === 0 || position - this.#indexedTo < indexIntervalBytes) return;
    this.#indexedTo = position;
    this.offsets.add(this.deltaOf(batch.baseOffset), position);
    this.#noteTime();
  }

  #noteTime(): void {
    if (this.maxTimestamp >= 0) this.times.add(this.maxTimestamp, this.deltaOf(this.maxTimestampAt));
  }

  deltaOf(offset: Offset): number {
    return Number(offset - this.base);
  }

  /** The segment is not written any more: its indexes get a last entry, by which a later start knows them to be whole. */
  seal(end: Offset): void {
    this.#noteTime();
    this.offsets.add(this.deltaOf(end), this.bytes);
  }

  /** The log is being closed and may go on here. */
  pause(): void {
    this.#noteTime();
  }

  get hasUnsyncedIndex(): boolean {
    return this.offsets.file.isDirty || this.times.file.isDirty;
  }

  /** The time index first: a whole offset index vouches for both. @returns false: the disk is full. */
  async persistIndexes(): Promise<boolean> {
    return (await this.times.file.persist()) && (await this.offsets.file.persist());
  }

  /** Where to begin walking so as to meet the batch that holds `offset`. Verifies the indexes of a closed segment first. */
  async positionBefore(offset: Offset): Promise<{ readonly position: number; readonly offset: Offset }> {
    await this.#verified();
    const delta = offset - this.base;
    const entry = await this.offsets.floor(delta > deltaMax ? Number(deltaMax) : Number(delta));
    return { position: entry.position, offset: (this.base + BigInt(entry.delta)) as Offset };
  }

  /** Where to begin walking so as to meet the first batch with a record as new as `timestamp`. */
  async positionBeforeTime(timestamp: number): Promise<number> {
    await this.#verified();
    const delta = await this.times.deltaBefore(timestamp);
    return (await this.offsets.floor(delta)).position;
  }

  /** Newest record, ms; −1: none has a timestamp. @returns also the batch that holds it. */
  async newest(): Promise<{ readonly timestamp: number; readonly at: Offset }> {
    await this.#verified();
    return { timestamp: this.maxTimestamp, at: this.maxTimestampAt };
  }

  /** The index led to something that is no batch, or to the wrong one. */
  async distrustIndexes(): Promise<void> {
    this.#indexState = 'unverified';
    await this.#rebuild();
    this.#indexState = 'sound';
  }

  async #verified(): Promise<void> {
    if (this.#indexState === 'sound') return;
    this.#verifying ??= this.#verify().finally(() => {
      this.#verifying = undefined;
    });
    await this.#verifying;
  }

  async #verify(): Promise<void> {
    const sound = (await this.offsets.isSound()) && (await this.times.isSound());
    const newest = await this.times.last();
    if (sound && (await this.offsets.last()).position === this.bytes) {
      this.maxTimestamp = newest?.timestamp ?? -1;
      this.maxTimestampAt = (this.base + BigInt(newest?.delta ?? 0)) as Offset;
    } else {
      this.#place.disk.logger.warn('index rebuilt', { path: this.path });
      await this.#rebuild();
    }
    this.#indexState = 'sound';
  }

  async #rebuild(): Promise<void> {
    this.resetIndexes();
    let end = this.base;
    await this.use((file) =>
      scanFile(file, { from: 0, to: this.bytes, check: false }, (bytes, at, position) => {
        this.note(
          { baseOffset: baseOffsetOf(bytes, at), maxTimestamp: maxTimestampOf(bytes, at) },
          position,
          rebuiltInterval,
        );
        end = nextOffsetOf(bytes, at);
        return true;
      }),
    );
    this.seal(end);
  }

  resetIndexes(): void {
    this.forgetIndexes();
    this.offsets = this.#offsetIndex('reset');
    this.times = this.#timeIndex('reset');
    this.maxTimestamp = -1;
    this.maxTimestampAt = this.base;
    this.#indexedTo = 0;
  }

  /**
   * Forgets what the indexes say from `position` and `offset` on.
   * @returns where to walk from, noting each batch, so that they are whole again.
   */
  async cutIndexes(position: number, offset: Offset): Promise<{ readonly position: number; readonly offset: Offset }> {
    const delta = offset - this.base;
    const kept = await this.offsets.cut(position, delta > deltaMax ? Number(deltaMax) : Number(delta));
    const newest = await this.times.cut(kept.delta);
    this.maxTimestamp = newest?.timestamp ?? -1;
    this.maxTimestampAt = (this.base + BigInt(newest?.delta ?? 0)) as Offset;
    this.#indexedTo = kept.position;
    this.#indexState = 'sound';
    return { position: kept.position, offset: (this.base + BigInt(kept.delta)) as Offset };
  }

  /** The file now ends at `bytes`, the log at `end`: what the indexes say beyond is forgotten, and the newest record found anew. */
  async reindexTail(end: Offset, indexIntervalBytes: number): Promise<void> {
    const kept = await this.cutIndexes(this.bytes, end);
    if (this.bytes === 0) this.firstTimestamp = -1;
    await this.use((file) =>
      scanFile(file, { from: kept.position, to: this.bytes, check: false }, (bytes, at, position) => {
        this.note(
          { baseOffset: baseOffsetOf(bytes, at), maxTimestamp: maxTimestampOf(bytes, at) },
          position,
          indexIntervalBytes,
        );
        return true;
      }),
    );
  }

  forgetIndexes(): void {
    this.offsets.file.forget();
    this.times.file.forget();
  }

  /** The files get names that do not count; readers that are under way go on. @returns what is left to remove. */
  async moveAway(): Promise<readonly string[]> {
    const moved: string[] = [];
    const present = new Set(await this.#place.disk.files.list(this.#place.folder));
    for (const kind of ['index', 'timeindex', 'log'] as const) {
      if (!present.has(fileName(this.base, kind))) continue;
      const away = `${this.#pathOf(kind)}${deletedSuffix}`;
      await this.#place.disk.files.rename(this.#pathOf(kind), away);
      moved.push(away);
    }
    this.forgetIndexes();
    return moved;
  }

  /** Closes and removes the files. */
  async remove(): Promise<void> {
    this.forgetIndexes();
    await this.release();
    for (const kind of ['index', 'timeindex', 'log'] as const) await this.#place.disk.files.remove(this.#pathOf(kind));
  }
}

/** Entries of an index that is made anew: the topic's own interval is not known everywhere, and any is right. */
const rebuiltInterval = 4096;
