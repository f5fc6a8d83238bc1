/** A broker's stream to one leader's broker: attaches the replicas that follow it, appends what it pushes, and acknowledges what is durable here (R1). */
import { type ImageSource, LinkedAbort } from '@tributary/metadata';
import {
  type BrokerEpoch,
  type ClusterId,
  leaderEpoch,
  limits,
  type NodeId,
  type Offset,
  offset,
  TributaryError,
} from '@tributary/model';
import type { Clock, Logger, Peer, Stream, Transport } from '@tributary/ports';
import {
  AttachOutcome,
  methods,
  type ReplicaAttach,
  type ReplicaAttached,
  type ReplicaPush,
  type ReplicateRequest,
  type ReplicateResponse,
} from '@tributary/wire';
import type { LogBeginning } from '../log/log-types.ts';
import { noContext } from '../rpc/controller-client.ts';
import type { FollowedReplica } from './followed-replica.ts';
import { cutAt } from './histories.ts';

export interface FollowerPorts {
  readonly me: NodeId;
  readonly clusterId: ClusterId;
  readonly images: ImageSource;
  readonly transport: Pick<Transport, 'connect'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the current registration; undefined: there is none. */
  brokerEpoch(): BrokerEpoch | undefined;
  /** Empties the replica's log, which begins anew; another object then follows. */
  restart(replica: FollowedReplica, beginsAt: LogBeginning): Promise<void>;
}

type Wire = Stream<ReplicateRequest, ReplicateResponse>;

/** What a stream is for, and what it says where a replica belongs on the other one (R9). */
export interface StreamRole {
  readonly leader: NodeId;
  readonly catchingUp: boolean;
  moveToOther(replica: FollowedReplica): void;
}

export class FollowerStream {
  readonly #role: StreamRole;
  readonly #ports: FollowerPorts;
  readonly #replicas = new Set<FollowedReplica>();
  readonly #sessions = new Map<number, FollowedReplica>();
  readonly #stopping = new AbortController();
  #wire: Wire | undefined;
  #lastSession = 0;
  #attach: ReplicaAttach[] = [];
  #detach: number[] = [];
  readonly #owing = new Set<FollowedReplica>();
  #scheduled = false;
  #heardMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #retryMs: number = limits.replicaRetryMsMin;

  constructor(role: StreamRole, ports: FollowerPorts) {
    this.#role = role;
    this.#ports = ports;
  }

  get size(): number {
    return this.#replicas.size;
  }

  add(replica: FollowedReplica): void {
    this.#replicas.add(replica);
    const { partition } = replica;
    partition.onDurable = () => this.#owe(replica);
    partition.isFresh = () =>
      replica.state === 'attached' && this.#ports.clock.monotonicMs() - this.#heardMs < limits.replicaSilenceMs;
    if (this.#running === undefined) this.#start();
    else if (this.#wire !== undefined) void this.#begin(replica);
  }

  #start(): void {
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // Somebody came as it ended.
      if (this.#replicas.size > 0 && !this.#stopping.signal.aborted) this.#start();
    });
  }

  remove(replica: FollowedReplica): void {
    if (!this.#replicas.delete(replica)) return;
    this.#endSession(replica);
    replica.partition.onDurable = undefined;
    replica.partition.isFresh = () => false;
  }

  /** Breaks the stream off, and resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#stopping.abort(new Error('The broker is stopping.'));
    await this.#running;
  }

  /** Connects again and again for as long as anybody follows. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#replicas.size > 0) {
      using attempt = new LinkedAbort(signal);
      const why = await this.#converse(attempt).catch((thrown: unknown) => thrown);
      attempt.abort(new Error('The stream is over.'));
      this.#wire = undefined;
      for (const replica of this.#replicas) this.#endSession(replica);
      this.#attach = [];
      this.#detach = [];
      if (signal.aborted || this.#replicas.size === 0) return;
      const { leader, catchingUp } = this.#role;
      const reason = why instanceof Error ? why.message : 'it ended';
      this.#ports.logger.info('replication-interrupted', { leader, catchingUp, why: reason });
      await this.#ports.clock.sleep(this.#retryMs, signal).catch(() => undefined);
      this.#retryMs = Math.min(this.#retryMs * 2, limits.replicaRetryMsMax);
    }
  }

  /** One connection, until it ends or nobody follows any more. */
  async #converse(attempt: LinkedAbort): Promise<void> {
    const { images, transport, me, clusterId } = this.#ports;
    const { leader, catchingUp } = this.#role;
    const epoch = this.#ports.brokerEpoch();
    const address = images.current.broker(leader)?.registration?.address;
    if (epoch === undefined || address === undefined)
      throw new TributaryError(
        'BROKER_NOT_AVAILABLE',
        `Broker ${epoch === undefined ? me : leader} is not registered.`,
      );
    await using peer: Peer = transport.connect(address);
    const wire = peer.stream(methods.replicate, attempt.signal);
    this.#wire = wire;
    this.#heardMs = this.#ports.clock.monotonicMs();
    wire.send({
      ...silence,
      context: { ...noContext, clusterId, clientId: `broker-${me}`, hops: 1 },
      brokerId: me,
      brokerEpoch: epoch,
      catchingUp,
    });
    void this.#watch(attempt, epoch);
    try {
      for (const replica of this.#replicas) void this.#begin(replica);
      for await (const response of wire) {
        this.#heardMs = this.#ports.clock.monotonicMs();
        for (const attached of response.attached) this.#attached(attached);
        for (const push of response.pushes) this.#append(push);
      }
    } finally {
      wire.cancel();
    }
  }

  /**
   * A leader that says nothing may be cut off; one that nobody follows need not be listened to; and one that was told another registration's epoch
   * admits no replica (R1): the stream outlives a registration that was lost and made anew.
   */
  async #watch(attempt: LinkedAbort, epoch: BrokerEpoch): Promise<void> {
    try {
      for (;;) {
        await this.#ports.clock.sleep(limits.replicaBeatMs, attempt.signal);
        const silentMs = this.#ports.clock.monotonicMs() - this.#heardMs;
        if (silentMs >= limits.replicaSilenceMs)
          attempt.abort(new Error(`it was silent for ${Math.round(silentMs)} ms`));
        // What had no room, or lay above the high watermark, when it was told.
        for (const replica of this.#replicas) if (replica.isBehindStart) void this.#followStart(replica);
        for (const replica of this.#replicas)
          if (replica.hasLost) void this.#beginAgain(replica, limits.replicaRetryMsMax);
        if (this.#replicas.size === 0) attempt.abort(new Error('nobody follows it any more'));
        if (this.#ports.brokerEpoch() !== epoch) attempt.abort(new Error('this broker has registered anew'));
      }
    } catch {
      // Over.
    }
  }

  async #begin(replica: FollowedReplica): Promise<void> {
    const wire = this.#wire;
    // A batch that is still being written would be asked for twice.
    await replica.partition.quiet();
    if (wire === undefined || this.#wire !== wire || !this.#replicas.has(replica) || replica.state !== 'detached')
      return;
    const session = ++this.#lastSession;
    this.#sessions.set(session, replica);
    this.#attach.push(replica.attach(session));
    this.#flushSoon();
  }

  async #beginAgain(replica: FollowedReplica, waitMs: number): Promise<void> {
    this.#endSession(replica);
    await this.#ports.clock.sleep(waitMs, this.#stopping.signal).catch(() => undefined);
    if (!this.#stopping.signal.aborted) await this.#begin(replica);
  }

  #endSession(replica: FollowedReplica): void {
    if (replica.session !== undefined && this.#sessions.delete(replica.session)) this.#detach.push(replica.session);
    replica.session = undefined;
    this.#owing.delete(replica);
    if (replica.state !== 'stopped' && replica.state !== 'changing') replica.state = 'detached';
  }

  #attached(answer: ReplicaAttached): void {
    const replica = this.#sessions.get(answer.session);
    if (replica === undefined) return;
    switch (answer.outcome) {
      case AttachOutcome.AGREED:
        void this.#follow(replica, answer);
        return;
      case AttachOutcome.DIVERGES:
      case AttachOutcome.RESTART:
        replica.state = 'changing';
        this.#endSession(replica);
        void this.#change(replica, answer);
        return;
      case AttachOutcome.OTHER_STREAM:
        this.remove(replica);
        this.#role.moveToOther(replica);
        return;
      default:
        this.#refused(replica, TributaryError.fromAnswer(answer.errorCode, answer.errorMessage));
    }
  }

  async #follow(replica: FollowedReplica, { session, tombstonesGone }: ReplicaAttached): Promise<void> {
    replica.state = 'attached';
    this.#retryMs = limits.replicaRetryMsMin;
    this.#owe(replica);
    const { log } = replica.partition;
    if (tombstonesGone <= log.tombstonesGone) return;
    try {
      await log.inheritTombstonesGone(offset(tombstonesGone));
    } catch (thrown) {
      if (replica.session === session) this.#refused(replica, TributaryError.from(thrown));
    }
  }

  #refused(replica: FollowedReplica, error: TributaryError): void {
    const { partition, term } = replica;
    this.#ports.logger.info('replica-refused', {
      partition: partition.state.name,
      leader: term.leader,
      epoch: term.epoch,
      why: error.message,
    });
    void this.#beginAgain(replica, replica.retryMs);
    replica.retryMs = Math.min(replica.retryMs * 2, limits.replicaRetryMsMax);
  }

  /** R2, L4: the log here becomes a prefix of the leader's, or begins anew. */
  async #change(replica: FollowedReplica, answer: ReplicaAttached): Promise<void> {
    const { partition } = replica;
    try {
      if (answer.outcome === AttachOutcome.RESTART) {
        const start = offset(answer.restartOffset);
        const end = offset(answer.producersEnd);
        // Copied: the message would stay in memory for as long as the state of its producers.
        const producers = start === 0n ? undefined : { bytes: Uint8Array.from(answer.producers), end };
        await this.#ports.restart(replica, { start, producers, tombstonesGone: offset(answer.tombstonesGone) });
        return;
      }
      const verdict = { epoch: leaderEpoch(answer.epoch), end: offset(answer.endOffset) };
      const to = cutAt(verdict, partition.log);
      const before = partition.log.endOffset;
      const outcome = await partition.cut(replica.term, to);
      if (outcome === 'over') return;
      if (outcome === 'contradicts') return this.#stop(replica, to);
      this.#ports.logger.info('replica-cut', { partition: partition.state.name, from: String(before), to: String(to) });
    } catch (thrown) {
      if (!(thrown instanceof TributaryError)) throw thrown;
      this.#ports.logger.warn('replica-not-cut', { partition: partition.state.name, why: thrown.message });
      // The disk has no room, and will have none at once.
      await this.#ports.clock.sleep(limits.replicaRetryMsMax, this.#stopping.signal).catch(() => undefined);
    }
    if (replica.state !== 'changing') return;
    replica.state = 'detached';
    if (this.#replicas.has(replica)) await this.#begin(replica);
  }

  /** R2: nothing that is known to be committed goes but by an unclean election. */
  #stop(replica: FollowedReplica, to: bigint): void {
    replica.state = 'stopped';
    const { name, highWatermark } = replica.partition.state;
    this.#ports.logger.error('replica-contradicts-its-leader', {
      partition: name,
      leader: replica.term.leader,
      epoch: replica.term.epoch,
      why: `The leader's history ends at ${to}; here everything below ${highWatermark} is known to be committed. It is kept, and not replicated any more: compare both logs with "tributary log dump".`,
    });
  }

  #append(push: ReplicaPush): void {
    const replica = this.#sessions.get(push.session);
    // Of a session that is over (R1).
    if (replica === undefined || replica.state !== 'attached') return;
    const { partition } = replica;
    const highWatermark = offset(push.highWatermark);
    partition.notePassedByAll(offset(push.passedByAll));
    try {
      const fits = push.from === partition.state.staged;
      if (fits && push.records.length === 0) partition.followHighWatermark(replica.term, highWatermark);
      else if (fits && partition.replicate(replica.term, push.records, highWatermark)) replica.took();
      else {
        // A failed write was undone here: what follows it does not fit, be it only numbers.
        void this.#beginAgain(replica, limits.replicaRetryMsMax);
        return;
      }
      replica.retryMs = limits.replicaRetryMsMin;
    } catch (thrown) {
      this.#refused(replica, TributaryError.from(thrown));
      return;
    }
    if (push.logStartOffset > partition.startOffset) void this.#followStart(replica, offset(push.logStartOffset));
  }

  async #followStart(replica: FollowedReplica, leaders?: Offset): Promise<void> {
    try {
      if (await replica.followStart(leaders)) this.#owe(replica);
    } catch (thrown) {
      if (!(thrown instanceof TributaryError)) throw thrown;
      // It is told again with what comes next.
      this.#ports.logger.warn('log-start-not-followed', {
        partition: replica.partition.state.name,
        why: thrown.message,
      });
    }
  }

  #owe(replica: FollowedReplica): void {
    if (replica.state !== 'attached' || replica.session === undefined) return;
    this.#owing.add(replica);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const wire = this.#wire;
    if (wire === undefined) return;
    const acknowledgements = [...this.#owing].flatMap((replica) => replica.acknowledgement() ?? []);
    this.#owing.clear();
    if (acknowledgements.length === 0 && this.#attach.length === 0 && this.#detach.length === 0) return;
    wire.send({ ...silence, attach: this.#attach, acknowledgements, detach: this.#detach });
    this.#attach = [];
    this.#detach = [];
  }
}

const silence: ReplicateRequest = {
  context: undefined,
  brokerId: 0,
  brokerEpoch: 0n,
  catchingUp: false,
  attach: [],
  acknowledgements: [],
  detach: [],
};
