import type { FileSystem } from '@tributary/ports';
import { FileError } from '@tributary/ports';
import type { Coverage } from './coverage.ts';
import type { FileNode } from './disk/file-node.ts';
import { absent, Mount } from './disk/mount.ts';
import { namesOf, Tree } from './disk/tree.ts';
import type { Scheduler } from './scheduler.ts';
import type { SeededRandom } from './seeded-random.ts';

export type DiskOperation =
  | 'open'
  | 'read'
  | 'append'
  | 'truncate'
  | 'sync'
  | 'list'
  | 'make directory'
  | 'rename'
  | 'remove'
  | 'sync directory'
  | 'lock'
  | 'free bytes';

export const diskFaults = [
  'disk: sync failed',
  'disk: directory sync failed',
  'disk: full',
  'disk: append cut short by a full disk',
  'disk: pages evicted after a failed sync',
  'disk: bit flipped',
  'power loss: unsynced bytes lost',
  'power loss: unsynced bytes kept',
  'power loss: torn tail',
  'power loss: torn tail with a hole',
  'power loss: unsynced name lost',
  'power loss: unsynced name kept',
  'kill: operation cut off half-way',
] as const;

export interface DiskOptions {
  /** Bytes that fit; Infinity unless given. */
  readonly capacity?: number;
  /** Typical latencies in virtual microseconds. */
  readonly syncMicros?: number;
  readonly callMicros?: number;
}

/** Files by path. */
export type DiskCopy = ReadonlyMap<string, Uint8Array>;

/** What a process has of the disk. Its calls end with it: their promises then stay pending for ever. */
export interface MountedDisk extends FileSystem {
  /** The process ends. What it had asked for may be done, half done or not; its locks are free. */
  end(): void;
}

/**
 * The disk of one machine, with everything that a crash may do to it. One for all processes of the machine; each has its own mount.
 * Page cache and platter differ until a sync (disk/file-node.ts), names until a sync of their folder (disk/tree.ts).
 */
export class SimulatedDisk {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #coverage: Coverage;
  readonly #options: Required<DiskOptions>;
  readonly #tree = new Tree();
  readonly #mounts = new Set<Mount>();
  readonly #locks = new Map<string, { readonly mount: Mount }>();
  readonly #lying = new Set<FileNode>();
  #operations = 0;
  #syncsToFail = 0;
  #occupied = 0;
  /** How much longer than usual syncs take. */
  syncDelayFactor = 1;
  /** For the trace: each operation as it is asked for. */
  onAsked: ((operation: DiskOperation, path: string) => void) | undefined;
  /** Called before each operation takes effect, with its number from 1 on: a place to crash at. */
  onOperation: ((number: number, operation: DiskOperation, path: string) => void) | undefined;

  constructor(scheduler: Scheduler, random: SeededRandom, coverage: Coverage, options: DiskOptions = {}) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#coverage = coverage;
    this.#options = { capacity: Number.POSITIVE_INFINITY, syncMicros: 400, callMicros: 20, ...options };
  }

  /** Folders that somebody has made and synced before the run begins: a mount point. */
  provision(path: string): void {
    this.#tree.makeDirectory(path);
    let above = '';
    for (const name of namesOf(path)) {
      const directory = this.#tree.find(above);
      if (directory?.kind === 'directory') this.#tree.synced(directory);
      above += `${name}/`;
    }
  }

  /** A process begins to use the disk. */
  mount(enter: (action: () => void) => void = (action) => action()): MountedDisk {
    const mount = new Mount(this, enter);
    this.#mounts.add(mount);
    return mount;
  }

  /** `process`: every process ends, the page cache stays. `power`: the cache goes too, as the seed has it. */
  crash(how: 'process' | 'power'): void {
    for (const mount of [...this.#mounts]) mount.end();
    if (how === 'power') this.#losePower();
  }

  /** Operations asked for so far. */
  get operations(): number {
    return this.#operations;
  }

  /** The next `count` syncs of files or folders fail, each once; after it the cache may lie. */
  failSyncs(count: number): void {
    this.#syncsToFail += count;
  }

  /** Syncs that were to fail and have not come no longer do. */
  healSyncs(): void {
    this.#syncsToFail = 0;
  }

  /** Somebody else's files take so many bytes. */
  occupy(bytes: number): void {
    this.#occupied = bytes;
  }

  get totalBytes(): number {
    return this.#options.capacity;
  }

  get freeBytes(): number {
    return Math.max(0, this.#options.capacity - this.#occupied - this.#tree.usedBytes());
  }

  /** The kernel lets go of clean pages: what a failed sync left in the cache alone is now gone. @returns whether anything was. */
  evictPages(): boolean {
    let lied = false;
    for (const file of this.#lying) {
      lied ||= file.isLying;
      file.evict();
    }
    this.#lying.clear();
    if (lied) this.#coverage.count('disk: pages evicted after a failed sync');
    return lied;
  }

  /**
   * One bit of a stored file turns over.
   * @param among chooses which files may be hit. @param mayHit chooses which of their bytes. @returns its path.
   */
  flipBit(
    among: (path: string) => boolean,
    mayHit: (bytes: Uint8Array, position: number) => boolean = () => true,
  ): string | undefined {
    const candidates = [...this.#tree.durableFiles()].filter(([path, file]) => among(path) && file.durable.length > 0);
    const newest = candidates.filter(([path], i) => folderOf(candidates[i + 1]?.[0] ?? '') !== folderOf(path));
    const [first, ...others] = this.#random.chance(0.6) ? newest : candidates;
    if (first === undefined) return undefined;
    const [path, file] = this.#random.pick([first, ...others]);
    if (!file.flipBit(this.#random, mayHit)) return undefined;
    if (file.pendingChanges === 0) file.evict();
    this.#coverage.count('disk: bit flipped');
    return path;
  }

  /** What a copy of a folder, made now, would hold: paths below it, and bytes. */
  copyOf(path: string): DiskCopy {
    const copy = new Map<string, Uint8Array>();
    for (const [each, file] of this.#tree.files()) if (each.startsWith(`${path}/`)) copy.set(each, file.cached.slice());
    return copy;
  }

  /** Somebody empties a folder while no process uses it, and puts a copy there; an empty one is a new disk. */
  replaceContents(path: string, copy: DiskCopy): void {
    this.#tree.replaceContents(path, copy);
    this.#coverage.count(copy.size === 0 ? 'disk: replaced by an empty one' : 'disk: replaced by an older copy');
  }

  /** Paths and bytes that would be left if the power went now. Valid until the next event. */
  *durableFiles(): Generator<readonly [path: string, bytes: Uint8Array]> {
    for (const [path, file] of this.#tree.durableFiles()) yield [path, file.durable];
  }

  /** Names and bytes in one folder that would be left if the power went now. Valid until the next event. */
  *durableFilesIn(path: string): Generator<readonly [name: string, bytes: Uint8Array]> {
    for (const [name, file] of this.#tree.durableFilesIn(path)) yield [name, file.durable];
  }

  /** Names and bytes in one folder as processes see them. Valid until the next event. */
  *cachedFilesIn(path: string): Generator<readonly [name: string, bytes: Uint8Array]> {
    const directory = this.#tree.find(path);
    if (directory?.kind !== 'directory') return;
    for (const [name, node] of directory.entries) if (node.kind === 'file') yield [name, node.cached];
  }

  /** Paths and bytes as processes see them. Valid until the next event. */
  *cachedFiles(): Generator<readonly [path: string, bytes: Uint8Array]> {
    for (const [path, file] of this.#tree.files()) yield [path, file.cached];
  }

  #losePower(): void {
    const reachable = [...this.#tree.files()].map(([, file]) => file);
    const names = this.#tree.losePower(this.#random);
    this.#coverage.count('power loss: unsynced name lost', names.lost);
    this.#coverage.count('power loss: unsynced name kept', names.kept);
    const left = [...this.#tree.files()].map(([, file]) => file);
    for (const file of new Set([...reachable, ...left])) {
      switch (file.losePower(this.#random)) {
        case 'nothing to lose':
          break;
        case 'kept':
          this.#coverage.count('power loss: unsynced bytes kept');
          break;
        case 'lost':
          this.#coverage.count('power loss: unsynced bytes lost');
          break;
        case 'torn':
          this.#coverage.count('power loss: torn tail');
          break;
        case 'torn with a hole':
          this.#coverage.count('power loss: torn tail with a hole');
          break;
      }
    }
    this.#lying.clear();
  }

  /** For {@link Mount}: one operation, which takes effect when its time has come, unless its process ends before. */
  operate<T>(
    mount: Mount,
    operation: DiskOperation,
    path: string,
    effect: () => T,
    interrupted: () => void = () => undefined,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (mount.hasEnded) return;
      const inFlight = { interrupted };
      mount.inFlight.add(inFlight);
      this.#operations += 1;
      this.onAsked?.(operation, path);
      this.onOperation?.(this.#operations, operation, path);
      if (mount.hasEnded) return;
      const { syncMicros, callMicros } = this.#options;
      const typical =
        operation === 'sync' || operation === 'sync directory' ? syncMicros * this.syncDelayFactor : callMicros;
      this.#scheduler.after(this.#random.latency(typical), () => {
        if (mount.hasEnded) return;
        mount.inFlight.delete(inFlight);
        const done = attempt(effect);
        mount.enter(() => {
          if (done.ok) resolve(done.value);
          else reject(done.thrown);
        });
      });
    });
  }

  /** For {@link Mount}. */
  ended(mount: Mount): void {
    this.#mounts.delete(mount);
    for (const [path, lock] of this.#locks) if (lock.mount === mount) this.#locks.delete(path);
    for (const { interrupted } of mount.inFlight) {
      if (!this.#random.chance(0.5)) continue;
      this.#coverage.count('kill: operation cut off half-way');
      interrupted();
    }
    mount.inFlight.clear();
  }

  /** For {@link Mount}. */
  get tree(): Tree {
    return this.#tree;
  }

  /** For {@link Mount}: takes what fits. @throws FileError `full`. */
  append(file: FileNode, path: string, bytes: Uint8Array): void {
    const free = this.#options.capacity === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : this.freeBytes;
    if (bytes.length <= free) {
      file.append(bytes);
      return;
    }
    const part = this.#random.below(Math.min(free, bytes.length - 1) + 1);
    file.append(bytes.subarray(0, part));
    this.#coverage.count('disk: full');
    if (part > 0) this.#coverage.count('disk: append cut short by a full disk');
    throw new FileError('full', `${path}: no space left on the simulated disk`);
  }

  /** For {@link Mount}: a call that its process did not live to see the end of. */
  appendPart(file: FileNode, bytes: Uint8Array): void {
    file.append(bytes.subarray(0, this.#random.below(Math.min(bytes.length, this.freeBytes) + 1)));
  }

  /** For {@link Mount}: `count` changes were pending when the sync was called. @throws FileError `io`, once, when planned. */
  sync(file: FileNode, path: string, count: number): void {
    if (this.#syncsToFail === 0) {
      file.synced(count);
      return;
    }
    this.#syncsToFail -= 1;
    file.syncFailed(count, this.#random);
    this.#lying.add(file);
    this.#coverage.count('disk: sync failed');
    throw new FileError('io', `${path}: the simulated disk failed to write`);
  }

  /** For {@link Mount}. @throws FileError `io`, once, when planned; the names then wait for the next sync. */
  syncDirectory(path: string): void {
    const directory = this.#tree.find(path);
    if (directory?.kind !== 'directory') throw absent(path);
    if (this.#syncsToFail > 0) {
      this.#syncsToFail -= 1;
      this.#coverage.count('disk: directory sync failed');
      throw new FileError('io', `${path}: the simulated disk failed to write`);
    }
    this.#tree.synced(directory);
  }

  /** For {@link Mount}: leaves an empty file, as the real lock does. @throws FileError `locked`. */
  lock(mount: Mount, path: string): AsyncDisposable {
    const place = this.#tree.place(path);
    if (place === undefined) throw absent(path);
    if (!place.directory.entries.has(place.name)) this.#tree.create(place.directory, place.name);
    if (this.#locks.has(path)) throw new FileError('locked', `${path}: another process holds the lock`);
    const lock = { mount };
    this.#locks.set(path, lock);
    return {
      [Symbol.asyncDispose]: () => {
        if (this.#locks.get(path) === lock) this.#locks.delete(path);
        return Promise.resolve();
      },
    };
  }
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1);

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly thrown: unknown };

function attempt<T>(effect: () => T): Attempt<T> {
  try {
    return { ok: true, value: effect() };
  } catch (thrown) {
    return { ok: false, thrown };
  }
}
