/** One file of a data directory, by what its name says that it is. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { isLeftover, parseFileName, parseSwapName } from '@tributary/broker';
import type { Offset } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { nodeFileSystem } from '@tributary/runtime';
import { byteSize } from '../figures.ts';
import { dumpOffsetIndex, dumpTimeIndex, allOf, type IndexChecks } from './indexes.ts';
import type { Report } from './report.ts';
import { dumpSegment, type SegmentResult } from './segment.ts';
import { dumpCheckpoints, dumpMeta, dumpSnapshot } from './state-files.ts';

export type FileRole =
  | { readonly kind: 'log' | 'index' | 'timeindex' | 'snapshot' | 'cut'; readonly base: Offset }
  | { readonly kind: 'swap'; readonly base: Offset; readonly end: Offset }
  | { readonly kind: 'meta' | 'checkpoints' }
  | { readonly kind: 'leftover' | 'foreign' };

const stateNames: Readonly<Record<string, 'meta' | 'checkpoints'>> = {
  'meta.json': 'meta',
  checkpoints: 'checkpoints',
};

export function roleOf(name: string): FileRole {
  const state = stateNames[name];
  if (state !== undefined) return { kind: state };
  if (isLeftover(name)) return { kind: 'leftover' };
  const swap = parseSwapName(name);
  return swap === undefined ? (parseFileName(name) ?? { kind: 'foreign' }) : { kind: 'swap', ...swap };
}

/** Index and state files are read whole; none that we write is larger. */
const wholeBytesMost = 256 * 1024 * 1024;

/** @throws Error when it is too large, FileError when it cannot be read. */
export async function readWhole(file: string): Promise<Buffer> {
  const handle = await nodeFileSystem.open(file, 'read');
  try {
    if (handle.size > wholeBytesMost)
      throw new Error(`"${file}" has ${byteSize(handle.size)}: no file of this kind is so large.`);
    const bytes = Buffer.alloc(handle.size);
    const got = await handle.read(bytes, 0);
    return bytes.subarray(0, got);
  } finally {
    await handle.close();
  }
}

/** @throws Error naming what the file is not. */
export async function dumpFile(file: string, report: Report): Promise<void> {
  const role = roleOf(path.basename(file));
  switch (role.kind) {
    case 'log':
    case 'swap':
    case 'cut':
      await dumpSegment(file, report, { base: role.base, isCut: role.kind === 'cut', checks: allOf([]) });
      return;
    case 'index':
    case 'timeindex':
      await dumpIndexAlone(file, role.kind, role.base, report);
      return;
    case 'snapshot':
      return dumpSnapshot(file, await readWhole(file), role.base, report);
    case 'meta':
      return dumpMeta(file, await readWhole(file), report);
    case 'checkpoints':
      return void dumpCheckpoints(file, await readWhole(file), report);
    case 'leftover':
      report.finding({
        kind: 'note',
        file,
        why: 'a crash left it behind; it does not count, and the next start removes it',
      });
      return;
    case 'foreign':
      throw new Error(
        `"${file}" is no file of a data directory by its name: expected are 20 digits and .log, .index, .timeindex, .snapshot or .cut, DIGITS-DIGITS.swap, meta.json and checkpoints.`,
      );
  }
}

/** With the segment beside it, if that is there. */
async function dumpIndexAlone(file: string, kind: 'index' | 'timeindex', base: Offset, report: Report): Promise<void> {
  const bytes = await readWhole(file);
  const checks =
    kind === 'index' ? dumpOffsetIndex(file, bytes, base, report) : dumpTimeIndex(file, bytes, base, report);
  const log = file.replace(/\.(index|timeindex)$/, '.log');
  if (!(await exists(log))) {
    report.finding({ kind: 'note', file, why: `there is no "${path.basename(log)}" beside it to check it against` });
    return;
  }
  report.heading(`checked against ${log}`);
  await dumpSegment(log, report.quiet(), { base, checks });
}

/** A segment and the indexes beside it. */
export async function dumpSegmentWithIndexes(
  folder: string,
  names: readonly string[],
  base: Offset,
  name: string,
  limit: Offset | undefined,
  report: Report,
): Promise<SegmentResult> {
  const stem = name.slice(0, -'.log'.length);
  const files = ['log', 'index', 'timeindex'].map((kind) => `${folder}/${stem}.${kind}`);
  const before = { problems: report.problems, files: await identities(files) };
  const checks: IndexChecks[] = [];
  for (const [kind, dump] of [
    ['index', dumpOffsetIndex],
    ['timeindex', dumpTimeIndex],
  ] as const) {
    const file = `${folder}/${stem}.${kind}`;
    if (names.includes(`${stem}.${kind}`)) checks.push(dump(file, await readWhole(file), base, report));
    else if (limit !== undefined)
      report.finding({
        kind: 'note',
        file,
        why: 'it is absent: in the memory of a running broker, or made again by the next start',
      });
  }
  const result = await dumpSegment(`${folder}/${name}`, report, {
    base,
    ...(limit === undefined ? {} : { limit }),
    checks: allOf(checks),
  });
  if (report.problems > before.problems && (await identities(files)) !== before.files) {
    report.forgive(before.problems);
    report.finding({
      kind: 'note',
      file: `${folder}/${name}`,
      why: 'it was replaced while it was read (compaction): what is said of it mixes old and new; look again',
    });
  }
  return result;
}

/** Changes when a file is replaced by another. */
async function identities(files: readonly string[]): Promise<string> {
  const inodes = files.map(async (file) => {
    try {
      return (await stat(file)).ino;
    } catch {
      return 'absent';
    }
  });
  return (await Promise.all(inodes)).join(' ');
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch {
    return false;
  }
}

/** @returns what it is. @throws Error naming the path and why it cannot be looked at. */
export async function kindOfPath(target: string): Promise<'file' | 'folder'> {
  try {
    const status = await stat(target);
    if (status.isDirectory()) return 'folder';
    if (status.isFile()) return 'file';
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? String(thrown);
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'There is no file or folder',
      EACCES: 'This user may not look at',
    };
    throw new FileError(
      code === 'ENOENT' ? 'absent' : 'io',
      `${why[code] ?? `Cannot look at (${code})`} "${target}".`,
      { cause: thrown },
    );
  }
  throw new Error(`"${target}" is neither a file nor a folder.`);
}
