// pure
/**
 * What one replica knows of its partition: who leads, how far the log is staged, written and durable, and the high watermark. It decides;
 * the shell in partition.ts writes and answers.
 */
import {
  assert,
  type LeaderEpoch,
  type Millis,
  type NodeId,
  type Offset,
  type TopicConfig,
  TributaryError,
} from '@tributary/model';
import type { BatchHeader } from '@tributary/record';
import { fenceRefusal, noFenceHere } from './fence.ts';
import { Leadership, type LeaderTerm } from './leadership.ts';
import type { ProducerState } from './producer-state.ts';

/** A replica's place under somebody else's leadership. */
export interface FollowTerm {
  readonly epoch: LeaderEpoch;
  readonly leader: NodeId;
  /** Of the last unclean election: what was committed before it may go (R2). */
  readonly uncleanEpoch: LeaderEpoch | undefined;
}

/**
 * `waiting`: nothing is served. `leading`: all is. `following`: batches come from the leader, and what is committed may be read. Each is left for `waiting`
 * first; `leading` and `following` are entered with an epoch that is not older than any before.
 */
export type Role =
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'leading'; readonly epoch: LeaderEpoch; readonly leadership: Leadership }
  | { readonly kind: 'following'; readonly epoch: LeaderEpoch; readonly term: FollowTerm };

export type Acks = 'none' | 'leader' | 'all';

export type AppendDecision =
  | { readonly kind: 'append'; readonly baseOffset: Offset; readonly epoch: LeaderEpoch }
  | {
      readonly kind: 'duplicate';
      readonly baseOffset: Offset;
      readonly lastOffset: Offset;
      readonly timestampMs: number;
    }
  | { readonly kind: 'refuse'; readonly error: TributaryError };

interface Uncommitted {
  readonly lastOffset: Offset;
  readonly maxTimestamp: number;
}

export class PartitionState {
  readonly me: NodeId;
  /** For sentences. */
  readonly name: string;
  readonly producers: ProducerState;
  role: Role = { kind: 'waiting', reason: 'it has just started' };
  config: TopicConfig;
  /** The offset that the next batch gets; batches up to here may still be in memory only. */
  #staged: Offset;
  #written: Offset;
  #flushed: Offset;
  #highWatermark: Offset;
  /** Epoch in which the high watermark was learnt, or an older one. */
  #highWatermarkEpoch: LeaderEpoch | undefined;
  #committedTimeMs: number;
  #uncommitted: Uncommitted[] = [];

  /**
   * @param end of the recovered log, all of it flushed (L2). @param committed the high watermark as checkpointed. @param lastEpoch the newest in the log.
   */
  constructor(
    me: NodeId,
    name: string,
    config: TopicConfig,
    producers: ProducerState,
    end: Offset,
    committed: Offset,
    logTimeMs: number,
    lastEpoch: LeaderEpoch | undefined,
  ) {
    this.me = me;
    this.name = name;
    this.config = config;
    this.producers = producers;
    this.#staged = end;
    this.#written = end;
    this.#flushed = end;
    this.#highWatermark = committed < end ? committed : end;
    producers.committed = this.#highWatermark;
    this.#committedTimeMs = logTimeMs;
    this.#highWatermarkEpoch = lastEpoch;
  }

  get staged(): Offset {
    return this.#staged;
  }

  get written(): Offset {
    return this.#written;
  }

  /** L2: flushed under `commit`, written under `async`. */
  get durable(): Offset {
    return this.config.flushPolicy === 'commit' ? this.#flushed : this.#written;
  }

  get highWatermark(): Offset {
    return this.#highWatermark;
  }

  get leadership(): Leadership | undefined {
    return this.role.kind === 'leading' ? this.role.leadership : undefined;
  }

  /** The leader's epoch must be newer than any before (R6). @param now monotonic. */
  lead(term: LeaderTerm, now: Millis): void {
    const { epoch } = term;
    assert(this.role.kind === 'waiting' || this.role.epoch <= epoch, `${this.name}: leader epoch went back`);
    if (this.role.kind === 'leading' && this.role.epoch === epoch) {
      this.role.leadership.update(term, now);
      return;
    }
    this.role = { kind: 'leading', epoch, leadership: new Leadership(this.me, term, this.#staged, now) };
  }

  follow(term: FollowTerm): void {
    assert(this.role.kind === 'waiting', `${this.name}: it waits before it follows another leader`);
    this.role = { kind: 'following', epoch: term.epoch, term };
  }

  wait(reason: string): void {
    this.role = { kind: 'waiting', reason };
  }

  /** Is a request that names `epoch` for me, as leader? @param epoch of the client's metadata (F2). */
  checkLeader(epoch: number): TributaryError | undefined {
    if (this.role.kind !== 'leading') {
      const why =
        this.role.kind === 'waiting'
          ? this.role.reason
          : `broker ${this.role.term.leader} leads it in epoch ${this.role.epoch}`;
      return new TributaryError('NOT_LEADER_OR_FOLLOWER', `Broker ${this.me} does not lead ${this.name}: ${why}.`);
    }
    return this.#checkEpoch(epoch, this.role.epoch);
  }

  /** May a request that names `epoch` read here what is committed? @returns undefined: it may. */
  checkReader(epoch: number): TributaryError | undefined {
    return this.role.kind === 'following' ? this.#checkEpoch(epoch, this.role.epoch) : this.checkLeader(epoch);
  }

  #checkEpoch(epoch: number, mine: LeaderEpoch): TributaryError | undefined {
    if (epoch < mine) {
      return new TributaryError(
        'FENCED_LEADER_EPOCH',
        `${this.name} is in leader epoch ${mine}, the request named the older ${epoch}: refresh the metadata.`,
      );
    }
    if (epoch > mine) {
      return new TributaryError(
        'UNKNOWN_LEADER_EPOCH',
        `${this.name} is in leader epoch ${mine} here, the request named the newer ${epoch}: try again.`,
      );
    }
    return undefined;
  }

  /** Reads only. The batch has passed `checkBatch`. @param nowMs wall clock. @param writerEpoch as the request names it (G1). */
  decideAppend(
    header: BatchHeader,
    clientEpoch: number,
    acks: Acks,
    nowMs: number,
    writerEpoch?: bigint,
  ): AppendDecision {
    const refused = this.checkLeader(clientEpoch) ?? this.#checkWriter(header, acks, writerEpoch);
    if (refused !== undefined) return { kind: 'refuse', error: refused };
    assert(this.role.kind === 'leading', 'checkLeader passed');
    const verdict = this.producers.check(header, this.#committedTimeMs);
    // P2: first, or a setting that has changed since would refuse what was appended, and whoever sent it would take it for not appended.
    if (verdict.kind === 'duplicate') return verdict;
    const refusal = this.#refusal(header, acks, nowMs, this.role.leadership.term);
    if (refusal !== undefined) return { kind: 'refuse', error: refusal };
    if (verdict.kind === 'refuse') return verdict;
    return { kind: 'append', baseOffset: this.#staged, epoch: this.role.epoch };
  }

  /** G1: before duplicates are recognised, so that whoever is fenced hears of it by any answer. */
  #checkWriter(header: BatchHeader, acks: Acks, writerEpoch: bigint | undefined): TributaryError | undefined {
    if (this.producers.isInternal)
      return fenceRefusal({ partition: this.name, header, acks, writerEpoch }, this.producers.fence);
    return writerEpoch === undefined ? undefined : noFenceHere(this.name, writerEpoch);
  }

  #refusal(
    header: BatchHeader,
    acks: Acks,
    nowMs: number,
    { isr, minIsr, replicas }: LeaderTerm,
  ): TributaryError | undefined {
    const { maxMessageBytes, timestampType, timestampAfterMaxMs } = this.config;
    if (header.size > maxMessageBytes) {
      return new TributaryError(
        'MESSAGE_TOO_LARGE',
        `A batch of ${header.size} bytes is larger than ${this.name} allows: max.message.bytes is ${maxMessageBytes}.`,
      );
    }
    // Of an internal topic nothing rests on the time (its writers are never forgotten, P3): a coordinator whose clock is ahead keeps its groups all the same.
    const isTimeBound = timestampType === 'CreateTime' && !this.producers.isInternal;
    if (isTimeBound && header.maxTimestamp > nowMs + timestampAfterMaxMs) {
      return new TributaryError(
        'INVALID_TIMESTAMP',
        `${this.name}: timestamp ${header.maxTimestamp} is ${header.maxTimestamp - nowMs} ms ahead of the broker; message.timestamp.after.max.ms is ${timestampAfterMaxMs}.`,
      );
    }
    if (acks === 'all' && isr.length < minIsr) {
      const missing = replicas.filter((node) => !isr.includes(node));
      const who = `broker${missing.length === 1 ? '' : 's'} ${missing.join(', ')}`;
      return new TributaryError(
        'NOT_ENOUGH_REPLICAS',
        `${this.name} has ${isr.length} in-sync replica${isr.length === 1 ? '' : 's'} (broker ${isr.join(', ')}), acks=all needs ${minIsr}: ${who} must come back into step.`,
      );
    }
    return undefined;
  }

  /** The batch, stamped, has its offsets from now on. */
  applyAppend(header: BatchHeader): void {
    // What a leader sends may have gaps: compaction leaves them (R1, L5).
    const fits =
      this.role.kind === 'following' ? header.baseOffset >= this.#staged : header.baseOffset === this.#staged;
    assert(fits, `${this.name}: batch at ${header.baseOffset}, staged end ${this.#staged} (L6)`);
    this.producers.batch(header);
    this.#staged = header.nextOffset;
    this.#uncommitted.push({ lastOffset: header.lastOffset, maxTimestamp: header.maxTimestamp });
  }

  /** R2: may the follower cut its log to `end`? Never below what it knows to be committed, unless an unclean election came after that. */
  mayCut(end: Offset): boolean {
    if (end >= this.#highWatermark) return true;
    const unclean = this.role.kind === 'following' ? this.role.term.uncleanEpoch : undefined;
    return unclean !== undefined && (this.#highWatermarkEpoch === undefined || unclean > this.#highWatermarkEpoch);
  }

  /** The log was cut to `end` after a failed write, or because the leader's differs; the producer state has been rebuilt from it. @param isAllowed as it began. */
  applyCut(end: Offset, isAllowed = this.mayCut(end)): void {
    assert(isAllowed, `${this.name}: cut at ${end} below the high watermark ${this.#highWatermark} (L6)`);
    if (this.#highWatermark > end) {
      this.#highWatermark = end;
      this.producers.committed = end;
    }
    this.#staged = end;
    this.#written = end;
    if (this.#flushed > end) this.#flushed = end;
    this.leadership?.cut(end);
    this.#uncommitted = this.#uncommitted.filter((batch) => batch.lastOffset < end);
  }

  applyWritten(end: Offset): void {
    this.#written = end;
  }

  applyFlushed(end: Offset): void {
    if (end > this.#flushed) this.#flushed = end;
  }

  /** R3: the smallest durable end over the maximal ISR, never back. @returns whether it moved. */
  advanceHighWatermark(): boolean {
    const committable = this.leadership?.committable(this.durable);
    return committable !== undefined && this.#moveHighWatermark(committable);
  }

  /** What the leader says, as far as the log here goes. @returns whether it moved. */
  followHighWatermark(leaders: Offset): boolean {
    if (this.role.kind !== 'following') return false;
    return this.#moveHighWatermark(leaders < this.#written ? leaders : this.#written);
  }

  #moveHighWatermark(to: Offset): boolean {
    // Less than is known already says nothing of that in this epoch (R2).
    if (to < this.#highWatermark) return false;
    if (this.role.kind !== 'waiting') this.#highWatermarkEpoch = this.role.epoch;
    if (to === this.#highWatermark) return false;
    this.#highWatermark = to;
    this.producers.committed = to;
    let committed = 0;
    for (const batch of this.#uncommitted) {
      if (batch.lastOffset >= this.#highWatermark) break;
      if (batch.maxTimestamp > this.#committedTimeMs) this.#committedTimeMs = batch.maxTimestamp;
      committed++;
    }
    this.#uncommitted.splice(0, committed);
    return true;
  }
}
