/** Where etcd's program is on this machine. */
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../failure.ts';

/** @param given by the user; undefined: the first on the PATH. @throws Error saying how to get it. */
export function findEtcd(given: string | undefined): string {
  if (given !== undefined) {
    const file = path.resolve(given);
    if (isProgram(file)) return file;
    throw new UsageError(`${file} is no program that could be run as etcd.`);
  }
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const found = folders.map((folder) => path.resolve(folder, 'etcd')).find((file) => isProgram(file));
  if (found !== undefined) return found;
  throw new Error(
    'etcd, which keeps the metadata of the cluster, is not on the PATH: install it (Debian, Ubuntu: apt install etcd-server; macOS: brew install etcd; ' +
      'else https://github.com/etcd-io/etcd/releases, 3.4 or newer) or name its program with --etcd. `tributary dev` does without.',
  );
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
