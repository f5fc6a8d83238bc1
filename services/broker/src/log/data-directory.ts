/**
 * The broker's data directory: `meta.json` (whose it is and how it was left), `checkpoints`, and a folder for each partition. Opened by one
 * process at a time.
 */
import {
  type DirectoryId,
  directoryId,
  limits,
  type PartitionIndex,
  randomId,
  type TopicId,
  TributaryError,
} from '@tributary/model';
import { FileError, type FileSystem, type Host, type Random } from '@tributary/ports';
import { batchHeaderBytes } from '@tributary/record';
import { emptyCheckpoint, encodeLine } from './checkpoint-file.ts';
import { Checkpoints } from './checkpoints.ts';
import { Disk, type DiskOptions, unlessFull } from './disk.ts';
import type { DiskRule, DiskSpace } from './disk-mark.ts';
import { Identity, metaName } from './identity.ts';
import { IndexCache } from './index-cache.ts';
import type { LogHome } from './log-home.ts';
import type { OpenLogOptions } from './log-types.ts';
import { decodeMeta, encodeMeta, type Meta } from './meta.ts';
import { deletedSuffix, folderName, isLeftover, parseFolderName } from './names.ts';
import type { OpenFiles } from './open-files.ts';
import { PartitionLog } from './partition-log.ts';
import { ReadBuffers } from './read-buffers.ts';
import { TailCache } from './tail-cache.ts';

export interface DataDirectoryOptions extends DiskOptions {
  readonly random: Random;
}

/**
 * `first`: formatted just now. `lossy`: what was written and not flushed may be gone, as the stop was unclean and the machine has restarted since (L1), or
 * a sync had failed (L2).
 */
export type LastStop = 'first' | 'clean' | 'unclean' | 'lossy';

export interface PartitionFolder {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
}

/** Its mere name says what `failedSync` in meta.json says, for a disk that does not even take that. */
const failedSyncName = 'failed-sync';
/** What earlier builds set aside. */
const oldReserveName = 'reserve';
const quarantineName = 'quarantine';

export class DataDirectory implements AsyncDisposable {
  readonly root: string;
  readonly lastStop: LastStop;
  readonly identity: Identity;
  readonly #disk: Disk;
  readonly #host: Host;
  readonly #lock: AsyncDisposable;
  readonly #checkpoints: Checkpoints;
  readonly #tails = new TailCache(limits.tailCache);
  readonly #reads = new ReadBuffers(limits.fetchChunk + batchHeaderBytes, limits.readBuffers);
  readonly #indexes = new IndexCache(limits.indexCache);
  readonly #logs = new Map<string, PartitionLog>();
  readonly #unopened: Set<string>;
  /** The last stop vouches for how the logs were closed. */
  readonly #areLogsClosed: boolean;
  readonly #areCheckpointsWhole: boolean;
  /** The machine went down while the directory was in use. */
  readonly #isCacheLost: boolean;
  #closed = false;

  private constructor(disk: Disk, host: Host, lock: AsyncDisposable, opened: Opened) {
    this.root = disk.root;
    this.#disk = disk;
    this.#host = host;
    this.#lock = lock;
    this.lastStop = opened.lastStop;
    this.identity = new Identity(disk, opened.meta);
    this.#checkpoints = opened.checkpoints;
    this.#unopened = new Set(opened.folders);
    this.#areLogsClosed = opened.areLogsClosed;
    this.#areCheckpointsWhole = opened.areCheckpointsWhole;
    this.#isCacheLost = opened.isCacheLost;
  }

  /**
   * Makes the directory if need be, locks it, and marks it as in use.
   * @throws TributaryError KAFKA_STORAGE_ERROR when another process has it, it cannot be written or is damaged; UNSUPPORTED_VERSION when a newer
   *   build wrote it.
   */
  static async open(files: FileSystem, root: string, options: DataDirectoryOptions): Promise<DataDirectory> {
    const disk = new Disk(files, root, options);
    const lock = await lockDirectory(files, root);
    try {
      const directory = new DataDirectory(disk, options.host, lock, await openMeta(disk, options));
      disk.recordFailure = (path, why) => directory.#recordFailedSync(path, why);
      await directory.#begin();
      return directory;
    } catch (thrown) {
      await lock[Symbol.asyncDispose]();
      throw await explained(disk, thrown);
    }
  }

  /** What the last stop means is written at the partitions before meta.json forgets it: this start may be cut short too. */
  async #begin(): Promise<void> {
    const { failedSync } = this.identity.meta;
    const lossy = this.#isCacheLost;
    if (failedSync !== undefined)
      this.#disk.logger.warn('a sync had failed: unflushed data is rewritten', { ...failedSync });
    if (lossy) this.#disk.logger.warn('the machine went down while the broker ran', { path: this.root });
    if (this.lastStop !== 'clean') await this.#syncAncestors();
    if (!this.#areLogsClosed || failedSync !== undefined) this.#distrustLogs(failedSync !== undefined, lossy);
    if (this.lastStop === 'first' || lossy || failedSync !== undefined) await this.#checkpoints.persist();
    await this.identity.update({
      bootId: this.#host.bootId,
      cleanShutdown: false,
      lossy: lossy || this.identity.meta.lossy || failedSync !== undefined,
      failedSync: undefined,
    });
    await this.#disk.files.remove(`${this.root}/${failedSyncName}`);
    await this.#disk.look();
    for (const name of await this.#disk.files.list(this.root)) {
      if (isLeftover(name) || name === oldReserveName) await this.#disk.files.remove(`${this.root}/${name}`);
    }
  }

  /** The directory's own name, and those of the folders made for it. One that may not be read was not made by us. */
  async #syncAncestors(): Promise<void> {
    for (let at = this.root.lastIndexOf('/'); ; at = this.root.lastIndexOf('/', at - 1)) {
      const above = at > 0 ? this.root.slice(0, at) : at === 0 ? '/' : '.';
      try {
        await this.#disk.files.syncDirectory(above);
      } catch (thrown) {
        if (!(thrown instanceof FileError) || thrown.reason !== 'not-writable')
          return await this.#disk.fail(above, thrown);
      }
      if (at <= 0) return;
    }
  }

  /** Only a clean stop vouches for how the logs were closed. */
  #distrustLogs(rewrite: boolean, lossy: boolean): void {
    const isStartLost = !this.#areCheckpointsWhole;
    const others = rewrite || lossy || isStartLost ? this.#unopened : [];
    for (const folder of new Set([...this.#checkpoints.folders(), ...others])) {
      const checkpoint = this.#checkpoints.get(folder) ?? { ...emptyCheckpoint, isStartLost };
      this.#checkpoints.set(folder, {
        ...checkpoint,
        closed: undefined,
        rewrite: checkpoint.rewrite || rewrite,
        lossy: checkpoint.lossy || lossy,
      });
    }
  }

  get directoryId(): DirectoryId {
    return this.identity.directoryId;
  }

  /** Folders found at opening that no log is open for, in the order of names. */
  get unopened(): readonly PartitionFolder[] {
    return [...this.#unopened].sort().flatMap((name) => parseFolderName(name) ?? []);
  }

  /**
   * Opens the log of a partition, recovering it if need be; makes it where there is none.
   * @throws TributaryError KAFKA_STORAGE_ERROR when the disk is full or the log cannot be mended.
   */
  async openLog(topicId: TopicId, partition: PartitionIndex, options: OpenLogOptions): Promise<PartitionLog> {
    const name = folderName(topicId, partition);
    if (this.#logs.has(name))
      throw new TributaryError('KAFKA_STORAGE_ERROR', `The log ${this.root}/${name} is open already.`);
    try {
      const log = await PartitionLog.open(this.#home(name), options);
      this.#unopened.delete(name);
      this.#logs.set(name, log);
      return log;
    } catch (thrown) {
      throw await explained(this.#disk, thrown);
    }
  }

  /** Empties the log of a follower, which then begins where its leader's does (L4): a crash on the way leaves none, or one that knows no producers (P3). */
  async restartLog(topicId: TopicId, partition: PartitionIndex, options: OpenLogOptions): Promise<PartitionLog> {
    try {
      await this.deletePartition({ topicId, partition });
      // What was known of the old log must not be taken for the new one's.
      await this.#checkpoints.persist();
    } catch (thrown) {
      throw await explained(this.#disk, thrown);
    }
    const log = await this.openLog(topicId, partition, options);
    // Without room a crash finds the beginning by the name of the first file.
    await this.#checkpoints.persist().catch(unlessFull);
    return log;
  }

  #home(name: string): LogHome {
    return {
      disk: this.#disk,
      indexes: this.#indexes,
      folder: `${this.root}/${name}`,
      tail: this.#tails,
      isChronicled: this.#areCheckpointsWhole,
      reads: this.#reads,
      checkpoint: () => this.#checkpoints.get(name),
      remember: (checkpoint) => this.#checkpoints.set(name, checkpoint),
      persist: () => this.#checkpoints.persist(),
      closed: () => this.#logs.delete(name),
    };
  }

  /** Puts a folder that metadata does not know aside, with what is known of it: nothing is deleted on a guess (M6). */
  async quarantine({ topicId, partition }: PartitionFolder): Promise<void> {
    const name = folderName(topicId, partition);
    await this.#logs.get(name)?.close();
    const aside = `${this.root}/${quarantineName}`;
    const checkpoint = this.#checkpoints.get(name);
    if (checkpoint !== undefined)
      await this.#disk.replace(`${this.root}/${name}`, 'checkpoint', Buffer.from(encodeLine(name, checkpoint)));
    await this.#disk.files.makeDirectory(aside);
    const there = new Set(await this.#disk.files.list(aside));
    let path = `${aside}/${name}`;
    // One that was put aside before may be the only copy of something.
    for (let n = 2; there.has(path.slice(aside.length + 1)); n++) path = `${aside}/${name}.${n}`;
    await this.#disk.files.rename(`${this.root}/${name}`, path);
    await this.#disk.syncDirectory(aside);
    await this.#disk.syncDirectory(this.root);
    this.#unopened.delete(name);
    this.#checkpoints.delete(name);
    this.#disk.logger.warn('folder of an unknown topic put aside', { path });
  }

  /** Removes the folder of a deleted topic; its log, if open, is closed. Durable when it resolves (M6). */
  async deletePartition({ topicId, partition }: PartitionFolder): Promise<void> {
    const name = folderName(topicId, partition);
    await this.#logs.get(name)?.abandon();
    this.#logs.delete(name);
    this.#unopened.delete(name);
    const path = `${this.root}/${name}`;
    // One step that a crash cannot halve; the rest is removed now or at the next start.
    if ((await this.#disk.files.list(this.root)).includes(name))
      await this.#disk.files.rename(path, `${path}${deletedSuffix}`);
    await this.#disk.syncDirectory(this.root);
    this.#checkpoints.delete(name);
    await this.#disk.files.remove(`${path}${deletedSuffix}`);
  }

  /**
   * Writes recovery points, high watermarks and the rest of all open logs in one step. Call it every limits.checkpointMs. A full disk is no error:
   * the next start then reads more.
   */
  async checkpoint(): Promise<void> {
    try {
      for (const log of [...this.#logs.values()]) await log.prepareCheckpoint();
      await this.#checkpoints.persist();
      await this.identity.persist();
    } catch (thrown) {
      if (!(thrown instanceof FileError)) throw thrown;
      this.#disk.logger.warn('checkpoint not written', { why: thrown.message });
    }
  }

  /** Measures the disk: call it every limits.diskCheckMs. */
  async lookAtDisk(rule: DiskRule): Promise<DiskSpace> {
    return await this.#disk.look(rule);
  }

  /** Files of segments that may be open at once. */
  get openFiles(): OpenFiles {
    return this.#disk.openFiles;
  }

  /** Why the disk takes no records now; undefined: it does. */
  get refusal(): string | undefined {
    return this.#disk.refusal;
  }

  /** Closes the logs that are still open, writes the checkpoints, and last the mark of a clean stop. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#closeLogs();
      await this.#checkpoints.persist();
      await this.identity.update({ cleanShutdown: true });
    } catch (thrown) {
      throw await explained(this.#disk, thrown);
    } finally {
      await this.#lock[Symbol.asyncDispose]();
    }
  }

  /** As many at a time as the disk takes syncs. */
  async #closeLogs(): Promise<void> {
    const logs = [...this.#logs.values()].values();
    const lanes = Array.from({ length: limits.syncsInFlight }, async () => {
      for (const log of logs) await log.close();
    });
    await Promise.all(lanes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Best effort on a disk that fails. The mark needs no sync to outlive the process, and if the power goes the page cache goes too, which is all
   * that it warns of; so a bare name first, then the story.
   */
  async #recordFailedSync(path: string, why: string): Promise<void> {
    const { files } = this.#disk;
    try {
      await (await files.open(`${this.root}/${failedSyncName}`, 'append')).close();
      const temporary = `${this.root}/${metaName}.failed`;
      await files.remove(temporary);
      const file = await files.open(temporary, 'append');
      await file.append([encodeMeta({ ...this.identity.meta, cleanShutdown: false, failedSync: { path, why } })]);
      await file.sync();
      await file.close();
      await files.rename(temporary, `${this.root}/${metaName}`);
      await files.syncDirectory(this.root);
    } catch (thrown) {
      this.#disk.logger.error('the failed sync could not be written down in full', { why: String(thrown) });
    }
  }
}

interface Opened {
  readonly meta: Meta;
  readonly lastStop: LastStop;
  readonly areLogsClosed: boolean;
  readonly areCheckpointsWhole: boolean;
  readonly isCacheLost: boolean;
  readonly checkpoints: Checkpoints;
  readonly folders: readonly string[];
}

async function lockDirectory(files: FileSystem, root: string): Promise<AsyncDisposable> {
  try {
    await files.makeDirectory(root);
    return await files.lock(`${root}/lock`);
  } catch (thrown) {
    if (!(thrown instanceof FileError)) throw thrown;
    if (thrown.reason !== 'locked') throw unusable(root, thrown);
    throw new TributaryError(
      'KAFKA_STORAGE_ERROR',
      `Data directory ${root} is used by another process: ${thrown.message}`,
      { cause: thrown },
    );
  }
}

async function openMeta(disk: Disk, options: DataDirectoryOptions): Promise<Opened> {
  const names = await disk.files.list(disk.root);
  const folders = names.filter((name) => parseFolderName(name) !== undefined);
  const bytes = await disk.readWhole(`${disk.root}/${metaName}`);
  if (bytes === undefined && folders.length > 0) {
    throw new TributaryError(
      'KAFKA_STORAGE_ERROR',
      `${disk.root} holds logs but no ${metaName}, so nobody can say whose they are: restore the file, or give the broker an empty directory.`,
    );
  }
  const { checkpoints, isWhole } = await Checkpoints.load(disk);
  if (bytes === undefined) {
    return {
      meta: freshMeta(options),
      lastStop: 'first',
      areLogsClosed: true,
      areCheckpointsWhole: true,
      isCacheLost: false,
      checkpoints,
      folders,
    };
  }
  const path = `${disk.root}/checkpoints`;
  if (!isWhole) disk.logger.error('checkpoints are damaged: every log is scanned from its beginning', { path });
  const meta = decodeMeta(bytes, `${disk.root}/${metaName}`);
  const isMarked = names.includes(failedSyncName) && meta.failedSync === undefined;
  const isCacheLost = !meta.cleanShutdown && meta.bootId !== options.host.bootId;
  const areLogsClosed = meta.cleanShutdown && isWhole;
  const isFailed = isMarked || meta.failedSync !== undefined;
  return {
    meta: isMarked ? { ...meta, failedSync: { path: disk.root, why: 'not known' } } : meta,
    // A lossy stop stays one until the controller has heard of it.
    lastStop: isCacheLost || isFailed || meta.lossy ? 'lossy' : areLogsClosed ? 'clean' : 'unclean',
    areLogsClosed,
    areCheckpointsWhole: isWhole,
    isCacheLost,
    checkpoints,
    folders,
  };
}

function freshMeta({ host, random }: DataDirectoryOptions): Meta {
  return {
    clusterId: undefined,
    brokerId: undefined,
    directoryId: directoryId(randomId(() => random.nextU32())),
    bootId: host.bootId,
    cleanShutdown: false,
    lossy: false,
    lastRegisteredIncarnation: undefined,
    pendingIncarnation: undefined,
    earlierIncarnations: [],
    highestRevision: 0n,
    restoreGeneration: 0,
    failedSync: undefined,
  };
}

/** What a caller sees where the disk refused. */
async function explained(disk: Disk, thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof FileError)) return thrown;
  if (thrown.reason === 'not-writable') return unusable(disk.root, thrown);
  return await disk.storageError('use', disk.root, thrown);
}

function unusable(root: string, thrown: FileError): TributaryError {
  return new TributaryError('KAFKA_STORAGE_ERROR', `Data directory ${root} cannot be used: ${thrown.message}`, {
    cause: thrown,
  });
}
