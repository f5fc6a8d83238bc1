/**
 * A file of fixed-size entries that only grows at its end: the part that the offset index and the time index share. New entries stay in memory
 * until {@link persist}; what lies in the file is read when first searched, and let go when the budget of all indexes is used up.
 */
import { assert } from '@tributary/model';
import { type Disk, isFull } from './disk.ts';
import type { IndexCache } from './index-cache.ts';
import { Mutex } from './mutex.ts';

/** `new`: there is no file yet. `stored`: it counts. `reset`: whatever it holds does not count. */
export type IndexOrigin = 'new' | 'stored' | 'reset';

export class IndexFile {
  readonly path: string;
  readonly #disk: Disk;
  readonly #cache: IndexCache;
  readonly #entryBytes: number;
  /** Loaded: all entries. Otherwise: those that the file has not. */
  #entries: Buffer = Buffer.alloc(0);
  #used = 0;
  #loaded: boolean;
  /** Bytes of the file that count; undefined: not looked at yet. */
  #inFile: number | undefined;
  /** Bytes at the end of #entries that the file has not. */
  #unwritten = 0;
  #unsynced = false;
  /** Of whatever touches the file. */
  readonly #mutex = new Mutex();

  constructor(disk: Disk, cache: IndexCache, path: string, entryBytes: number, origin: IndexOrigin) {
    this.#disk = disk;
    this.#cache = cache;
    this.path = path;
    this.#entryBytes = entryBytes;
    this.#loaded = origin !== 'stored';
    this.#inFile = origin === 'stored' ? undefined : 0;
    this.#unsynced = origin === 'reset';
  }

  /** Whether {@link persist} has something to do. */
  get isDirty(): boolean {
    return this.#unwritten > 0 || this.#unsynced;
  }

  get bytesInMemory(): number {
    return this.#entries.length;
  }

  /** Bytes of entries known to be here; the file may have more while it is not loaded. */
  get knownBytes(): number {
    return this.#loaded ? this.#used : this.#used + (this.#inFile ?? 0);
  }

  /** Makes room for one entry at the end. @returns where to write it. */
  grow(): { readonly into: Buffer; readonly at: number } {
    const at = this.#used;
    if (at + this.#entryBytes > this.#entries.length) {
      const larger = Buffer.alloc(Math.max(64 * this.#entryBytes, this.#entries.length * 2));
      this.#entries.copy(larger, 0, 0, at);
      this.#entries = larger;
    }
    this.#used += this.#entryBytes;
    this.#unwritten += this.#entryBytes;
    return { into: this.#entries, at };
  }

  /** All entries, for a search now: not to be kept over a wait. A torn last entry is left out. */
  async load(): Promise<Buffer> {
    if (!this.#loaded) await this.#mutex.run(() => this.#read());
    this.#cache.used(this);
    return this.#entries.subarray(0, this.#used);
  }

  /** As {@link load}, where nothing has to be read for it. */
  get loaded(): Buffer | undefined {
    return this.#loaded ? this.#entries.subarray(0, this.#used) : undefined;
  }

  async #read(): Promise<void> {
    if (this.#loaded) return;
    const bytes = (await this.#disk.readWhole(this.path)) ?? Buffer.alloc(0);
    const there = Math.min(bytes.length, this.#inFile ?? bytes.length);
    const whole = there - (there % this.#entryBytes);
    this.#inFile = whole;
    if (bytes.length !== whole) this.#unsynced = true;
    // What was added while the file was being read is in #entries already.
    this.#entries = Buffer.concat([bytes.subarray(0, whole), this.#entries.subarray(0, this.#used)]);
    this.#used = this.#entries.length;
    this.#loaded = true;
  }

  /** Keeps the first `entries` of them; load first. */
  truncate(entries: number): void {
    assert(this.#loaded, `${this.path} is cut before it was loaded`);
    const keep = entries * this.#entryBytes;
    if (keep >= this.#used) return;
    this.#used = keep;
    const inFile = Math.min(this.#inFile ?? 0, keep);
    this.#inFile = inFile;
    this.#unwritten = keep - inFile;
    this.#unsynced = true;
  }

  /** Writes and syncs what the file lacks. A full disk leaves it for later. @returns whether the file is complete and synced. */
  async persist(): Promise<boolean> {
    if (!this.isDirty) return true;
    return await this.#mutex.run(async () => {
      try {
        await this.#disk.withHeadroom(() => this.#write());
        return true;
      } catch (thrown) {
        if (isFull(thrown)) return false;
        return await this.#disk.fail(this.path, thrown);
      }
    });
  }

  async #write(): Promise<void> {
    const file = await this.#disk.files.open(this.path, 'append');
    try {
      const inFile = this.#inFile ?? file.size - (file.size % this.#entryBytes);
      if (file.size > inFile) await file.truncate(inFile);
      const bytes = Buffer.from(this.#entries.subarray(this.#used - this.#unwritten, this.#used));
      if (bytes.length > 0) await file.append([bytes]);
      // Only now: entries may have been added meanwhile.
      this.#inFile = inFile + bytes.length;
      this.#unwritten -= bytes.length;
      this.#unsynced = true;
      if (!this.#loaded) this.#keepUnwritten();
      await this.#disk.sync(file, this.path);
      this.#unsynced = false;
    } finally {
      await file.close();
    }
  }

  /** For {@link IndexCache}: keeps in memory only what the file has not. */
  release(): void {
    if (!this.#loaded || this.#inFile === undefined) return;
    this.#loaded = false;
    this.#keepUnwritten();
  }

  #keepUnwritten(): void {
    this.#entries = Buffer.from(this.#entries.subarray(this.#used - this.#unwritten, this.#used));
    this.#used = this.#unwritten;
  }

  /** The segment is gone. */
  forget(): void {
    this.#cache.forget(this);
  }
}
