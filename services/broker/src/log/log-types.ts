// pure
/** What the log and its callers hand each other. */
import type { LeaderEpoch, Offset, ProducerId, TopicConfig } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';

/** One batch, stamped and checked. The log owns `bytes` from the call of `append` on: nobody may change them any more. */
export interface LogBatch {
  readonly bytes: Uint8Array;
  readonly baseOffset: Offset;
  readonly lastOffset: Offset;
  /** Milliseconds since 1970; −1: the records have none. */
  readonly maxTimestamp: number;
  readonly leaderEpoch: LeaderEpoch;
}

export type LogSlice =
  | {
      readonly kind: 'records';
      /** Whole batches: one per element from memory, several in one element from a file. */
      readonly records: readonly Uint8Array[];
      /** Reading goes on here. */
      readonly next: Offset;
      /** To be called once, when nobody reads `records` any more: their memory is used again. Not calling it is safe. */
      readonly release?: () => void;
    }
  /** The next batch has so many bytes, more than allowed. */
  | { readonly kind: 'too-large'; readonly size: number }
  /** Nothing below the bound yet. */
  | { readonly kind: 'end' };

export interface FoundRecord {
  readonly offset: Offset;
  readonly timestampMs: number;
}

/** State as of all batches below `end`. */
export interface ProducerSnapshot {
  readonly bytes: Uint8Array;
  readonly end: Offset;
}

/**
 * State that is a function of the log (P3): recovery and truncation rebuild it through these three and nothing else. The log calls `restore`
 * once, then `batch` for each batch from there to the end, in order.
 */
export interface LogReplay {
  /** Forget all; begin with the snapshot (undefined: with nothing) as of all batches below `at`. @throws if it cannot be read. */
  restore(snapshot: Uint8Array | undefined, at: Offset): void;
  batch(header: BatchHeader): void;
  /** Whether the batch is one by which the state knows the producer: compaction leaves it, emptied if need be, so that the log alone still tells of it. */
  remembers(producer: ProducerId, baseOffset: Offset): boolean;
  /**
   * Called synchronously at the beginning of some calls of `append`. The state may already hold batches of that call: `end` says how far
   * it goes, and the snapshot is kept only once the log reaches `end` too.
   */
  take(): ProducerSnapshot;
}

/** Offsets [from, to) below the high watermark that the disk has lost (L3). */
export interface DamagedRange {
  readonly from: Offset;
  readonly to: Offset;
}

/** What the log is for, as metadata says: decides what recovery may do with damage (L3). */
export type ReplicaRole =
  /** No other replica can help: what is whole below the HW is kept and served. */
  | 'sole'
  /** Others have the data: recovery cuts at the first damage and the replica is suspect. */
  | 'member';

export interface OpenLogOptions {
  readonly config: TopicConfig;
  readonly role: ReplicaRole;
  readonly replay: LogReplay;
  /** Where a log begins that does not exist yet; default: at 0 (L4). */
  readonly beginsAt?: LogBeginning;
}

/** Of a replica that takes up a partition where its leader's log begins. */
export interface LogBeginning {
  readonly start: Offset;
  /** What its leader knows of producers, as of an offset from `start` on (P3); undefined: it begins at 0. */
  readonly producers: ProducerSnapshot | undefined;
  /** Of its leader (L5). */
  readonly tombstonesGone: Offset;
}

/** How the log was opened. `clean`: nothing was read; `scanned`: from the recovery point on; `rewritten`: the same, after a failed sync (L2). */
export interface RecoveryReport {
  readonly how: 'created' | 'clean' | 'scanned' | 'rewritten';
  readonly scannedBytes: number;
  /** Bytes that were no whole batch, or lay behind damage. */
  readonly cutBytes: number;
}

/** L3 and L6: persisted until the log is told otherwise. */
export interface LogHealth {
  /** The replica may lack what it once acknowledged: it leaves ISR and ELR before it is unfenced. */
  readonly suspect: boolean;
  readonly possibleLoss: boolean;
  readonly damaged: readonly DamagedRange[];
}
