/** Opening the files of a log: as it was closed, by recovery, or for the first time. */
import type { Offset, TopicConfig } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { emptyCheckpoint, type PartitionCheckpoint, type SegmentFacts } from './checkpoint-file.ts';
import { EpochHistory } from './epochs.ts';
import type { LogHome } from './log-home.ts';
import type { LogBeginning, ReplicaRole } from './log-types.ts';
import { fileName, isLeftover, parseFileName } from './names.ts';
import { ProducerSnapshots } from './producer-snapshots.ts';
import { type RecoveredLog, recoverLog } from './recovery.ts';
import { Segment } from './segment.ts';
import { rollForward } from './segment-swap.ts';

export interface OpeningOptions {
  readonly config: TopicConfig;
  readonly role: ReplicaRole;
  readonly beginsAt?: LogBeginning;
}

export interface OpenedLog extends RecoveredLog {
  readonly snapshots: ProducerSnapshots;
}

export async function openFiles(home: LogHome, options: OpeningOptions): Promise<OpenedLog> {
  const found = await home.disk.files.list(home.folder);
  const isChanged = await rollForward(home.disk, home.folder, found);
  const names = isChanged ? await home.disk.files.list(home.folder) : found;
  const bases = await tidy(home, names);
  const snapshots = new ProducerSnapshots(home.disk, home.folder, names);
  const checkpoint = home.checkpoint();
  if (checkpoint === undefined && bases.length === 0) {
    const { beginsAt } = options;
    const created = await create(home, beginsAt);
    if (beginsAt?.producers === undefined || (await snapshots.write(beginsAt.producers)))
      return { ...created, snapshots };
    // Without it the log would have to begin anew at once (P3).
    for (const segment of created.segments) await segment.release();
    throw new FileError('full', `${home.folder}: there is no room for what its leader knows of producers`);
  }
  // Without a checkpoint a first segment above 0 is of a log that began there, and its start was not yet written down.
  const known = begun(
    checkpoint ?? { ...emptyCheckpoint, isStartLost: !home.isChronicled || (bases[0] ?? 0n) > 0n },
    bases,
  );
  // A folder that was put aside just before a crash may have left its checkpoint behind.
  if (bases.length === 0) await home.disk.files.makeDirectory(home.folder);
  const reopened = await reopen(home, bases, known);
  if (reopened !== undefined) return { ...reopened, snapshots };
  const recovered = await recoverLog(
    home,
    bases,
    { ...known, closed: undefined },
    {
      ...options,
      persist: async (changed) => {
        home.remember(changed);
        await home.persist();
      },
    },
  );
  // Before anything is appended: a snapshot that came back would not fit what then lies below it.
  if (await snapshots.dropAbove(recovered.end)) await home.disk.syncDirectory(home.folder);
  return { ...recovered, snapshots };
}

function begun(checkpoint: PartitionCheckpoint, bases: readonly Offset[]): PartitionCheckpoint {
  if (!checkpoint.isStartLost) return checkpoint;
  return { ...checkpoint, logStart: bases[0] ?? checkpoint.logStart, isStartLost: false };
}

/** Removes what a crash left behind. @returns the bases of the segments. */
async function tidy(home: LogHome, names: readonly string[]): Promise<readonly Offset[]> {
  const bases: Offset[] = [];
  for (const name of names) {
    const parsed = parseFileName(name);
    if (parsed?.kind === 'log') bases.push(parsed.base);
    const isOrphan =
      (parsed?.kind === 'index' || parsed?.kind === 'timeindex') && !names.includes(fileName(parsed.base, 'log'));
    if (isOrphan || isLeftover(name)) await home.disk.files.remove(`${home.folder}/${name}`);
  }
  return bases;
}

async function create(home: LogHome, beginsAt: LogBeginning | undefined): Promise<RecoveredLog> {
  const { start, tombstonesGone } = beginsAt ?? {
    start: emptyCheckpoint.logStart,
    tombstonesGone: emptyCheckpoint.tombstonesGone,
  };
  await home.disk.files.makeDirectory(home.folder);
  const active = new Segment(home, start, 'new');
  await active.openForAppend();
  return {
    segments: [active],
    end: active.base,
    epochs: new EpochHistory(),
    // What lies below the start was committed, or its leader could not have let it go (L4).
    checkpoint: { ...emptyCheckpoint, logStart: start, highWatermark: start, recoveryPoint: start, tombstonesGone },
    report: { how: 'created', scannedBytes: 0, cutBytes: 0 },
  };
}

/** undefined: it was not closed, or the files are not as they were then. */
async function reopen(
  home: LogHome,
  bases: readonly Offset[],
  checkpoint: PartitionCheckpoint,
): Promise<RecoveredLog | undefined> {
  const { closed } = checkpoint;
  if (closed === undefined || !isAsClosed(closed, bases)) return undefined;
  const segments = closed.map((facts, index) => Segment.fromFacts(home, facts, index === closed.length - 1));
  const active = segments.at(-1);
  if (active === undefined) return undefined;
  const file = await active.openForAppend();
  if (file.size !== active.bytes) {
    home.disk.logger.warn('segment changed while its log was closed', {
      path: active.path,
      bytes: file.size,
      closed: active.bytes,
    });
    await active.release();
    return undefined;
  }
  return {
    segments,
    end: checkpoint.recoveryPoint,
    epochs: new EpochHistory(checkpoint.epochs),
    checkpoint: { ...checkpoint, closed: undefined },
    report: { how: 'clean', scannedBytes: 0, cutBytes: 0 },
  };
}

const isAsClosed = (closed: readonly SegmentFacts[], bases: readonly Offset[]): boolean =>
  closed.length === bases.length && closed.every(({ base }, index) => base === bases[index]);
