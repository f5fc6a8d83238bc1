/**
 * Opening a log that was not closed: what lies past the recovery point is read and checked, what is no whole batch is cut, and what the disk
 * has lost is said (L2, L3, L6).
 *
 * A repair is written down before it is made, makes new files before it changes old ones, and is followed by a scan from the beginning. A
 * crash inside it leaves one of: the damage as it was, with the mark that says so; or a segment that reaches beyond the base of the next one,
 * which the next scan cuts there.
 */
import { limits, type Offset, offset, type TopicConfig, TributaryError } from '@tributary/model';
import type { File } from '@tributary/ports';
import { baseOffsetOf, maxTimestampOf } from '@tributary/record';
import type { PartitionCheckpoint } from './checkpoint-file.ts';
import { isDamaged, joinRanges } from './damage.ts';
import type { Disk } from './disk.ts';
import { EpochHistory } from './epochs.ts';
import { copyRange, keepCopies } from './cut-copies.ts';
import type { RecoveryReport, ReplicaRole } from './log-types.ts';
import { fileName, temporarySuffix } from './names.ts';
import { type Plan, planRecovery, type Run } from './recovery-plan.ts';
import { scanFile } from './scan.ts';
import { Segment, type SegmentPlace } from './segment.ts';
import { type SurveyedLog, type SurveyedSegment, type SurveyOptions, surveyLog } from './survey.ts';

export interface RecoveryOptions {
  readonly role: ReplicaRole;
  readonly config: TopicConfig;
  /** Makes it durable. */
  readonly persist: (checkpoint: PartitionCheckpoint) => Promise<void>;
}

export interface RecoveredLog {
  /** Sealed, all but the last, which is open for appending. */
  readonly segments: readonly Segment[];
  readonly end: Offset;
  readonly epochs: EpochHistory;
  readonly checkpoint: PartitionCheckpoint;
  readonly report: RecoveryReport;
}

/** @param bases of the segments found, rising. */
export async function recoverLog(
  place: SegmentPlace,
  bases: readonly Offset[],
  checkpoint: PartitionCheckpoint,
  options: RecoveryOptions,
): Promise<RecoveredLog> {
  const recovery = new Recovery(place, checkpoint, options);
  return await recovery.run(bases);
}

class Recovery {
  readonly #place: SegmentPlace;
  readonly #disk: Disk;
  readonly #options: RecoveryOptions;
  readonly #wasDistrusted: boolean;
  #checkpoint: PartitionCheckpoint;
  #scannedBytes = 0;
  #cutBytes = 0;

  constructor(place: SegmentPlace, checkpoint: PartitionCheckpoint, options: RecoveryOptions) {
    this.#place = place;
    this.#disk = place.disk;
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#wasDistrusted = checkpoint.rewrite;
  }

  async run(found: readonly Offset[]): Promise<RecoveredLog> {
    let bases = await this.#withoutThoseBelowStart(found);
    for (let round = 0; round < limits.recoveryRounds; round++) {
      const first = bases[0];
      if (first === undefined) return await this.#startEmpty();
      const survey = await surveyLog(this.#place, bases, this.#surveyOptions(first));
      this.#scannedBytes += survey.bytesRead;
      const plan = this.#plan(survey);
      if (survey.read.every((surveyed) => !this.#needsRepair(surveyed, plan)) && !this.#checkpoint.rewrite) {
        return await this.#finish(survey, plan);
      }
      bases = await this.#repair(survey, plan);
    }
    throw new TributaryError(
      'KAFKA_STORAGE_ERROR',
      `${this.#place.folder}: after ${limits.recoveryRounds} repairs the log still changes while it is read.`,
    );
  }

  /** @param first base of the first segment. Above the log start something is missing before it: then all is read, for all may have to go. */
  #surveyOptions(first: Offset): SurveyOptions {
    const { recoveryPoint, logStart, damaged, rewrite } = this.#checkpoint;
    const isMissing = first > logStart && !isDamaged({ from: logStart, to: first }, damaged);
    return {
      recoveryPoint: recoveryPoint > first && !isMissing ? recoveryPoint : first,
      start: isMissing ? logStart : undefined,
      config: this.#options.config,
      splitAtRecoveryPoint: rewrite,
    };
  }

  /** L6: what an `async` partition had not flushed is gone with the page cache, whoever it was promised to. */
  get #mayLose(): boolean {
    return this.#checkpoint.lossy && this.#options.config.flushPolicy === 'async';
  }

  /** A crash may have come between the new log start and the removal of what lies below it. */
  async #withoutThoseBelowStart(bases: readonly Offset[]): Promise<readonly Offset[]> {
    const { logStart } = this.#checkpoint;
    const first = Math.max(
      0,
      bases.findLastIndex((base) => base <= logStart),
    );
    for (const base of bases.slice(0, first)) await this.#removeFiles(base);
    return bases.slice(first);
  }

  #plan(survey: SurveyedLog): Plan {
    return planRecovery(survey, {
      role: this.#options.role,
      highWatermark: this.#checkpoint.highWatermark,
      recoveryPoint: this.#checkpoint.recoveryPoint,
      damaged: this.#checkpoint.damaged,
      mayLose: this.#mayLose,
    });
  }

  #needsRepair({ segment, fileBytes, from }: SurveyedSegment, plan: Plan): boolean {
    const runs = plan.kept.filter((run) => run.segment === segment.base);
    const only = runs[0];
    return runs.length !== 1 || only === undefined || only.from !== from || only.to !== fileBytes;
  }

  /** @returns the bases after it. */
  async #repair(survey: SurveyedLog, plan: Plan): Promise<readonly Offset[]> {
    const scanned = new Map(survey.read.map((surveyed) => [surveyed.segment.base, surveyed]));
    const moved = plan.kept.filter((run) => this.#isMoved(run, scanned.get(run.segment)));
    const last = plan.kept.at(-1);
    const isEmptyFile = (run: Run): boolean => run.to === 0 && run !== last;
    const movedTo = new Set(moved.map((run) => run.begins));
    const staying = plan.kept.filter((run) => !moved.includes(run) && !movedTo.has(run.segment) && !isEmptyFile(run));
    const stays = new Map(staying.map((run) => [run.segment, run]));
    if (plan.possibleLoss) await this.#copyWhatGoes(survey, plan);
    // Whatever is half done when a crash comes, the next scan begins no later than this one.
    await this.#mark(
      plan,
      survey.start < this.#checkpoint.recoveryPoint ? survey.start : this.#checkpoint.recoveryPoint,
    );
    for (const run of moved) await this.#writeAnew(run, scanned.get(run.segment));
    // The last one first, each durable before the next: what an old file holds beyond the base of a new one counts as moved.
    for (const run of moved.toReversed()) {
      await this.#rename(run);
      await this.#disk.syncDirectory(this.#place.folder);
    }
    for (const { segment } of survey.read.toReversed()) {
      await segment.release();
      segment.forgetIndex();
      if (!stays.has(segment.base) && !movedTo.has(segment.base)) await this.#removeFiles(segment.base);
    }
    // Before a file gets shorter: a removed one that came back would then follow a gap that nobody knows of.
    await this.#disk.syncDirectory(this.#place.folder);
    for (const { segment, fileBytes } of survey.read) {
      const run = stays.get(segment.base);
      if (run !== undefined && run.to < fileBytes) await this.#truncate(segment.path, run.to);
    }
    this.#countCut(survey, plan);
    if (this.#checkpoint.rewrite) await this.#remember({ ...this.#checkpoint, rewrite: false });
    const bases = [...survey.trusted.map((segment) => segment.base), ...stays.keys(), ...movedTo];
    return [...new Set(bases)].sort((a, b) => (a < b ? -1 : 1));
  }

  /** Whether the run gets a file of its own: damage lies before it, or what the page cache shows may never have reached the disk. */
  #isMoved(run: Run, surveyed: SurveyedSegment | undefined): boolean {
    if (this.#checkpoint.rewrite && run.end > this.#checkpoint.recoveryPoint && run.to > run.from) return true;
    return run.from !== (surveyed?.from ?? 0);
  }

  async #mark(plan: Plan, recoveryPoint: Offset): Promise<void> {
    const before = this.#checkpoint;
    // A member keeps what it knew of the HW: until it has caught up, its log ends below it. Otherwise only a lossy stop gets here (L6).
    const isBelow = plan.end < before.highWatermark && (this.#options.role === 'sole' || this.#mayLose);
    await this.#remember({
      ...before,
      damaged: joinRanges([...before.damaged, ...plan.damaged], before.logStart),
      suspect: before.suspect || plan.suspect,
      possibleLoss: before.possibleLoss || plan.possibleLoss,
      recoveryPoint,
      highWatermark: isBelow ? plan.end : before.highWatermark,
    });
  }

  /** Writes only what is new. */
  async #remember(checkpoint: PartitionCheckpoint): Promise<void> {
    const before = JSON.stringify(this.#checkpoint, bigintAsText);
    this.#checkpoint = checkpoint;
    if (JSON.stringify(checkpoint, bigintAsText) !== before) await this.#options.persist(checkpoint);
  }

  /** L3: bytes that leave the log in doubt stay beside it. */
  async #copyWhatGoes(survey: SurveyedLog, plan: Plan): Promise<void> {
    for (const { segment, fileBytes, from } of survey.read) {
      let at = from;
      for (const run of [...plan.kept.filter((kept) => kept.segment === segment.base), undefined]) {
        const to = run?.from ?? fileBytes;
        if (to > at) await segment.use((file) => copyRange(this.#place, file, segment.base, at, to));
        at = run?.to ?? fileBytes;
      }
    }
    await keepCopies(this.#place);
  }

  /** Checks each batch once more: between two reads the page cache may have let go of what the disk never had. */
  async #writeAnew(run: Run, surveyed: SurveyedSegment | undefined): Promise<void> {
    const path = `${this.#pathOf(run.begins)}${temporarySuffix}`;
    await this.#disk.files.remove(path);
    const target = await this.#disk.files.open(path, 'append');
    try {
      await surveyed?.segment.use(async (source) => {
        for (let at = run.from; at < run.to; ) {
          const { pieces, end } = await wholeBatches(source, at, run.to);
          if (pieces.length === 0) return;
          await this.#disk.append(target, path, pieces);
          at = end;
        }
      });
      await this.#disk.sync(target, path);
    } finally {
      await target.close();
    }
  }

  async #rename(run: Run): Promise<void> {
    const path = this.#pathOf(run.begins);
    // Positions in the file are new.
    for (const kind of ['index', 'timeindex'] as const) {
      await this.#disk.files.remove(`${this.#place.folder}/${fileName(run.begins, kind)}`);
    }
    await this.#disk.files.rename(`${path}${temporarySuffix}`, path);
  }

  async #removeFiles(base: Offset): Promise<void> {
    for (const kind of ['index', 'timeindex', 'log'] as const) {
      await this.#disk.files.remove(`${this.#place.folder}/${fileName(base, kind)}`);
    }
  }

  async #truncate(path: string, bytes: number): Promise<void> {
    const file = await this.#disk.files.open(path, 'append');
    try {
      await file.truncate(bytes);
      await this.#disk.sync(file, path);
    } catch (thrown) {
      await this.#disk.fail(path, thrown);
    } finally {
      await file.close();
    }
  }

  #countCut(survey: SurveyedLog, plan: Plan): void {
    const there = survey.read.reduce((sum, { fileBytes, from }) => sum + fileBytes - from, 0);
    this.#cutBytes += there - plan.kept.reduce((sum, run) => sum + run.to - run.from, 0);
  }

  /** Nothing needs repair any more. */
  async #finish(survey: SurveyedLog, plan: Plan): Promise<RecoveredLog> {
    if (plan.damaged.length > 0 || plan.possibleLoss || plan.suspect) {
      await this.#mark(plan, plan.end < this.#checkpoint.recoveryPoint ? survey.start : this.#checkpoint.recoveryPoint);
    }
    const segments = [...survey.trusted, ...survey.read.map(({ segment }) => segment)];
    const last = segments.at(-1);
    for (const [index, { segment }] of survey.read.entries()) {
      const next = survey.read[index + 1]?.segment.base;
      await syncLog(segment);
      if (next !== undefined) {
        segment.seal(next);
        await segment.release();
      }
    }
    if (last === undefined || last.base > plan.end || plan.end > this.#endOf(survey, plan)) {
      last?.seal(this.#endOf(survey, plan));
      await last?.release();
      const active = new Segment(this.#place, plan.end, 'reset');
      await active.openForAppend();
      segments.push(active);
    } else if (last.bytes > 0) {
      last.firstTimestamp = await firstTimestampOf(last);
    }
    await this.#disk.syncDirectory(this.#place.folder);
    await this.#disk.syncDirectory(this.#disk.root);
    return {
      segments,
      end: plan.end,
      epochs: this.#epochs(survey, plan.end),
      checkpoint: this.#checkpoint,
      report: this.#report(),
    };
  }

  #endOf(survey: SurveyedLog, plan: Plan): Offset {
    return plan.kept.at(-1)?.end ?? survey.start;
  }

  /** There is no file: the log begins at its start, and never below the HW (L6). */
  async #startEmpty(): Promise<RecoveredLog> {
    const { logStart } = this.#checkpoint;
    const survey: SurveyedLog = { trusted: [], start: logStart, runs: [], read: [], epochs: [], bytesRead: 0 };
    return await this.#finish(survey, this.#plan(survey));
  }

  /** Epochs that were written down, as far as the log reaches, and those that its batches name past the recovery point. */
  #epochs(survey: SurveyedLog, end: Offset): EpochHistory {
    const before = this.#checkpoint.epochs;
    const epochs = new EpochHistory(before.filter(({ start }) => start < survey.start));
    for (const { epoch, start } of survey.epochs) if (start < end) epochs.begin(epoch, start);
    // The newest one is kept even if none of its batches is left: a broker must see when metadata goes back behind it (M6).
    for (const { epoch, start } of before) epochs.begin(epoch, start < end ? start : end);
    return epochs;
  }

  #report(): RecoveryReport {
    const how = this.#wasDistrusted ? 'rewritten' : 'scanned';
    return { how, scannedBytes: this.#scannedBytes, cutBytes: this.#cutBytes };
  }

  #pathOf(base: Offset): string {
    return `${this.#place.folder}/${fileName(base, 'log')}`;
  }
}

/** About limits.scanChunk of sound batches from `from` on, copied. */
async function wholeBatches(
  source: File,
  from: number,
  to: number,
): Promise<{ readonly pieces: Buffer[]; readonly end: number }> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const { position } = await scanFile(source, { from, to, check: true }, (buffer, at, _position, size) => {
    if (bytes > 0 && bytes + size > limits.scanChunk) return false;
    pieces.push(Buffer.from(buffer.subarray(at, at + size)));
    bytes += size;
    return true;
  });
  return { pieces, end: position };
}

/** L2: what was only written may be in the page cache alone. */
async function syncLog(segment: Segment): Promise<void> {
  await segment.syncAnyway();
}

async function firstTimestampOf(segment: Segment): Promise<number> {
  let first = -1;
  await segment.use((file) =>
    scanFile(file, { from: 0, to: segment.bytes, check: false, chunk: 4096 }, (bytes, at) => {
      first = maxTimestampOf(bytes, at);
      return baseOffsetOf(bytes, at) < offset(0n);
    }),
  );
  return first;
}

const bigintAsText = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
