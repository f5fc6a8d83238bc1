/**
 * A file of zeros that is given up, a slice at a time, when the disk is full, so that what must still be written can be: who may write only with
 * room cannot make any. Slices, because others who write to the same disk may take what is given up.
 */
import { FileError, type FileSystem } from '@tributary/ports';

/** A whole headroom is given up in so many steps. */
const slices = 16;
/** A small disk is not filled by what is set aside of it. */
const shareOfDisk = 1 / 16;
const chunkBytes = 1024 * 1024;

const isFull = (thrown: unknown): boolean => thrown instanceof FileError && thrown.reason === 'full';

export class Headroom {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #path: string;
  readonly #bytesMax: number;
  /** undefined: nobody has looked. */
  #bytes: number | undefined;
  #wanted: number | undefined;

  /** @param bytesMax set aside on a disk that is large enough. */
  constructor(files: FileSystem, directory: string, bytesMax: number) {
    this.#files = files;
    this.#directory = directory;
    this.#path = `${directory}/headroom`;
    this.#bytesMax = bytesMax;
  }

  /** Sets aside what is missing, where the disk has twice as much. @returns bytes still missing. @throws FileError, never `full`. */
  async take(): Promise<number> {
    const missing = (await this.#size()) - (await this.#look());
    if (missing <= 0) return 0;
    if ((await this.#files.freeBytes(this.#directory)) < 2 * missing) return missing;
    const file = await this.#files.open(this.#path, 'append').catch(whenFull);
    if (file === undefined) return missing;
    try {
      // Not synced: the room is taken when it is written, and after a loss of power the length tells what is left of it.
      for (let left = missing; left > 0; left -= chunkBytes)
        await file.append([new Uint8Array(Math.min(left, chunkBytes))]);
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
    } finally {
      this.#bytes = file.size;
      await file.close();
    }
    return Math.max(0, (await this.#size()) - this.#bytes);
  }

  /** Does the task, which leaves nothing behind when the disk is full, as often as there is something to give up. */
  async spend<T>(task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task();
      } catch (thrown) {
        if (!isFull(thrown) || !(await this.#giveUp())) throw thrown;
      }
    }
  }

  async #giveUp(): Promise<boolean> {
    const bytes = await this.#look();
    if (bytes === 0) return false;
    const left = Math.max(0, bytes - Math.ceil((await this.#size()) / slices));
    this.#bytes = left;
    if (left === 0) {
      await this.#files.remove(this.#path);
      return true;
    }
    const file = await this.#files.open(this.#path, 'append');
    try {
      await file.truncate(left);
    } finally {
      await file.close();
    }
    return true;
  }

  async #size(): Promise<number> {
    this.#wanted ??= Math.min(
      this.#bytesMax,
      Math.floor((await this.#files.totalBytes(this.#directory)) * shareOfDisk),
    );
    return this.#wanted;
  }

  async #look(): Promise<number> {
    if (this.#bytes !== undefined) return this.#bytes;
    const file = await this.#files.open(this.#path, 'read').catch((thrown: unknown) => {
      if (thrown instanceof FileError && thrown.reason === 'absent') return undefined;
      throw thrown;
    });
    this.#bytes = file?.size ?? 0;
    await file?.close();
    return this.#bytes;
  }
}

function whenFull(thrown: unknown): undefined {
  if (!isFull(thrown)) throw thrown;
}
