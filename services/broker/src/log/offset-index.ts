/** `<base>.index`: where in a segment's file a batch begins, one entry for each index.interval.bytes. Format: index-search.ts. */
import type { Disk } from './disk.ts';
import type { IndexCache } from './index-cache.ts';
import { IndexFile, type IndexOrigin } from './index-file.ts';
import { countSound, countUpTo, deltaAt, offsetEntryBytes, positionAt } from './index-search.ts';

/** A batch begins at byte `position`; its base offset is the segment's plus `delta`, or more where offsets have a gap. */
export interface OffsetEntry {
  readonly delta: number;
  readonly position: number;
}

/** Every segment begins with a batch. */
const beginning: OffsetEntry = { delta: 0, position: 0 };

export class OffsetIndex {
  readonly file: IndexFile;
  #lastPosition = 0;

  constructor(disk: Disk, cache: IndexCache, path: string, origin: IndexOrigin) {
    this.file = new IndexFile(disk, cache, path, offsetEntryBytes, origin);
  }

  /** Positions rise: one that is not beyond the last is left out. */
  add(delta: number, position: number): void {
    if (position <= this.#lastPosition) return;
    const { into, at } = this.file.grow();
    into.writeUInt32BE(delta, at);
    into.writeUInt32BE(position, at + 4);
    this.#lastPosition = position;
  }

  /** After opening: entries up to here are in the file. */
  continueAt(position: number): void {
    this.#lastPosition = position;
  }

  /** The last batch known that does not begin above `delta`. */
  async floor(delta: number): Promise<OffsetEntry> {
    const entries = await this.file.load();
    return entryAt(entries, countUpTo(entries, deltaAt, offsetEntryBytes, delta) - 1);
  }

  /** As {@link floor}, where the file has been read. */
  floorNow(delta: number): OffsetEntry | undefined {
    const entries = this.file.loaded;
    return entries && entryAt(entries, countUpTo(entries, deltaAt, offsetEntryBytes, delta) - 1);
  }

  async last(): Promise<OffsetEntry> {
    const entries = await this.file.load();
    return entryAt(entries, entries.length / offsetEntryBytes - 1);
  }

  /** Keeps the entries below `position` and `delta`, as far as they are sound. @returns the last one kept. */
  async cut(position: number, delta: number): Promise<OffsetEntry> {
    const entries = await this.file.load();
    const below = Math.min(
      countSound(entries, offsetEntryBytes),
      countUpTo(entries, positionAt, offsetEntryBytes, position - 1),
      countUpTo(entries, deltaAt, offsetEntryBytes, delta - 1),
    );
    const last = entryAt(entries, below - 1);
    this.file.truncate(below);
    this.#lastPosition = last.position;
    return last;
  }

  async isSound(): Promise<boolean> {
    const entries = await this.file.load();
    return countSound(entries, offsetEntryBytes) * offsetEntryBytes === entries.length;
  }
}

const entryAt = (entries: Buffer, index: number): OffsetEntry =>
  index < 0 ? beginning : { delta: deltaAt(entries, index), position: positionAt(entries, index) };
