import { assert } from '@tributary/model';
import { type File, FileError } from '@tributary/ports';
import type { MountedDisk, SimulatedDisk } from '../disk.ts';
import type { FileNode } from './file-node.ts';

interface InFlight {
  /** What a call that never returns may have done nevertheless. */
  readonly interrupted: () => void;
}

/** What one process has of a disk. */
export class Mount implements MountedDisk {
  readonly #disk: SimulatedDisk;
  readonly inFlight = new Set<InFlight>();
  /** How the outcome of a call reaches the process. */
  readonly enter: (action: () => void) => void;
  hasEnded = false;

  constructor(disk: SimulatedDisk, enter: (action: () => void) => void) {
    this.#disk = disk;
    this.enter = enter;
  }

  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#disk.ended(this);
  }

  open(path: string, mode: 'read' | 'append'): Promise<File> {
    const open = (): File => {
      const place = this.#disk.tree.place(path);
      if (place === undefined) throw absent(path);
      const found = place.directory.entries.get(place.name);
      if (found?.kind === 'directory') throw new FileError('io', `${path} is a folder`);
      if (found === undefined && mode === 'read') throw absent(path);
      return new OpenFile(this.#disk, this, path, mode, found ?? this.#disk.tree.create(place.directory, place.name));
    };
    return this.#disk.operate(this, 'open', path, open, () => attempt(open));
  }

  list(directory: string): Promise<readonly string[]> {
    return this.#disk.operate(this, 'list', directory, () => {
      const found = this.#disk.tree.find(directory);
      return found?.kind === 'directory' ? [...found.entries.keys()].sort() : [];
    });
  }

  makeDirectory(path: string): Promise<void> {
    const make = (): void => this.#disk.tree.makeDirectory(path);
    return this.#disk.operate(this, 'make directory', path, make, () => attempt(make));
  }

  rename(from: string, to: string): Promise<void> {
    const rename = (): void => {
      const source = this.#disk.tree.place(from);
      if (source === undefined || !source.directory.entries.has(source.name)) throw absent(from);
      const target = this.#disk.tree.place(to);
      if (target === undefined) throw absent(to);
      this.#disk.tree.rename(source, target);
    };
    return this.#disk.operate(this, 'rename', from, rename, () => attempt(rename));
  }

  remove(path: string): Promise<void> {
    const remove = (): void => {
      const place = this.#disk.tree.place(path);
      if (place !== undefined) this.#disk.tree.remove(place.directory, place.name);
    };
    return this.#disk.operate(this, 'remove', path, remove, () => attempt(remove));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#disk.operate(this, 'sync directory', path, () => this.#disk.syncDirectory(path));
  }

  lock(path: string): Promise<AsyncDisposable> {
    return this.#disk.operate(this, 'lock', path, () => this.#disk.lock(this, path));
  }

  freeBytes(path: string): Promise<number> {
    return this.#disk.operate(this, 'free bytes', path, () => this.#disk.freeBytes);
  }

  totalBytes(path: string): Promise<number> {
    return this.#disk.operate(this, 'free bytes', path, () => this.#disk.totalBytes);
  }
}

class OpenFile implements File {
  readonly #disk: SimulatedDisk;
  readonly #mount: Mount;
  readonly #path: string;
  readonly #mode: 'read' | 'append';
  readonly #file: FileNode;
  #isClosed = false;
  #isAppending = false;

  constructor(disk: SimulatedDisk, mount: Mount, path: string, mode: 'read' | 'append', file: FileNode) {
    this.#disk = disk;
    this.#mount = mount;
    this.#path = path;
    this.#mode = mode;
    this.#file = file;
  }

  get size(): number {
    return this.#file.size;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    this.#assertOpen('read');
    return this.#disk.operate(this.#mount, 'read', this.#path, () => {
      const found = this.#file.cached.subarray(position, position + into.length);
      into.set(found);
      return found.length;
    });
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    this.#assertWritable('append');
    assert(!this.#isAppending, `${this.#path}: one append at a time`);
    this.#isAppending = true;
    // A copy, as the kernel's: a caller may not count on it, but a change of the chunks before the write would be seen in real life too.
    const gathered = (): Uint8Array => Buffer.concat(chunks);
    return this.#disk.operate(
      this.#mount,
      'append',
      this.#path,
      () => {
        this.#isAppending = false;
        this.#disk.append(this.#file, this.#path, gathered());
      },
      () => this.#disk.appendPart(this.#file, gathered()),
    );
  }

  truncate(size: number): Promise<void> {
    this.#assertWritable('truncate');
    const truncate = (): void => this.#file.truncate(size);
    return this.#disk.operate(this.#mount, 'truncate', this.#path, truncate, truncate);
  }

  sync(): Promise<void> {
    this.#assertWritable('sync');
    // Only what was there when the sync was called is covered; the seed may show what came later as lost.
    const pending = this.#file.pendingChanges;
    return this.#disk.operate(this.#mount, 'sync', this.#path, () => {
      this.#disk.sync(this.#file, this.#path, Math.min(pending, this.#file.pendingChanges));
    });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  #assertOpen(what: string): void {
    assert(!this.#isClosed, `${this.#path}: ${what} after close`);
  }

  #assertWritable(what: string): void {
    this.#assertOpen(what);
    assert(this.#mode === 'append', `${this.#path}: ${what} of a file that was opened for reading`);
  }
}

export function absent(path: string): FileError {
  return new FileError('absent', `${path}: no such file or folder`);
}

/** What an interrupted call tried: whether it could is nobody's concern any more. */
function attempt(action: () => unknown): void {
  try {
    action();
  } catch {
    // It would have failed.
  }
}
