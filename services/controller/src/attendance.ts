/**
 * ControllerService.Attend: each broker's stream of signs of life (R10), ISR proposals (M4) and its word that it is leaving; a coordinator's, without
 * proposals.
 *
 * The newest stream of a broker counts: an older one is ended, and what it has not been told by then is discarded before anything is answered on
 * the newer one. Each message is answered, an empty one by an empty one; decisions and LeaveProgress follow in messages of their own.
 * Ends with NOT_CONTROLLER when this controller is not active, or in another term; INCONSISTENT_CLUSTER_ID, BROKER_ID_NOT_REGISTERED,
 * STALE_BROKER_EPOCH when the greeting is another's; INVALID_REQUEST for what makes no sense. Proposals: see isr-proposals.ts.
 */
import { type ImageSource, Bell, LinkedAbort, unlessAborted } from '@tributary/metadata';
import {
  type BrokerEpoch,
  type NodeId,
  TributaryError,
  brokerEpoch,
  errorTable,
  leaderEpoch,
  limits,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
} from '@tributary/model';
import type { CallContext, Clock, Stream } from '@tributary/ports';
import {
  type AttendHello,
  type AttendRequest,
  type AttendResponse,
  type ErrorCode,
  type IsrDecision,
  type IsrProposal,
  PartRole,
} from '@tributary/wire';
import { leavingShare, registrationOf } from './brokers.ts';
import { coordinatorOf, coordinatorShare } from './coordinators.ts';
import { type JudgedProposals, type Proposal, type Verdict, judgeProposals } from './isr-proposals.ts';
import type { Done, Office } from './office.ts';
import type { Reception } from './reception.ts';
import type { Role } from './signs.ts';
import type { TopicDefaults } from './topic-defaults.ts';

interface Parts {
  readonly office: Office;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly defaults: TopicDefaults;
  readonly sessionTimeoutMs: number;
}

type Messages = Stream<AttendResponse, AttendRequest>;

/** One broker's, or coordinator's, stream. */
interface Seat {
  readonly role: Role;
  readonly node: NodeId;
  readonly epoch: BrokerEpoch;
  readonly number: bigint;
  readonly over: LinkedAbort;
  /** Of what came over it nothing will be decided any more. */
  readonly settled: PromiseWithResolvers<void>;
  /** What was said and not yet taken up. */
  proposals: IsrProposal[];
  isLeaving: boolean;
  readonly said: Bell;
}

export class Attendance {
  readonly #parts: Parts;
  readonly #reception: Reception;
  readonly #seats: Readonly<Record<Role, Map<NodeId, Seat>>> = { broker: new Map(), coordinator: new Map() };

  constructor(parts: Parts, reception: Reception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  async attend(stream: Messages, { signal }: CallContext): Promise<void> {
    const messages = stream[Symbol.asyncIterator]();
    const first = await messages.next();
    if (first.done === true) return;
    const { hello } = first.value;
    if (hello === undefined) throw new TributaryError('INVALID_REQUEST', 'An Attend stream begins with a greeting.');
    using over = new LinkedAbort(signal);
    const seat = await this.#greet(hello, over);
    const older = this.#take(seat);
    const { office } = this.#parts;
    office.opened(seat.role, seat.node, seat.epoch);
    const ended = (): void => over.abort(office.term?.over.reason);
    const termOver = office.term?.over;
    termOver?.addEventListener('abort', ended, { once: true });
    try {
      await older?.settled.promise;
      await this.#serve(seat, stream, first.value, messages);
    } finally {
      termOver?.removeEventListener('abort', ended);
      seat.settled.resolve();
      const seats = this.#seats[seat.role];
      if (seats.get(seat.node) === seat) seats.delete(seat.node);
      office.closed(seat.role, seat.node, seat.epoch);
    }
  }

  /** @throws TributaryError: the part is not who it takes itself to be, or this is not the controller that it takes it for. */
  async #greet(hello: AttendHello, over: LinkedAbort): Promise<Seat> {
    const image = await this.#reception.imageFor(hello.context, over.signal, hello.brokerEpoch);
    const { term } = this.#parts.office;
    if (term?.revision !== hello.controllerTerm) {
      throw new TributaryError(
        'NOT_CONTROLLER',
        `The stream is for term ${hello.controllerTerm} of the controller; this one is in term ${term?.revision ?? 'none'}.`,
      );
    }
    const node = nodeId(hello.brokerId);
    const epoch = brokerEpoch(hello.brokerEpoch);
    const role = roleOf(hello);
    const registration =
      role === 'coordinator' ? coordinatorOf(image, node, epoch) : registrationOf(image, node, epoch);
    if (registration.incarnationId !== hello.incarnationId) {
      throw new TributaryError(
        'STALE_BROKER_EPOCH',
        `${named[role]} ${node} attends as incarnation ${hello.incarnationId}; ${registration.incarnationId} is registered.`,
      );
    }
    const settled = Promise.withResolvers<void>();
    const said = new Bell();
    return { role, node, epoch, number: hello.streamNumber, over, settled, proposals: [], isLeaving: false, said };
  }

  /** @returns the older stream of the same broker, which is over. @throws TributaryError where that is the newer one. */
  #take(seat: Seat): Seat | undefined {
    const older = this.#seats[seat.role].get(seat.node);
    if (older !== undefined && older.epoch === seat.epoch && older.number >= seat.number) {
      throw new TributaryError(
        'INVALID_REQUEST',
        `${named[seat.role]} ${seat.node} attends on stream ${older.number} already; this is stream ${seat.number}.`,
      );
    }
    this.#seats[seat.role].set(seat.node, seat);
    older?.over.abort(
      new TributaryError('NETWORK_EXCEPTION', `${named[seat.role]} ${seat.node} attends on a newer stream.`),
    );
    return older;
  }

  async #serve(
    seat: Seat,
    stream: Messages,
    first: AttendRequest,
    messages: AsyncIterator<AttendRequest>,
  ): Promise<void> {
    const { office, sessionTimeoutMs } = this.#parts;
    seat.over.signal.throwIfAborted();
    const deciding = this.#decide(seat, stream);
    // A failure ends the stream; it is thrown below.
    deciding.catch((thrown: unknown) => seat.over.abort(thrown));
    try {
      this.#hear(seat, first);
      stream.send({ decisions: [], leave: undefined, sessionTimeoutMs });
      for (;;) {
        const next = await unlessAborted(messages.next(), seat.over.signal);
        if (next.done === true) break;
        office.heard(seat.role, seat.node, seat.epoch);
        this.#hear(seat, next.value);
        stream.send({ decisions: [], leave: undefined, sessionTimeoutMs: 0 });
      }
    } catch (thrown) {
      seat.over.abort(thrown);
    }
    const isEnd = !seat.over.signal.aborted;
    seat.over.abort(new TributaryError('NETWORK_EXCEPTION', `${named[seat.role]} ${seat.node} ended its stream.`));
    // What is being decided now is decided, or not, before a newer stream is answered.
    await deciding.catch(() => undefined);
    if (!isEnd) throw seat.over.signal.reason;
  }

  #hear(seat: Seat, { proposals, leaving }: AttendRequest): void {
    if (seat.role === 'coordinator' && proposals.length > 0)
      throw new TributaryError('INVALID_REQUEST', `Coordinator ${seat.node} has no partitions to propose anything of.`);
    if (seat.proposals.length + proposals.length > limits.isrProposals) {
      throw new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `${limits.isrProposals} proposals of broker ${seat.node} already wait to be decided.`,
      );
    }
    seat.proposals.push(...proposals);
    seat.isLeaving ||= leaving;
    if (proposals.length > 0 || leaving) seat.said.ring();
  }

  /** In the order in which they came, all that have come at a time. Ends by throwing. */
  async #decide(seat: Seat, stream: Messages): Promise<never> {
    for (;;) {
      seat.over.signal.throwIfAborted();
      if (seat.proposals.length === 0 && !seat.isLeaving) await seat.said.heard(seat.over.signal);
      const proposals = seat.proposals.splice(0, limits.isrProposalsPerOrder);
      if (proposals.length > 0) {
        const decisions = await this.#judge(seat, proposals);
        for (let at = 0; at < decisions.length; at += limits.proposalsPerMessage)
          stream.send({
            decisions: decisions.slice(at, at + limits.proposalsPerMessage),
            leave: undefined,
            sessionTimeoutMs: 0,
          });
      } else if (seat.isLeaving) {
        seat.isLeaving = false;
        stream.send({ decisions: [], leave: await this.#leave(seat), sessionTimeoutMs: 0 });
      }
    }
  }

  async #judge({ node, epoch, over }: Seat, asked: readonly IsrProposal[]): Promise<IsrDecision[]> {
    const proposals = asked.map(fromWire);
    let judged: JudgedProposals = { verdicts: [], steps: [] };
    const { revision } = await this.#parts.office.place({
      event: (image) => {
        judged = judgeProposals(image, { nodeId: node, brokerEpoch: epoch }, proposals);
        return { kind: 'change-isr', judged };
      },
      signal: over.signal,
      isOfPart: true,
    });
    return asked.map(({ proposalId }, i) => decision(proposalId, judged.verdicts[i], revision));
  }

  /** Asked twice where it is news: the second time it comes behind all that the leaving itself has called for. */
  async #leave({ role, node, epoch, over }: Seat): Promise<NonNullable<AttendResponse['leave']>> {
    const { office, images, defaults } = this.#parts;
    if (role === 'coordinator') {
      office.coordinatorLeaves(node, epoch);
      await office.place({ event: () => ({ kind: 'settle' }), signal: over.signal, isOfPart: true });
      const { current } = images;
      return { ...coordinatorShare(current, node, office.coordinatorLosses), revision: current.revision };
    }
    const place = (): Promise<Done> =>
      office.place({
        event: () => ({ kind: 'leave', nodeId: node, brokerEpoch: epoch }),
        signal: over.signal,
        isOfPart: true,
      });
    const { steps } = await place();
    if (steps.length > 0) await place();
    const image = images.current;
    return { ...leavingShare(image, node, office.losses, defaults), revision: image.revision };
  }
}

const named: Readonly<Record<Role, string>> = { broker: 'Broker', coordinator: 'Coordinator' };

const roleOf = ({ role }: AttendHello): Role => (role === PartRole.COORDINATOR ? 'coordinator' : 'broker');

function fromWire(proposal: IsrProposal): Proposal {
  return {
    topicId: topicId(proposal.topicId),
    partition: partitionIndex(proposal.partition),
    leaderEpoch: leaderEpoch(proposal.leaderEpoch),
    partitionEpoch: partitionEpoch(proposal.partitionEpoch),
    isr: proposal.isr.map((member) => ({
      nodeId: nodeId(member.nodeId),
      brokerEpoch: brokerEpoch(member.brokerEpoch),
    })),
  };
}

function decision(proposalId: bigint, verdict: Verdict | undefined, revision: bigint): IsrDecision {
  if (verdict?.kind !== 'refused') return { proposalId, errorCode: 0, errorMessage: '', revision };
  return { proposalId, errorCode: errorTable[verdict.error].code as ErrorCode, errorMessage: verdict.why, revision };
}
