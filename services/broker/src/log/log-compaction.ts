/** Compaction as a log sees it: what is worth a round, the round itself, and the moment in which new segments take the place of old ones. */
import { assert, type Offset, type TopicConfig } from '@tributary/model';
import { maxTimestampOf } from '@tributary/record';
import type { Chronicle } from './chronicle.ts';
import { type Candidate, type CompactionOptions, type CompactionReport, compactOnce } from './compaction.ts';
import { type Cleanable, cleanableOf, type DirtySegment } from './compaction-plan.ts';
import type { LogHome } from './log-home.ts';
import type { LogReader } from './log-reader.ts';
import type { Mutex } from './mutex.ts';
import type { ProducerReplay } from './producer-replay.ts';
import { scanFile } from './scan.ts';
import type { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';
import { decideSwap, finishSwap } from './segment-swap.ts';
import type { SegmentWriter } from './segment-writer.ts';
import type { LogTail } from './tail-cache.ts';

/** The parts of a log that compaction shares with it. */
export interface LogParts {
  readonly home: LogHome;
  readonly segments: SegmentList;
  readonly chronicle: Chronicle;
  readonly producers: ProducerReplay;
  readonly reader: LogReader;
  readonly tail: LogTail;
  /** Of what changes the list of segments. */
  readonly upkeep: Mutex;
  readonly closing: AbortSignal;
  config(): TopicConfig;
  end(): Offset;
  durable(): Offset;
  /** Flushes all that was written before the call. */
  sync(): Promise<Offset>;
  /** What is going on in the background is done. */
  settled(): Promise<void>;
  /** Closes the segment that is being written; inside `upkeep`. */
  roll(): Promise<void>;
}

export class LogCompaction {
  readonly #log: LogParts;
  #running: Promise<unknown> | undefined;

  constructor(log: LogParts) {
    this.#log = log;
  }

  /** What a round would take up; undefined: nothing. Closes the segment that is being written when its first record is overdue. @param now wall clock, ms. */
  async cleanable(now: number): Promise<Cleanable | undefined> {
    const config = this.#log.config();
    if (!config.cleanup.compact || this.#log.closing.aborted) return undefined;
    const { maxCompactionLagMs } = config;
    if (maxCompactionLagMs !== undefined) await this.#rollOverdue(now - maxCompactionLagMs);
    const firstDirty = this.#firstDirty;
    const closed = this.#candidates();
    const dirty: DirtySegment[] = [];
    for (const { segment, base, end, bytes } of closed) {
      if (end <= firstDirty) continue;
      const newestMs = config.minCompactionLagMs > 0 ? await newestOf(segment) : 0;
      const firstMs = maxCompactionLagMs === undefined ? now : await firstOf(segment);
      dirty.push({ base, end, bytes, newestMs, firstMs });
    }
    return cleanableOf(closed, dirty, firstDirty, { ...config, now });
  }

  get #firstDirty(): Offset {
    const { firstDirty, start } = this.#log.chronicle;
    return firstDirty > start ? firstDirty : start;
  }

  async #rollOverdue(before: number): Promise<void> {
    const { segments, upkeep, closing } = this.#log;
    if (segments.active.bytes === 0 || (await firstOf(segments.active)) >= before) return;
    await upkeep.run(async () => {
      if (!closing.aborted) await this.#log.roll();
    });
  }

  /** L4: closed segments wholly below what is committed and durable. Nothing is transactional yet: the last stable offset is the high watermark. */
  #candidates(): readonly Candidate[] {
    const { segments, chronicle } = this.#log;
    const durable = this.#log.durable();
    const bound = chronicle.highWatermark < durable ? chronicle.highWatermark : durable;
    const candidates: Candidate[] = [];
    for (const [index, segment] of segments.all.entries()) {
      const end = segments.at(index + 1)?.base;
      if (end === undefined || end > bound) break;
      candidates.push({ segment, base: segment.base, end, bytes: segment.bytes });
    }
    return candidates;
  }

  /** See PartitionLog.compact. */
  async compact(options: CompactionOptions): Promise<CompactionReport | undefined> {
    assert(this.#running === undefined, `${this.#log.home.folder} is being compacted already`);
    const running = this.#run(options);
    this.#running = running;
    try {
      return await running;
    } catch (thrown) {
      if (this.#log.closing.aborted) return undefined;
      throw thrown;
    } finally {
      this.#running = undefined;
    }
  }

  /** Nothing is being compacted any more. Abort first. */
  async ended(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  async #run(options: CompactionOptions): Promise<CompactionReport | undefined> {
    const { home, chronicle, producers, closing } = this.#log;
    const cleanable = await this.cleanable(home.disk.clock.wallMs());
    if (cleanable === undefined || !(await this.#secureProducers(cleanable.to))) return undefined;
    const candidates = this.#candidates().filter(({ end }) => end <= cleanable.to);
    const report = await compactOnce(
      {
        home,
        config: this.#log.config(),
        damaged: chronicle.health.damaged,
        producers,
        replace: (group, writer, end, tombstonesGoneTo) => this.#replace(group, writer, end, tombstonesGoneTo),
      },
      candidates,
      cleanable,
      { ...options, signal: AbortSignal.any([options.signal, closing]) },
    );
    if (report === undefined) return undefined;
    chronicle.firstDirty = report.to;
    chronicle.remember();
    return report;
  }

  /**
   * P3: what producers wrote is in a snapshot before their batches go, and so is the log on the disk, up to that snapshot: after a loss of power it would
   * not count. @returns false: there will be one soon.
   */
  async #secureProducers(to: Offset): Promise<boolean> {
    const { home, chronicle, producers, upkeep, closing } = this.#log;
    return await upkeep.run(async () => {
      if (closing.aborted) return false;
      await this.#log.settled();
      const isSecure = await producers.secure(to, this.#log.end(), chronicle);
      if (isSecure) await this.#log.sync();
      await home.disk.syncDirectory(home.folder);
      return isSecure;
    });
  }

  async #replace(
    group: readonly Segment[],
    writer: SegmentWriter,
    end: Offset,
    tombstonesGoneTo: Offset | undefined,
  ): Promise<boolean> {
    const { home, segments, chronicle, reader, tail, upkeep, closing } = this.#log;
    const first = group[0];
    assert(first !== undefined, 'a group has a segment');
    return await upkeep.run(async () => {
      await this.#log.settled();
      // Retention, or whoever deletes records, was here.
      if (closing.aborted || !segments.has(group)) return false;
      if (tombstonesGoneTo !== undefined) await chronicle.tombstonesGo(tombstonesGoneTo);
      const range = { base: first.base, end };
      await decideSwap(home.disk, home.folder, writer.path, range);
      const segment = writer.keep(end);
      segment.touchedMs = Math.max(...group.map(({ touchedMs }) => touchedMs));
      // In one step for all readers: none may see a part of both.
      segments.replace(group, segment);
      reader.forget();
      tail.dropBelow(end);
      for (const old of group) await old.retire();
      await finishSwap(home.disk, home.folder, range);
      segment.named();
      await segment.release();
      await segment.persistIndex();
      return true;
    });
  }
}

/** Newest record, wall clock, ms; records without a timestamp are as old as their place on the disk. */
async function newestOf(segment: Segment): Promise<number> {
  const { timestamp } = await segment.newest();
  return timestamp < 0 ? segment.touchedMs : timestamp;
}

/** The same of the first batch. */
async function firstOf(segment: Segment): Promise<number> {
  if (segment.firstTimestamp < 0 && segment.bytes > 0) {
    await segment.use((file) =>
      scanFile(file, { from: 0, to: segment.bytes, check: false, chunk: 4096 }, (bytes, at) => {
        segment.firstTimestamp = maxTimestampOf(bytes, at);
        return false;
      }),
    );
  }
  return segment.firstTimestamp < 0 ? segment.touchedMs : segment.firstTimestamp;
}
