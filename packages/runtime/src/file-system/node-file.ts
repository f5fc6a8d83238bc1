import fs from 'node:fs';
import { promisify } from 'node:util';
import { limits } from '@tributary/model';
import type { File } from '@tributary/ports';
import { fileError } from './file-error.ts';

const readAsync = promisify(fs.read);
const truncateAsync = promisify(fs.ftruncate);
const syncAsync = promisify(fs.fdatasync);
const closeAsync = promisify(fs.close);

/**
 * Whether appends of the process go through the page cache at memory speed. Once the kernel makes writers wait for the disk, a synchronous
 * write would stop every partition of the process; appends then go to a thread until one of them is quick again.
 */
const pageCache = { throttled: false };

export function openFile(path: string, flags: number): Promise<NodeFile> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, 0o644, (failure, descriptor) => {
      if (failure !== null) {
        reject(fileError('open', path, failure));
        return;
      }
      try {
        resolve(new NodeFile(path, descriptor, fs.fstatSync(descriptor).size));
      } catch (thrown) {
        fs.closeSync(descriptor);
        reject(fileError('open', path, thrown));
      }
    });
  });
}

export class NodeFile implements File {
  readonly #path: string;
  readonly #descriptor: number;
  #size: number;
  /** Start of what this process wrote last: it is in the page cache, so reading it does not wait. */
  #cachedFrom: number;
  #closed = false;

  constructor(path: string, descriptor: number, size: number) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#size = size;
    this.#cachedFrom = size;
  }

  get size(): number {
    return this.#size;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    const sync = position >= this.#cachedFrom && into.length <= limits.synchronousIo;
    let filled = 0;
    try {
      while (filled < into.length) {
        const at = position + filled;
        const length = into.length - filled;
        const bytes = sync
          ? fs.readSync(this.#descriptor, into, filled, length, at)
          : (await readAsync(this.#descriptor, into, filled, length, at)).bytesRead;
        if (bytes === 0) break;
        filled += bytes;
      }
      return filled;
    } catch (thrown) {
      throw fileError('read', this.#path, thrown);
    }
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    try {
      if (bytes > limits.synchronousIo || pageCache.throttled) await this.#appendOnThread(chunks);
      else this.#appendNow(chunks);
    } catch (thrown) {
      // An unknown part was written; `size` says how much there is.
      this.#size = sizeOr(this.#descriptor, this.#size);
      throw fileError('write to', this.#path, thrown);
    }
    const cacheable = Math.max(0, this.#size - limits.readCached);
    if (cacheable > this.#cachedFrom) this.#cachedFrom = cacheable;
  }

  #appendNow(chunks: readonly Uint8Array[]): void {
    const began = performance.now();
    let rest = chunks;
    while (rest.length > 0) {
      const written = fs.writevSync(this.#descriptor, rest.slice(0, limits.buffersPerWrite), this.#size);
      this.#size += written;
      rest = afterBytes(rest, written);
    }
    if (performance.now() - began > limits.synchronousIoMs) pageCache.throttled = true;
  }

  async #appendOnThread(chunks: readonly Uint8Array[]): Promise<void> {
    const began = performance.now();
    let rest = chunks;
    while (rest.length > 0) {
      const written = await writeOnThread(this.#descriptor, rest.slice(0, limits.buffersPerWrite), this.#size);
      this.#size += written;
      rest = afterBytes(rest, written);
    }
    if (pageCache.throttled && performance.now() - began <= limits.synchronousIoMs) pageCache.throttled = false;
  }

  async truncate(size: number): Promise<void> {
    try {
      await truncateAsync(this.#descriptor, size);
      this.#size = size;
      this.#cachedFrom = Math.min(this.#cachedFrom, size);
    } catch (thrown) {
      throw fileError('truncate', this.#path, thrown);
    }
  }

  async sync(): Promise<void> {
    try {
      // fdatasync also writes the size where it is needed to read the data back; only times are left out.
      await syncAsync(this.#descriptor);
    } catch (thrown) {
      throw fileError('sync', this.#path, thrown);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await closeAsync(this.#descriptor);
    } catch (thrown) {
      throw fileError('close', this.#path, thrown);
    }
  }
}

function writeOnThread(descriptor: number, chunks: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.writev(descriptor, chunks, position, (failure, written) =>
      failure === null ? resolve(written) : reject(failure),
    );
  });
}

/** What remains to be written after the kernel took `bytes`. */
export function afterBytes(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  let index = 0;
  for (const chunk of chunks) {
    if (chunk.length > skip) break;
    skip -= chunk.length;
    index++;
  }
  const first = chunks[index];
  if (first === undefined) return [];
  return skip === 0 ? chunks.slice(index) : [first.subarray(skip), ...chunks.slice(index + 1)];
}

function sizeOr(descriptor: number, otherwise: number): number {
  try {
    return fs.fstatSync(descriptor).size;
  } catch {
    return otherwise;
  }
}
