/** The group of one consumer: its membership while it subscribes, and its commits, by the names that applications use. */
import { assert, type Offset, offset, TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import type { HandOut } from '../hand-out.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { CallOptions, Routing } from '../routing.ts';
import { type Committed, Commits } from './commits.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { type GroupSettings, interestOf, type Subscription } from './group-options.ts';
import { type GroupPartition, keyOf } from './membership.ts';
import { Participation, type ParticipationParts } from './participation.ts';

export interface OffsetToCommit extends TopicPartition {
  /** Of the next record to be read: one more than that of the last one done with. */
  readonly offset: bigint;
  /** Kept beside it, for whoever looks. */
  readonly metadata?: string | undefined;
}

export interface CommittedOffset extends TopicPartition {
  /** Of the next record to be read; undefined: the group has committed none. */
  readonly offset: Offset | undefined;
  readonly metadata: string;
  /** Milliseconds since 1970; undefined: the group has committed none. */
  readonly committedAt: number | undefined;
}

/** Who this consumer is in its group. */
export interface GroupMetadata {
  readonly groupId: string;
  /** Another one after each time that the membership was lost. */
  readonly memberId: string;
  /** 0: it has not been taken in yet. */
  readonly memberEpoch: number;
  readonly groupInstanceId: string | undefined;
}

export type ConsumerGroupParts<K, V> = Omit<ParticipationParts<K, V>, 'link'>;

export class ConsumerGroup<K, V> {
  readonly #parts: ConsumerGroupParts<K, V>;
  readonly #routing: Routing;
  readonly #settings: GroupSettings;
  readonly #handOut: HandOut<K, V>;
  readonly #link: CoordinatorLink;
  /** Of who is no member, and reads what it assigned to itself. */
  readonly #outside: Commits;
  #participation: Participation<K, V> | undefined;

  constructor(parts: ConsumerGroupParts<K, V>) {
    this.#parts = parts;
    this.#routing = parts.routing;
    this.#settings = parts.settings;
    this.#handOut = parts.handOut;
    this.#link = new CoordinatorLink(parts.routing, parts.settings.groupId);
    const identity = () => ({ memberId: '', memberEpoch: 0 });
    this.#outside = new Commits({ routing: parts.routing, link: this.#link, identity, unknown: () => undefined });
  }

  /** undefined: it has not subscribed. */
  get participation(): Participation<K, V> | undefined {
    return this.#participation;
  }

  get metadata(): GroupMetadata {
    const { groupId, instanceId } = this.#settings;
    const { memberId = '', memberEpoch = 0 } = this.#participation ?? {};
    return { groupId, memberId, memberEpoch, groupInstanceId: instanceId === '' ? undefined : instanceId };
  }

  /** @throws TributaryError why the coordinator does not take the member in. */
  async subscribe(subscription: Subscription, { deadlineMs, signal }: CallOptions): Promise<void> {
    interestOf(subscription);
    if (this.#participation !== undefined) {
      this.#participation.resubscribe(subscription);
      return;
    }
    this.#handOut.assign([]);
    const participation = new Participation<K, V>({ ...this.#parts, link: this.#link }, subscription);
    this.#participation = participation;
    try {
      await participation.join(deadlineMs, signal);
    } catch (thrown) {
      if (this.#participation === participation) await this.leave(true);
      throw thrown;
    }
  }

  /** Ends the membership, if there is one. @param forGood a static member's place is given up, too. */
  async leave(forGood: boolean): Promise<void> {
    const participation = this.#participation;
    if (participation === undefined) return;
    await participation.close(forGood || this.#settings.instanceId === '' ? -1 : -2);
    if (this.#participation === participation) this.#participation = undefined;
  }

  /** @param offsets undefined: how far everything was taken. @throws TributaryError of the first that was not committed. */
  async commit(offsets: readonly OffsetToCommit[] | undefined, deadlineMs: number): Promise<void> {
    const participation = this.#participation;
    const commits = participation?.commits ?? this.#outside;
    const wanted = offsets === undefined ? this.#taken() : offsets.map((each) => this.#named(each));
    // Whoever commits all has done with all: what is committed by itself afterwards, on close too, is no less.
    if (offsets === undefined) participation?.doneWithTaken();
    await commits.commit(wanted, deadlineMs);
  }

  commitFailed(error: TributaryError): void {
    const { onCommitError } = this.#settings;
    if (onCommitError !== undefined) onCommitError(error);
    else this.#routing.ports.logger?.warn('offsets not committed', { reason: error.message });
  }

  async committed(partitions: readonly TopicPartition[], options: CallOptions): Promise<readonly CommittedOffset[]> {
    const places: GroupPartition[] = [];
    for (const { topic, partition } of partitions) {
      const { id } = await this.#routing.waitForTopic(topic, options);
      places.push({ topicId: id, partition });
    }
    if (places.length === 0) return [];
    const { groupId } = this.#settings;
    const { context } = this.#routing;
    const request = () => ({ context, groupId, partitions: places, memberId: '', memberEpoch: 0 });
    const { offsets } = await this.#link.call(methods.fetchOffsets, request, () => undefined, options);
    const found = new Map(offsets.map((each) => [keyOf(each), each]));
    return partitions.map(({ topic, partition }, index) => {
      const place = places[index];
      assert(place !== undefined, 'there is a place for each partition');
      const known = found.get(keyOf(place));
      if (known === undefined || known.offset < 0n)
        return { topic, partition, offset: undefined, metadata: '', committedAt: undefined };
      const { metadata, committedMs } = known;
      return { topic, partition, offset: offset(known.offset), metadata, committedAt: Number(committedMs) };
    });
  }

  #taken(): readonly Committed[] {
    if (this.#participation !== undefined) return this.#participation.taken();
    return this.#handOut.fetches.flatMap(({ topic, partition, position, isPlaced }) =>
      position === undefined || !isPlaced ? [] : [this.#named({ topic, partition, offset: position })],
    );
  }

  #named({ topic, partition, offset: at, metadata = '' }: OffsetToCommit): Committed {
    if (at < 0n) throw new TributaryError('INVALID_REQUEST', `Offset ${at} is negative: it cannot be committed.`);
    const label = `partition ${partition} of "${topic}"`;
    const said = { label, offset: offset(at), leaderEpoch: -1, metadata };
    if (this.#participation !== undefined)
      return { ...said, place: this.#participation.shareOf({ topic, partition }).place };
    const known = this.#routing.topic(topic);
    const topicId = this.#handOut.find({ topic, partition }).topicId ?? (known.kind === 'known' ? known.id : '');
    return { ...said, place: { topicId, partition } };
  }
}
