/**
 * The second pass of compaction: neighbouring segments are written anew as one, without the records that a newer one of the same key has replaced and without the
 * tombstones whose time is over (L5). Offsets stay as they are, and so do, with or without records, the last batch, so that a scan still sees where the next
 * segment goes on, and the batches by which producers are known (P3).
 */
import type { Offset, TopicConfig } from '@tributary/model';
import type { File } from '@tributary/ports';
import {
  baseOffsetOf,
  deleteHorizonMax,
  emptiedBatch,
  KeptRecords,
  producerIdOf,
  hasProducerId,
  recordsCountOf,
} from '@tributary/record';
import { BatchFeed } from './batch-feed.ts';
import { damagedAt } from './damage.ts';
import type { KeyMap } from './key-map.ts';
import type { LogReplay } from './log-types.ts';
import { isUnreadable, readable } from './newest-keys.ts';
import type { Pace } from './pace.ts';
import type { Segment } from './segment.ts';
import type { SegmentWriter } from './segment-writer.ts';

/** Records between two looks at the clock: some 50 µs. */
const recordsPerLook = 256;

export interface CleaningRule extends Pick<TopicConfig, 'deleteRetentionMs' | 'tombstoneHoldMaxMs'> {
  readonly map: KeyMap;
  /** Batches from here on stay as they are. */
  readonly end: Offset;
  /** Wall clock, ms. */
  readonly now: number;
  /** Every assigned replica and every link has passed this offset (L5). */
  readonly passed: Offset;
  readonly producers: Pick<LogReplay, 'remembers'>;
}

/** What became of a group of segments. */
export interface CleanedFacts {
  recordsRead: number;
  recordsKept: number;
  bytesRead: number;
  tombstonesGone: number;
  /** The offset after the last tombstone that went; undefined: none did. */
  tombstonesGoneTo: Offset | undefined;
  /** The files would be the same. */
  isSame: boolean;
}

export class SegmentCleaner {
  readonly #rule: CleaningRule;
  readonly #writer: SegmentWriter;
  readonly #pace: Pace;
  #scratch: Buffer = Buffer.alloc(0);
  /** The batch before, if nothing of it was written. */
  #dropped: Uint8Array | undefined;
  readonly facts: CleanedFacts = {
    recordsRead: 0,
    recordsKept: 0,
    bytesRead: 0,
    tombstonesGone: 0,
    tombstonesGoneTo: undefined,
    isSame: true,
  };

  constructor(rule: CleaningRule, writer: SegmentWriter, pace: Pace) {
    this.#rule = rule;
    this.#writer = writer;
    this.#pace = pace;
  }

  /** @throws TributaryError CORRUPT_MESSAGE where a batch is damaged: what was written then does not count. */
  async clean(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) await segment.use((file) => this.#read(segment, file));
    if (this.#dropped !== undefined) await this.#writer.add(this.#dropped, 0, this.#dropped.length);
    await this.#writer.finish();
  }

  async #read(segment: Segment, file: File): Promise<void> {
    const feed = new BatchFeed(file, 0, segment.bytes, this.#pace);
    while (await feed.next()) {
      const { bytes, at, size } = feed;
      this.facts.bytesRead += size;
      const cleaned = baseOffsetOf(bytes, at) >= this.#rule.end ? 'same' : await this.#cleaned(bytes, at);
      this.#dropped = undefined;
      if (cleaned === 'same') await this.#writer.add(bytes, at, size);
      else {
        this.facts.isSame = false;
        if (cleaned !== undefined) await this.#writer.add(cleaned, 0, cleaned.length);
        else this.#dropped = emptiedBatch(bytes, at);
      }
      if (this.#pace.isOver) await this.#pace.rest();
    }
    if (feed.damage !== undefined) throw damagedAt(segment.path, feed.position, feed.damage);
  }

  /** What is left of the batch; undefined: nothing that anybody needs. */
  async #cleaned(bytes: Buffer, at: number): Promise<'same' | Uint8Array | undefined> {
    const batch = readable(bytes, at);
    if (batch === undefined) return this.#isEmptyAndForgotten(bytes, at) ? undefined : 'same';
    const records = new KeptRecords(batch);
    let hasTombstone: boolean;
    const before = { ...this.facts };
    try {
      hasTombstone = await this.#choose(records);
    } catch (thrown) {
      if (!isUnreadable(thrown)) throw thrown;
      Object.assign(this.facts, before);
      return 'same';
    }
    this.facts.recordsRead += records.seen;
    this.facts.recordsKept += records.count;
    const { header } = batch;
    if (records.count === 0) return this.#isRemembered(bytes, at) ? emptiedBatch(bytes, at) : undefined;
    const isMet = hasTombstone && !header.hasDeleteHorizon && header.maxTimestamp <= deleteHorizonMax;
    if (records.isWhole && !isMet) return 'same';
    const horizon = Math.min(this.#rule.now + this.#rule.deleteRetentionMs, deleteHorizonMax);
    return records.build(bytes, at, isMet ? horizon : undefined, (size) => this.#take(size));
  }

  /** For one batch at a time: the writer copies it. */
  #take(size: number): Buffer {
    if (size > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(size);
    return this.#scratch.subarray(0, size);
  }

  /** @returns whether a tombstone stays. */
  async #choose(records: KeptRecords): Promise<boolean> {
    const { spans, batch } = records;
    const { map } = this.#rule;
    const base = Number(batch.header.baseOffset);
    const mayGo = this.#mayTombstonesGo(batch.header.hasDeleteHorizon ? batch.header.baseTimestamp : undefined);
    let hasTombstone = false;
    while (records.next()) {
      if (records.seen % recordsPerLook === 0 && this.#pace.isOver) await this.#pace.rest();
      if (spans.keyLength < 0) continue;
      const offset = base + spans.offsetDelta;
      if (!map.isNewest(batch.section, spans.keyStart, spans.keyLength, offset)) continue;
      if (spans.valueLength < 0) {
        if (mayGo(offset)) {
          this.facts.tombstonesGone++;
          this.facts.tombstonesGoneTo = BigInt(offset + 1) as Offset;
          continue;
        }
        hasTombstone = true;
      }
      records.keep();
    }
    return hasTombstone;
  }

  /** L5: not before its horizon, and then only when everybody has seen it, or has had time enough. */
  #mayTombstonesGo(horizon: number | undefined): (offset: number) => boolean {
    const { now, passed, tombstoneHoldMaxMs } = this.#rule;
    if (horizon === undefined || now < horizon) return () => false;
    if (now - horizon >= tombstoneHoldMaxMs) return () => true;
    const all = Number(passed);
    return (offset) => offset < all;
  }

  #isEmptyAndForgotten(bytes: Buffer, at: number): boolean {
    return recordsCountOf(bytes, at) === 0 && !this.#isRemembered(bytes, at);
  }

  #isRemembered(bytes: Uint8Array, at: number): boolean {
    if (!hasProducerId(bytes, at)) return false;
    return this.#rule.producers.remembers(producerIdOf(bytes, at), baseOffsetOf(bytes, at));
  }
}
