/** What a log gets from the data directory that it lives in. */
import type { PartitionCheckpoint } from './checkpoint-file.ts';
import type { SegmentPlace } from './segment.ts';
import type { TailCache } from './tail-cache.ts';

export interface LogHome extends SegmentPlace {
  readonly tail: TailCache;
  /** As last remembered; undefined: the partition is new. */
  checkpoint(): PartitionCheckpoint | undefined;
  /** In memory, for the next write of the file. */
  remember(checkpoint: PartitionCheckpoint): void;
  /** What was remembered before the call is on the disk. @throws FileError `full`, `not-writable`. */
  persist(): Promise<void>;
  /** The log is not open any more. */
  closed(): void;
}
