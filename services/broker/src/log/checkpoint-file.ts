/**
 * Format of the file `checkpoints`, one for a data directory: what recovery needs to know of each partition.
 *
 *     tributary checkpoints 1
 *     <folder> <JSON>            one line per partition
 *     crc <8 hex digits>         CRC32C of all bytes before this line
 */
import { type LeaderEpoch, leaderEpoch, type Offset, offset } from '@tributary/model';
import { crc32c } from '@tributary/record';
import type { EpochStart } from './epochs.ts';
import type { DamagedRange } from './log-types.ts';

/** A segment of a log that was closed cleanly: what opening it again would have to read otherwise. */
export interface SegmentFacts {
  readonly base: Offset;
  readonly bytes: number;
  /** −1: no record has a timestamp; undefined: nobody had to know. */
  readonly maxTimestamp: number | undefined;
  /** Base offset of the batch that holds it. */
  readonly maxTimestampAt: Offset;
  /** Newest record of the first batch; −1: no timestamp. */
  readonly firstTimestamp: number;
}

export interface PartitionCheckpoint {
  /** All below is flushed, and the indexes up to here too. */
  readonly recoveryPoint: Offset;
  readonly highWatermark: Offset;
  readonly logStart: Offset;
  /** The checkpoints were damaged: the log begins where its files do. */
  readonly isStartLost: boolean;
  /** Compaction has been through all below; losing it costs work only. */
  readonly firstDirty: Offset;
  /** Tombstones below may be gone: whoever is behind it may have missed one (L5). */
  readonly tombstonesGone: Offset;
  readonly epochs: readonly EpochStart[];
  readonly damaged: readonly DamagedRange[];
  readonly suspect: boolean;
  readonly possibleLoss: boolean;
  /** A sync failed: the page cache may differ from the disk past the recovery point (L2). */
  readonly rewrite: boolean;
  /** The page cache was lost since the log was last open (L1). */
  readonly lossy: boolean;
  /** The log was closed at the recovery point: nothing needs reading. */
  readonly closed: readonly SegmentFacts[] | undefined;
}

export const emptyCheckpoint: PartitionCheckpoint = {
  recoveryPoint: offset(0n),
  highWatermark: offset(0n),
  logStart: offset(0n),
  isStartLost: false,
  firstDirty: offset(0n),
  tombstonesGone: offset(0n),
  epochs: [],
  damaged: [],
  suspect: false,
  possibleLoss: false,
  rewrite: false,
  lossy: false,
  closed: undefined,
};

const heading = 'tributary checkpoints 1\n';

/** What goes into one line; absent fields are as in {@link emptyCheckpoint}. */
interface Line {
  readonly rp: string;
  readonly hw: string;
  readonly start?: string;
  readonly lost?: true;
  readonly dirty?: string;
  readonly gone?: string;
  readonly epochs?: readonly (readonly [number, string])[];
  readonly damaged?: readonly (readonly [string, string])[];
  readonly suspect?: true;
  readonly loss?: true;
  readonly rewrite?: true;
  readonly lossy?: true;
  readonly closed?: readonly (readonly [string, number, number | null, string, number])[];
}

/** One line, newline included. */
export function encodeLine(folder: string, checkpoint: PartitionCheckpoint): string {
  const {
    recoveryPoint,
    highWatermark,
    logStart,
    isStartLost,
    firstDirty,
    tombstonesGone,
    epochs,
    damaged,
    suspect,
    possibleLoss,
    rewrite,
    lossy,
    closed,
  } = checkpoint;
  const line: Line = {
    rp: recoveryPoint.toString(),
    hw: highWatermark.toString(),
    ...(logStart > 0n && { start: logStart.toString() }),
    ...(isStartLost && { lost: isStartLost }),
    ...(firstDirty > 0n && { dirty: firstDirty.toString() }),
    ...(tombstonesGone > 0n && { gone: tombstonesGone.toString() }),
    ...(epochs.length > 0 && { epochs: epochs.map(({ epoch, start }) => [epoch, start.toString()] as const) }),
    ...(damaged.length > 0 && { damaged: damaged.map(({ from, to }) => [from.toString(), to.toString()] as const) }),
    ...(suspect && { suspect }),
    ...(possibleLoss && { loss: possibleLoss }),
    ...(rewrite && { rewrite }),
    ...(lossy && { lossy }),
    ...(closed !== undefined && {
      closed: closed.map(({ base, bytes, maxTimestamp, maxTimestampAt, firstTimestamp }) => {
        return [base.toString(), bytes, maxTimestamp ?? null, maxTimestampAt.toString(), firstTimestamp] as const;
      }),
    }),
  };
  return `${folder} ${JSON.stringify(line)}\n`;
}

export function encodeFile(lines: Iterable<string>): Uint8Array {
  let text = heading;
  for (const line of lines) text += line;
  const body = Buffer.from(text);
  return Buffer.concat([body, Buffer.from(`crc ${crc32c(body).toString(16).padStart(8, '0')}\n`)]);
}

/** undefined: the file is damaged. */
export function decodeFile(bytes: Uint8Array): Map<string, PartitionCheckpoint> | undefined {
  const text = Buffer.from(bytes).toString('utf8');
  const tail = /crc ([0-9a-f]{8})\n$/.exec(text);
  if (tail === null || !text.startsWith(heading)) return undefined;
  const body = bytes.subarray(0, bytes.length - tail[0].length);
  if (crc32c(body) !== Number.parseInt(tail[1] ?? '', 16)) return undefined;
  const checkpoints = new Map<string, PartitionCheckpoint>();
  for (const line of text.slice(heading.length, tail.index).split('\n')) {
    const space = line.indexOf(' ');
    if (space > 0) checkpoints.set(line.slice(0, space), decodeLine(JSON.parse(line.slice(space + 1)) as Line));
  }
  return checkpoints;
}

/** The checksum has vouched for the form. */
function decodeLine(line: Line): PartitionCheckpoint {
  const at = (text: string): Offset => offset(BigInt(text));
  const epoch = (value: number): LeaderEpoch => leaderEpoch(value);
  return {
    recoveryPoint: at(line.rp),
    highWatermark: at(line.hw),
    logStart: at(line.start ?? '0'),
    isStartLost: line.lost === true,
    firstDirty: at(line.dirty ?? '0'),
    tombstonesGone: at(line.gone ?? '0'),
    epochs: (line.epochs ?? []).map(([number, start]) => ({ epoch: epoch(number), start: at(start) })),
    damaged: (line.damaged ?? []).map(([from, to]) => ({ from: at(from), to: at(to) })),
    suspect: line.suspect === true,
    possibleLoss: line.loss === true,
    rewrite: line.rewrite === true,
    lossy: line.lossy === true,
    closed: line.closed?.map(([base, bytes, maxTimestamp, maxTimestampAt, firstTimestamp]) => {
      return {
        base: at(base),
        bytes,
        maxTimestamp: maxTimestamp ?? undefined,
        maxTimestampAt: at(maxTimestampAt),
        firstTimestamp,
      };
    }),
  };
}
