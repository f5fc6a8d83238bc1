/**
 * Batches on their way into one log: staged, written as one group while the next gathers, flushed where the policy says so. One write and one sync are under way
 * at a time; a write that fails is undone before anything else is staged.
 */
import { TributaryError } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';
import type { LogBatch } from '../log/log-types.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { PartitionState } from './partition-state.ts';

export interface WritesListener {
  /** A group is written. */
  written(): void;
  flushed(): void;
  /** The disk took nothing of what was staged: the state is back at what is written. */
  undone(error: TributaryError): void;
}

export class StagedWrites {
  readonly #state: PartitionState;
  readonly #log: PartitionLog;
  readonly #listener: WritesListener;
  #batches: LogBatch[] = [];
  #bytes = 0;
  #writing = false;
  #flushing = false;
  #undoing = false;
  #cutting = false;
  readonly #idle: (() => void)[] = [];

  constructor(state: PartitionState, log: PartitionLog, listener: WritesListener) {
    this.#state = state;
    this.#log = log;
    this.#listener = listener;
  }

  /** Accepted and not yet written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing may be staged: a failed write is being undone, or the log is being cut. */
  get isHeld(): boolean {
    return this.#undoing || this.#cutting;
  }

  /** The bytes belong to the log from now on. */
  stage(bytes: Uint8Array, header: BatchHeader): void {
    this.#state.applyAppend(header);
    this.#batches.push({
      bytes,
      baseOffset: header.baseOffset,
      lastOffset: header.lastOffset,
      maxTimestamp: header.maxTimestamp,
      leaderEpoch: header.leaderEpoch,
    });
    this.#bytes += bytes.length;
    if (this.#writing) return;
    this.#writing = true;
    // After this tick's other batches: they share the write.
    queueMicrotask(() => void this.#write());
  }

  async #write(): Promise<void> {
    while (this.#batches.length > 0) {
      const group = this.#batches;
      const groupEnd = this.#state.staged;
      this.#batches = [];
      try {
        await this.#log.append(group);
      } catch (thrown) {
        await this.#undo(TributaryError.from(thrown));
        continue;
      }
      for (const batch of group) this.#bytes -= batch.bytes.length;
      this.#state.applyWritten(groupEnd);
      this.flushIfDue();
      this.#listener.written();
    }
    this.#writing = false;
    this.#settle();
  }

  /** Offsets, producers and answers go back to what is written, and clients try again. */
  async #undo(error: TributaryError): Promise<void> {
    this.#undoing = true;
    this.#batches = [];
    this.#bytes = 0;
    const { written } = this.#state;
    await this.#log.truncateTo(written, true);
    this.#state.applyCut(written);
    this.#undoing = false;
    this.#listener.undone(error);
  }

  /** Under `commit` what is written is flushed (L2), also what was written when the policy was another. */
  flushIfDue(): void {
    if (this.#state.config.flushPolicy !== 'commit') return;
    if (this.#flushing || this.#state.durable >= this.#state.written) return;
    this.#flushing = true;
    void this.#flushAll();
  }

  async #flushAll(): Promise<void> {
    while (this.#state.durable < this.#state.written) {
      this.#state.applyFlushed(await this.#log.sync());
      this.#listener.flushed();
    }
    this.#flushing = false;
    this.#settle();
  }

  /** Nothing is staged, being written, undone or cut. Whatever cuts or gives another role comes after it with no await between. */
  async quiet(): Promise<void> {
    await this.#until(() => !this.#writing && !this.#cutting);
  }

  /** As {@link quiet}, and nothing is being flushed. */
  async ended(): Promise<void> {
    await this.#until(() => !this.#writing && !this.#cutting && !this.#flushing);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle.push(resolve);
      await promise;
    }
  }

  /** Right after {@link quiet}. Whoever waits for that waits for this too. */
  async cut(task: () => Promise<void>): Promise<void> {
    this.#cutting = true;
    try {
      await task();
    } finally {
      this.#cutting = false;
      this.#settle();
    }
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
