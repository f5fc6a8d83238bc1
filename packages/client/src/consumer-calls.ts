/** What a consumer is told and asked. */
import type { Offset } from '@tributary/model';
import type { TopicPartition } from './topic-partition.ts';

/** A position: an offset, or where the log begins or ends when it is asked for. */
export type Position = bigint | 'beginning' | 'end';

export interface Assignment {
  readonly topic: string;
  /** If absent, all partitions of the topic: those that it has now, and, from their beginning, those that are added later. */
  readonly partition?: number | undefined;
  /** Default: as `autoOffsetReset` says. */
  readonly offset?: Position | undefined;
}

export interface PollOptions {
  /** Default 500. */
  readonly maxRecords?: number | undefined;
  /** How long to wait for the first record, ms. Default 1,000; Infinity waits for good. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PartitionOffset extends TopicPartition {
  readonly offset: Offset;
}

export interface TimedOffset extends TopicPartition {
  /** Of the first record that is not older; undefined if there is none. */
  readonly offset: Offset | undefined;
  /** Its timestamp, milliseconds since 1970. */
  readonly timestamp: number | undefined;
}

export interface CallLimits {
  /** Default: the client's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CloseOptions {
  /** A static member (`groupInstanceId`) gives up its place, instead of keeping it for the session timeout. Default false. */
  readonly leave?: boolean | undefined;
}
