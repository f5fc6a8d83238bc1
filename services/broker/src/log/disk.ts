/**
 * The file system as the log uses it. A sync that fails is never tried again: the kernel may have dropped what it could not write and go on
 * serving it from memory. So it is recorded, the process ends, and the next start distrusts everything past the recovery points (L2).
 */
import { limits, TributaryError } from '@tributary/model';
import { type Clock, type File, FileError, type FileSystem, type Host, type Logger } from '@tributary/ports';
import { temporarySuffix } from './names.ts';
import { SyncPool } from './sync-pool.ts';

const reserveName = 'reserve';

export interface DiskOptions {
  readonly clock: Clock;
  readonly host: Host;
  readonly logger: Logger;
  /** Duration of each sync of a log file, ms. */
  readonly synced?: (ms: number) => void;
}

export class Disk {
  readonly files: FileSystem;
  readonly root: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #host: Host;
  readonly #synced: (ms: number) => void;
  readonly #pool = new SyncPool(limits.syncsInFlight);
  #failed = false;
  /** undefined: nobody has looked. */
  #hasReserve: boolean | undefined;
  /** Writes down that the disk failed, before the process ends. Set by the data directory. */
  recordFailure: ((path: string, why: string) => Promise<void>) | undefined;

  constructor(files: FileSystem, root: string, options: DiskOptions) {
    this.files = files;
    this.root = root;
    this.clock = options.clock;
    this.logger = options.logger;
    this.#host = options.host;
    this.#synced = options.synced ?? (() => {});
  }

  /** Never rejects: when the sync fails the process ends, and the promise stays pending. */
  async sync(file: File, path: string): Promise<void> {
    await this.#pool.run(async () => {
      if (this.#failed) return await never();
      const began = this.clock.monotonicMs();
      try {
        await file.sync();
      } catch (thrown) {
        return await this.fail(path, thrown);
      }
      this.#synced(this.clock.monotonicMs() - began);
    });
  }

  /** As {@link sync}, for the names in a folder. */
  async syncDirectory(path: string): Promise<void> {
    await this.#pool.run(async () => {
      if (this.#failed) return await never();
      try {
        await this.files.syncDirectory(path);
      } catch (thrown) {
        return await this.fail(path, thrown);
      }
    });
  }

  /** The disk did not do what it must: ends the process. */
  async fail(path: string, thrown: unknown): Promise<never> {
    if (this.#failed) return await never();
    this.#failed = true;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.logger.error('disk failed', { path, why });
    await this.recordFailure?.(path, why);
    this.#host.crash(`the disk failed at ${path}: ${why}`);
    return await never();
  }

  /**
   * Replaces a small file as a whole: a crash leaves the old one or the new one.
   * @throws FileError `full` or `not-writable`; the old one is then still there.
   */
  async replace(directory: string, name: string, bytes: Uint8Array): Promise<void> {
    try {
      await this.#writeAndRename(directory, name, bytes);
    } catch (thrown) {
      if (!isFull(thrown) || !(await this.#giveUpReserve()))
        return await this.#refuseOrFail(`${directory}/${name}`, thrown);
      try {
        await this.#writeAndRename(directory, name, bytes);
      } catch (again) {
        return await this.#refuseOrFail(`${directory}/${name}`, again);
      }
    }
  }

  async #writeAndRename(directory: string, name: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${directory}/${name}${temporarySuffix}`;
    await this.writeFresh(temporary, [bytes]);
    await this.files.rename(temporary, `${directory}/${name}`);
    await this.syncDirectory(directory);
  }

  /** Writes a file from nothing and syncs it; its name is not yet synced. @throws FileError; what was written is then gone again. */
  async writeFresh(path: string, chunks: readonly Uint8Array[]): Promise<void> {
    await this.files.remove(path);
    const file = await this.files.open(path, 'append');
    try {
      await file.append(chunks);
      await this.sync(file, path);
    } catch (thrown) {
      await file.close();
      await this.files.remove(path);
      throw thrown;
    }
    await file.close();
  }

  /** @throws FileError `full` or `not-writable`. */
  async append(file: File, path: string, chunks: readonly Uint8Array[]): Promise<void> {
    try {
      await file.append(chunks);
    } catch (thrown) {
      await this.#refuseOrFail(path, thrown);
    }
  }

  /** What has no room, or no right to be written, is for the caller to say; anything else means that the disk fails. */
  async #refuseOrFail(path: string, thrown: unknown): Promise<never> {
    if (thrown instanceof FileError && (thrown.reason === 'full' || thrown.reason === 'not-writable')) throw thrown;
    return await this.fail(path, thrown);
  }

  /** The whole of a small file; undefined where there is none. */
  async readWhole(path: string): Promise<Uint8Array | undefined> {
    let file: File;
    try {
      file = await this.files.open(path, 'read');
    } catch (thrown) {
      if (thrown instanceof FileError && thrown.reason === 'absent') return undefined;
      throw thrown;
    }
    try {
      const bytes = Buffer.allocUnsafeSlow(file.size);
      return bytes.subarray(0, await file.read(bytes, 0));
    } finally {
      await file.close();
    }
  }

  /** The error that a caller of the log sees when there is no room. */
  async storageError(what: string, path: string, thrown: FileError): Promise<TributaryError> {
    const free = await this.files.freeBytes(this.root).catch(() => undefined);
    const room = free === undefined ? '' : ` ${free} bytes are free.`;
    return new TributaryError(
      'KAFKA_STORAGE_ERROR',
      `Cannot ${what} ${path}: ${thrown.reason === 'full' ? 'the disk is full' : thrown.message}.${room}`,
      { cause: thrown },
    );
  }

  get #reserve(): string {
    return `${this.root}/${reserveName}`;
  }

  /** Sets room aside; without effect when there is none. */
  async keepReserve(): Promise<void> {
    if (await this.#lookForReserve()) return;
    try {
      await this.writeFresh(this.#reserve, [new Uint8Array(limits.diskReserve)]);
      this.#hasReserve = true;
    } catch (thrown) {
      this.logger.warn('no room for the reserve', { path: this.#reserve, why: String(thrown) });
    }
  }

  async #giveUpReserve(): Promise<boolean> {
    if (!(await this.#lookForReserve())) return false;
    this.#hasReserve = false;
    await this.files.remove(this.#reserve);
    return true;
  }

  async #lookForReserve(): Promise<boolean> {
    this.#hasReserve ??= (await this.files.list(this.root)).includes(reserveName);
    return this.#hasReserve;
  }
}

export const isFull = (thrown: unknown): thrown is FileError => thrown instanceof FileError && thrown.reason === 'full';

/** What follows the end of the process. */
function never(): Promise<never> {
  return new Promise(() => {});
}
