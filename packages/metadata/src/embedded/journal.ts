import { limits } from '@tributary/model';
import { type File, type FileSystem, FileError } from '@tributary/ports';
import { decodeJournal, encodeRevisions, encodeSnapshot } from './journal-format.ts';
import { Headroom } from '../headroom.ts';
import { type Effects, KeySpace } from './key-space.ts';

const fileName = 'metadata.journal';
const scratchName = 'metadata.journal.new';

/** etcd's first revision: the first change is revision 2. */
const firstRevision = 1n;

/** The disk is full: nothing of the write stays, and the store goes on reading. */
export class JournalFullError extends Error {
  override readonly name = 'JournalFullError';
}

/**
 * The store's file. Opening and outgrowing its limit rewrite it whole as one snapshot, beside the old one and renamed over it, so that
 * whatever a crash or a failed sync left behind is never built upon (L2).
 */
export class Journal {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #headroom: Headroom;
  #file: File;
  /** Bytes after which it is rewritten. */
  #rewriteAt: number;

  private constructor(files: FileSystem, directory: string, headroom: Headroom, file: File) {
    this.#files = files;
    this.#directory = directory;
    this.#headroom = headroom;
    this.#file = file;
    this.#rewriteAt = rewriteAt(file.size);
  }

  /** What the directory holds, nothing where it is new. @throws TributaryError, see {@link decodeJournal}; nothing is written. */
  static async load(
    files: FileSystem,
    directory: string,
  ): Promise<{ readonly keys: KeySpace; readonly isNew: boolean }> {
    const names = await files.list(directory);
    if (!names.includes(fileName)) return { keys: new KeySpace(firstRevision), isNew: true };
    const path = `${directory}/${fileName}`;
    const file = await files.open(path, 'read');
    try {
      const bytes = new Uint8Array(file.size);
      const read = await file.read(bytes, 0);
      return { keys: decodeJournal(bytes.subarray(0, read), path), isNew: false };
    } finally {
      await file.close();
    }
  }

  /** A journal that begins with `keys`; they are on the disk when this resolves. */
  static async begin(files: FileSystem, directory: string, keys: KeySpace, isNew: boolean): Promise<Journal> {
    const headroom = new Headroom(files, directory, limits.metadataHeadroom);
    await headroom.spend(() => writeScratch(files, directory, keys));
    // A journal that is found again shows that the folders above it are on the disk.
    if (isNew) await syncFoldersAbove(files, directory);
    const journal = new Journal(files, directory, headroom, await install(files, directory));
    await headroom.take();
    return journal;
  }

  /** On the disk when this resolves. @throws JournalFullError; any other error leaves the file unknown: never use it again. */
  async append(effects: readonly Effects[]): Promise<void> {
    const frame = encodeRevisions(effects);
    try {
      await this.#headroom.spend(() => this.#appendWhole(frame));
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
      throw new JournalFullError(thrown.message, { cause: thrown });
    }
    await this.#file.sync();
  }

  async #appendWhole(frame: Uint8Array): Promise<void> {
    const before = this.#file.size;
    try {
      await this.#file.append([frame]);
    } catch (thrown) {
      if (isFull(thrown)) await this.#file.truncate(before);
      throw thrown;
    }
  }

  get isLarge(): boolean {
    return this.#file.size > this.#rewriteAt;
  }

  /** Everything that was appended is in `keys`. On a full disk the old file stays in use. */
  async rewrite(keys: KeySpace): Promise<void> {
    try {
      await this.#headroom.spend(() => writeScratch(this.#files, this.#directory, keys));
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
      await this.#files.remove(`${this.#directory}/${scratchName}`);
      this.#rewriteAt += limits.metadataJournal;
      return;
    }
    // From here on any failure leaves open which file a restart would find.
    const next = await install(this.#files, this.#directory);
    await this.#file.close();
    this.#file = next;
    this.#rewriteAt = rewriteAt(next.size);
    await this.#headroom.take();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** A large snapshot is not rewritten for every few revisions. */
const rewriteAt = (snapshotBytes: number): number => snapshotBytes + Math.max(limits.metadataJournal, snapshotBytes);

async function writeScratch(files: FileSystem, directory: string, keys: KeySpace): Promise<void> {
  const scratch = `${directory}/${scratchName}`;
  // One that a crash left half-written would be appended to.
  await files.remove(scratch);
  const file = await files.open(scratch, 'append');
  try {
    await file.append([encodeSnapshot(keys)]);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function install(files: FileSystem, directory: string): Promise<File> {
  const path = `${directory}/${fileName}`;
  await files.rename(`${directory}/${scratchName}`, path);
  await files.syncDirectory(directory);
  return files.open(path, 'append');
}

/** Of the folders above, any may have just been made. One that may not be read was not made by us. */
async function syncFoldersAbove(files: FileSystem, directory: string): Promise<void> {
  let below = directory.replace(/\/+$/, '');
  while (below !== '' && below !== '.') {
    const slash = below.lastIndexOf('/');
    const folder = slash < 0 ? '.' : below.slice(0, slash);
    try {
      await files.syncDirectory(slash === 0 ? '/' : folder);
    } catch (thrown) {
      if (!(thrown instanceof FileError) || thrown.reason !== 'not-writable') throw thrown;
    }
    below = folder;
  }
}

function isFull(thrown: unknown): thrown is FileError {
  return thrown instanceof FileError && thrown.reason === 'full';
}
