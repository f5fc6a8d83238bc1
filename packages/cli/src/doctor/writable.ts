/** A data directory: whether a broker could keep records in it. */
import { constants } from 'node:fs';
import { access, open, readFile, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { byteSize } from '../figures.ts';
import { Chain, CheckFailed, type Finding, type Verdict } from './checks.ts';

/** Less than a few segments of the default size: a broker would fill it soon. */
const freeBytesAdvised = 10 * 1024 * 1024 * 1024;
const syncs = 20;
/** A disk that syncs more slowly makes every acknowledgement slow. */
const syncMsAdvised = 20;
const syncBytes = 16 * 1024;

/** @param folder of a broker, or the one that `tributary dev` has. */
export async function checkWritable(folder: string, found: (finding: Finding) => void): Promise<void> {
  const chain = new Chain(`writable ${folder}`, found);
  await chain.hop('exists', () => exists(folder));
  await chain.hop('permission', () => permission(folder));
  await chain.hop('lock', () => lock(folder), false);
  await chain.hop('free space', () => freeSpace(folder), false);
  await chain.hop('sync', () => syncTime(folder), false);
}

async function exists(folder: string): Promise<Verdict> {
  try {
    const status = await stat(folder);
    if (!status.isDirectory()) throw new CheckFailed('it is a file', 'Give the folder with --data-dir.');
    return { detail: `a folder of user ${status.uid}` };
  } catch (thrown) {
    if (thrown instanceof CheckFailed) throw thrown;
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new CheckFailed('there is no such folder', `Make it: mkdir -p ${folder}`);
    throw new CheckFailed(
      `it cannot be looked at (${code ?? String(thrown)})`,
      'Look at the permissions of the folders above it.',
    );
  }
}

async function permission(folder: string): Promise<Verdict> {
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return { detail: 'may be read and written' };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    const advice =
      code === 'EROFS'
        ? 'The file system is mounted read-only: remount it, or use another.'
        : `Give it to the user that runs the broker: chown -R ${process.getuid?.() ?? 'USER'} ${folder}`;
    throw new CheckFailed(`may not be written by this user (${code ?? String(thrown)})`, advice);
  }
}

/** Looks who has it, without taking it: a broker may be starting. */
async function lock(folder: string): Promise<Verdict> {
  const holders: string[] = [];
  for (const file of [folder, path.join(folder, 'broker-1'), path.join(folder, 'metadata')]) {
    const holder = await holderOf(path.join(file, 'lock'));
    if (holder !== undefined) holders.push(holder);
  }
  if (holders.length === 0) return { detail: 'nobody uses it' };
  return {
    detail: `in use by ${[...new Set(holders)].join(' and ')}`,
    advice: 'As it should be while a broker runs; stop that process before another one starts on this folder.',
  };
}

async function holderOf(file: string): Promise<string | undefined> {
  try {
    const { ino } = await stat(file);
    const locks = await readFile('/proc/locks', 'utf8');
    for (const line of locks.split('\n')) {
      const [, kind, , mode, pid, place] = line.trim().split(/\s+/);
      if (kind === 'POSIX' && mode === 'WRITE' && place?.endsWith(`:${ino}`)) return `process ${pid ?? '?'}`;
    }
  } catch {
    // No lock file: nobody has ever used it. No /proc/locks: not Linux, where the broker itself says who is in the way.
  }
  return undefined;
}

async function freeSpace(folder: string): Promise<Verdict> {
  const { bavail, bsize, blocks } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${byteSize(free)} of ${byteSize(blocks * bsize)}`;
  if (free >= freeBytesAdvised) return { detail };
  if (free < syncBytes * syncs)
    return {
      outcome: 'failed',
      detail,
      advice: 'The disk is full: delete topics or records, or make room beside them.',
    };
  return {
    outcome: 'warning',
    detail,
    advice: 'Little for a broker: watch it, or set retention.bytes for the topics.',
  };
}

async function syncTime(folder: string): Promise<Verdict> {
  const file = path.join(folder, `doctor-${process.pid}.tmp`);
  const times: number[] = [];
  try {
    await using handle = await open(file, 'wx');
    for (let index = 0; index < syncs; index++) {
      await handle.write(Buffer.alloc(syncBytes), 0, syncBytes, index * syncBytes);
      const began = performance.now();
      await handle.sync();
      times.push(performance.now() - began);
    }
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    throw new CheckFailed(
      `a file cannot be written and synced (${code ?? String(thrown)})`,
      'Look at the system’s log for errors of the disk.',
    );
  } finally {
    await rm(file, { force: true });
  }
  times.sort((a, b) => a - b);
  const median = times[Math.floor(syncs / 2)] ?? 0;
  const worst = times.at(-1) ?? 0;
  const detail = `${median.toFixed(2)} ms in the middle, ${worst.toFixed(2)} ms at worst, of ${syncs} syncs of ${byteSize(syncBytes)}`;
  if (median <= syncMsAdvised) return { detail };
  return {
    outcome: 'warning',
    detail,
    advice:
      'Every acknowledgement waits for a sync: use a faster disk, or flush.policy=async where a loss of power may lose records.',
  };
}
