/**
 * `<base>.timeindex`: no batch before the one at `delta` has a record as new as `timestamp`, and none between there and the next entry a newer
 * one. Format: index-search.ts.
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

  /** Delta of a batch before which no record is as new as `timestamp`. */
  async deltaBefore(timestamp: number): Promise<number> {
    const entries = await this.file.load();
    const older = countUpTo(entries, timestampAt, timeEntryBytes, timestamp - 1);
    return older === 0 ? 0 : timeDeltaAt(entries, older - 1);
  }

  async last(): Promise<TimeEntry | undefined> {
    const entries = await this.file.load();
    return entryAt(entries, entries.length / timeEntryBytes - 1);
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
