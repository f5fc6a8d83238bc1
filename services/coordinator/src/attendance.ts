/**
 * The coordinator's stream to the active controller, for as long as both are who they are: signs of life (R10), and the word that it is leaving. A
 * stream that breaks, or on which the controller is silent, is followed by another at once, with a greater number.
 */
import { type BrokerEpoch, type IncarnationId, limits, type NodeId, TributaryError } from '@tributary/model';
import { heardWithin, Bell, type ImageSource, LinkedAbort } from '@tributary/metadata';
import type { Clock, Logger, Stream, Transport } from '@tributary/ports';
import { type AttendRequest, type AttendResponse, type LeaveProgress, methods, PartRole } from '@tributary/wire';

interface AttendancePorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly transport: Pick<Transport, 'connect'>;
  readonly images: ImageSource;
}

/** Of the coordinator's registration. */
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

export class Attendance {
  readonly #me: NodeId;
  readonly #ports: AttendancePorts;
  /** Rings when there is something to say, or a new registration. */
  readonly #bell = new Bell();
  #incarnation: Incarnation | undefined;
  #streamNumber = 0n;
  #leaving: ((progress: LeaveProgress) => void) | undefined;
  /** The controller's, ms. */
  #sessionTimeoutMs: number;
  #failure: { readonly why: string; readonly saidMs: number } | undefined;

  constructor(me: NodeId, sessionTimeoutMs: number, ports: AttendancePorts) {
    this.#me = me;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    this.#ports = ports;
  }

  /** A new registration: streams name it from now on. */
  registered(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    this.#bell.ring();
  }

  /** From now on every message says that the coordinator is leaving. @param onProgress told of each answer to that. */
  sayLeaving(onProgress: (progress: LeaveProgress) => void): void {
    this.#leaving = onProgress;
    this.#bell.ring();
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    let retryMs: number = limits.attendRetryMsMin;
    while (!signal.aborted) {
      const session = await this.#nextSession(signal).catch(() => undefined);
      if (session === undefined) return;
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

  /** Waits until the coordinator is registered and a controller elected. */
  async #nextSession(signal: AbortSignal): Promise<Session> {
    while (this.#incarnation === undefined) await this.#bell.heard(signal);
    const incarnation = this.#incarnation;
    const { controller } = await this.#ports.images.until((image) => image.controller !== undefined, signal);
    if (controller === undefined) throw new TributaryError('NOT_CONTROLLER', 'No controller is elected now.');
    return { incarnation, term: controller.createRevision, address: controller.address };
  }

  async #abortWhenOver(session: Session, attending: LinkedAbort): Promise<void> {
    const another = this.#ports.images.until(
      ({ controller }) => controller?.createRevision !== session.term,
      attending.signal,
    );
    const reregistered = async (): Promise<void> => {
      while (this.#incarnation === session.incarnation) await this.#bell.heard(attending.signal);
    };
    await Promise.race([another, reregistered()]).catch(() => undefined);
    attending.abort(new Error('Another controller is elected, or this coordinator has registered anew.'));
  }

  /** One stream, until it is over. @returns from its beginning to the last answer, ms. */
  async #attend(session: Session, signal: AbortSignal): Promise<number> {
    const { clock, transport } = this.#ports;
    await using peer = transport.connect(session.address);
    using streaming = new LinkedAbort(signal);
    const stream = peer.stream(methods.attend, streaming.signal);
    const beganMs = clock.monotonicMs();
    const heard = { isAnswered: false, atMs: beganMs };
    const sending = this.#send(session, stream, heard, streaming.signal).catch((thrown: unknown) => {
      // Its reader ends with it.
      streaming.abort(thrown);
      return thrown;
    });
    let why: unknown;
    try {
      for await (const { leave, sessionTimeoutMs } of stream) {
        heard.atMs = clock.monotonicMs();
        if (!heard.isAnswered) this.#begun(session, sessionTimeoutMs);
        heard.isAnswered = true;
        if (leave !== undefined) this.#leaving?.(leave);
      }
      why = new TributaryError('NETWORK_EXCEPTION', `The controller at ${session.address} ended the stream.`);
    } catch (thrown) {
      why = thrown;
    }
    streaming.abort(why);
    const whySent = await sending;
    if (!signal.aborted) this.#failed(session, whySent instanceof Silence ? whySent : why);
    return heard.atMs - beganMs;
  }

  /** The greeting, then signs of life. @throws Silence; the signal's reason. */
  async #send(
    session: Session,
    stream: Stream<AttendRequest, AttendResponse>,
    heard: { readonly atMs: number },
    signal: AbortSignal,
  ): Promise<never> {
    const { clock, images } = this.#ports;
    const hello = {
      context: {
        clusterId: images.current.cluster?.clusterId ?? '',
        clientId: '',
        principal: '',
        originalPrincipal: '',
        host: '',
        hops: 0,
        minRevision: 0n,
      },
      brokerId: this.#me,
      brokerEpoch: session.incarnation.epoch,
      incarnationId: session.incarnation.incarnationId,
      streamNumber: ++this.#streamNumber,
      controllerTerm: session.term,
      role: PartRole.COORDINATOR,
    };
    stream.send({ hello, proposals: [], leaving: this.#leaving !== undefined });
    for (;;) {
      const everyMs = Math.ceil(this.#sessionTimeoutMs / limits.heartbeatsPerSession);
      await heardWithin(this.#bell, this.#leaving === undefined ? everyMs : limits.leaveRepeatMs, clock, signal);
      signal.throwIfAborted();
      // What queues up where nothing is taken is bounded by this, too.
      const silentMs = clock.monotonicMs() - heard.atMs;
      if (silentMs > everyMs * limits.heartbeatsUnanswered) throw new Silence(session.address, Math.round(silentMs));
      stream.send({ hello: undefined, proposals: [], leaving: this.#leaving !== undefined });
    }
  }

  #begun(session: Session, sessionTimeoutMs: number): void {
    this.#failure = undefined;
    if (sessionTimeoutMs > 0) this.#sessionTimeoutMs = sessionTimeoutMs;
    const { address, term } = session;
    const stream = this.#streamNumber.toString();
    this.#ports.logger.info('attending', { controller: address, term: term.toString(), stream });
  }

  /** Said once, and again where it lasts. */
  #failed(session: Session, thrown: unknown): void {
    if (this.#leaving !== undefined) return;
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
