import { FileError, type FileErrorReason } from '@tributary/ports';
import { codeOf } from '../system-error.ts';

const reasons: Readonly<Record<string, FileErrorReason>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  EACCES: 'not-writable',
  EROFS: 'not-writable',
  EPERM: 'not-writable',
  ENOENT: 'absent',
  ENOTDIR: 'absent',
};

const sentences: Readonly<Record<FileErrorReason, string>> = {
  absent: 'there is no such file or folder',
  full: 'the disk is full, or the quota is used up',
  locked: 'another process uses it',
  'not-writable': 'permission denied, or the file system is read-only',
  io: 'the system refused',
};

/** Edge of the adapter: whatever `node:fs` threw, as the port's error. @param what for the sentence, such as "write to". */
export function fileError(what: string, path: string, thrown: unknown): FileError {
  if (thrown instanceof FileError) return thrown;
  const code = codeOf(thrown);
  const reason = reasons[code] ?? 'io';
  return new FileError(
    reason,
    `Cannot ${what} ${path}: ${sentences[reason]} (${code === '' ? String(thrown) : code}).`,
    { cause: thrown },
  );
}

/** Runs one operation; what it throws becomes a FileError. */
export async function attempt<T>(what: string, path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (thrown) {
    throw fileError(what, path, thrown);
  }
}
