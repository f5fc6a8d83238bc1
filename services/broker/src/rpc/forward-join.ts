/**
 * A member's stream through this broker to its coordinator (F1). Both ends live as long as each other: the coordinator's grace begins when the client's
 * stream breaks. An owner that is one no longer before it has said anything is replaced by the next, which hears what the first was told; later the stream
 * ends with NOT_COORDINATOR, and the member begins another.
 */
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Stream } from '@tributary/ports';
import type { JoinRequest, JoinResponse } from '@tributary/wire';
import { type Coordinators, type MemberStream, refuseForwarded } from './coordinators.ts';

const notCoordinator = new TributaryError('NOT_COORDINATOR', '').code;

export class ForwardedJoin {
  readonly #coordinators: Coordinators;
  readonly #client: Stream<JoinResponse, JoinRequest>;
  readonly #call: CallContext;
  /** What the owner was told and has not answered yet; undefined: it has answered. */
  #unanswered: JoinRequest[] | undefined = [];
  #way: MemberStream | undefined;
  #isEnded = false;

  constructor(coordinators: Coordinators, client: Stream<JoinResponse, JoinRequest>, call: CallContext) {
    this.#coordinators = coordinators;
    this.#client = client;
    this.#call = call;
  }

  /** Resolves when the coordinator has ended the stream. @throws TributaryError: how it broke, or why there is no coordinator. */
  async run(): Promise<void> {
    const { signal } = this.#call;
    const messages = this.#client[Symbol.asyncIterator]();
    const { value: first, done } = await messages.next();
    if (done === true || first.member === undefined)
      throw new TributaryError('INVALID_REQUEST', 'Join was called without naming a member.');
    const { groupId, context } = first.member;
    refuseForwarded(context);
    const forwarded = this.#coordinators.neighbours.forwarded(context, this.#call.peer);
    this.#unanswered = [{ member: { ...first.member, context: forwarded } }];
    let owner = await this.#coordinators.ownerOf(groupId, signal);
    const reading = this.#readClient(messages);
    for (let attempt = 1; ; attempt++) {
      using way = this.#coordinators.join(owner, signal);
      this.#begin(way);
      try {
        await this.#readOwner(way, attempt === 1);
        break;
      } catch (thrown) {
        signal.throwIfAborted();
        const error = way.why(thrown);
        const mayMove = error.error === 'NOT_COORDINATOR' || error.error === 'COORDINATOR_NOT_AVAILABLE';
        if (attempt > 1 || this.#unanswered === undefined || !mayMove) throw error;
        if (!(await this.#coordinators.isReplaced(owner, signal))) throw error;
        owner = await this.#coordinators.ownerOf(groupId, signal);
      } finally {
        this.#way = undefined;
      }
    }
    // It waits for nothing but the client, which the end of this call ends.
    void reading;
  }

  #begin(way: MemberStream): void {
    this.#way = way;
    for (const message of this.#unanswered ?? []) way.stream.send(message);
    if (this.#isEnded) way.stream.end();
  }

  /** Never rejects: a client that is gone ends the call, and with it the other stream. */
  async #readClient(messages: AsyncIterator<JoinRequest, undefined>): Promise<void> {
    try {
      for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
        if (this.#unanswered !== undefined && this.#unanswered.length >= limits.joinUnanswered) {
          this.#client.cancel();
          return;
        }
        this.#unanswered?.push(next.value);
        const way = this.#way;
        way?.stream.send(next.value);
        if (way !== undefined && way.stream.queuedBytes >= limits.streamQueue) await way.stream.writable();
      }
      this.#isEnded = true;
      this.#way?.stream.end();
    } catch {
      // The client is gone.
    }
  }

  /** @param mayMove a first answer that somebody else owns the group is not passed on: it is looked whether there is anybody. */
  async #readOwner({ stream }: MemberStream, mayMove: boolean): Promise<void> {
    for await (const answer of stream) {
      if (mayMove && this.#unanswered !== undefined && answer.member?.errorCode === notCoordinator)
        throw TributaryError.fromAnswer(notCoordinator, answer.member.errorMessage);
      this.#unanswered = undefined;
      this.#client.send(answer);
      if (this.#client.queuedBytes >= limits.streamQueue) await this.#client.writable();
    }
  }
}
