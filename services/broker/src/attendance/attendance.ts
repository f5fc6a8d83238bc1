/**
 * The broker's stream to the active controller, for as long as both are who they are: signs of life (R10), ISR proposals (M4), and the word that
 * it is leaving. A stream that breaks, or on which the controller is silent, is followed by another at once, with a greater number.
 */
import {
  type BrokerEpoch,
  type ClusterId,
  type IncarnationId,
  limits,
  type NodeId,
  TributaryError,
} from '@tributary/model';
import {
  heardWithin,
  Bell,
  type ClusterImage,
  type ImageSource,
  LinkedAbort,
  unlessAborted,
} from '@tributary/metadata';
import type { Clock, Logger, Stream, Transport } from '@tributary/ports';
import {
  type AttendRequest,
  type AttendResponse,
  type IsrDecision,
  type IsrProposal,
  type LeaveProgress,
  methods,
} from '@tributary/wire';
import { noContext } from '../rpc/controller-client.ts';
import {
  type IsrProposer,
  type NumberedProposal,
  OutstandingProposals,
  type ProposalOutcome,
  type ProposedIsr,
} from './proposals.ts';

interface AttendancePorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly transport: Pick<Transport, 'connect'>;
  readonly images: ImageSource;
}

interface Attendee {
  readonly nodeId: NodeId;
  readonly clusterId: ClusterId;
  /** Until the controller names its own, ms. */
  readonly sessionTimeoutMs: number;
}

/** Of the broker's registration. */
interface Incarnation {
  readonly epoch: BrokerEpoch;
  readonly incarnationId: IncarnationId;
}

/** Whom a stream is between. */
interface Session {
  readonly incarnation: Incarnation;
  readonly term: bigint;
  readonly address: string;
}

export class Attendance implements IsrProposer {
  readonly #me: Attendee;
  readonly #ports: AttendancePorts;
  readonly #proposals = new OutstandingProposals();
  /** Rings when there is something to send, or a new registration. */
  readonly #bell = new Bell();
  #incarnation: Incarnation | undefined;
  #streamNumber = 0n;
  #isOver = false;
  #leaving: ((progress: LeaveProgress) => void) | undefined;
  /** The controller's, ms. */
  #sessionTimeoutMs: number;
  #failure: { readonly why: string; readonly saidMs: number } | undefined;

  constructor(me: Attendee, ports: AttendancePorts) {
    this.#me = me;
    this.#ports = ports;
    this.#sessionTimeoutMs = me.sessionTimeoutMs;
  }

  /** A new registration: streams name it from now on. */
  registered(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    this.#bell.ring();
  }

  async propose(proposal: ProposedIsr, signal: AbortSignal): Promise<ProposalOutcome> {
    signal.throwIfAborted();
    const answered = Promise.withResolvers<ProposalOutcome>();
    const proposalId = this.#proposals.add(proposal, answered.resolve);
    this.#bell.ring();
    try {
      return await unlessAborted(answered.promise, signal);
    } finally {
      this.#proposals.forget(proposalId);
    }
  }

  /** From now on every message says that the broker is leaving. @param onProgress told of each answer to that. */
  sayLeaving(onProgress: (progress: LeaveProgress) => void): void {
    this.#leaving = onProgress;
    this.#bell.ring();
  }

  /** The broker is about to stop: that streams end now is nothing to tell of. */
  handedOver(): void {
    this.#isOver = true;
  }

  /** Why no controller can be told anything just now; undefined: one can. */
  get failure(): string | undefined {
    return this.#failure?.why;
  }

  /** Attends until the signal aborts; then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    let retryMs: number = limits.attendRetryMsMin;
    while (!signal.aborted) {
      const session = await this.#nextSession(signal).catch(() => undefined);
      if (session === undefined) break;
      using attending = new LinkedAbort(signal);
      const ended = this.#abortWhenOver(session, attending);
      const attendedMs = await this.#attend(session, attending.signal);
      if (attendedMs > this.#sessionTimeoutMs / limits.heartbeatsPerSession) retryMs = limits.attendRetryMsMin;
      // Whoever comes next need not wait because of this one.
      await this.#ports.clock.sleep(retryMs, attending.signal).catch(() => undefined);
      retryMs = attending.signal.aborted ? limits.attendRetryMsMin : Math.min(retryMs * 2, limits.attendRetryMsMax);
      attending.abort(new Error('The attempt is over.'));
      await ended;
    }
  }

  /** Waits until the broker is registered and a controller elected. */
  async #nextSession(signal: AbortSignal): Promise<Session> {
    const { images } = this.#ports;
    while (this.#incarnation === undefined) await this.#bell.heard(signal);
    const incarnation = this.#incarnation;
    const { controller } = await images.until((image) => image.controller !== undefined, signal);
    if (controller === undefined) throw new TributaryError('NOT_CONTROLLER', 'No controller is elected now.');
    return { incarnation, term: controller.createRevision, address: controller.address };
  }

  async #abortWhenOver(session: Session, attending: LinkedAbort): Promise<void> {
    const isOver = ({ controller }: ClusterImage): boolean => controller?.createRevision !== session.term;
    const reregistered = async (): Promise<void> => {
      while (this.#incarnation === session.incarnation) await this.#bell.heard(attending.signal);
    };
    try {
      await Promise.race([this.#ports.images.until(isOver, attending.signal), reregistered()]);
    } catch {
      // It was over before, or following the store is, which others notice.
    }
    attending.abort(new Error('Another controller is elected, or this broker has registered anew.'));
  }

  /** One stream, until it is over. @returns from its beginning to the last answer, ms. */
  async #attend(session: Session, signal: AbortSignal): Promise<number> {
    const { clock, transport } = this.#ports;
    await using peer = transport.connect(session.address);
    using streaming = new LinkedAbort(signal);
    const stream = peer.stream(methods.attend, streaming.signal);
    const beganMs = clock.monotonicMs();
    const heard = { isAnswered: false, atMs: beganMs };
    this.#proposals.beginStream();
    const sending = this.#send(session, stream, heard, streaming.signal).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    const silence = sending.then((thrown) => {
      // Its reader ends with it.
      streaming.abort(thrown);
      return thrown;
    });
    let why: unknown;
    try {
      for await (const answer of stream) {
        heard.atMs = clock.monotonicMs();
        if (!heard.isAnswered) this.#begun(session, answer);
        heard.isAnswered = true;
        this.#take(answer, streaming.signal);
      }
      why = new TributaryError('NETWORK_EXCEPTION', `The controller at ${session.address} ended the stream.`);
    } catch (thrown) {
      why = thrown;
    }
    streaming.abort(why);
    const whySent = await silence;
    if (!signal.aborted) this.#failed(session, whySent instanceof Silence ? whySent : why);
    return heard.atMs - beganMs;
  }

  /** The greeting, then whatever there is to say, and a sign of life where that is nothing. @throws Silence. */
  async #send(
    session: Session,
    stream: Stream<AttendRequest, AttendResponse>,
    heard: { readonly atMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#ports;
    const { nodeId, clusterId } = this.#me;
    const hello = {
      context: { ...noContext, clusterId },
      brokerId: nodeId,
      brokerEpoch: session.incarnation.epoch,
      incarnationId: session.incarnation.incarnationId,
      streamNumber: ++this.#streamNumber,
      controllerTerm: session.term,
    };
    stream.send({ hello, proposals: this.#nextProposals(), leaving: this.#leaving !== undefined });
    for (;;) {
      const isMore = this.#proposals.unsentCount > 0;
      const everyMs = Math.ceil(this.#sessionTimeoutMs / limits.heartbeatsPerSession);
      if (!isMore)
        await heardWithin(this.#bell, this.#leaving === undefined ? everyMs : limits.leaveRepeatMs, clock, signal);
      signal.throwIfAborted();
      // What queues up where nothing is taken is bounded by this, too.
      const silentMs = clock.monotonicMs() - heard.atMs;
      if (silentMs > everyMs * limits.heartbeatsUnanswered) throw new Silence(session.address, Math.round(silentMs));
      stream.send({ hello: undefined, proposals: this.#nextProposals(), leaving: this.#leaving !== undefined });
    }
  }

  /** Those of one tick in one message. */
  #nextProposals(): IsrProposal[] {
    return this.#proposals.take(limits.proposalsPerMessage).map(toWire);
  }

  #begun(session: Session, { sessionTimeoutMs }: AttendResponse): void {
    this.#failure = undefined;
    if (sessionTimeoutMs > 0) this.#sessionTimeoutMs = sessionTimeoutMs;
    this.#ports.logger.info('attending', {
      controller: session.address,
      term: session.term.toString(),
      stream: this.#streamNumber.toString(),
      sessionTimeoutMs: this.#sessionTimeoutMs,
    });
  }

  #take({ decisions, leave }: AttendResponse, signal: AbortSignal): void {
    for (const decision of decisions) void this.#answered(decision, signal);
    if (leave !== undefined) this.#leaving?.(leave);
  }

  /**
   * M4: a refusal counts once the image has what it was judged against: the same proposal may have been decided before, its answer lost, and the
   * state have moved on since. Whoever forgot the proposal with an older image would leave out a member that is in.
   */
  async #answered({ proposalId, errorCode, errorMessage, revision }: IsrDecision, signal: AbortSignal): Promise<void> {
    try {
      if (errorCode !== 0) await this.#ports.images.reached(revision, signal);
    } catch {
      // It is asked for again on the next stream.
      return;
    }
    this.#proposals.answer(proposalId, errorCode, errorMessage);
  }

  /** Said once, and again where it lasts. */
  #failed(session: Session, thrown: unknown): void {
    if (this.#isOver) return;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const nowMs = this.#ports.clock.monotonicMs();
    const before = this.#failure;
    if (before?.why === why && nowMs - before.saidMs < limits.storeWaitSaidMs) return;
    this.#failure = { why, saidMs: nowMs };
    this.#ports.logger.warn('not-attending', { controller: session.address, why });
  }
}

/** The controller has not answered several signs of life. */
class Silence extends Error {
  override readonly name = 'Silence';

  constructor(address: string, silentMs: number) {
    super(`The controller at ${address} has been silent for ${silentMs} ms; a new connection to it is tried.`);
  }
}

function toWire({ proposalId, proposal }: NumberedProposal): IsrProposal {
  const { topicId, partition, leaderEpoch, partitionEpoch, isr } = proposal;
  return {
    proposalId,
    topicId,
    partition,
    leaderEpoch,
    partitionEpoch,
    isr: isr.map((member) => ({ nodeId: member.nodeId, brokerEpoch: member.brokerEpoch })),
  };
}
