/** What a log gets from the data directory that it lives in. */
import type { PartitionCheckpoint } from './checkpoint-file.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SegmentPlace } from './segment.ts';
import type { TailCache } from './tail-cache.ts';

export interface LogHome extends SegmentPlace {
  readonly tail: TailCache;
  readonly reads: ReadBuffers;
  /** As last remembered; undefined: the partition is new. */
  checkpoint(): PartitionCheckpoint | undefined;
  /** A log without a checkpoint is new; otherwise the checkpoints may have been lost. */
  readonly isChronicled: boolean;
  /** In memory, for the next write of the file. */
  remember(checkpoint: PartitionCheckpoint): void;
  /** What was remembered before the call is on the disk. @throws FileError `full`, `not-writable`. */
  persist(): Promise<void>;
  /** The log is not open any more. */
  closed(): void;
}
