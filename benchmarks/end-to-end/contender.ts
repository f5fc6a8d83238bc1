/** What is measured: a broker of one kind, with the tools to load it. */
export type FlushPolicy = 'async' | 'commit';

export interface Job {
  readonly topic: string;
  readonly records: number;
  readonly recordBytes: number;
}

export interface AckLatency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Contender {
  readonly name: string;
  /** host:port of its record-level API; undefined: it has none. */
  readonly address?: string;
  /** Those that it can be asked for. */
  readonly flushPolicies: readonly FlushPolicy[];
  /** Starts on an empty data directory and answers when metadata can be had. @returns how long that took, s. */
  start(): Promise<{ readonly metadataSeconds: number; readonly acknowledgedSeconds?: number }>;
  stop(): Promise<void>;
  createTopic(name: string, partitions: number, policy: FlushPolicy): Promise<void>;
  deleteTopic(name: string): Promise<void>;
  /** acks=all, batches of 128 KiB, linger 10 ms. @returns MiB/s of values. */
  produce(job: Job): Promise<number>;
  /** From the beginning of all partitions. @returns MiB/s of values. */
  consume(job: Job): Promise<number>;
  /** One record at a time, acks=all, linger 0, after a warm-up. */
  latency(job: Job): Promise<AckLatency>;
  /** Resident memory of a broker's process, the largest where there are several, MiB. */
  memory(): number;
}
