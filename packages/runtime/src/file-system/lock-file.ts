import fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { FileError } from '@tributary/ports';
import { codeOf } from '../system-error.ts';
import { fileError } from './file-error.ts';

/** SQLite's result when another connection holds the lock. */
const sqliteBusy = 5;

/**
 * An exclusive lock that the kernel takes back when the process ends, however it ends. Node has no call for file locks, but its SQLite takes
 * them: an exclusive transaction on an empty database is a record lock on that file and writes nothing, so it works on a full disk too. Two
 * processes cannot both win, in whichever container they run, as a lock by process id could let them.
 * @throws FileError `locked`, naming the process that holds it where the system tells.
 */
export function lockFile(path: string): AsyncDisposable {
  ensureWritable(path);
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // A journal on the disk would be a second file; there is nothing to undo either.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (thrown) {
    database.close();
    if (isBusy(thrown)) throw new FileError('locked', `${path} is locked by ${holder(path)}.`, { cause: thrown });
    throw fileError('lock', path, thrown);
  }
  let held = true;
  return {
    [Symbol.asyncDispose]: async () => {
      if (!held) return;
      held = false;
      database.close();
    },
  };
}

/**
 * SQLite would open a read-only file and fail later and darkly. An existing file is only looked at: closing any descriptor of it would take
 * away the locks that this very process may hold on it.
 */
function ensureWritable(path: string): void {
  try {
    fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK);
  } catch (thrown) {
    if (codeOf(thrown) !== 'ENOENT') throw fileError('lock', path, thrown);
    createEmpty(path);
  }
}

function createEmpty(path: string): void {
  try {
    fs.closeSync(fs.openSync(path, 'wx'));
  } catch (thrown) {
    if (codeOf(thrown) !== 'EEXIST') throw fileError('lock', path, thrown);
  }
}

function isBusy(thrown: unknown): boolean {
  return (
    codeOf(thrown) === 'ERR_SQLITE_ERROR' &&
    thrown instanceof Error &&
    'errcode' in thrown &&
    thrown.errcode === sqliteBusy
  );
}

/** For the error sentence only; the lock itself does not depend on it. */
function holder(path: string): string {
  try {
    const inode = fs.statSync(path).ino;
    for (const line of fs.readFileSync('/proc/locks', 'utf8').split('\n')) {
      // 3: POSIX  ADVISORY  WRITE 1234 08:01:5678 1073741824 1073742335
      const [, kind, , access, pid, file] = line.trim().split(/\s+/);
      if (kind !== 'POSIX' || access !== 'WRITE' || file === undefined || !file.endsWith(`:${inode}`)) continue;
      return Number(pid) === process.pid ? `this process (${pid})` : `process ${pid}`;
    }
  } catch {
    // Not Linux.
  }
  return 'another process';
}
