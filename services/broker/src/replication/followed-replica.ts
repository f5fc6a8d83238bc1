/**
 * One replica that follows a leader. `detached`: no session. `attaching`: the histories are being compared (R2). `changing`: it cuts its log or begins anew, and
 * attaches again afterwards. `attached`: batches come. `stopped`: its leader's history contradicts what is known to be committed here; only another
 * leader or epoch, hence another object of this class, goes on.
 */
import type { PartitionName } from '@tributary/metadata';
import { limits, offset } from '@tributary/model';
import type { ReplicaAcknowledgement, ReplicaAttach } from '@tributary/wire';
import type { FollowTerm } from '../partition/partition-state.ts';
import type { Partition } from '../partition/partition.ts';

export type FollowState = 'detached' | 'attaching' | 'changing' | 'attached' | 'stopped';

export class FollowedReplica {
  readonly name: PartitionName;
  readonly partition: Partition;
  readonly term: FollowTerm;
  state: FollowState = 'detached';
  /** Of the stream that it is on. */
  session: number | undefined;
  /** How long it waits after it is refused: one that is must not keep the others waiting. */
  retryMs: number = limits.replicaRetryMsMin;
  /** Another leader, another role, or gone. */
  isOver = false;
  /** Where what this session has brought ends. */
  #taken: bigint = -1n;
  #saidEnd: bigint = -1n;
  #saidStart: bigint = -1n;
  #leadersStart = offset(0n);
  #movingStart = false;

  constructor(name: PartitionName, partition: Partition, term: FollowTerm) {
    this.name = name;
    this.partition = partition;
    this.term = term;
  }

  /** What it asks its leader; all that was staged is written. */
  attach(session: number): ReplicaAttach {
    const { log } = this.partition;
    this.state = 'attaching';
    this.session = session;
    this.#taken = log.endOffset;
    this.#saidEnd = -1n;
    this.#saidStart = -1n;
    return {
      session,
      ...this.name,
      leaderEpoch: this.term.epoch,
      lastEpoch: log.latestEpoch ?? -1,
      endOffset: log.endOffset,
      logStartOffset: log.startOffset,
      needsRestart: !log.producers.isWhole,
      tombstonesGone: log.tombstonesGone,
    };
  }

  /** What the leader pushed is staged. */
  took(): void {
    this.#taken = this.partition.state.staged;
  }

  /** A write failed and was undone: the leader, which has sent it, waits for an acknowledgement that will not come. */
  get hasLost(): boolean {
    return this.state === 'attached' && this.partition.state.staged < this.#taken;
  }

  /** undefined: nothing that the leader has not been told. */
  acknowledgement(): ReplicaAcknowledgement | undefined {
    const { session, partition } = this;
    if (session === undefined || this.state !== 'attached') return undefined;
    const endOffset = partition.state.durable;
    const logStartOffset = partition.startOffset;
    if (endOffset === this.#saidEnd && logStartOffset === this.#saidStart) return undefined;
    this.#saidEnd = endOffset;
    this.#saidStart = logStartOffset;
    return { session, endOffset, logStartOffset };
  }

  /** The leader's log begins later than the one here. */
  get isBehindStart(): boolean {
    return this.#leadersStart > this.partition.startOffset;
  }

  /** L4: the log here begins where the leader's does, as far as what is known to be committed goes. @returns whether it has moved. */
  async followStart(leaders = this.#leadersStart): Promise<boolean> {
    if (leaders > this.#leadersStart) this.#leadersStart = leaders;
    const { log } = this.partition;
    const before = log.startOffset;
    if (this.#movingStart || this.#leadersStart <= before) return false;
    this.#movingStart = true;
    try {
      const highWatermark = this.partition.highWatermark;
      const to = this.#leadersStart < highWatermark ? this.#leadersStart : highWatermark;
      if (to > before) await log.advanceStart(to);
    } finally {
      this.#movingStart = false;
    }
    return log.startOffset > before;
  }
}
