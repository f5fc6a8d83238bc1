/** One partition's log on disk. (Interface first; the class takes its place under the same name.) */
import type { LeaderEpoch, Offset, TopicConfig } from '@tributary/model';
import type { FoundRecord, LogBatch, LogHealth, LogSlice, RecoveryReport } from './log-types.ts';

export type { FoundRecord, LogBatch, LogHealth, LogReplay, LogSlice, ProducerSnapshot, RecoveryReport } from './log-types.ts';

export interface PartitionLog {
  readonly startOffset: Offset;
  /** Written; the next batch begins here or later. */
  readonly endOffset: Offset;
  /** Flushed; after opening it is the end. */
  readonly durableOffset: Offset;
  readonly recovery: RecoveryReport;
  readonly health: LogHealth;
  /** As last checkpointed, or noted since. */
  readonly highWatermark: Offset;
  readonly latestEpoch: LeaderEpoch | undefined;
  readonly sizeBytes: number;
  readonly segmentCount: number;
  /** The log remembers it for the next checkpoint and for retention. */
  noteHighWatermark(offset: Offset): void;
  configure(config: TopicConfig): void;
  /** One call at a time. All or nothing. @throws TributaryError KAFKA_STORAGE_ERROR when the disk is full; nothing has changed then. */
  append(batches: readonly LogBatch[]): Promise<void>;
  /** Flushes all that was written before the call. @returns the end of what is flushed. Never rejects: a failed sync ends the process (L2). */
  sync(): Promise<Offset>;
  /**
   * Batches from `from` on whose last offset is below `upTo`: about `target` bytes, at least one batch, never above `most`.
   * @throws TributaryError OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE in a damaged range.
   */
  read(from: Offset, target: number, most: number, upTo: Offset): LogSlice | Promise<LogSlice>;
  /** First record with a timestamp ≥ `timestampMs`. */
  offsetForTimestamp(timestampMs: number): Promise<FoundRecord | undefined>;
  offsetOfMaxTimestamp(): Promise<FoundRecord | undefined>;
  /** Cuts all batches that reach `offset` or beyond (none is fine), then replays the producer state up to the end. Not while appending. */
  truncateTo(offset: Offset): Promise<void>;
  /** Raises the log start, persisted, and removes segments wholly below it. Never above the high watermark (L4). */
  advanceStart(offset: Offset): Promise<void>;
  /** @param now wall clock, ms. @returns how many segments went. */
  enforceRetention(now: number): Promise<number>;
  /** Persisted before it resolves. */
  beginEpoch(epoch: LeaderEpoch, start: Offset): Promise<void>;
  /** End of the newest epoch ≤ `epoch`, and that epoch. */
  endOffsetFor(epoch: LeaderEpoch): { readonly epoch: LeaderEpoch; readonly end: Offset } | undefined;
  /** The controller has taken the replica out of ISR and ELR. */
  clearSuspect(): Promise<void>;
  /** Flushes, writes a snapshot, remembers a clean end. */
  close(): Promise<void>;
}
