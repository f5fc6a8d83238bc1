/**
 * Join: a member's session. Each request is answered, in order; what changes is pushed with sequence 0. The assignment is in the answer to the first
 * message of a membership on this stream, and when it has changed.
 *
 * Answers carry their error and the stream goes on, but for NOT_COORDINATOR and COORDINATOR_*, after which it ends: the owner is to be looked up. A stream
 * that breaks begins the member's grace.
 */
import { type ErrorName, limits, TributaryError } from '@tributary/model';
import type { CallContext, Stream } from '@tributary/ports';
import type { JoinRequest, JoinResponse, MemberRequest, MemberResponse } from '@tributary/wire';
import type { MemberAnswer, Reply, Task } from '../group/decision.ts';
import type { Shard } from '../shard/shard.ts';
import { type Asker, memberRequest, memberResponse, refusedMember, sincePollMs } from './member-wire.ts';
import type { Reception } from './reception.ts';

/** The membership that a stream is about. */
interface Seat extends Disposable {
  readonly shard: Shard;
  readonly groupId: string;
  readonly memberId: string;
  /** Counted among the member's streams. */
  isOpen: boolean;
  toldVersion: number | undefined;
  toldTask: number | undefined;
}

const lookUp: ReadonlySet<ErrorName> = new Set([
  'NOT_COORDINATOR',
  'COORDINATOR_NOT_AVAILABLE',
  'COORDINATOR_LOAD_IN_PROGRESS',
]);

export async function serveJoin(
  reception: Reception,
  stream: Stream<JoinResponse, JoinRequest>,
  { peer, signal }: CallContext,
): Promise<void> {
  using session = new MemberStream(reception, stream, peer);
  const over = Promise.withResolvers<void>();
  const reading = session.read(signal, over.resolve);
  // Whose shard is over ends without waiting for the member.
  await Promise.race([reading, over.promise]);
}

class MemberStream implements Disposable {
  readonly #reception: Reception;
  readonly #stream: Stream<JoinResponse, JoinRequest>;
  readonly #peer: string;
  #asker: Asker | undefined;
  #seat: Seat | undefined;
  #isOver = false;

  constructor(reception: Reception, stream: Stream<JoinResponse, JoinRequest>, peer: string) {
    this.#reception = reception;
    this.#stream = stream;
    this.#peer = peer;
  }

  async read(signal: AbortSignal, end: () => void): Promise<void> {
    for await (const { member } of this.#stream) {
      if (this.#isOver) return;
      if (member === undefined) throw new TributaryError('INVALID_REQUEST', 'A message of Join has no member.');
      this.#asker ??= this.#reception.asker(member.context, this.#peer);
      try {
        const seat = await this.#take(member, signal, end);
        if (this.#isOver) return;
        await this.#answer(seat, member);
      } catch (thrown) {
        const error = TributaryError.from(thrown);
        if (this.#isOver) return;
        this.#tell(refusedMember(error, member.memberId, member.sequence));
        if (lookUp.has(error.error)) return;
      }
    }
  }

  /** @throws TributaryError NOT_COORDINATOR and what else {@link Reception.shardOf} throws. */
  async #take({ groupId, memberId, context }: MemberRequest, signal: AbortSignal, end: () => void): Promise<Seat> {
    const before = this.#seat;
    if (before?.groupId === groupId && before.memberId === memberId) return before;
    const shard = await this.#reception.shardOf(groupId, context, { signal });
    before?.[Symbol.dispose]();
    const listening = shard.listen(groupId, memberId, ({ answer }) => this.#push(seat, answer));
    const ended = (): void => this.#shardOver(seat, end);
    shard.over.addEventListener('abort', ended, { once: true });
    const seat: Seat = {
      shard,
      groupId,
      memberId,
      isOpen: false,
      toldVersion: undefined,
      toldTask: undefined,
      [Symbol.dispose]: () => {
        shard.over.removeEventListener('abort', ended);
        listening[Symbol.dispose]();
        if (seat.isOpen && !shard.over.aborted) shard.closed(groupId, memberId);
        seat.isOpen = false;
      },
    };
    this.#seat = seat;
    if (shard.over.aborted) ended();
    return seat;
  }

  async #answer(seat: Seat, request: MemberRequest): Promise<void> {
    const { groupId, memberId, memberEpoch } = request;
    const asked = memberRequest(request, this.#asker ?? { clientId: '', host: this.#peer });
    const sinceMs = sincePollMs(request);
    const { facts } = this.#reception;
    if (memberEpoch === 0) facts.joins++;
    else facts.heartbeats++;
    await seat.shard.ask((groups, at) => groups.member(asked, at), {
      accepted: (_, sessions, nowMs) => {
        if (memberEpoch < 0) return;
        // It may have gone while the request was on its way.
        if (!seat.isOpen && !this.#isOver && this.#seat === seat) {
          sessions.opened(groupId, memberId);
          seat.isOpen = true;
        }
        sessions.heard(groupId, memberId, nowMs, sinceMs);
      },
      // What is told later must not come before it.
      answered: (reply) => {
        if (!this.#isOver) this.#send(seat, reply, request.sequence);
      },
    });
  }

  #push(seat: Seat, answer: Reply<MemberAnswer>): void {
    if (!this.#isOver && this.#seat === seat) this.#send(seat, answer, 0n);
  }

  #send(seat: Seat, reply: Reply<MemberAnswer>, sequence: bigint): void {
    if (reply.kind === 'refused') {
      this.#tell(memberResponse(reply, seat.memberId, { sequence, withAssignment: false, task: undefined }));
      return;
    }
    const { member, taskEpoch } = reply.value;
    const version = member?.assignmentVersion;
    const withAssignment = version !== undefined && version !== seat.toldVersion;
    if (withAssignment) seat.toldVersion = version;
    const task = this.#task(seat, taskEpoch);
    this.#tell(memberResponse(reply, seat.memberId, { sequence, withAssignment, task }));
  }

  /** Whoever does not take what it is told is gone, as far as it can be seen: it may come back on another stream. */
  #tell(member: MemberResponse): void {
    this.#stream.send({ member });
    if (this.#stream.queuedBytes <= limits.streamQueue) return;
    this.#isOver = true;
    this.#stream.cancel();
  }

  /** Told once on a stream. */
  #task(seat: Seat, epoch: number | undefined): Task | undefined {
    if (epoch === undefined || epoch === seat.toldTask) return undefined;
    const task = seat.shard.groups.task(seat.groupId, this.#reception.topics);
    if (task?.groupEpoch !== epoch) return undefined;
    seat.toldTask = epoch;
    return task;
  }

  #shardOver(seat: Seat, end: () => void): void {
    if (this.#isOver || this.#seat !== seat) return;
    this.#isOver = true;
    const message = 'Another coordinator owns the group, or will: look it up; the membership goes on.';
    this.#tell(refusedMember({ error: 'NOT_COORDINATOR', message }, seat.memberId, 0n));
    end();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#seat?.[Symbol.dispose]();
    this.#seat = undefined;
  }
}
