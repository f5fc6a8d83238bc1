/** Which files of a log were written since they were last flushed, and how far the log is durable (L2). */
import type { Offset } from '@tributary/model';
import type { Disk } from './disk.ts';
import { GroupCommit } from './group-commit.ts';
import { Mutex } from './mutex.ts';
import type { Segment } from './segment.ts';

export class Flusher {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #unsynced = new Set<Segment>();
  #unsyncedNames: boolean;
  #written: Offset;
  #durable: Offset;
  readonly #mutex = new Mutex();
  readonly #commits: GroupCommit<Offset> = new GroupCommit(() => this.#mutex.run(() => this.flushNow()));

  /** @param end of the log, all of it durable. @param isNew the folder was made just now. */
  constructor(disk: Disk, folder: string, end: Offset, isNew: boolean) {
    this.#disk = disk;
    this.#folder = folder;
    this.#written = end;
    this.#durable = end;
    this.#unsyncedNames = isNew;
  }

  /** End of what is flushed. */
  get durable(): Offset {
    return this.#durable;
  }

  /** The log now ends at `end`, and `segment` has bytes that are not flushed. */
  wrote(segment: Segment, end: Offset): void {
    this.#unsynced.add(segment);
    this.#written = end;
  }

  /** Files were made or removed. */
  namesChanged(): void {
    this.#unsyncedNames = true;
  }

  /** The log was cut; call inside {@link exclusively}. */
  cut(end: Offset): void {
    this.#written = end;
    if (this.#durable > end) this.#durable = end;
  }

  /** The segment is gone; call inside {@link exclusively}. */
  forget(segment: Segment): void {
    this.#unsynced.delete(segment);
  }

  /** Flushes what was written before the call; calls that come while a flush is under way share the next. Never rejects. */
  sync(): Promise<Offset> {
    if (this.#unsynced.size === 0 && !this.#unsyncedNames && this.#durable === this.#written) {
      return Promise.resolve(this.#durable);
    }
    return this.#commits.commit();
  }

  /** No flush is under way while the task runs: files may be closed. */
  async exclusively<T>(task: () => Promise<T>): Promise<T> {
    return await this.#mutex.run(task);
  }

  /** As {@link sync}, inside {@link exclusively}. */
  async flushNow(): Promise<Offset> {
    const target = this.#written;
    const syncs = [...this.#unsynced].map((segment) => segment.sync());
    this.#unsynced.clear();
    if (this.#unsyncedNames) {
      this.#unsyncedNames = false;
      syncs.push(this.#disk.syncDirectory(this.#folder), this.#disk.syncDirectory(this.#disk.root));
    }
    await Promise.all(syncs);
    if (target > this.#durable) this.#durable = target;
    return this.#durable;
  }
}
