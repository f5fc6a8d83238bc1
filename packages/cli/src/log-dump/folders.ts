/** A partition's folder, a data directory, or a folder of data directories: all files, and what they say of each other. */
import path from 'node:path';
import { type PartitionCheckpoint, parseFolderName } from '@tributary/broker';
import { type Offset, offset } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { nodeFileSystem } from '@tributary/runtime';
import { dumpFile, dumpSegmentWithIndexes, kindOfPath, readWhole, roleOf } from './files.ts';
import type { Report } from './report.ts';
import { dumpCheckpoints, dumpMeta } from './state-files.ts';

/** @throws Error when nothing in it is ours. */
export async function dumpFolder(folder: string, report: Report): Promise<void> {
  const names = await nodeFileSystem.list(folder);
  if (names.includes('meta.json') || names.includes('checkpoints'))
    return await dumpDataDirectory(folder, names, report);
  if (names.some((name) => roleOf(name).kind !== 'foreign')) return await dumpPartition(folder, report, undefined);
  const inner: string[] = [];
  for (const name of names) {
    const below = `${folder}/${name}`;
    if ((await kindOfPath(below)) !== 'folder') continue;
    if ((await nodeFileSystem.list(below)).includes('meta.json')) inner.push(below);
  }
  if (inner.length > 0) {
    for (const below of inner) await dumpFolder(below, report);
    return;
  }
  // A partition that was opened and never written to, or the parent of nothing of ours.
  if (names.length === 0 && parseFolderName(path.basename(folder)) !== undefined)
    return report.line(`${folder} is empty`, { what: 'folder', folder, files: 0 });
  throw new Error(`"${folder}" holds no file of a data directory.`);
}

const asides = [
  ['quarantine', 'folders of topics that the cluster did not know were put aside here; dump them by their paths'],
  ['failed-sync', 'a sync failed: the next start rewrites what lies past the recovery points'],
] as const;

async function dumpDataDirectory(folder: string, names: readonly string[], report: Report): Promise<void> {
  let checkpoints: ReadonlyMap<string, PartitionCheckpoint> | undefined;
  if (names.includes('meta.json')) {
    report.heading(`${folder}/meta.json`);
    dumpMeta(`${folder}/meta.json`, await readWhole(`${folder}/meta.json`), report);
  } else
    report.finding({
      kind: 'problem',
      file: `${folder}/meta.json`,
      why: 'it is absent: whose directory this is, nobody knows',
    });
  if (names.includes('checkpoints')) {
    report.heading(`${folder}/checkpoints`);
    checkpoints = dumpCheckpoints(`${folder}/checkpoints`, await readWhole(`${folder}/checkpoints`), report);
  }
  for (const [name, why] of asides) {
    if (names.includes(name)) report.finding({ kind: 'note', file: `${folder}/${name}`, why });
  }
  for (const name of names) {
    if (parseFolderName(name) === undefined) continue;
    await unlessGone(`${folder}/${name}`, report, async () => {
      if ((await kindOfPath(`${folder}/${name}`)) === 'folder')
        await dumpPartition(`${folder}/${name}`, report, checkpoints?.get(name));
    });
  }
}

async function dumpPartition(
  folder: string,
  report: Report,
  checkpoint: PartitionCheckpoint | undefined,
): Promise<void> {
  const names = await nodeFileSystem.list(folder);
  const segments = names.flatMap((name) => {
    const role = roleOf(name);
    return role.kind === 'log' ? [{ name, base: role.base }] : [];
  });
  let end: Offset | undefined;
  for (const [index, { name, base }] of segments.entries()) {
    report.heading(`${folder}/${name}`);
    const limit = segments[index + 1]?.base;
    if (end !== undefined && base > end) tellGap(`${folder}/${name}`, { from: end, to: base }, checkpoint, report);
    const result = await unlessGone(`${folder}/${name}`, report, () =>
      dumpSegmentWithIndexes(folder, names, base, name, limit, report),
    );
    end = result?.end;
    await report.flush();
  }
  for (const name of names) {
    const role = roleOf(name);
    const file = `${folder}/${name}`;
    if (role.kind === 'log' || role.kind === 'foreign') continue;
    if (role.kind === 'index' || role.kind === 'timeindex') {
      if (!names.includes(name.replace(/\.(index|timeindex)$/, '.log')))
        report.finding({ kind: 'note', file, why: 'its segment is gone; the next start removes it' });
      continue;
    }
    report.heading(file);
    await unlessGone(file, report, () => dumpFile(file, report));
    if (role.kind === 'snapshot' && end !== undefined && role.base > end)
      report.finding({ kind: 'problem', file, why: `it is of offset ${role.base}, and the log ends at ${end}` });
  }
  if (checkpoint !== undefined && (end !== undefined || segments.length === 0))
    compare(folder, end ?? offset(0n), checkpoint, report);
}

/** A broker that is running rolls, removes and replaces files meanwhile. */
async function unlessGone<T>(file: string, report: Report, look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (thrown) {
    if (!(thrown instanceof FileError) || thrown.reason !== 'absent') throw thrown;
    report.finding({ kind: 'note', file, why: 'it went away while the folder was read: a broker is using it' });
    return undefined;
  }
}

interface Gap {
  readonly from: Offset;
  readonly to: Offset;
}

/** Compaction leaves gaps; so does damage that is written down. */
function tellGap(file: string, { from, to }: Gap, checkpoint: PartitionCheckpoint | undefined, report: Report): void {
  const isKnown =
    checkpoint !== undefined &&
    (checkpoint.firstDirty > 0n || checkpoint.damaged.some((range) => range.from <= from && range.to >= to));
  const reason =
    checkpoint === undefined ? '; the data directory’s checkpoints would tell whether compaction made it' : '';
  report.finding({
    kind: isKnown ? 'note' : 'problem',
    file,
    why: `a gap: offsets ${from} to ${to - 1n} are in no segment${isKnown ? '' : reason}`,
  });
}

function compare(folder: string, end: Offset, checkpoint: PartitionCheckpoint, report: Report): void {
  const { recoveryPoint, highWatermark } = checkpoint;
  for (const [what, at] of [
    ['recovery point', recoveryPoint],
    ['high watermark', highWatermark],
  ] as const) {
    if (at > end && !checkpoint.damaged.some((range) => range.to >= at))
      report.finding({
        kind: 'problem',
        file: folder,
        why: `the checkpointed ${what} is ${at}, and the log ends at ${end}`,
      });
  }
}
