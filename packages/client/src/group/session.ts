/** A member's session with its coordinator: a stream for as long as it lasts, and another one when it breaks. It decides nothing: see `membership.ts`. */
import { limits, randomId, TributaryError } from '@tributary/model';
import type { Stream } from '@tributary/ports';
import {
  type AssignmentTask,
  type ComputedAssignment,
  type JoinRequest,
  type JoinResponse,
  type MemberRequest,
  type MemberSubscription,
  methods,
} from '@tributary/wire';
import { Alarm } from '@tributary/metadata';
import { pauseMs } from '../backoff.ts';
import type { Routing } from '../routing.ts';
import { Bell } from '../waiting.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import type { GroupSettings } from './group-options.ts';
import { Membership, type Outcome } from './membership.ts';

export interface SessionListener {
  /** The coordinator has answered: the member is in. `changed`: the assignment is another. */
  heard(changed: boolean): void;
  /** Everything is lost; another membership begins once the application polls, unless it is to stay out. */
  lost(error: TributaryError): 'rejoin' | 'stay out';
  /** Not done, for a reason that asking again will not mend. */
  refused(error: TributaryError): void;
  /** It is not reached, or not taken in; it is tried again. */
  troubled(error: TributaryError): void;
  /** @throws TributaryError, or what the application's assignor throws. */
  compute(task: AssignmentTask): Promise<ComputedAssignment>;
  /** Since the application last came back, ms; 0 while it waits for records. */
  sincePollMs(): number;
}

export class GroupSession {
  readonly #routing: Routing;
  readonly #link: CoordinatorLink;
  readonly #settings: GroupSettings;
  readonly #listener: SessionListener;
  readonly #alarm: Alarm;
  readonly #closing = new AbortController();
  readonly #woken = new Bell();
  #interest: { readonly topics: readonly string[]; readonly topicPattern: string };
  #membership: Membership;
  #computed: ComputedAssignment | undefined;
  #stream: Stream<JoinRequest, JoinResponse> | undefined;
  #cancel = new AbortController();
  #scheduled = false;
  #running: Promise<void> | undefined;
  #saidStalled = false;
  #isOut = false;

  constructor(
    parts: { readonly routing: Routing; readonly link: CoordinatorLink; readonly settings: GroupSettings },
    interest: { readonly topics: readonly string[]; readonly topicPattern: string },
    listener: SessionListener,
  ) {
    this.#routing = parts.routing;
    this.#link = parts.link;
    this.#settings = parts.settings;
    this.#interest = interest;
    this.#listener = listener;
    this.#alarm = new Alarm(parts.routing.ports.clock, () => this.#advance());
    this.#membership = this.#newMembership();
  }

  get membership(): Membership {
    return this.#membership;
  }

  begin(): void {
    this.#running ??= this.#run();
  }

  subscribe(interest: { readonly topics: readonly string[]; readonly topicPattern: string }): void {
    this.#interest = interest;
    this.#membership.subscriptionChanged();
    this.#advanceSoon();
  }

  /** The membership may have something to say. */
  speak(): void {
    this.#advanceSoon();
  }

  /** The coordinator is to be asked at once. */
  hurry(): void {
    this.#membership.hurry();
    this.#advanceSoon();
  }

  /** The application has come back. */
  polled(): void {
    if (this.#membership.isOver) this.#woken.ring();
    if (!this.#saidStalled) return;
    this.#saidStalled = false;
    this.hurry();
  }

  /** Ends the session, and the membership: the coordinator is told, within a bounded time. @param epoch −1: for good; −2: the place is kept. Never rejects. */
  async leave(epoch: -1 | -2): Promise<void> {
    const membership = this.#membership;
    const wasAsked = membership.epoch > 0 || membership.unansweredSince !== undefined;
    this.#closing.abort();
    this.#alarm[Symbol.dispose]();
    this.#woken.ring();
    if (wasAsked && !membership.isOver) await this.#sayFarewell(membership, epoch);
    this.#stream?.end();
    this.#breakOff();
    await this.#running;
  }

  async #sayFarewell(membership: Membership, epoch: -1 | -2): Promise<void> {
    const { sequence, memberId } = membership.sign(this.#routing.ports.clock.monotonicMs());
    const member = { ...this.#request(memberId, epoch, 0n, sequence), context: this.#routing.context };
    const what = `Leaving group "${this.#link.groupId}"`;
    try {
      const call = { deadlineMs: limits.memberFarewellMs, what };
      await this.#link.call(methods.heartbeat, () => ({ member }), checkFarewell, call);
    } catch (thrown) {
      const { message } = TributaryError.from(thrown);
      this.#routing.ports.logger?.warn('group not left', { group: this.#link.groupId, reason: message });
    }
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#routing.ports;
    const { signal } = this.#closing;
    const { retryBackoffMs, retryBackoffMsMax } = this.#routing.options;
    let failingSince: number | undefined;
    while (!signal.aborted && !this.#isOut) {
      if (this.#membership.isOver) {
        // Whoever does not poll would be out again at once.
        while (!signal.aborted && this.#listener.sincePollMs() >= this.#settings.maxPollIntervalMs)
          await this.#woken.nextUnless(signal);
        this.#membership = this.#newMembership();
      }
      try {
        const address = await this.#link.locate(limits.attemptTimeoutMs, signal);
        const wasHeard = await this.#attend(address);
        if (wasHeard) failingSince = undefined;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = TributaryError.from(thrown);
        // A part without the service, or a group id that is none: waiting mends it hardly ever, and saying so helps.
        if (error.retriable) this.#listener.troubled(error);
        else this.#listener.refused(error);
      }
      const now = clock.monotonicMs();
      // One that was heard is looked for again at once.
      const pause =
        failingSince === undefined && !this.#membership.isOver
          ? 1
          : pauseMs(now - (failingSince ?? now), retryBackoffMs, retryBackoffMsMax, random);
      failingSince ??= now;
      await clock.sleep(pause, signal).catch(() => undefined);
    }
  }

  /** Lasts as long as the stream. @returns whether anything was heard on it. */
  async #attend(address: string): Promise<boolean> {
    this.#cancel = new AbortController();
    const stream = this.#routing.connections.peer(address).stream(methods.join, this.#cancel.signal);
    this.#stream = stream;
    this.#membership.streamOpened();
    this.#advance();
    let heard = false;
    try {
      for await (const { member } of stream) {
        if (this.#closing.signal.aborted) return heard;
        if (!heard) this.#link.answered(address);
        if (member === undefined) continue;
        const outcome = this.#membership.take(member);
        heard ||= outcome.kind === 'heard' || outcome.kind === 'refused';
        const { error } = this.#take(outcome);
        if (error === undefined) continue;
        this.#listener.troubled(error);
        if (error.error !== 'COORDINATOR_LOAD_IN_PROGRESS' && outcome.kind === 'look-up')
          this.#link.doubt(address, error);
        return heard;
      }
      this.#link.doubt(address, new TributaryError('COORDINATOR_NOT_AVAILABLE', `${address} ended the stream.`));
    } catch (thrown) {
      // A stream breaks with a TributaryError; anything else is a bug here, not to be taken for a broken connection.
      if (!(thrown instanceof TributaryError)) throw thrown;
      this.#link.doubt(address, thrown);
      if (this.#closing.signal.aborted) return heard;
      if (thrown.retriable) this.#listener.troubled(thrown);
      else this.#listener.refused(thrown);
    } finally {
      this.#stream = undefined;
      this.#breakOff();
    }
    return heard;
  }

  /** @returns with the error that ends the stream. */
  #take(outcome: Outcome): { readonly error: TributaryError | undefined } {
    switch (outcome.kind) {
      case 'nothing':
        return { error: undefined };
      case 'heard':
        if (outcome.task !== undefined) void this.#compute(outcome.task);
        this.#listener.heard(outcome.changed);
        this.#advanceSoon();
        return { error: undefined };
      case 'refused':
        this.#membership.repeat();
        this.#listener.refused(outcome.error);
        return { error: undefined };
      case 'look-up':
        return { error: outcome.error };
      case 'over':
        this.#isOut = this.#listener.lost(outcome.error) === 'stay out';
        return { error: outcome.error };
    }
  }

  async #compute(task: AssignmentTask): Promise<void> {
    try {
      this.#computed = await this.#listener.compute(task);
    } catch (thrown) {
      const errorMessage = TributaryError.from(thrown).message;
      this.#computed = { groupEpoch: task.groupEpoch, members: [], errorMessage };
    }
    this.hurry();
  }

  #advanceSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#advance());
  }

  /** Sends what is due, and leaves a coordinator that owes an answer for too long. */
  #advance(): void {
    this.#scheduled = false;
    const stream = this.#stream;
    if (this.#closing.signal.aborted || stream === undefined || this.#membership.isOver) return;
    const membership = this.#membership;
    const now = this.#routing.ports.clock.monotonicMs();
    const { unansweredSince } = membership;
    if (unansweredSince !== undefined && now >= unansweredSince + membership.patienceMs) {
      this.#breakOff();
      return;
    }
    if (now >= membership.dueAt) {
      const sign = membership.sign(now);
      const request = this.#request(sign.memberId, sign.memberEpoch, sign.appliedVersion, sign.sequence);
      const context = sign.isWhole ? this.#routing.context : undefined;
      stream.send({ member: { ...request, context, subscription: sign.isWhole ? this.#subscription() : undefined } });
      this.#computed = undefined;
    }
    const owed = membership.unansweredSince;
    const patience = owed === undefined ? Number.POSITIVE_INFINITY : owed + membership.patienceMs;
    this.#alarm.at(Math.min(membership.dueAt, patience));
  }

  #request(memberId: string, memberEpoch: number, appliedVersion: bigint, sequence: bigint): MemberRequest {
    const sincePollMs = Math.ceil(this.#listener.sincePollMs());
    this.#saidStalled = sincePollMs >= this.#settings.maxPollIntervalMs / 2;
    const { groupId } = this.#link;
    const said = { context: undefined, subscription: undefined, computed: this.#computed };
    return { ...said, groupId, memberId, memberEpoch, appliedVersion, sincePollMs: BigInt(sincePollMs), sequence };
  }

  #subscription(): MemberSubscription {
    const { instanceId, assignor, ownAssignor, rack, sessionTimeoutMs, maxPollIntervalMs } = this.#settings;
    return {
      ...{ instanceId, assignor, rack, sessionTimeoutMs, maxPollIntervalMs },
      topics: [...this.#interest.topics],
      topicPattern: this.#interest.topicPattern,
      clientAssignors: ownAssignor === undefined ? [] : [ownAssignor.name],
      userData: ownAssignor?.userData ?? new Uint8Array(0),
    };
  }

  #newMembership(): Membership {
    const { random } = this.#routing.ports;
    return new Membership(
      randomId(() => random.nextU32()),
      this.#settings.sessionTimeoutMs || limits.sessionTimeoutMs,
    );
  }

  #breakOff(): void {
    this.#stream?.cancel();
    this.#cancel.abort();
  }
}

/** @throws TributaryError what may be mended by asking again: whoever is unknown has left. */
function checkFarewell({ member }: { member?: { errorCode: number; errorMessage: string } | undefined }): void {
  const error = TributaryError.fromAnswer(member?.errorCode ?? 0, member?.errorMessage ?? '');
  if (member !== undefined && member.errorCode !== 0 && error.retriable) throw error;
}
