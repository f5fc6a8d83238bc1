// pure
/**
 * What recovery does with what it found (L3, L6). It has walked the segments from the recovery point on and hands over the runs of whole
 * batches; this decides which of them stay, what is lost and what has to be said about it.
 */
import { type Offset, offset } from '@tributary/model';
import { isDamaged } from './damage.ts';
import type { DamagedRange, ReplicaRole } from './log-types.ts';

/** Whole batches one behind the other in one file. */
export interface Run {
  /** Base offset of the segment's file. */
  readonly segment: Offset;
  /** Bytes of the file. */
  readonly from: number;
  readonly to: number;
  /** First offset that it may hold: the segment's base if nothing lies before it in the file, else that of its first batch. */
  readonly begins: Offset;
  /** The offset after its last. */
  readonly end: Offset;
}

export interface Survey {
  /** In offset order; a segment without a byte is a run without a batch. */
  readonly runs: readonly Run[];
  /** Where the scan began: all before it is whole. */
  readonly start: Offset;
}

export interface KnownState {
  readonly role: ReplicaRole;
  readonly highWatermark: Offset;
  readonly recoveryPoint: Offset;
  readonly damaged: readonly DamagedRange[];
  /** A lossy stop of an `async` partition: what was below the HW may be gone and its offsets are given out again (L6). */
  readonly mayLose: boolean;
}

export interface Plan {
  readonly kept: readonly Run[];
  /** Where the log goes on; above the last run's end if that lies below the HW (L6). */
  readonly end: Offset;
  /** Newly found. */
  readonly damaged: readonly DamagedRange[];
  /** Whole batches were given up, or may have been: a copy of what is cut is kept. */
  readonly possibleLoss: boolean;
  readonly suspect: boolean;
}

export function planRecovery({ runs, start }: Survey, known: KnownState): Plan {
  const floor = known.mayLose ? offset(0n) : known.highWatermark;
  const kept: Run[] = [];
  const damaged: DamagedRange[] = [];
  let end = start;
  let cut = false;
  for (const run of runs) {
    const gap: DamagedRange = { from: end, to: run.begins };
    if (run.begins !== end && !isDamaged(gap, known.damaged)) {
      // Only a sole replica serves what lies behind damage, and only below the HW: others have it, or nobody was promised it.
      cut = known.role === 'member' || end >= floor;
      if (cut) break;
      if (gap.to > gap.from) damaged.push(gap);
    }
    kept.push(run);
    end = run.end;
  }
  const followed = cut && runs.slice(kept.length).some((run) => run.to > run.from);
  const lost = followed || end < known.recoveryPoint || end < floor || damaged.length > 0;
  if (known.role === 'sole' && end < floor) {
    damaged.push({ from: end, to: floor });
    end = floor;
  }
  return {
    kept,
    end,
    damaged,
    possibleLoss: lost || known.mayLose,
    suspect: known.role === 'member' && lost,
  };
}
