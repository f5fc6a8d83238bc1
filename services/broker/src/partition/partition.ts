/**
 * One replica's shell: decide → write → apply → answer (DESIGN §4). One write and one sync are under way at a time; what arrives meanwhile
 * goes out together as the next one (group commit).
 */
import {
  type LeaderEpoch,
  limits,
  type Millis,
  type NodeId,
  type Offset,
  offset,
  type TopicConfig,
  TributaryError,
} from '@tributary/model';
import type { Clock } from '@tributary/ports';
import {
  type BatchHeader,
  checkKeys,
  readBatchHeader,
  stampBaseOffset,
  stampLeaderEpoch,
  stampLogAppendTime,
} from '@tributary/record';
import type { LogSlice } from '../log/log-types.ts';
import type { LogBatch, PartitionLog } from '../log/partition-log.ts';
import { type Parked, ParkedAnswers } from './parked.ts';
import { type Acks, PartitionState } from './partition-state.ts';
import type { ProducerState } from './producer-state.ts';

export type ProduceOutcome =
  | {
      readonly kind: 'appended';
      readonly baseOffset: Offset;
      /** −1 with CreateTime. */
      readonly logAppendTimeMs: number;
      readonly logStartOffset: Offset;
    }
  | { readonly kind: 'failed'; readonly error: TributaryError };

export type Slice = LogSlice;

interface Waiting {
  readonly baseOffset: Offset;
  readonly logAppendTimeMs: number;
  readonly answer: (outcome: ProduceOutcome) => void;
}

const end: Slice = { kind: 'end' };

export class Partition {
  readonly state: PartitionState;
  readonly log: PartitionLog;
  readonly #clock: Clock;
  readonly #producers: ProducerState;
  #stagedBatches: LogBatch[] = [];
  #stagedBytes = 0;
  #writing = false;
  #flushing = false;
  /** A failed write is being undone: nothing is staged meanwhile. */
  #undoing = false;
  /** Stops accepting; what is staged is still written. */
  #closed = false;
  readonly #awaitingWrite = new ParkedAnswers<Waiting>();
  readonly #awaitingCommit = new ParkedAnswers<Waiting>();
  readonly #readable = new Set<() => void>();
  #idle: (() => void) | undefined;

  /** @param log open and recovered; `producers` is what it has replayed into. */
  constructor(
    me: NodeId,
    name: string,
    config: TopicConfig,
    log: PartitionLog,
    producers: ProducerState,
    clock: Clock,
  ) {
    this.log = log;
    this.#clock = clock;
    this.#producers = producers;
    this.state = new PartitionState(me, name, config, producers, log.endOffset, log.highWatermark, producers.logTimeMs);
  }

  get highWatermark(): Offset {
    return this.state.highWatermark;
  }

  get startOffset(): Offset {
    return this.log.startOffset;
  }

  /** What "latest" is for clients. @throws TributaryError OFFSET_NOT_AVAILABLE while the epoch's start is not yet committed (R8). */
  latest(): Offset {
    const { role, highWatermark } = this.state;
    if (role.kind === 'leading' && highWatermark < role.startOffset) {
      throw new TributaryError(
        'OFFSET_NOT_AVAILABLE',
        `${this.state.name}: the new leader has not yet committed up to the start of its epoch; try again.`,
      );
    }
    return highWatermark;
  }

  /** Bytes accepted and not yet written. */
  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  /** Answers that wait for durability. */
  get parked(): number {
    return this.#awaitingCommit.size + this.#awaitingWrite.size;
  }

  async lead(epoch: LeaderEpoch, isr: readonly NodeId[], minIsr: number): Promise<void> {
    const { role } = this.state;
    if (role.kind === 'waiting' || role.epoch !== epoch) {
      // Or batches of the old epoch would follow the beginning of the new one while that is written down (R2).
      this.wait(`leader epoch ${epoch} begins`);
      await this.log.beginEpoch(epoch, this.state.staged);
    }
    this.state.lead(epoch, isr, minIsr);
    this.#commit();
    this.#wakeReaders();
  }

  /** Whoever waits for an acknowledgement is told to look for the leader. */
  wait(reason: string): void {
    if (this.state.role.kind === 'waiting') return;
    this.state.wait(reason);
    const error = new TributaryError(
      'NOT_LEADER_OR_FOLLOWER',
      `Broker ${this.state.me} no longer leads ${this.state.name}: ${reason}.`,
    );
    this.#fail([...this.#awaitingWrite.takeFrom(offset(0n)), ...this.#awaitingCommit.takeFrom(offset(0n))], error);
    this.#wakeReaders();
  }

  configure(config: TopicConfig): void {
    this.state.config = config;
    this.log.configure(config);
  }

  /**
   * Appends one batch that passed `checkBatch`. The bytes belong to the log from now on.
   * @param answer called once, maybe at once; with acks `none` too, when the batch is written.
   * @returns records staged; 0 for a duplicate or a refusal.
   */
  produce(
    bytes: Uint8Array,
    clientEpoch: number,
    acks: Acks,
    deadline: Millis,
    answer: (outcome: ProduceOutcome) => void,
  ): number {
    if (this.#undoing || this.#closed || this.#stagedBytes > limits.stagedBytesPerPartition) {
      answer({ kind: 'failed', error: this.#busy() });
      return 0;
    }
    const nowMs = this.#clock.wallMs();
    const fresh = readBatchHeader(bytes, 0);
    const decision = this.state.decideAppend(fresh, clientEpoch, acks, nowMs);
    switch (decision.kind) {
      case 'refuse':
        answer({ kind: 'failed', error: decision.error });
        return 0;
      case 'duplicate': {
        const logAppendTimeMs = this.state.config.timestampType === 'LogAppendTime' ? decision.timestampMs : -1;
        this.#park(decision.lastOffset, acks, deadline, { baseOffset: decision.baseOffset, logAppendTimeMs, answer });
        this.#answerReached();
        return 0;
      }
      case 'append': {
        const full = this.log.refusal;
        const refusal = full === undefined ? this.#keyless(bytes) : this.#tooFull(full);
        if (refusal !== undefined) {
          answer({ kind: 'failed', error: refusal });
          return 0;
        }
        const logAppendTime = this.state.config.timestampType === 'LogAppendTime';
        stampBaseOffset(bytes, 0, decision.baseOffset);
        stampLeaderEpoch(bytes, 0, decision.epoch);
        if (logAppendTime) stampLogAppendTime(bytes, 0, nowMs);
        const header = readBatchHeader(bytes, 0);
        this.#stage(bytes, header);
        this.#park(header.lastOffset, acks, deadline, {
          baseOffset: header.baseOffset,
          logAppendTimeMs: logAppendTime ? nowMs : -1,
          answer,
        });
        return header.recordsCount;
      }
    }
  }

  /** L5: compaction could not tell what a record without a key replaces. */
  #keyless(bytes: Uint8Array): TributaryError | undefined {
    if (!this.state.config.cleanup.compact) return undefined;
    try {
      checkKeys(bytes, 0);
      return undefined;
    } catch (thrown) {
      return TributaryError.from(thrown);
    }
  }

  /** KAFKA_STORAGE_ERROR, not a quota's: every client knows it in a produce answer, tries again, and looks whether another broker leads by then. */
  #tooFull(why: string): TributaryError {
    return new TributaryError('KAFKA_STORAGE_ERROR', `${this.state.name} takes no records now: ${why}`);
  }

  #busy(): TributaryError {
    const why = this.#closed
      ? 'the broker is stopping'
      : this.#undoing
        ? 'a failed write is being undone'
        : `${this.#stagedBytes} bytes wait for the disk`;
    return new TributaryError(
      this.#closed ? 'NOT_LEADER_OR_FOLLOWER' : 'KAFKA_STORAGE_ERROR',
      `${this.state.name} takes no records now: ${why}; try again.`,
    );
  }

  #stage(bytes: Uint8Array, header: BatchHeader): void {
    this.state.applyAppend(header);
    this.#stagedBatches.push({
      bytes,
      baseOffset: header.baseOffset,
      lastOffset: header.lastOffset,
      maxTimestamp: header.maxTimestamp,
      leaderEpoch: header.leaderEpoch,
    });
    this.#stagedBytes += bytes.length;
    if (this.#writing) return;
    this.#writing = true;
    // After this tick's other batches: they share the write.
    queueMicrotask(() => void this.#write());
  }

  #park(lastOffset: Offset, acks: Acks, deadline: Millis, answer: Waiting): void {
    (acks === 'all' ? this.#awaitingCommit : this.#awaitingWrite).park({ lastOffset, deadline, answer });
  }

  async #write(): Promise<void> {
    while (this.#stagedBatches.length > 0) {
      const group = this.#stagedBatches;
      const groupEnd = this.state.staged;
      this.#stagedBatches = [];
      try {
        await this.log.append(group);
      } catch (thrown) {
        await this.#undo(TributaryError.from(thrown));
        continue;
      }
      for (const batch of group) this.#stagedBytes -= batch.bytes.length;
      this.state.applyWritten(groupEnd);
      if (this.state.config.flushPolicy === 'commit') this.#flush();
      this.#commit();
    }
    this.#writing = false;
    this.#settle();
  }

  /** The disk took nothing of the last group: offsets, producers and answers go back to what is written, and clients try again. */
  async #undo(error: TributaryError): Promise<void> {
    this.#undoing = true;
    this.#stagedBatches = [];
    this.#stagedBytes = 0;
    const written = this.state.written;
    await this.log.truncateTo(written);
    this.state.applyCut(written);
    this.#undoing = false;
    this.#fail([...this.#awaitingWrite.takeFrom(written), ...this.#awaitingCommit.takeFrom(written)], error);
  }

  #flush(): void {
    if (this.#flushing || this.state.durable >= this.state.written) return;
    this.#flushing = true;
    void this.#flushAll();
  }

  async #flushAll(): Promise<void> {
    while (this.state.durable < this.state.written) {
      this.state.applyFlushed(await this.log.sync());
      this.#commit();
    }
    this.#flushing = false;
    this.#settle();
  }

  #commit(): void {
    const moved = this.state.advanceHighWatermark();
    if (moved) this.log.noteHighWatermark(this.state.highWatermark);
    this.#answerReached();
    if (moved) this.#wakeReaders();
  }

  #answerReached(): void {
    this.#answerBelow(this.#awaitingWrite, this.state.written);
    this.#answerBelow(this.#awaitingCommit, this.state.highWatermark);
  }

  #answerBelow(parked: ParkedAnswers<Waiting>, reached: Offset): void {
    const logStartOffset = this.log.startOffset;
    for (let next = parked.takeBelow(reached); next !== undefined; next = parked.takeBelow(reached)) {
      const { baseOffset, logAppendTimeMs, answer } = next.answer;
      answer({ kind: 'appended', baseOffset, logAppendTimeMs, logStartOffset });
    }
  }

  #fail(parked: readonly Parked<Waiting>[], error: TributaryError): void {
    for (const { answer } of parked) answer.answer({ kind: 'failed', error });
  }

  /** Flushes an `async` log that has run far ahead of the disk: it bounds what recovery has to scan. */
  flushBehind(): void {
    if (this.state.config.flushPolicy === 'async' && this.log.endOffset > this.log.durableOffset) void this.log.sync();
  }

  /** Answers what has waited past its deadline; the records stay and may become durable later. */
  tick(now: Millis): void {
    const expired = [...this.#awaitingCommit.takeExpired(now), ...this.#awaitingWrite.takeExpired(now)];
    if (expired.length === 0) return;
    this.#fail(
      expired,
      new TributaryError(
        'REQUEST_TIMED_OUT',
        `${this.state.name}: not durable in time on the in-sync replicas; the records may still become so.`,
      ),
    );
  }

  /**
   * Batches from `from` on, below the high watermark: about `target` bytes, one batch at least, never above `most`.
   * @throws TributaryError NOT_LEADER_OR_FOLLOWER and its kin, OFFSET_OUT_OF_RANGE naming what there is, CORRUPT_MESSAGE.
   */
  read(from: Offset, target: number, most: number, clientEpoch: number): Slice | Promise<Slice> {
    const notLeader = this.state.checkLeader(clientEpoch);
    if (notLeader !== undefined) throw notLeader;
    const start = this.log.startOffset;
    if (from < start || from > this.state.staged) {
      throw new TributaryError(
        'OFFSET_OUT_OF_RANGE',
        `${this.state.name} has offsets ${start} to ${this.state.highWatermark}; asked for was ${from}.`,
      );
    }
    const upTo = this.state.highWatermark;
    if (from >= upTo) return end;
    return this.log.read(from, target, most, upTo);
  }

  /** @param listener called when more may be readable, or the role has changed. @returns unsubscribes. */
  onReadable(listener: () => void): () => void {
    this.#readable.add(listener);
    return () => this.#readable.delete(listener);
  }

  #wakeReaders(): void {
    for (const listener of this.#readable) listener();
  }

  #settle(): void {
    if (this.#writing || this.#flushing) return;
    this.#idle?.();
  }

  /** Writes and flushes what it has accepted, then closes the log. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#writing || this.#flushing) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle = resolve;
      await promise;
    }
    if (this.state.role.kind === 'leading') this.wait('the broker is stopping');
    await this.log.close();
  }

  /** The image of the producers for snapshots is taken through the log's replay; this is for metrics. */
  get producerCount(): number {
    return this.#producers.size;
  }
}
