/**
 * One replica's shell: decide → write → apply → answer (DESIGN §4). One write and one sync are under way at a time; what arrives meanwhile
 * goes out together as the next one (group commit).
 */
import {
  limits,
  millis,
  type Millis,
  type NodeId,
  type Offset,
  offset,
  type TopicConfig,
  TributaryError,
} from '@tributary/model';
import type { Clock } from '@tributary/ports';
import {
  checkBatch,
  checkKeys,
  readBatchHeader,
  stampBaseOffset,
  stampLeaderEpoch,
  stampLogAppendTime,
} from '@tributary/record';
import type { LogSlice } from '../log/log-types.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { type Parked, ParkedAnswers } from './parked.ts';
import type { LeaderTerm } from './leadership.ts';
import { type Acks, type FollowTerm, PartitionState } from './partition-state.ts';
import { StagedWrites } from './staged-writes.ts';
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
  readonly #writes: StagedWrites;
  /** As the leader said last. */
  #leadersHighWatermark = offset(0n);
  #passedByAll = offset(0n);
  /** Stops accepting; what is staged is still written. */
  #closed = false;
  readonly #awaitingWrite = new ParkedAnswers<Waiting>();
  readonly #awaitingCommit = new ParkedAnswers<Waiting>();
  readonly #readable = new Set<() => void>();
  readonly #replicable = new Set<() => void>();
  #sayDurable: (() => void) | undefined;
  /** Of a follower: its leader was heard lately, so that what it can give is not old. */
  isFresh: () => boolean = () => false;

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
    this.state = new PartitionState(
      me,
      name,
      config,
      producers,
      log.endOffset,
      log.highWatermark,
      producers.logTimeMs,
      log.latestEpoch,
    );
    this.#writes = new StagedWrites(this.state, log, {
      written: () => {
        this.#commit();
        this.#wakeReplicas();
      },
      flushed: () => this.#commit(),
      undone: (error) => {
        const { written } = this.state;
        this.#fail([...this.#awaitingWrite.takeFrom(written), ...this.#awaitingCommit.takeFrom(written)], error);
      },
    });
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
    if (role.kind === 'leading' && highWatermark < role.leadership.startOffset) {
      throw new TributaryError(
        'OFFSET_NOT_AVAILABLE',
        `${this.state.name}: the new leader has not yet committed up to the start of its epoch; try again.`,
      );
    }
    return highWatermark;
  }

  /** Bytes accepted and not yet written. */
  get stagedBytes(): number {
    return this.#writes.bytes;
  }

  /** Answers that wait for durability. */
  get parked(): number {
    return this.#awaitingCommit.size + this.#awaitingWrite.size;
  }

  async lead(term: LeaderTerm): Promise<void> {
    if (this.state.leadership?.epoch !== term.epoch) {
      // Or batches of the old epoch would follow the beginning of the new one while that is written down (R2).
      this.wait(`leader epoch ${term.epoch} begins`);
      // Those that are being written belong to older epochs, and begin these.
      await this.quiet();
      this.log.beginEpoch(term.epoch, this.state.staged);
      this.log.tail.isKept = true;
    }
    this.state.lead(term, millis(this.#clock.monotonicMs()));
    this.#commit();
    this.#wakeReaders();
    this.#wakeReplicas();
  }

  /** From now on batches come by {@link replicate}, once the histories have been compared (R2). */
  async follow(term: FollowTerm): Promise<void> {
    const { role } = this.state;
    if (role.kind === 'following' && role.epoch === term.epoch) return;
    this.wait(`broker ${term.leader} leads it in epoch ${term.epoch}`);
    await this.quiet();
    this.#leadersHighWatermark = offset(0n);
    this.log.tail.isKept = false;
    this.state.follow(term);
    this.#wakeReaders();
  }

  /**
   * Batches from the leader, stamped by it, that begin at or after the end of what is here (R1). They are checked, written and flushed like those of producers.
   * @param term in which the histories were compared. @returns false: nothing is taken now, because a failed write is being undone or that term is over.
   * @throws TributaryError CORRUPT_MESSAGE.
   */
  replicate(term: FollowTerm, records: Uint8Array, leadersHighWatermark: Offset): boolean {
    const { role } = this.state;
    if (role.kind !== 'following' || role.term !== term || this.#writes.isHeld || this.#closed) return false;
    for (let at = 0; at < records.length; ) {
      const size = checkBatch(records, at, records.length, 'log');
      const header = readBatchHeader(records, at);
      if (header.baseOffset < this.state.staged || header.leaderEpoch > role.epoch) {
        throw new TributaryError(
          'CORRUPT_MESSAGE',
          `${this.state.name}: broker ${term.leader} sent a batch at offset ${header.baseOffset} of epoch ${header.leaderEpoch}; the log ends at ${this.state.staged}, the epoch is ${role.epoch}.`,
        );
      }
      this.#writes.stage(records.subarray(at, at + size), header);
      at += size;
    }
    this.followHighWatermark(term, leadersHighWatermark);
    return true;
  }

  /** L5: how far every assigned replica is, as far as is known here. */
  get passedByAll(): Offset {
    return this.state.leadership?.passedByAll(this.highWatermark) ?? this.#passedByAll;
  }

  /** As the leader says. */
  notePassedByAll(to: Offset): void {
    if (this.state.role.kind === 'following') this.#passedByAll = to;
  }

  /** As far as the log here goes; the rest when that has grown. */
  followHighWatermark(term: FollowTerm, leaders: Offset): void {
    const { role } = this.state;
    if (role.kind !== 'following' || role.term !== term) return;
    this.#leadersHighWatermark = leaders;
    this.#commit();
  }

  /**
   * R2: cuts the log of a follower, whose leader has another history from `end` on: all of it, where that lies below its start.
   * @param term under which it was told to. @returns `contradicts`: that would take what is known to be committed; `over`: it has another role by now.
   */
  async cut(term: FollowTerm, end: Offset): Promise<'cut' | 'contradicts' | 'over'> {
    await this.quiet();
    const { role } = this.state;
    if (role.kind !== 'following' || role.term !== term || this.#closed) return 'over';
    if (!this.state.mayCut(end)) return 'contradicts';
    this.#leadersHighWatermark = offset(0n);
    // Whoever gives it another role waits.
    await this.#writes.cut(async () => {
      await this.log.truncateTo(end < this.log.startOffset ? this.log.startOffset : end);
      // It may have another role by now, under which nobody could allow it.
      this.state.applyCut(this.log.endOffset, true);
    });
    return 'cut';
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
    this.#wakeReplicas();
  }

  configure(config: TopicConfig): void {
    this.state.config = config;
    this.log.configure(config);
    // Where nobody produces any more, nothing else would: the replica would count as behind for ever.
    this.#writes.flushIfDue();
  }

  /**
   * Appends one batch that passed `checkBatch`. The bytes belong to the log from now on.
   * @param answer called once, maybe at once; with acks `none` too, when the batch is written.
   * @param writerEpoch as the request names it (G1).
   * @returns records staged; 0 for a duplicate or a refusal.
   */
  produce(
    bytes: Uint8Array,
    clientEpoch: number,
    acks: Acks,
    deadline: Millis,
    answer: (outcome: ProduceOutcome) => void,
    writerEpoch?: bigint,
  ): number {
    if (this.#writes.isHeld || this.#closed || this.#writes.bytes > limits.stagedBytesPerPartition) {
      answer({ kind: 'failed', error: this.#busy() });
      return 0;
    }
    const nowMs = this.#clock.wallMs();
    const fresh = readBatchHeader(bytes, 0);
    const decision = this.state.decideAppend(fresh, clientEpoch, acks, nowMs, writerEpoch);
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
        this.#writes.stage(bytes, header);
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
      : this.#writes.isHeld
        ? 'a failed write is being undone'
        : `${this.#writes.bytes} bytes wait for the disk`;
    return new TributaryError(
      this.#closed ? 'NOT_LEADER_OR_FOLLOWER' : 'KAFKA_STORAGE_ERROR',
      `${this.state.name} takes no records now: ${why}; try again.`,
    );
  }

  #park(lastOffset: Offset, acks: Acks, deadline: Millis, answer: Waiting): void {
    (acks === 'all' ? this.#awaitingCommit : this.#awaitingWrite).park({ lastOffset, deadline, answer });
  }

  #commit(): void {
    const moved = this.state.advanceHighWatermark() || this.state.followHighWatermark(this.#leadersHighWatermark);
    if (moved) this.log.noteHighWatermark(this.state.highWatermark);
    this.#answerReached();
    if (moved) this.#wakeReaders();
    this.#sayDurable?.();
  }

  /** What followers said may have moved the high watermark, or the image who is in sync. */
  acknowledged(): void {
    this.#commit();
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
   * @param fromFollower a follower may answer too.
   * @throws TributaryError NOT_LEADER_OR_FOLLOWER and its kin, OFFSET_OUT_OF_RANGE naming what there is, CORRUPT_MESSAGE.
   */
  read(from: Offset, target: number, most: number, clientEpoch: number, fromFollower = false): Slice | Promise<Slice> {
    const notServed = fromFollower ? this.#checkFollower(clientEpoch) : this.state.checkLeader(clientEpoch);
    if (notServed !== undefined) throw notServed;
    const start = this.log.startOffset;
    if (from > this.state.staged && this.state.role.kind === 'following') {
      throw new TributaryError(
        'OFFSET_NOT_AVAILABLE',
        `${this.state.name}: this follower has it up to ${this.state.highWatermark}, asked for was ${from}; ask the leader.`,
      );
    }
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

  #checkFollower(clientEpoch: number): TributaryError | undefined {
    const refusal = this.state.checkReader(clientEpoch);
    if (refusal !== undefined || this.state.role.kind !== 'following' || this.isFresh()) return refusal;
    const sentence = `This follower of ${this.state.name} has not heard from its leader for a while; ask broker ${this.state.role.term.leader}.`;
    return new TributaryError('NOT_LEADER_OR_FOLLOWER', sentence);
  }

  /** @param listener called when more may be readable, or the role has changed. @returns unsubscribes. */
  onReadable(listener: () => void): () => void {
    this.#readable.add(listener);
    return () => this.#readable.delete(listener);
  }

  #wakeReaders(): void {
    for (const listener of this.#readable) listener();
  }

  /** @param listener called when more is written, or the role has changed. @returns unsubscribes. */
  onReplicable(listener: () => void): () => void {
    this.#replicable.add(listener);
    return () => this.#replicable.delete(listener);
  }

  /** Records were taken away: those who follow hear of it at once. */
  startMoved(): void {
    this.#wakeReplicas();
  }

  #wakeReplicas(): void {
    for (const listener of this.#replicable) listener();
  }

  /** @param listener of the one who follows a leader with this replica: called when more may be durable here. */
  set onDurable(listener: (() => void) | undefined) {
    this.#sayDurable = listener;
  }

  /** What a leader sends to its followers: all that is written, whether or not it is committed. @throws TributaryError OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE. */
  readWritten(from: Offset, target: number): Slice | Promise<Slice> {
    return this.log.read(from, target, limits.batchBytesMax, this.state.written);
  }

  /** All that was staged is written, or has been undone, and nothing is being cut. */
  async quiet(): Promise<void> {
    await this.#writes.quiet();
  }

  /** Writes and flushes what it has accepted, then closes the log. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writes.ended();
    this.wait('the broker is stopping');
    await this.log.close();
  }

  /** The image of the producers for snapshots is taken through the log's replay; this is for metrics. */
  get producerCount(): number {
    return this.#producers.size;
  }
}
