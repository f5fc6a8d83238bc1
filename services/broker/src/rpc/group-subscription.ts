/**
 * A Subscribe with a group: this broker is the member (ADR 9). What the coordinator assigns is looked up (committed offset, else `auto_offset_reset`) and read
 * beside what is read already; what it takes away stops at once, between two records, and is released when the client says so (Release) or, with
 * `auto_release`, at once (G5). The end of the stream is the end of the membership; a static member's place is kept for its session.
 *
 * The call fails with INVALID_GROUP_ID, INVALID_REQUEST, INVALID_TOPIC_EXCEPTION; with whatever the coordinator refuses the member for; UNKNOWN_MEMBER_ID,
 * FENCED_MEMBER_EPOCH, FENCED_INSTANCE_ID when the membership is over: subscribe again; COORDINATOR_NOT_AVAILABLE and its like where nobody could be asked
 * in `limits.memberJoinMs`; OFFSET_OUT_OF_RANGE with `auto_offset_reset` none, naming the gap; BROKER_NOT_AVAILABLE when this broker stops.
 * A partition that cannot be read on (CORRUPT_MESSAGE …) is told of in an answer, as without a group, and stays assigned.
 */
import { type ImageSource, LinkedAbort, type TopicInfo, unlessAborted } from '@tributary/metadata';
import { limits, offset, TributaryError, topicId } from '@tributary/model';
import type { CallContext, Clock, Stream } from '@tributary/ports';
import type {
  AssignedPartition,
  GroupPartition,
  MemberAssignment,
  SubscribeRequest,
  SubscribeResponse,
} from '@tributary/wire';
import type { Coordinators } from './coordinators.ts';
import { committedOffsets } from './committed-offsets.ts';
import type { GroupWanted } from './group-request.ts';
import { inTurn } from './in-turn.ts';
import { keyOf, MemberCommits } from './member-commits.ts';
import { MemberSession } from './member-session.ts';
import type { ReadElsewhere } from './read-elsewhere.ts';
import type { Start } from './subscribe-request.ts';
import { SubscribedPartition } from './subscribed-partition.ts';
import { type Follower, Subscription, type SubscriptionParts } from './subscription.ts';

export interface GroupParts {
  readonly coordinators: Coordinators;
  readonly source: ImageSource;
  readonly clock: Clock;
  readonly ofEach: SubscriptionParts;
  /** Aborted when this broker stops. */
  readonly stopping: AbortSignal;
}

/** A partition that is assigned. */
interface Held extends GroupPartition {
  topic: TopicInfo | undefined;
  /** undefined: where it begins is being looked up. */
  reader: SubscribedPartition | undefined;
  committed: bigint | undefined;
  /** The client knows. */
  isTold: boolean;
}

/** A partition that is not read any more, until the client has said so. */
interface Releasing extends AssignedPartition {
  /** Of the assignment that no longer has it. */
  readonly version: bigint;
}

export class GroupMember implements Follower {
  readonly groupId: string;
  readonly subscription: Subscription;
  readonly #parts: GroupParts;
  readonly #wanted: GroupWanted;
  readonly #session: MemberSession;
  readonly #commits: MemberCommits | undefined;
  readonly #held = new Map<string, Held>();
  readonly #releasing = new Map<string, Releasing>();
  readonly #ending = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  /** undefined: the coordinator has not assigned anything yet, be it nothing. */
  #version: bigint | undefined;
  /** Commits of what is to be released at once are under way. */
  #committing = 0;
  #isOver = false;

  /** @param id of the subscription, and of the member: it tells through which broker the stream runs. */
  constructor(
    id: string,
    wanted: GroupWanted,
    request: SubscribeRequest,
    stream: Stream<SubscribeResponse, SubscribeRequest>,
    call: CallContext,
    parts: GroupParts,
    elsewhere: ReadElsewhere,
  ) {
    this.#parts = parts;
    this.#wanted = wanted;
    this.groupId = wanted.groupId;
    const { coordinators, clock, ofEach } = parts;
    const { groupId, subscription } = wanted;
    const membership = { groupId, memberId: id, subscription, context: request.context, host: call.peer };
    this.#session = new MemberSession(membership, coordinators, clock, (assignment) => this.#assigned(assignment));
    this.subscription = new Subscription(id, request, stream, ofEach, call.signal, elsewhere, this);
    const granted = (): number | undefined => this.subscription.granted;
    if (wanted.autoCommitMs > 0)
      this.#commits = new MemberCommits({ session: this.#session, coordinators, clock, stream, granted });
    this.#over.promise.catch(() => undefined);
  }

  /** Resolves when the client has ended the stream. @throws TributaryError: see the head of this file. */
  async run(): Promise<void> {
    const { signal } = this.#ending;
    const { stopping } = this.#parts;
    const stopped = (): void =>
      this.#fail(
        new TributaryError('BROKER_NOT_AVAILABLE', 'This broker is stopping: subscribe again at another one.'),
      );
    if (stopping.aborted) stopped();
    stopping.addEventListener('abort', stopped, { once: true });
    this.subscription.holdBack();
    void this.subscription.over.then(() => this.#over.resolve());
    const attending = this.#session.run(signal).catch((thrown: unknown) => this.#fail(thrown));
    const committing = this.#commits?.run(this.#wanted.autoCommitMs, signal);
    try {
      await this.#over.promise;
    } finally {
      this.#isOver = true;
      stopping.removeEventListener('abort', stopped);
      this.subscription.close();
      await this.#atMost(limits.memberLeaveMs, this.#commits?.flush(signal));
      await this.#session.leave(signal);
      this.#ending.abort(new Error('The subscription is over.'));
      await Promise.all([attending, committing]);
    }
  }

  /**
   * The client has stopped with all that this assignment, or an older one, told it to release. Resolves when the coordinator knows (G5).
   * @throws TributaryError INVALID_REQUEST for a version that is still to come, UNKNOWN_MEMBER_ID when the subscription is over meanwhile, REQUEST_TIMED_OUT.
   */
  async release(version: bigint): Promise<void> {
    if (version > (this.#version ?? 0n))
      throw new TributaryError(
        'INVALID_REQUEST',
        `Version ${version} of the assignment is still to come; the newest is ${this.#version ?? 0n}.`,
      );
    const released: GroupPartition[] = [];
    for (const [key, each] of this.#releasing) {
      if (each.version > version) continue;
      this.#releasing.delete(key);
      released.push(each);
    }
    // Grants may have come for it since.
    await this.#letGo(released);
    this.#session.carriedOut(version);
    this.#carriedOut();
    const { signal } = this.#ending;
    using waiting = new LinkedAbort(signal);
    const late = new TributaryError('REQUEST_TIMED_OUT', 'The coordinator does not answer now; it will be told.');
    this.#parts.clock.sleep(limits.internalCallMs, waiting.signal).then(
      () => waiting.abort(late),
      () => undefined,
    );
    try {
      await this.#session.heard(waiting.signal);
    } catch {
      if (!signal.aborted) throw late;
      throw new TributaryError('UNKNOWN_MEMBER_ID', 'The subscription of this member is over.');
    } finally {
      waiting.abort(new Error('It is known.'));
    }
  }

  begun(reader: SubscribedPartition): void {
    const place = placeOf(reader);
    const held = this.#held.get(keyOf(place));
    if (held?.reader !== reader) return;
    const committed = held.committed === undefined ? undefined : offset(held.committed);
    this.#commits?.begun(place, reader.position, committed);
    held.committed = undefined;
  }

  sent(reader: SubscribedPartition, bytes: number): void {
    this.#commits?.sent(placeOf(reader), bytes, reader.position);
  }

  failed(reader: SubscribedPartition, error: TributaryError): boolean {
    const held = this.#held.get(keyOf(placeOf(reader)));
    if (held?.reader !== reader || this.#isOver) return true;
    if (error.error === 'OFFSET_OUT_OF_RANGE') {
      const start = startAt(this.#wanted.reset);
      if (start === undefined) this.#fail(error);
      else this.#again(held, reader, start);
      return true;
    }
    // It stays this member's: whoever leads it next is read from.
    const isThere = this.#parts.source.current.topic(reader.topic.topicId)?.phase === 'ready';
    if (!error.retriable || !isThere) return false;
    this.#again(held, reader, reader.resumesAt);
    return true;
  }

  #again(held: Held, before: SubscribedPartition, start: Start): void {
    const reader = new SubscribedPartition(before.topic, before.index, start, this.subscription.wake);
    reader.isHeld = before.isHeld;
    held.reader = reader;
    this.#parts.clock.sleep(limits.retryBackoffMs, this.#ending.signal).then(
      () => this.subscription.add(reader),
      () => undefined,
    );
  }

  #fail(thrown: unknown): void {
    this.#over.reject(TributaryError.from(thrown));
  }

  /** What is gone stops before this returns. */
  #assigned({ version, partitions }: MemberAssignment): void {
    if (this.#isOver || (this.#version !== undefined && version <= this.#version)) return;
    if (partitions.length > limits.subscribePartitions)
      return this.#fail(
        new TributaryError(
          'INVALID_REQUEST',
          `The group gives this member ${partitions.length} partitions, a subscription reads at most ${limits.subscribePartitions}: let more members join.`,
        ),
      );
    this.#version = version;
    const wanted = new Map(partitions.map((each) => [keyOf(each), each]));
    const gone = this.#giveUp(wanted, version);
    const added: Held[] = [];
    for (const [key, { topicId: id, partition }] of wanted) {
      // Given back before it was released.
      this.#releasing.delete(key);
      if (this.#held.has(key)) continue;
      const held = { topicId: id, partition, topic: undefined, reader: undefined, committed: undefined, isTold: false };
      this.#held.set(key, held);
      added.push(held);
    }
    if (gone.length > 0 && this.#wanted.autoRelease) void this.#release(gone);
    else this.#carriedOut();
    const isNews = gone.some(({ isTold }) => isTold);
    if (isNews || added.length === 0) this.#tell();
    if (added.length > 0) void this.#take(added);
  }

  #giveUp(wanted: ReadonlyMap<string, unknown>, version: bigint): Held[] {
    const gone: Held[] = [];
    for (const [key, held] of this.#held) {
      if (wanted.has(key)) continue;
      this.#held.delete(key);
      if (held.reader !== undefined) this.subscription.remove(held.reader);
      gone.push(held);
      if (!held.isTold || this.#wanted.autoRelease) continue;
      const { topicId: id, partition, topic } = held;
      this.#releasing.set(key, { topic: topic?.name ?? '', topicId: id, partition, version });
    }
    return gone;
  }

  async #release(gone: readonly Held[]): Promise<void> {
    await this.#letGo(gone);
    this.#carriedOut();
  }

  /** What may be committed is committed first. */
  async #letGo(gone: readonly GroupPartition[]): Promise<void> {
    this.#committing++;
    await this.#atMost(limits.internalCallMs, this.#commits?.letGo(gone, this.#ending.signal));
    this.#committing--;
  }

  #carriedOut(): void {
    if (this.#isOver || this.#releasing.size > 0 || this.#committing > 0) return;
    this.#session.carriedOut(this.#version ?? 0n);
  }

  #tell(): void {
    if (this.#isOver) return;
    const partitions: AssignedPartition[] = [];
    for (const { topic, topicId: id, partition, isTold } of this.#held.values())
      if (isTold && topic !== undefined) partitions.push({ topic: topic.name, partition, topicId: id });
    const toRelease = [...this.#releasing.values()].map(({ topic, partition, topicId: id }) => ({
      topic,
      partition,
      topicId: id,
    }));
    const { epoch, membership } = this.#session;
    const { memberId } = membership;
    this.subscription.tell({ memberId, memberEpoch: epoch, version: this.#version ?? 0n, partitions, toRelease });
  }

  #isHeld(held: Held): boolean {
    return this.#held.get(keyOf(held)) === held;
  }

  /** Reads what was added, from where the group stands. Never rejects. */
  async #take(added: readonly Held[]): Promise<void> {
    const { signal } = this.#ending;
    const { source } = this.#parts;
    try {
      const known: Held[] = [];
      for (const held of added) {
        held.topic = source.current.topic(topicId(held.topicId));
        if (held.topic !== undefined) known.push(held);
      }
      // The coordinator knows of a topic of which this broker has yet to hear.
      const unknown = added.filter(({ topic }) => topic === undefined);
      if (unknown.length > 0) void this.#takeLater(unknown);
      if (known.length === 0) return;
      const { coordinators, clock } = this.#parts;
      const committed = await committedOffsets(coordinators, clock, this.#session, known, signal);
      const taken = known.filter((held) => this.#isHeld(held));
      for (const held of taken) held.committed = committed.get(keyOf(held));
      await this.#begin(taken);
    } catch (thrown) {
      if (!signal.aborted) this.#fail(thrown);
    }
  }

  async #takeLater(unknown: readonly Held[]): Promise<void> {
    const { source } = this.#parts;
    try {
      await source.until(
        (image) => unknown.some((each) => image.topic(topicId(each.topicId)) !== undefined),
        this.#ending.signal,
      );
    } catch {
      return;
    }
    await this.#take(unknown.filter((held) => this.#isHeld(held)));
  }

  /** What is read from its end on holds all that is published once the client knows of it, where the leader has said in time where the end is. */
  async #begin(taken: readonly Held[]): Promise<void> {
    const { clock } = this.#parts;
    const fromEnd: SubscribedPartition[] = [];
    const others: SubscribedPartition[] = [];
    for (const held of taken) {
      const { topic, partition, committed } = held;
      if (topic === undefined) continue;
      const start: Start | undefined =
        committed === undefined ? startAt(this.#wanted.reset) : { kind: 'offset', offset: offset(committed) };
      if (start === undefined) return this.#fail(nothingCommitted(this.groupId, topic, partition));
      const reader = new SubscribedPartition(topic, partition, start, this.subscription.wake);
      reader.isHeld = true;
      held.reader = reader;
      (start.kind === 'end' ? fromEnd : others).push(reader);
    }
    void inTurn(others, (reader) => this.subscription.add(reader));
    const ends = inTurn(fromEnd, (reader) => this.subscription.add(reader));
    using enough = new LinkedAbort(this.#ending.signal);
    const bound = clock.sleep(limits.leadershipWaitMs, enough.signal).catch(() => undefined);
    await Promise.race([ends, bound]);
    enough.abort(new Error('Waited long enough.'));
    const still = taken.filter((held) => this.#isHeld(held));
    for (const held of still) held.isTold = true;
    if (still.length > 0) this.#tell();
    for (const { reader } of still) if (reader !== undefined) this.subscription.letGo(reader);
  }

  async #atMost(ms: number, work: Promise<void> | undefined): Promise<void> {
    if (work === undefined) return;
    using enough = new LinkedAbort(this.#ending.signal);
    await Promise.race([unlessAborted(work, enough.signal), this.#parts.clock.sleep(ms, enough.signal)]).catch(
      () => undefined,
    );
    enough.abort(new Error('Waited long enough.'));
  }
}

const placeOf = ({ topic, index }: SubscribedPartition): GroupPartition => ({
  topicId: topic.topicId,
  partition: index,
});

/** undefined: there is no such place. */
function startAt(reset: GroupWanted['reset']): Start | undefined {
  switch (reset) {
    case 'earliest':
      return { kind: 'beginning' };
    case 'latest':
      return { kind: 'end' };
    case 'none':
      return undefined;
  }
}

function nothingCommitted(groupId: string, topic: TopicInfo, partition: number): TributaryError {
  return new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `The group "${groupId}" has committed no offset of ${topic.name}-${partition}, and auto_offset_reset is none: commit one, or choose earliest or latest.`,
  );
}
