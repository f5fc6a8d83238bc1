/**
 * The file system as the log uses it. A sync that fails is never tried again: the kernel may have dropped what it could not write and go on
 * serving it from memory. So it is recorded, the process ends, and the next start distrusts everything past the recovery points (L2).
 */
import { Headroom } from '@tributary/metadata';
import { brokerConfigKeys, brokerSettings, limits, TributaryError } from '@tributary/model';
import { type Clock, type File, FileError, type FileSystem, type Host, type Logger } from '@tributary/ports';
import { DiskMark, type DiskRule, type DiskSpace, refusedBelow } from './disk-mark.ts';
import { temporarySuffix } from './names.ts';
import { OpenFiles } from './open-files.ts';
import { SyncPool } from './sync-pool.ts';

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
  /** Of all logs. */
  readonly openFiles = new OpenFiles(Number(brokerConfigKeys['open.files.max'].default));
  readonly #headroom: Headroom;
  #rule: DiskRule = brokerSettings({});
  readonly #mark = new DiskMark(this.#rule);
  #failed = false;
  /** Writes down that the disk failed, before the process ends. Set by the data directory. */
  recordFailure: ((path: string, why: string) => Promise<void>) | undefined;

  constructor(files: FileSystem, root: string, options: DiskOptions) {
    this.files = files;
    this.root = root;
    this.clock = options.clock;
    this.logger = options.logger;
    this.#host = options.host;
    this.#synced = options.synced ?? (() => {});
    this.#headroom = new Headroom(files, root, limits.diskHeadroom);
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
      await this.withHeadroom(() => this.#writeAndRename(directory, name, bytes));
    } catch (thrown) {
      return await this.#refuseOrFail(`${directory}/${name}`, thrown);
    }
  }

  /** For what must be written on a full disk too: `task`, which leaves nothing behind where there is no room, gets the headroom. */
  async withHeadroom<T>(task: () => Promise<T>): Promise<T> {
    return await this.#headroom.spend(task);
  }

  /** Why no records are taken now; undefined: they are. */
  get refusal(): string | undefined {
    return this.#mark.refusal;
  }

  /** Records were written: they count against what was free when it was last looked at. */
  wrote(bytes: number): void {
    this.#mark.wrote(bytes);
  }

  /** Looks at the free space, and takes the headroom back where there is room. @param rule as before where it is not said. */
  async look(rule = this.#rule): Promise<DiskSpace> {
    this.#rule = rule;
    const missing = await this.#headroom.take();
    const [free, total] = await Promise.all([this.files.freeBytes(this.root), this.files.totalBytes(this.root)]);
    const before = this.refusal;
    this.#mark.measured({ free, total }, rule, missing);
    if (before === undefined && this.refusal !== undefined)
      this.logger.warn('disk full', { path: this.root, free, total, needed: refusedBelow({ free, total }, rule) });
    if (before !== undefined && this.refusal === undefined)
      this.logger.info('disk has room again', { path: this.root, free, total });
    return { free, total };
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
    if (thrown.reason === 'full') this.#mark.ranOut();
    const free = await this.files.freeBytes(this.root).catch(() => undefined);
    const room = free === undefined ? '' : ` ${free} bytes are free.`;
    return new TributaryError(
      'KAFKA_STORAGE_ERROR',
      `Cannot ${what} ${path}: ${thrown.reason === 'full' ? 'the disk is full' : thrown.message}.${room}`,
      { cause: thrown },
    );
  }
}

export const isFull = (thrown: unknown): thrown is FileError => thrown instanceof FileError && thrown.reason === 'full';

/** For what may as well be done later. */
export function unlessFull(thrown: unknown): void {
  if (!isFull(thrown)) throw thrown;
}

/** What follows the end of the process. */
function never(): Promise<never> {
  return new Promise(() => {});
}
