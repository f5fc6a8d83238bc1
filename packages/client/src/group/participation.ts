/** What a consumer does as a member of its group: its session, its rebalances and its commits, held together. */
import { type Offset, limits, TributaryError } from '@tributary/model';
import type { AssignmentTask, ComputedAssignment } from '@tributary/wire';
import { Alarm } from '@tributary/metadata';
import type { HandOut } from '../hand-out.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { PartitionFetch, StartSpec } from '../partition-fetch.ts';
import type { Routing } from '../routing.ts';
import { Bell } from '../waiting.ts';
import { type Committed, Commits } from './commits.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import { Floor } from './floor.ts';
import { type GroupSettings, interestOf, type RebalanceCallbacks, type Subscription } from './group-options.ts';
import type { GroupPartition } from './membership.ts';
import { computeAssignment } from './own-assignor.ts';
import { Rebalance, type Share } from './rebalance.ts';
import { GroupSession } from './session.ts';
import { TopicNames } from './topic-names.ts';

export interface ParticipationParts<K, V> {
  readonly routing: Routing;
  readonly link: CoordinatorLink;
  readonly settings: GroupSettings;
  readonly handOut: HandOut<K, V>;
  /** What the application waits for. */
  readonly arrival: Bell;
  newFetch(topic: string, place: GroupPartition, start: StartSpec | 'none'): PartitionFetch<K, V>;
  readonly autoOffsetReset: 'earliest' | 'latest' | 'none';
}

export class Participation<K, V> {
  readonly #parts: ParticipationParts<K, V>;
  readonly floor: Floor;
  readonly commits: Commits;
  readonly #session: GroupSession;
  readonly #rebalance: Rebalance<K, V>;
  readonly #names: TopicNames;
  readonly #autoCommit: Alarm;
  /** Somebody waits to be taken in. */
  readonly #admission = new Bell();
  #callbacks: RebalanceCallbacks;
  #refusal: TributaryError | undefined;
  /** For the application, each to be thrown once. */
  readonly #errors: TributaryError[] = [];
  /** It does not go on: thrown whenever somebody asks. */
  #fatal: TributaryError | undefined;
  #isPolling = false;
  #leftAt: number;
  #hasMoved = false;
  #isClosing = false;
  /** Why it is not in yet, as far as anybody has said. */
  #trouble = '';

  constructor(parts: ParticipationParts<K, V>, subscription: Subscription) {
    this.#parts = parts;
    const { routing, link, settings, handOut } = parts;
    const { clock } = routing.ports;
    this.#callbacks = subscription;
    this.#leftAt = clock.monotonicMs();
    this.floor = new Floor(parts.arrival);
    this.#names = new TopicNames(routing);
    this.#session = new GroupSession({ routing, link, settings }, interestOf(subscription), {
      heard: (changed) => this.#heard(changed),
      lost: (error) => this.#lost(error),
      refused: (error) => this.#refused(error),
      compute: async (task) => await this.#compute(task),
      troubled: ({ message }) => {
        this.#trouble = message;
      },
      sincePollMs: () => this.#sincePollMs(),
    });
    const identity = () => ({ memberId: this.memberId, memberEpoch: this.memberEpoch });
    this.commits = new Commits({ routing, link, identity, unknown: () => this.#session.hurry() });
    this.#rebalance = new Rebalance<K, V>({
      ...{ routing, link, handOut, floor: this.floor, commits: this.commits, names: this.#names },
      maxPollIntervalMs: settings.maxPollIntervalMs,
      callbacks: () => this.#callbacks,
      membership: () => this.#session.membership,
      newFetch: parts.newFetch,
      reset: (place) => this.#reset(place),
      commitReturned: async (shares) => await this.#commitReturned(shares),
      speak: () => this.#session.speak(),
      failed: (error) => this.#tell(error),
    });
    this.#autoCommit = new Alarm(clock, () => this.#commitNowAndThen());
  }

  get memberId(): string {
    return this.#session.membership.memberId;
  }

  get memberEpoch(): number {
    return this.#session.membership.epoch;
  }

  /** A callback of the application runs. */
  get isCalling(): boolean {
    return this.#rebalance.isCalling;
  }

  /** What is being read. */
  get shares(): readonly Share<K, V>[] {
    return this.#rebalance.shares;
  }

  /** Takes up the session, and waits until the coordinator has taken the member in. @throws TributaryError why it does not. */
  async join(deadlineMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#parts.routing.ports;
    const until = clock.monotonicMs() + deadlineMs;
    this.#session.begin();
    this.#rebalance.begin();
    this.#scheduleCommit();
    while (this.memberEpoch === 0) {
      signal?.throwIfAborted();
      if (this.#refusal !== undefined) throw this.#refusal;
      const left = until - clock.monotonicMs();
      const { groupId } = this.#parts.settings;
      if (left <= 0)
        throw new TributaryError(
          'COORDINATOR_NOT_AVAILABLE',
          `Group "${groupId}" was not joined within ${deadlineMs} ms: no coordinator took the member in. ${this.#trouble}`,
        );
      await this.#admission.within(left, clock, signal);
    }
  }

  /** Another subscription, or other callbacks. */
  resubscribe(subscription: Subscription): void {
    const interest = interestOf(subscription);
    this.#callbacks = subscription;
    this.#session.subscribe(interest);
  }

  /** The application waits for records from now on: it has come back from those that it took. */
  enter(): void {
    this.#isPolling = true;
    this.#parts.handOut.cameBack();
    this.#session.polled();
  }

  /** The application has come back from all that it took. */
  doneWithTaken(): void {
    this.#parts.handOut.cameBack();
  }

  /** It has got some, or waits no longer. */
  leave(): void {
    this.#isPolling = false;
    this.#leftAt = this.#parts.routing.ports.clock.monotonicMs();
  }

  /** It has taken a record without waiting. When that was is looked at later: a look at the clock for each record would cost too much. */
  tookOne(): void {
    this.#hasMoved = true;
  }

  /** @throws TributaryError what the application has to know. */
  throwPending(): void {
    if (this.#fatal !== undefined) throw this.#fatal;
    const error = this.#errors.shift();
    if (error !== undefined) throw error;
  }

  get hasPending(): boolean {
    return this.#errors.length > 0 || this.#fatal !== undefined;
  }

  /** Records may be handed out: nobody else can have the partitions (G3). */
  get owns(): boolean {
    if (!this.#parts.settings.strictOwnership) return true;
    return this.#parts.routing.ports.clock.monotonicMs() < this.#session.membership.ownsUntil;
  }

  /** On the monotonic clock, ms: when `owns` may have changed. */
  get ownsUntil(): number {
    return this.#parts.settings.strictOwnership ? this.#session.membership.ownsUntil : Number.POSITIVE_INFINITY;
  }

  /** @throws TributaryError INVALID_REQUEST when it is not this member's. */
  shareOf({ topic, partition }: TopicPartition): Share<K, V> {
    const found = this.#rebalance.shares.find(({ fetch }) => fetch.topic === topic && fetch.partition === partition);
    if (found !== undefined) return found;
    const { groupId } = this.#parts.settings;
    throw new TributaryError(
      'INVALID_REQUEST',
      `Partition ${partition} of "${topic}" is not assigned to this member of group "${groupId}": its offset is another member's to commit.`,
    );
  }

  /** How far everything was taken. */
  taken(): readonly Committed[] {
    return this.shares.flatMap((share) => committed(share, share.fetch.position));
  }

  /** Commits, gives everything up, and leaves. @param epoch −1: for good; −2: a static member's place is kept. */
  async close(epoch: -1 | -2): Promise<void> {
    if (!(await this.#rebalance.outlast(limits.memberFarewellMs)))
      throw new TributaryError(
        'INVALID_REQUEST',
        `A rebalance callback runs for more than ${limits.memberFarewellMs} ms, and the consumer is not closed before it ends; within it, do not wait for that.`,
      );
    this.#isClosing = true;
    this.#autoCommit[Symbol.dispose]();
    this.floor.open();
    await this.#rebalance.close();
    await this.#session.leave(epoch);
  }

  #sincePollMs(): number {
    const now = this.#parts.routing.ports.clock.monotonicMs();
    if (this.#hasMoved) this.#leftAt = now;
    this.#hasMoved = false;
    return this.#isPolling ? 0 : now - this.#leftAt;
  }

  /** A partition that was added to a topic of which this member had partitions begins at its beginning: nobody had a position in it, and no record is to be missed. */
  #reset({ topicId, partition }: GroupPartition): 'beginning' | 'end' | 'none' {
    const { autoOffsetReset } = this.#parts;
    if (autoOffsetReset === 'none') return 'none';
    const isAdded = partition >= (this.#names.partitionsAtFirst(topicId) ?? 0);
    return autoOffsetReset === 'earliest' || isAdded ? 'beginning' : 'end';
  }

  #heard(changed: boolean): void {
    this.#refusal = undefined;
    this.#admission.ring();
    if (changed) this.#rebalance.changed();
    if (this.#parts.settings.strictOwnership) this.#parts.arrival.ring();
  }

  #lost(error: TributaryError): 'rejoin' | 'stay out' {
    const { groupId, instanceId } = this.#parts.settings;
    this.#parts.routing.ports.logger?.warn('group membership lost', { group: groupId, reason: error.message });
    const lost = new TributaryError(
      error.error,
      `This consumer is no longer that member of group "${groupId}", and its partitions are lost: ${error.message}`,
      { cause: error },
    );
    this.commits.lost(lost);
    this.#rebalance.lost();
    if (error.error !== 'FENCED_INSTANCE_ID') return 'rejoin';
    // Coming back would put the other one out, which would come back.
    this.#fatal = new TributaryError(
      'FENCED_INSTANCE_ID',
      `Another consumer has taken the place of "${instanceId}" in group "${groupId}": no two may have the same groupInstanceId at a time.`,
      { cause: error },
    );
    this.#parts.arrival.ring();
    return 'stay out';
  }

  #refused(error: TributaryError): void {
    this.#refusal = error;
    if (this.memberEpoch > 0 || !this.#admission.awaited) this.#tell(error);
    this.#admission.ring();
  }

  #tell(error: TributaryError): void {
    if (this.#errors.length < limits.memberErrors && this.#errors.at(-1)?.message !== error.message)
      this.#errors.push(error);
    this.#parts.arrival.ring();
  }

  async #compute(task: AssignmentTask): Promise<ComputedAssignment> {
    const { ownAssignor } = this.#parts.settings;
    if (ownAssignor === undefined || ownAssignor.name !== task.assignor)
      throw new TributaryError('UNSUPPORTED_ASSIGNOR', `This member knows no assignor "${task.assignor}".`);
    return computeAssignment(ownAssignor, task);
  }

  #scheduleCommit(): void {
    const { autoCommit, autoCommitIntervalMs } = this.#parts.settings;
    if (autoCommit && !this.#isClosing)
      this.#autoCommit.at(this.#parts.routing.ports.clock.monotonicMs() + autoCommitIntervalMs);
  }

  #commitNowAndThen(): void {
    this.#scheduleCommit();
    void this.#commitReturned(this.shares);
  }

  /** What the application has come back from, where that is news. Never rejects. */
  async #commitReturned(shares: readonly Share<K, V>[]): Promise<void> {
    const { settings, handOut, routing } = this.#parts;
    if (!settings.autoCommit) return;
    const news = shares.flatMap((share) => {
      const offset = handOut.returned(share.fetch);
      return offset === this.commits.stored(share.place) ? [] : committed(share, offset);
    });
    const deadlineMs = this.#isClosing ? limits.memberFarewellMs : routing.options.requestTimeoutMs;
    try {
      await this.commits.commit(news, Math.min(deadlineMs, settings.maxPollIntervalMs));
    } catch (thrown) {
      this.commitFailed(TributaryError.from(thrown));
    }
  }

  /** Nobody waits for the commit that failed. */
  commitFailed(error: TributaryError): void {
    const { settings, routing } = this.#parts;
    if (settings.onCommitError !== undefined) settings.onCommitError(error);
    else routing.ports.logger?.warn('offsets not committed', { group: settings.groupId, reason: error.message });
  }
}

function committed<K, V>({ place, fetch }: Share<K, V>, offset: Offset | undefined): readonly Committed[] {
  if (offset === undefined || !fetch.isPlaced) return [];
  const label = `partition ${fetch.partition} of "${fetch.topic}"`;
  return [{ place, label, offset, leaderEpoch: fetch.positionEpoch, metadata: '' }];
}
