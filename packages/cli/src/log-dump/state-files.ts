/** The small files of a data directory: meta.json, the checkpoints, the snapshots of producers. */
import { decodeMeta, inspectCheckpoints, inspectSnapshot, type PartitionCheckpoint } from '@tributary/broker';
import { type Offset, TributaryError } from '@tributary/model';
import { counted } from '../figures.ts';
import { type Report, timeText } from './report.ts';

export function dumpMeta(path: string, bytes: Uint8Array, report: Report): void {
  const meta = attempt(path, report, () => decodeMeta(bytes, path));
  if (meta === undefined) return;
  const { failedSync, ...fields } = meta;
  for (const [name, value] of report.options.json ? [] : Object.entries(fields))
    report.line(`${name.padEnd(26)} ${value === undefined ? '-' : String(value)}`, {});
  if (report.options.json) report.line('', { what: 'meta', file: path, ...fields, failedSync: failedSync?.path });
  if (failedSync !== undefined)
    report.finding({
      kind: 'note',
      file: path,
      why: `a sync of ${failedSync.path} failed (${failedSync.why}): the next start rewrites what lies past the recovery points`,
    });
}

/** @returns undefined when they cannot be read. */
export function dumpCheckpoints(
  path: string,
  bytes: Uint8Array,
  report: Report,
): ReadonlyMap<string, PartitionCheckpoint> | undefined {
  const checkpoints = attempt(path, report, () => inspectCheckpoints(bytes));
  if (checkpoints === undefined) return undefined;
  for (const [folder, checkpoint] of checkpoints) {
    const { logStart, recoveryPoint, highWatermark, damaged, epochs, suspect, possibleLoss, rewrite, lossy } =
      checkpoint;
    const marks = Object.entries({ suspect, 'possible loss': possibleLoss, rewrite, lossy }).flatMap(([name, on]) =>
      on ? [name] : [],
    );
    const ranges = damaged.map(({ from, to }) => `damaged ${from} to ${to - 1n}`);
    report.line(
      `${folder}  start ${logStart}  recovery point ${recoveryPoint}  high watermark ${highWatermark}  epoch ${epochs.at(-1)?.epoch ?? '-'}${[...marks, ...ranges].map((mark) => `  ${mark}`).join('')}`,
      { what: 'checkpoint', folder, ...checkpoint },
    );
  }
  return checkpoints;
}

interface SnapshotShape {
  readonly logTimeMs?: number;
  readonly producers?: readonly {
    readonly id?: string;
    readonly epoch?: number;
    readonly batches?: readonly { readonly first?: number; readonly last?: number; readonly end?: string }[];
  }[];
}

/** @param end all batches below it are in the snapshot. */
export function dumpSnapshot(path: string, bytes: Uint8Array, end: Offset, report: Report): void {
  const state = attempt(path, report, () => inspectSnapshot(bytes)) as SnapshotShape | undefined;
  if (state === undefined) return;
  const producers = state.producers ?? [];
  report.line(
    `as of offset ${end}: ${counted(producers.length, 'producer')}, log time ${timeText(state.logTimeMs ?? -1)}`,
    {
      what: 'snapshot',
      file: path,
      end,
      ...state,
    },
  );
  if (!report.options.details || report.options.json) return;
  for (const { id, epoch, batches = [] } of producers) {
    const last = batches.at(-1);
    report.line(
      `producer ${id ?? '?'}/${epoch ?? '?'}  last sequence ${last?.last ?? '-'} at offset ${last?.end ?? '-'}`,
      {},
    );
  }
}

/** What the file's own reader says against it is a finding; anything else is ours. */
function attempt<T>(path: string, report: Report, read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof TributaryError) && !(thrown instanceof SyntaxError)) throw thrown;
    report.finding({ kind: 'problem', file: path, why: thrown.message.replace(/\.$/, '') });
    return undefined;
  }
}
