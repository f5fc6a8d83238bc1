/** The two indexes of a segment, kept together: where batches begin, and how new their records are. */
import type { Offset } from '@tributary/model';
import type { IndexOrigin } from './index-file.ts';
import { deltaMax } from './index-search.ts';
import { fileName } from './names.ts';
import { type OffsetEntry, OffsetIndex } from './offset-index.ts';
import type { NewestRecord, NotedBatch, SegmentPlace } from './segment.ts';
import { TimeIndex } from './time-index.ts';

export class SegmentIndex {
  readonly base: Offset;
  readonly #offsets: OffsetIndex;
  readonly #times: TimeIndex;
  /** −1: no record has a timestamp, or none is known. */
  maxTimestamp = -1;
  /** Base offset of the batch that holds it. */
  maxTimestampAt: Offset;
  /** Position of the last entry. */
  #indexedTo = 0;

  constructor(place: SegmentPlace, base: Offset, origin: IndexOrigin) {
    this.base = base;
    this.maxTimestampAt = base;
    const path = (kind: 'index' | 'timeindex'): string => `${place.folder}/${fileName(base, kind)}`;
    this.#offsets = new OffsetIndex(place.disk, place.indexes, path('index'), origin);
    this.#times = new TimeIndex(place.disk, place.indexes, path('timeindex'), origin);
  }

  /** The files hold what belongs to the first `bytes` of the log; nothing is read. */
  continueAt(bytes: number, maxTimestamp: number, maxTimestampAt: Offset): void {
    this.maxTimestamp = maxTimestamp;
    this.maxTimestampAt = maxTimestampAt;
    this.#indexedTo = bytes;
    this.#offsets.continueAt(bytes - 1);
    this.#times.continueAt(maxTimestamp);
  }

  /** Bytes of the larger file, as far as known without reading. */
  get bytes(): number {
    return this.#offsets.file.knownBytes;
  }

  /** A batch now lies at `position`. */
  note(batch: NotedBatch, position: number, intervalBytes: number): void {
    if (batch.maxTimestamp > this.maxTimestamp) {
      this.maxTimestamp = batch.maxTimestamp;
      this.maxTimestampAt = batch.baseOffset;
    }
    if (position === 0 || position - this.#indexedTo < intervalBytes) return;
    this.#indexedTo = position;
    this.#offsets.add(this.deltaOf(batch.baseOffset), position);
    this.noteTime();
  }

  noteTime(): void {
    if (this.maxTimestamp >= 0) this.#times.add(this.maxTimestamp, this.deltaOf(this.maxTimestampAt));
  }

  deltaOf(offset: Offset): number {
    const delta = offset - this.base;
    return Number(delta > deltaMax ? deltaMax : delta);
  }

  /** The segment is closed: a last entry each, by which a later start knows them to be whole. */
  seal(end: Offset, bytes: number): void {
    this.noteTime();
    this.#times.close(this.deltaOf(end));
    this.#offsets.add(this.deltaOf(end), bytes);
  }

  get isDirty(): boolean {
    return this.#offsets.file.isDirty || this.#times.file.isDirty;
  }

  /** The time index first: a whole offset index vouches for both. @returns false: the disk is full. */
  async persist(): Promise<boolean> {
    return (await this.#times.file.persist()) && (await this.#offsets.file.persist());
  }

  async floor(offset: Offset): Promise<OffsetEntry> {
    return await this.#offsets.floor(this.deltaOf(offset));
  }

  /** About where the batch is that holds `offset`, and how new its records are, by what is in memory. */
  estimate(offset: Offset): { readonly position: number | undefined; readonly timestampMs: number | undefined } {
    const delta = this.deltaOf(offset);
    return {
      position: this.#offsets.floorNow(delta)?.position,
      timestampMs: this.#times.upToNow(delta)?.timestamp,
    };
  }

  /** A batch before which no record is as new as `timestamp`, and how new it is. */
  async newestBefore(timestamp: number): Promise<NewestRecord | undefined> {
    const entry = await this.#times.before(timestamp);
    return entry === undefined ? undefined : { timestamp: entry.timestamp, at: this.#at(entry.delta) };
  }

  /** Keys rise as they must. */
  async isSound(): Promise<boolean> {
    return (await this.#offsets.isSound()) && (await this.#times.isSound());
  }

  /** Sound, and sealed for a log file of so many bytes; then it also says how new the records are. */
  async isWhole(bytes: number): Promise<boolean> {
    if (!(await this.isSound())) return false;
    const last = await this.#offsets.last();
    if (last.position !== bytes) return false;
    const newest = await this.#times.newestBelow(last.delta);
    if (newest === undefined) return false;
    if (newest !== 'none') {
      this.maxTimestamp = newest.timestamp;
      this.maxTimestampAt = this.#at(newest.delta);
    }
    return true;
  }

  /**
   * Forgets what is said from `position` and `offset` on.
   * @returns where to walk from, noting each batch, so that they are whole again.
   */
  async cut(position: number, offset: Offset): Promise<{ readonly position: number; readonly offset: Offset }> {
    const kept = await this.#offsets.cut(position, this.deltaOf(offset));
    const newest = await this.#times.cut(kept.delta);
    this.maxTimestamp = newest?.timestamp ?? -1;
    this.maxTimestampAt = this.#at(newest?.delta ?? 0);
    this.#indexedTo = kept.position;
    return { position: kept.position, offset: this.#at(kept.delta) };
  }

  #at(delta: number): Offset {
    return (this.base + BigInt(delta)) as Offset;
  }

  /** The files are gone, or another index takes their place. */
  forget(): void {
    this.#offsets.file.forget();
    this.#times.file.forget();
  }
}
