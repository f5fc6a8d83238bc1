/** A file system that tells what is asked of it. */
import type { File, FileSystem } from '@tributary/ports';

export type Call = 'open' | 'close' | 'read' | 'append' | 'truncate' | 'sync' | 'sync directory' | 'rename' | 'remove';

export interface Counted {
  readonly files: FileSystem;
  readonly calls: { readonly call: Call; readonly path: string }[];
  /** Called before each; what it returns is awaited, what it throws is the call's outcome. */
  before: (call: Call, path: string) => Promise<void> | void;
  around: <T>(call: Call, action: () => Promise<T>) => Promise<T>;
}

export function counting(files: FileSystem): Counted {
  const counted: { -readonly [key in keyof Counted]: Counted[key] } = {
    files,
    calls: [],
    before: () => {},
    around: (_call, action) => action(),
  };
  const ask = async <T>(call: Call, path: string, action: () => Promise<T>): Promise<T> => {
    counted.calls.push({ call, path });
    await counted.before(call, path);
    return await counted.around(call, action);
  };
  const wrap = (file: File, path: string): File => ({
    get size() {
      return file.size;
    },
    read: (into, position) => ask('read', path, () => file.read(into, position)),
    append: (chunks) => ask('append', path, () => file.append(chunks)),
    truncate: (size) => ask('truncate', path, () => file.truncate(size)),
    sync: () => ask('sync', path, () => file.sync()),
    close: () => ask('close', path, () => file.close()),
  });
  counted.files = {
    open: (path, mode) => ask('open', path, async () => wrap(await files.open(path, mode), path)),
    list: (path) => files.list(path),
    makeDirectory: (path) => files.makeDirectory(path),
    rename: (from, to) => ask('rename', from, () => files.rename(from, to)),
    remove: (path) => ask('remove', path, () => files.remove(path)),
    syncDirectory: (path) => ask('sync directory', path, () => files.syncDirectory(path)),
    lock: (path) => files.lock(path),
    freeBytes: (path) => files.freeBytes(path),
    totalBytes: (path) => files.totalBytes(path),
  };
  return counted;
}
