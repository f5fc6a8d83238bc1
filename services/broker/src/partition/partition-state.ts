// pure
/**
 * What one replica knows of its partition: who leads, how far the log is staged, written and durable, and the high watermark. It decides;
 * the shell in partition.ts writes and answers.
 */
import { assert, type LeaderEpoch, type NodeId, type Offset, type TopicConfig, TributaryError } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';
import type { ProducerState } from './producer-state.ts';

/** `waiting`: no produce or fetch is served. `leading`: all is. Leaves `leading` only for `waiting`; enters with a newer epoch. */
export type Role =
  | { readonly kind: 'waiting'; readonly reason: string }
  | {
      readonly kind: 'leading';
      readonly epoch: LeaderEpoch;
      /** End of the log when the epoch began. */
      readonly startOffset: Offset;
      readonly isr: readonly NodeId[];
      readonly minIsr: number;
    };

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
  #committedTimeMs: number;
  #uncommitted: Uncommitted[] = [];

  /** @param end of the recovered log, all of it flushed (L2). @param committed the high watermark as checkpointed. */
  constructor(
    me: NodeId,
    name: string,
    config: TopicConfig,
    producers: ProducerState,
    end: Offset,
    committed: Offset,
    logTimeMs: number,
  ) {
    this.me = me;
    this.name = name;
    this.config = config;
    this.producers = producers;
    this.#staged = end;
    this.#written = end;
    this.#flushed = end;
    this.#highWatermark = committed < end ? committed : end;
    this.#committedTimeMs = logTimeMs;
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

  /** The leader's epoch must be newer than any before (R6). */
  lead(epoch: LeaderEpoch, isr: readonly NodeId[], minIsr: number): void {
    assert(this.role.kind === 'waiting' || this.role.epoch <= epoch, `${this.name}: leader epoch went back`);
    const startOffset =
      this.role.kind === 'leading' && this.role.epoch === epoch ? this.role.startOffset : this.#staged;
    this.role = { kind: 'leading', epoch, startOffset, isr, minIsr };
  }

  wait(reason: string): void {
    this.role = { kind: 'waiting', reason };
  }

  /** Is a request that names `epoch` for me, as leader? @param epoch of the client's metadata (F2). */
  checkLeader(epoch: number): TributaryError | undefined {
    if (this.role.kind === 'waiting') {
      return new TributaryError(
        'NOT_LEADER_OR_FOLLOWER',
        `Broker ${this.me} does not lead ${this.name}: ${this.role.reason}.`,
      );
    }
    if (epoch < this.role.epoch) {
      return new TributaryError(
        'FENCED_LEADER_EPOCH',
        `${this.name} is in leader epoch ${this.role.epoch}, the request named the older ${epoch}: refresh the metadata.`,
      );
    }
    if (epoch > this.role.epoch) {
      return new TributaryError(
        'UNKNOWN_LEADER_EPOCH',
        `${this.name} is in leader epoch ${this.role.epoch} here, the request named the newer ${epoch}: try again.`,
      );
    }
    return undefined;
  }

  /** Reads only. The batch has passed `checkBatch`. @param nowMs wall clock. */
  decideAppend(header: BatchHeader, clientEpoch: number, acks: Acks, nowMs: number): AppendDecision {
    const notLeader = this.checkLeader(clientEpoch);
    if (notLeader !== undefined) return { kind: 'refuse', error: notLeader };
    assert(this.role.kind === 'leading', 'checkLeader passed');
    const verdict = this.producers.check(header, this.#committedTimeMs);
    // P2: first, or a setting that has changed since would refuse what was appended, and whoever sent it would take it for not appended.
    if (verdict.kind === 'duplicate') return verdict;
    const refusal = this.#refusal(header, acks, nowMs, this.role.isr, this.role.minIsr);
    if (refusal !== undefined) return { kind: 'refuse', error: refusal };
    if (verdict.kind === 'refuse') return verdict;
    return { kind: 'append', baseOffset: this.#staged, epoch: this.role.epoch };
  }

  #refusal(
    header: BatchHeader,
    acks: Acks,
    nowMs: number,
    isr: readonly NodeId[],
    minIsr: number,
  ): TributaryError | undefined {
    const { maxMessageBytes, timestampType, timestampAfterMaxMs } = this.config;
    if (header.size > maxMessageBytes) {
      return new TributaryError(
        'MESSAGE_TOO_LARGE',
        `A batch of ${header.size} bytes is larger than ${this.name} allows: max.message.bytes is ${maxMessageBytes}.`,
      );
    }
    if (timestampType === 'CreateTime' && header.maxTimestamp > nowMs + timestampAfterMaxMs) {
      return new TributaryError(
        'INVALID_TIMESTAMP',
        `${this.name}: timestamp ${header.maxTimestamp} is ${header.maxTimestamp - nowMs} ms ahead of the broker; message.timestamp.after.max.ms is ${timestampAfterMaxMs}.`,
      );
    }
    if (acks === 'all' && isr.length < minIsr) {
      return new TributaryError(
        'NOT_ENOUGH_REPLICAS',
        `${this.name} has ${isr.length} in-sync replicas (${isr.join(', ')}), acks=all needs ${minIsr}.`,
      );
    }
    return undefined;
  }

  /** The batch, stamped, has its offsets from now on. */
  applyAppend(header: BatchHeader): void {
    assert(
      header.baseOffset === this.#staged,
      `${this.name}: batch at ${header.baseOffset}, staged end ${this.#staged} (L6)`,
    );
    this.producers.batch(header);
    this.#staged = header.nextOffset;
    this.#uncommitted.push({ lastOffset: header.lastOffset, maxTimestamp: header.maxTimestamp });
  }

  /** The log was cut to `end` after a failed write; the producer state has been rebuilt from it. */
  applyCut(end: Offset): void {
    assert(
      end >= this.#highWatermark,
      `${this.name}: cut at ${end} below the high watermark ${this.#highWatermark} (L6)`,
    );
    this.#staged = end;
    this.#written = end;
    if (this.#flushed > end) this.#flushed = end;
    // R8 would else wait for offsets that nobody may ever write.
    if (this.role.kind === 'leading' && this.role.startOffset > end) this.role = { ...this.role, startOffset: end };
    this.#uncommitted = this.#uncommitted.filter((batch) => batch.lastOffset < end);
  }

  applyWritten(end: Offset): void {
    this.#written = end;
  }

  applyFlushed(end: Offset): void {
    if (end > this.#flushed) this.#flushed = end;
  }

  /**
   * R3, as far as one broker goes: the smallest durable end over the ISR, never back, held while the ISR is too small.
   * @returns whether it moved.
   */
  advanceHighWatermark(): boolean {
    if (this.role.kind !== 'leading' || this.role.isr.length < this.role.minIsr) return false;
    if (this.durable <= this.#highWatermark) return false;
    this.#highWatermark = this.durable;
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
