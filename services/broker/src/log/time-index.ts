/**
 * `<base>.timeindex`: no batch before the one at `delta` has a record as new as `timestamp`, and none between there and the next entry a newer
 * one. When the segment is closed a last entry says the same of its end, one millisecond past its newest record. Format: index-search.ts.
 */
import type { Disk } from './disk.ts';
import type { IndexCache } from './index-cache.ts';
import { IndexFile, type IndexOrigin } from './index-file.ts';
import { countSound, countUpTo, timeDeltaAt, timeEntryBytes, timestampAt, writeTimestamp } from './index-search.ts';

export interface TimeEntry {
  /** Newest record up to the place where the entry was made, ms. */
  readonly timestamp: number;
  /** Base offset of the batch that holds it, less the segment's. */
  readonly delta: number;
}

export class TimeIndex {
  readonly file: IndexFile;
  #lastTimestamp = -1;

  constructor(disk: Disk, cache: IndexCache, path: string, origin: IndexOrigin) {
    this.file = new IndexFile(disk, cache, path, timeEntryBytes, origin);
  }

  /** Timestamps rise: one that is not newer than the last is left out. */
  add(timestamp: number, delta: number): void {
    if (timestamp <= this.#lastTimestamp) return;
    const { into, at } = this.file.grow();
    writeTimestamp(into, at, timestamp);
    into.writeUInt32BE(delta, at + 8);
    this.#lastTimestamp = timestamp;
  }

  /** After opening: the newest timestamp known here. */
  continueAt(timestamp: number): void {
    this.#lastTimestamp = timestamp;
  }

  /** The last entry that is older than `timestamp`. */
  async before(timestamp: number): Promise<TimeEntry | undefined> {
    const entries = await this.file.load();
    return entryAt(entries, countUpTo(entries, timestampAt, timeEntryBytes, timestamp - 1) - 1);
  }

  /** The newest record up to the batch at `delta`, about, where the file has been read. */
  upToNow(delta: number): TimeEntry | undefined {
    const entries = this.file.loaded;
    return entries && entryAt(entries, countUpTo(entries, timeDeltaAt, timeEntryBytes, delta) - 1);
  }

  /** The segment ends at `delta`. */
  close(delta: number): void {
    this.add(this.#lastTimestamp + 1, delta);
  }

  /** Of a closed segment that ends at `delta`: its newest record. undefined: the index does not reach that far. */
  async newestBelow(delta: number): Promise<TimeEntry | 'none' | undefined> {
    const entries = await this.file.load();
    const last = entries.length / timeEntryBytes - 1;
    if (entryAt(entries, last)?.delta !== delta) return undefined;
    return entryAt(entries, last - 1) ?? 'none';
  }

  /** Keeps the entries whose batch lies below `delta`, as far as they are sound. @returns the last one kept. */
  async cut(delta: number): Promise<TimeEntry | undefined> {
    const entries = await this.file.load();
    const below = Math.min(
      countSound(entries, timeEntryBytes),
      countUpTo(entries, timeDeltaAt, timeEntryBytes, delta - 1),
    );
    const last = entryAt(entries, below - 1);
    this.file.truncate(below);
    this.#lastTimestamp = last?.timestamp ?? -1;
    return last;
  }

  async isSound(): Promise<boolean> {
    const entries = await this.file.load();
    return countSound(entries, timeEntryBytes) * timeEntryBytes === entries.length;
  }
}

const entryAt = (entries: Buffer, index: number): TimeEntry | undefined =>
  index < 0 ? undefined : { timestamp: timestampAt(entries, index), delta: timeDeltaAt(entries, index) };
