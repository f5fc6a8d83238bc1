/** What a cluster of three nodes must be able to do so that its failover can be measured: the same of every contender. */

/** Since the last reset; the gap that is still open is one. */
export interface Gap {
  /** Between acknowledgements of one partition, to which a record goes every 5 ms. */
  readonly gapMs: number;
  readonly acknowledged: number;
  /** Sends that failed for the caller. */
  readonly errors: number;
  /** Between deliveries to a consumer, where there is one. */
  readonly deliveryGapMs?: number;
  /** Batches that were sent more than once, where that is known. */
  readonly retries?: number;
}

export interface Contender extends AsyncDisposable {
  readonly name: string;
  /** Node that leads the partition. */
  leader(): Promise<number>;
  /** Replicas of the partition that are in sync. */
  inSync(): Promise<number>;
  reset(): Promise<void>;
  gap(): Promise<Gap>;
  signal(node: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): Promise<void>;
  /** After it was ended: resolves when it has been started, or later. */
  start(node: number): Promise<void>;
}

/** Of the partition; min.insync.replicas is 2. */
export const replicas = 3;
