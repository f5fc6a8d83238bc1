/**
 * ReplicationService.Replicate at the leader's broker: one follower's broker attaches its replicas, is sent what is written here, and says what it has made
 * durable (R1). A session that ends says why in its `attached` answer: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, STALE_BROKER_EPOCH,
 * INELIGIBLE_REPLICA, UNKNOWN_TOPIC_ID, CORRUPT_MESSAGE, OFFSET_NOT_AVAILABLE. The stream ends with INCONSISTENT_CLUSTER_ID or BROKER_ID_NOT_REGISTERED.
 */
import type { ImageSource, PartitionName } from '@tributary/metadata';
import {
  type BrokerEpoch,
  brokerEpoch,
  leaderEpoch,
  limits,
  millis,
  type NodeId,
  nodeId,
  type Offset,
  offset,
  partitionIndex,
  topicId,
  TributaryError,
} from '@tributary/model';
import type { CallContext, Clock, Stream } from '@tributary/ports';
import { nextOffsetOf, readBatchHeader } from '@tributary/record';
import {
  AttachOutcome,
  type ErrorCode,
  type ReplicaAcknowledgement,
  type ReplicaAttach,
  type ReplicaAttached,
  type ReplicaPush,
  type ReplicateRequest,
  type ReplicateResponse,
} from '@tributary/wire';
import type { Partition, Slice } from '../partition/partition.ts';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from '../rpc/context.ts';
import { compareHistories } from './histories.ts';
import { LeaderSession } from './leader-session.ts';

export interface LeaderPorts {
  readonly replicas: Pick<Replicas, 'find' | 'clusterId'>;
  readonly images: ImageSource;
  readonly clock: Clock;
  /** Bytes a second to those far behind; undefined: no bound. */
  catchUpBytesPerSecond(): number | undefined;
  /** A replica outside the ISR has acknowledged something. */
  acknowledged(name: PartitionName, partition: Partition): void;
}

export function replicateHandler(ports: LeaderPorts) {
  return async (stream: Stream<ReplicateResponse, ReplicateRequest>, { signal }: CallContext): Promise<void> => {
    let session: LeaderStream | undefined;
    try {
      for await (const request of stream) {
        if (signal.aborted) break;
        session ??= await LeaderStream.begin(request, stream, ports, signal);
        session.handle(request);
      }
    } finally {
      session?.close();
    }
  };
}

const nothing = new Uint8Array(0);
/** Rises over all streams of this process: names sessions where the follower's numbers could repeat. */
let lastAttachment = 0;

class LeaderStream {
  readonly #stream: Stream<ReplicateResponse, ReplicateRequest>;
  readonly #ports: LeaderPorts;
  readonly #node: NodeId;
  readonly #epoch: BrokerEpoch;
  readonly #catchingUp: boolean;
  readonly #closing = new AbortController();
  readonly #sessions = new Map<number, LeaderSession>();
  /** Those that may have something to send, in turn. */
  readonly #queue: LeaderSession[] = [];
  #pumping = false;
  #bytesInFlight = 0;
  #hasSpoken = false;
  #numbersAreDue = false;
  /** Monotonic, ms: when the throttle lets the next chunk go. */
  #nextChunkMs = 0;

  private constructor(
    first: ReplicateRequest,
    stream: Stream<ReplicateResponse, ReplicateRequest>,
    ports: LeaderPorts,
    signal: AbortSignal,
  ) {
    this.#stream = stream;
    this.#ports = ports;
    this.#node = nodeId(first.brokerId);
    this.#epoch = brokerEpoch(first.brokerEpoch);
    this.#catchingUp = first.catchingUp;
    signal.addEventListener('abort', () => this.close(), { once: true });
    void this.#beat();
  }

  /** @throws TributaryError as above. */
  static async begin(
    first: ReplicateRequest,
    stream: Stream<ReplicateResponse, ReplicateRequest>,
    ports: LeaderPorts,
    signal: AbortSignal,
  ): Promise<LeaderStream> {
    checkCluster(first.context, ports.replicas.clusterId);
    // The follower may have registered a moment ago.
    const { images, clock } = ports;
    if (images.current.revision < first.brokerEpoch) {
      const reached = images.reached(first.brokerEpoch, signal);
      reached.catch(() => undefined);
      await Promise.race([reached, clock.sleep(limits.controllerWaitMs, signal)]);
    }
    return new LeaderStream(first, stream, ports, signal);
  }

  handle({ attach, acknowledgements, detach }: ReplicateRequest): void {
    for (const session of detach) this.#drop(this.#sessions.get(session));
    for (const wanted of attach) this.#attach(wanted);
    for (const said of acknowledgements) this.#acknowledge(said);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    for (const session of this.#sessions.values()) this.#drop(session);
  }

  #attach(wanted: ReplicaAttach): void {
    const name = { topicId: topicId(wanted.topicId), partition: partitionIndex(wanted.partition) };
    try {
      const partition = this.#ports.replicas.find(wanted.topicId, wanted.partition);
      const notLeader = partition.state.checkLeader(wanted.leaderEpoch);
      if (notLeader !== undefined) throw notLeader;
      this.#checkIncarnation();
      const { log } = partition;
      const verdict = compareHistories(log, {
        lastEpoch: wanted.lastEpoch < 0 ? undefined : leaderEpoch(wanted.lastEpoch),
        startOffset: offset(wanted.logStartOffset),
        endOffset: offset(wanted.endOffset),
        tombstonesGone: offset(wanted.tombstonesGone),
        needsRestart: wanted.needsRestart,
      });
      switch (verdict.kind) {
        case 'agreed':
          return this.#begin(wanted, name, partition);
        case 'diverges':
          return this.#answer(wanted.session, AttachOutcome.DIVERGES, {
            epoch: verdict.epoch,
            endOffset: verdict.end,
          });
        case 'restart':
          this.#checkOutOfStep(name, partition);
          void this.#restart(wanted, name, partition);
      }
    } catch (thrown) {
      this.#refuse(wanted.session, TributaryError.from(thrown));
    }
  }

  /** It is about to empty its log: were it elected then, what is committed would be gone. Its silence takes it out of the ISR. */
  #checkOutOfStep(name: PartitionName, { state }: Partition): void {
    const eligible = this.#ports.images.current.partition(name.topicId, name.partition)?.eligibleLeaderReplicas;
    const node = this.#node;
    if (state.leadership?.maximalIsr.includes(node) !== true && eligible?.includes(node) !== true) return;
    throw new TributaryError(
      'INELIGIBLE_REPLICA',
      `${state.name}: broker ${node} must begin anew, and cannot while it could be elected: it is in sync, or an eligible leader replica.`,
    );
  }

  /** R6: what an incarnation that is over says must count for nothing. */
  #checkIncarnation(): void {
    const registered = this.#ports.images.current.broker(this.#node)?.registration?.createRevision;
    if (registered === this.#epoch) return;
    throw new TributaryError(
      'STALE_BROKER_EPOCH',
      `Broker ${this.#node} attaches in epoch ${this.#epoch}; ${registered === undefined ? 'it is not registered' : `its registration has epoch ${registered}`}.`,
    );
  }

  /** @param first where its first batch is read. */
  #begin(wanted: ReplicaAttach, name: PartitionName, partition: Partition, first = offset(wanted.endOffset)): void {
    const from = offset(wanted.endOffset);
    if (this.#isInStep(partition, from) === this.#catchingUp) {
      this.#answer(wanted.session, AttachOutcome.OTHER_STREAM, {});
      return;
    }
    const attachment = ++lastAttachment;
    const { leadership } = partition.state;
    if (leadership?.attach({ node: this.#node, brokerEpoch: this.#epoch, attachment }) !== true) {
      throw new TributaryError(
        'INELIGIBLE_REPLICA',
        `Broker ${this.#node} has no replica of ${partition.state.name}, or a newer incarnation of it is attached.`,
      );
    }
    this.#drop(this.#sessions.get(wanted.session));
    const session = new LeaderSession(wanted.session, name, partition, leadership, attachment, from, first);
    const wake = (): void => this.#wake(session);
    session.unsubscribe = [partition.onReplicable(wake), partition.onReadable(wake)];
    this.#sessions.set(wanted.session, session);
    this.#answer(wanted.session, AttachOutcome.AGREED, { tombstonesGone: partition.log.tombstonesGone });
    this.#wake(session);
  }

  /** L4, L5, P3: where the log begins here, and what is known of producers as of there or later, all of it committed. */
  async #restart(wanted: ReplicaAttach, name: PartitionName, partition: Partition): Promise<void> {
    try {
      const start = partition.startOffset;
      const base = await firstBase(partition, start);
      // It has begun anew, with a batch that lies across the start.
      if (base < start && wanted.endOffset === base && wanted.logStartOffset === base && !wanted.needsRestart) {
        const notLeader = partition.state.checkLeader(wanted.leaderEpoch);
        if (notLeader !== undefined) throw notLeader;
        if (!this.#closing.signal.aborted) this.#begin(wanted, name, partition, start);
        return;
      }
      const known = base === 0n ? undefined : await partition.log.producers.asOf(partition.highWatermark);
      if (base !== 0n && (known === undefined || known.end < start)) {
        throw new TributaryError(
          'OFFSET_NOT_AVAILABLE',
          `${partition.state.name}: what producers wrote below ${start} is not yet written down here; try again.`,
        );
      }
      this.#answer(wanted.session, AttachOutcome.RESTART, {
        restartOffset: base,
        producersEnd: known?.end ?? 0n,
        producers: known?.bytes ?? nothing,
        tombstonesGone: partition.log.tombstonesGone,
      });
    } catch (thrown) {
      this.#refuse(wanted.session, TributaryError.from(thrown));
    }
  }

  #acknowledge(said: ReplicaAcknowledgement): void {
    const session = this.#sessions.get(said.session);
    if (session === undefined) return;
    const { partition, leadership, name } = session;
    const end = offset(said.endOffset);
    const now = millis(this.#ports.clock.monotonicMs());
    const logStart = offset(said.logStartOffset);
    const { written } = partition.state;
    if (!leadership.acknowledge(this.#node, session.attachment, end, logStart, written, now)) {
      // It is over, and its follower waits for what will not come: where nothing is written, nothing else would tell it.
      this.#wake(session);
      return;
    }
    this.#bytesInFlight -= session.took(end);
    partition.acknowledged();
    if (!leadership.isr.includes(this.#node)) this.#ports.acknowledged(name, partition);
    if (session.position < written) this.#wake(session);
  }

  #drop(session: LeaderSession | undefined): void {
    if (session === undefined || this.#sessions.get(session.number) !== session) return;
    this.#sessions.delete(session.number);
    this.#bytesInFlight -= session.end();
    session.leadership.detach(this.#node, session.attachment);
  }

  #wake(session: LeaderSession): void {
    if (session.queued || session.isOver) return;
    session.queued = true;
    this.#queue.push(session);
    if (this.#pumping) return;
    this.#pumping = true;
    // After the tick that made it readable: several batches leave in one message.
    queueMicrotask(() => void this.#pump());
  }

  async #pump(): Promise<void> {
    for (let session = this.#queue.shift(); session !== undefined; session = this.#queue.shift()) {
      if (this.#stream.queuedBytes >= limits.streamQueue) await this.#stream.writable();
      session.queued = false;
      if (session.isOver || this.#closing.signal.aborted) continue;
      try {
        session.checkStillValid(this.#node);
        if (this.#catchingUp && !(await this.#mayCatchUp(session))) continue;
        const pending = this.#slice(session);
        const slice = pending instanceof Promise ? await pending : pending;
        if (!session.isOver) this.#push(session, slice);
      } catch (thrown) {
        this.#drop(session);
        this.#refuse(session.number, TributaryError.from(thrown));
      }
    }
    this.#pumping = false;
  }

  /** R9: whoever is in sync is never throttled; a new leader holds nothing in memory, and its followers may lack the last batches. */
  #isInStep({ log, state }: Partition, from: Offset): boolean {
    return from >= log.endOffset || log.tail.reaches(from) || (state.leadership?.isr.includes(this.#node) ?? false);
  }

  /** R9: waits for the throttle. @returns false: the replica is in step, and belongs on the other stream. */
  async #mayCatchUp(session: LeaderSession): Promise<boolean> {
    if (this.#isInStep(session.partition, session.position)) {
      this.#drop(session);
      this.#answer(session.number, AttachOutcome.OTHER_STREAM, {});
      return false;
    }
    const waitMs = this.#nextChunkMs - this.#ports.clock.monotonicMs();
    if (waitMs > 0) await this.#ports.clock.sleep(waitMs, this.#closing.signal);
    return !session.isOver;
  }

  #slice(session: LeaderSession): Slice | Promise<Slice> {
    const { partition, position } = session;
    const isFull =
      session.bytesInFlight >= limits.replicaWindow ||
      (session.bytesInFlight > 0 && this.#bytesInFlight >= limits.replicaStreamWindow);
    if (isFull || position >= partition.state.written) return { kind: 'end' };
    return partition.readWritten(session.readFrom, limits.fetchChunk);
  }

  #push(session: LeaderSession, slice: Slice): void {
    if (slice.kind !== 'records') {
      if (session.hasNews()) this.#sayNumbersSoon();
      return;
    }
    const pushes: ReplicaPush[] = [];
    let from = session.position;
    let bytes = 0;
    for (const [i, records] of slice.records.entries()) {
      pushes.push(session.push(from, records));
      bytes += records.length;
      // From memory each element is one batch; what comes from a file is one element.
      from = i === slice.records.length - 1 ? slice.next : nextOffsetOf(records, 0);
    }
    session.sent(slice.next, bytes);
    this.#bytesInFlight += bytes;
    this.#throttle(bytes);
    this.#send({ attached: [], pushes });
    // The network may be reading that memory still: it is not used again, and goes with its last reader.
    if (session.position < session.partition.state.written) this.#wake(session);
  }

  #throttle(bytes: number): void {
    const rate = this.#catchingUp ? this.#ports.catchUpBytesPerSecond() : undefined;
    if (rate === undefined) return;
    const now = this.#ports.clock.monotonicMs();
    this.#nextChunkMs = Math.max(now, this.#nextChunkMs) + (bytes * 1000) / rate;
  }

  /** A high watermark that moved mostly goes with the next batch; this is for when there is none. */
  #sayNumbersSoon(): void {
    if (this.#numbersAreDue) return;
    this.#numbersAreDue = true;
    this.#ports.clock.sleep(limits.replicaNumbersMs, this.#closing.signal).then(
      () => this.#sayNumbers(),
      () => undefined,
    );
  }

  #sayNumbers(): void {
    this.#numbersAreDue = false;
    const pushes: ReplicaPush[] = [];
    for (const session of this.#sessions.values()) {
      if (session.hasNews()) pushes.push(session.push(session.position, nothing));
    }
    if (pushes.length > 0) this.#send({ attached: [], pushes });
  }

  /** Followers know by it that the connection is alive, and that what they have is not old. */
  async #beat(): Promise<void> {
    try {
      for (;;) {
        await this.#ports.clock.sleep(limits.replicaBeatMs, this.#closing.signal);
        this.#sayNumbers();
        if (!this.#hasSpoken) this.#stream.send({ attached: [], pushes: [] });
        this.#hasSpoken = false;
      }
    } catch {
      // The stream is over.
    }
  }

  #refuse(session: number, error: TributaryError): void {
    this.#answer(session, AttachOutcome.REFUSED, { errorCode: error.code as ErrorCode, errorMessage: error.message });
  }

  #answer(session: number, outcome: AttachOutcome, more: Partial<ReplicaAttached>): void {
    this.#send({ attached: [{ ...unsaid, ...more, session, outcome }], pushes: [] });
  }

  #send(response: ReplicateResponse): void {
    this.#hasSpoken = true;
    this.#stream.send(response);
  }
}

/** DeleteRecords may have moved the start of the log into a batch: whoever begins anew begins with all of that one. */
async function firstBase(partition: Partition, start: Offset): Promise<Offset> {
  if (start >= partition.state.written) return start;
  const slice = await partition.readWritten(start, 1);
  const first = slice.kind === 'records' ? slice.records[0] : undefined;
  if (first === undefined) return start;
  const { baseOffset } = readBatchHeader(first, 0);
  return baseOffset < start ? baseOffset : start;
}

const unsaid: ReplicaAttached = {
  session: 0,
  outcome: AttachOutcome.UNSPECIFIED,
  errorCode: 0,
  errorMessage: '',
  epoch: -1,
  endOffset: 0n,
  restartOffset: 0n,
  producersEnd: 0n,
  producers: nothing,
  tombstonesGone: 0n,
};
