/**
 * The file of one segment: opened when it is read or written, closed when others need the room (see {@link OpenFiles}), synced once for all who ask at the
 * same time. Whoever uses it keeps it open until it is done.
 */
import type { File } from '@tributary/ports';
import type { Disk } from './disk.ts';
import type { Holder } from './open-files.ts';

interface Handle {
  readonly file: File;
  readonly isWritable: boolean;
  /** Whoever had it opened is about to use it. */
  isFresh: boolean;
  users: number;
  /** Closed when the last user is done. */
  isReleased: boolean;
}

function enter(handle: Handle): void {
  handle.isFresh = false;
  handle.users++;
}

/** The segment was replaced by another that holds what is left of its records: whoever reads looks for that one. */
export class SegmentRetired extends Error {
  override readonly name = 'SegmentRetired';
}

export class SegmentFile implements Holder {
  readonly path: string;
  readonly #disk: Disk;
  #handle: Handle | undefined;
  #opening: Promise<Handle> | undefined;
  #openingForAppend: Promise<Handle> | undefined;
  /** Bytes were written that no sync has been asked for. */
  #isDirty = false;
  #syncing: Promise<void> | undefined;
  /** The file has not got its name yet: it could not be opened again. */
  #isHeld = false;
  #isRetired = false;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.path = path;
  }

  /** Opens the file for appending, creating it. Whoever reads goes on with the file as it was opened before. */
  async openForAppend(): Promise<File> {
    const handle = await this.#writable();
    handle.isFresh = false;
    return handle.file;
  }

  async #writable(): Promise<Handle> {
    if (this.#handle?.isWritable === true) return this.#handle;
    this.#openingForAppend ??= this.#openWritable().finally(() => {
      this.#openingForAppend = undefined;
    });
    return await this.#openingForAppend;
  }

  async #openWritable(): Promise<Handle> {
    await this.release();
    const handle = await this.#disk.openFiles.open(this, async () => {
      const file = await this.#disk.files.open(this.path, 'append');
      return { file, isWritable: true, isFresh: true, users: 0, isReleased: false };
    });
    // Readers may have opened it meanwhile, and again while that was being closed.
    while (this.#handle !== undefined) await this.release();
    this.#disk.openFiles.used(this);
    this.#handle = handle;
    return handle;
  }

  /** Gives `task` the file open for appending. */
  async write(task: (file: File) => Promise<void>): Promise<void> {
    let handle = this.#handle?.isWritable === true ? this.#handle : await this.#writable();
    // Released while this task waited for it.
    while (handle.isReleased) handle = await this.#writable();
    enter(handle);
    try {
      await task(handle.file);
    } finally {
      // Not before: a sync that is asked for meanwhile does not cover it.
      this.#isDirty = true;
      await this.#leave(handle);
    }
  }

  /** Flushes what was written before the call. Never rejects: when a sync fails the process ends (L2). */
  async sync(): Promise<void> {
    // Somebody else's sync that is under way began after the last write.
    if (!this.#isDirty) return await this.#syncing;
    this.#isDirty = false;
    const syncing = this.#syncNow();
    this.#syncing = syncing;
    await syncing;
    if (this.#syncing === syncing) this.#syncing = undefined;
  }

  /** Also what another process wrote, or nobody: the page cache may have what the disk has not. */
  async syncAnyway(): Promise<void> {
    this.#isDirty = true;
    await this.sync();
  }

  async #syncNow(): Promise<void> {
    let handle = this.#handle?.isWritable === true ? this.#handle : await this.#writable();
    while (handle.isReleased) handle = await this.#writable();
    enter(handle);
    await this.#disk.sync(handle.file, this.path);
    await this.#leave(handle);
  }

  get state(): Holder['state'] {
    if (this.#isHeld || this.#handle === undefined || this.#syncing !== undefined) return 'busy';
    if (this.#handle.isFresh || this.#handle.users > 0) return 'busy';
    return this.#isDirty ? 'unflushed' : 'idle';
  }

  /** Gives `task` the open file, which stays open until it is done. @throws SegmentRetired. */
  async use<T>(task: (file: File) => Promise<T>): Promise<T> {
    let handle = this.#handle ?? (await this.#open());
    // Released while this task waited for it.
    while (handle.isReleased) handle = this.#handle ?? (await this.#open());
    this.#disk.openFiles.used(this);
    enter(handle);
    try {
      return await task(handle.file);
    } finally {
      await this.#leave(handle);
    }
  }

  async #leave(handle: Handle): Promise<void> {
    handle.users--;
    if (handle.users > 0) return;
    if (handle.isReleased) await handle.file.close();
    else if (this.#disk.openFiles.isOver) await this.#disk.openFiles.closeOne();
  }

  async #open(): Promise<Handle> {
    if (this.#isRetired) throw new SegmentRetired(this.path);
    this.#opening ??= this.#openReadable().finally(() => {
      this.#opening = undefined;
    });
    return await this.#opening;
  }

  async #openReadable(): Promise<Handle> {
    let file: File;
    try {
      file = await this.#disk.openFiles.open(this, () => this.#disk.files.open(this.path, 'read'));
    } catch (thrown) {
      // It may be gone for that very reason.
      if (this.#isRetired) throw new SegmentRetired(this.path);
      throw thrown;
    }
    if (this.#isRetired) {
      this.#disk.openFiles.closed(this);
      await file.close();
      // Whose file it is that has the name now, nobody can say.
      throw new SegmentRetired(this.path);
    }
    if (this.#handle !== undefined) {
      const opened = this.#handle;
      await file.close();
      return opened;
    }
    this.#handle = { file, isWritable: false, isFresh: true, users: 0, isReleased: false };
    this.#disk.openFiles.used(this);
    return this.#handle;
  }

  /** Takes an open file that gets its name later, and until {@link named} could not be opened again. */
  hold(file: File): void {
    this.#isHeld = true;
    this.#handle = { file, isWritable: false, isFresh: false, users: 0, isReleased: false };
    this.#disk.openFiles.used(this);
  }

  named(): void {
    this.#isHeld = false;
  }

  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** Another segment holds what is left of its records. Reads that are under way go on, later ones are told. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.release();
  }

  /** Closes the file once nobody uses it. It opens again when it is read or written. */
  async release(): Promise<void> {
    if (this.#isHeld) return;
    const handle = this.#handle;
    this.#handle = undefined;
    this.#disk.openFiles.closed(this);
    if (handle === undefined) return;
    handle.isReleased = true;
    if (handle.users === 0) await handle.file.close();
  }
}
