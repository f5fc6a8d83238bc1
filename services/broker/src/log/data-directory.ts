/** The broker's data directory. (Interface first; the class takes its place under the same name.) */
import type { ClusterId, DirectoryId, IncarnationId, NodeId, PartitionIndex, TopicId } from '@tributary/model';
import type { Clock, FileSystem, Host, Logger, Random } from '@tributary/ports';
import type { OpenLogOptions } from './log-types.ts';
import type { PartitionLog } from './partition-log.ts';

export interface DataDirectoryOptions {
  readonly random: Random;
  readonly clock: Clock;
  readonly host: Host;
  readonly logger: Logger;
  /** Duration of each sync of a log file, ms. */
  readonly synced?: (ms: number) => void;
}

/** `first`: formatted just now. `lossy`: unclean, and the machine has restarted since (L1). */
export type LastStop = 'first' | 'clean' | 'unclean' | 'lossy';

export interface PartitionFolder {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
}

/** `static open(files: FileSystem, root: string, options: DataDirectoryOptions): Promise<DataDirectory>` */
export interface DataDirectory extends AsyncDisposable {
  readonly root: string;
  readonly directoryId: DirectoryId;
  readonly lastStop: LastStop;
  readonly clusterId: ClusterId | undefined;
  readonly brokerId: NodeId | undefined;
  readonly lastRegisteredIncarnation: IncarnationId | undefined;
  readonly pendingIncarnation: IncarnationId | undefined;
  readonly highestRevision: bigint;
  readonly restoreGeneration: number;
  /** Remembers whose directory it is. @throws TributaryError INCONSISTENT_CLUSTER_ID or INVALID_CONFIG when it is somebody else's. */
  bind(clusterId: ClusterId, brokerId: NodeId): Promise<void>;
  /** Synced before it resolves (R6). */
  recordPendingIncarnation(id: IncarnationId): Promise<void>;
  recordRegistered(id: IncarnationId): Promise<void>;
  /** In memory; written with the next checkpoint (M6). */
  noteRevision(revision: bigint): void;
  /** Folders found at opening that no log is open for. */
  readonly unopened: readonly PartitionFolder[];
  openLog(topicId: TopicId, partition: PartitionIndex, options: OpenLogOptions): Promise<PartitionLog>;
  /** A folder that metadata does not know (M6). */
  quarantine(folder: PartitionFolder): Promise<void>;
  /** A folder of a deleted topic; its log, if open, is closed. */
  deletePartition(folder: PartitionFolder): Promise<void>;
  /** Recovery points, high watermarks and the rest of all open logs, written atomically. Call every limits.checkpointMs. */
  checkpoint(): Promise<void>;
  /** Closes the logs that are still open, writes the checkpoints, and last the mark of a clean stop. */
  close(): Promise<void>;
}

export type OpenDataDirectory = (files: FileSystem, root: string, options: DataDirectoryOptions) => Promise<DataDirectory>;
