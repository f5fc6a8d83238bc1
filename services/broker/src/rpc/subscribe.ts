/**
 * RecordService.Subscribe, GrantCredit and Release: records as they become readable, for clients that know nothing of batches. The first answer names
 * the subscription; it comes once the ends of logs that it begins at are known, within `limits.leadershipWaitMs`. Partitions take turns; those added to a topic of which all are subscribed are read from their beginning.
 * Each is read from its leader, whichever broker that is and becomes (F1). A client that does not read holds back its own subscription and nothing else. With a `group` the subscription is
 * a member of it: see `group-subscription.ts`, also for its errors; its first answer comes with what is assigned to it.
 *
 * A failure of a partition travels in an answer, ends that partition and no other: OFFSET_OUT_OF_RANGE, NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_ID,
 * UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR, and CORRUPT_MESSAGE, MESSAGE_TOO_LARGE (more than `limits.subscribeBatch` after decompression),
 * UNSUPPORTED_COMPRESSION_TYPE of a batch, with the offset behind it. The call fails with INVALID_REQUEST, INVALID_TOPIC_EXCEPTION,
 * UNKNOWN_TOPIC_OR_PARTITION, INCONSISTENT_CLUSTER_ID, REQUEST_TIMED_OUT (M4); it ends without an error when no partition is left.
 * GrantCredit raises the limit, never lowers it; for a member that commits for itself (`auto_commit_interval_ms`) it also says what is handled. By any broker: RESOURCE_NOT_FOUND when the
 * subscription is over, BROKER_NOT_AVAILABLE where its broker does not answer, INVALID_REQUEST when it asked for no bound.
 * Release, by any broker: UNKNOWN_MEMBER_ID when the subscription is over or of another group, INVALID_GROUP_ID, INVALID_REQUEST for a version that is still to come, BROKER_NOT_AVAILABLE,
 * REQUEST_TIMED_OUT when the coordinator has not answered yet: it will be told.
 */
import { type ClusterImage, type ImageSource, LinkedAbort, type Stored, type TopicInfo } from '@tributary/metadata';
import { limits, nodeId, randomId, TributaryError } from '@tributary/model';
import type { CallContext, Random, Stream } from '@tributary/ports';
import {
  type GrantCreditRequest,
  type GrantCreditResponse,
  type GroupSubscription,
  methods,
  type ReleaseRequest,
  type ReleaseResponse,
  type SubscribeRequest,
  type SubscribeResponse,
} from '@tributary/wire';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from './context.ts';
import { checkGroupId, type Coordinators } from './coordinators.ts';
import { groupWanted } from './group-request.ts';
import { GroupMember, type GroupParts } from './group-subscription.ts';
import { inTurn } from './in-turn.ts';
import { imageAtLeast } from './least-revision.ts';
import { topicByName } from './named-topic.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import { ReadElsewhere } from './read-elsewhere.ts';
import { SharedChunks } from './shared-chunks.ts';
import { fromBeginning, type Selection, selectionsOf } from './subscribe-request.ts';
import { SubscribedPartition } from './subscribed-partition.ts';
import { Subscription, type SubscriptionParts } from './subscription.ts';

export interface SubscribeParts extends Omit<SubscriptionParts, 'chunks'> {
  readonly replicas: Replicas;
  readonly neighbours: Neighbours;
  readonly source: ImageSource;
  readonly random: Random;
  readonly coordinators: Coordinators;
  /** Aborted when this broker stops: members of groups go on at another one. */
  readonly stopping: AbortSignal;
}

/** A topic of which all partitions are read, and how many of them are. */
interface Followed {
  readonly topic: TopicInfo;
  partitions: number;
}

export class Subscriptions {
  readonly #parts: SubscribeParts;
  readonly #byId = new Map<string, Subscription>();
  readonly #members = new Map<string, GroupMember>();
  readonly #ofEach: SubscriptionParts;

  constructor(parts: SubscribeParts) {
    this.#parts = parts;
    this.#ofEach = { ...parts, chunks: new SharedChunks() };
  }

  async subscribe(stream: Stream<SubscribeResponse, SubscribeRequest>, context: CallContext): Promise<void> {
    const { replicas, source, clock } = this.#parts;
    const request = await firstOf(stream);
    checkCluster(request.context, replicas.clusterId);
    if (request.group !== undefined) return await this.#asMember(request, request.group, stream, context);
    const selections = selectionsOf(request);
    const image = await imageAtLeast(source, clock, request.context?.minRevision ?? 0n, context.signal);
    const chosen = selections.map((selection) => ({ selection, topic: topicByName(image, selection.topic) }));
    checkCount(
      chosen.reduce((sum, { selection, topic }) => sum + (selection.partitions?.length ?? topic.partitions), 0),
    );
    const { neighbours } = this.#parts;
    const id = this.#newId();
    using elsewhere = isForwarded(request.context)
      ? undefined
      : new ReadElsewhere(neighbours, clock, neighbours.forwarded(request.context, context.peer), context.signal);
    const subscription = new Subscription(id, request, stream, this.#ofEach, context.signal, elsewhere);
    this.#byId.set(id, subscription);
    const stopping = new AbortController();
    try {
      subscription.holdBack();
      const following = this.#begin(subscription, chosen, stopping.signal);
      await subscription.over;
      stopping.abort();
      await following;
    } finally {
      stopping.abort();
      this.#byId.delete(id);
      subscription.close();
    }
  }

  /** The id tells through which broker the stream runs (F1). */
  #newId(): string {
    return `${this.#parts.neighbours.me}-${randomId(() => this.#parts.random.nextU32())}`;
  }

  async #asMember(
    request: SubscribeRequest,
    group: GroupSubscription,
    stream: Stream<SubscribeResponse, SubscribeRequest>,
    call: CallContext,
  ): Promise<void> {
    const wanted = groupWanted(request, group);
    const { neighbours, clock, source } = this.#parts;
    await imageAtLeast(source, clock, request.context?.minRevision ?? 0n, call.signal);
    const id = this.#newId();
    const reading = neighbours.forwarded(request.context, call.peer);
    using elsewhere = new ReadElsewhere(neighbours, clock, reading, call.signal);
    const parts: GroupParts = { ...this.#parts, ofEach: this.#ofEach };
    const member = new GroupMember(id, wanted, request, stream, call, parts, elsewhere);
    this.#byId.set(id, member.subscription);
    this.#members.set(id, member);
    try {
      await member.run();
    } finally {
      this.#byId.delete(id);
      this.#members.delete(id);
    }
  }

  /** A member's word that it has stopped with what it was told to release (G5). */
  async release(request: ReleaseRequest, call: CallContext): Promise<ReleaseResponse> {
    const { neighbours, replicas } = this.#parts;
    const { context, groupId, memberId, version } = request;
    checkCluster(context, replicas.clusterId);
    checkGroupId(groupId);
    const through = Number.parseInt(memberId, 10);
    if (through !== neighbours.me && !isForwarded(context) && neighbours.isRunning(through))
      return await neighbours.forward(nodeId(through), methods.release, request, call, limits.requestTimeoutMs);
    const member = this.#members.get(memberId);
    if (member === undefined || member.groupId !== groupId)
      throw new TributaryError(
        'UNKNOWN_MEMBER_ID',
        `No subscription to the group "${groupId}" has the member id "${memberId.slice(0, 64)}": its stream is over.`,
      );
    await member.release(version);
    return { throttleMs: 0 };
  }

  async grantCredit(request: GrantCreditRequest, call: CallContext): Promise<GrantCreditResponse> {
    const { neighbours, replicas } = this.#parts;
    checkCluster(request.context, replicas.clusterId);
    const through = Number.parseInt(request.subscriptionId, 10);
    if (through !== neighbours.me && !isForwarded(request.context) && neighbours.isRunning(through))
      return await neighbours.forward(nodeId(through), methods.grantCredit, request, call);
    const subscription = this.#byId.get(request.subscriptionId);
    if (subscription === undefined) {
      throw new TributaryError('RESOURCE_NOT_FOUND', 'No subscription has that id: its stream is over.');
    }
    subscription.grant(request.creditLimit);
    return { throttleMs: 0 };
  }

  /** Adds the partitions, then those that are added to the topics. Never rejects. */
  async #begin(
    subscription: Subscription,
    chosen: readonly { readonly selection: Selection; readonly topic: Stored<TopicInfo> }[],
    signal: AbortSignal,
  ): Promise<void> {
    const followed: Followed[] = [];
    const wanted = chosen.flatMap(({ selection, topic }) => {
      if (selection.partitions === undefined) followed.push({ topic, partitions: topic.partitions });
      return partitionsOf(selection, topic).map((index) => {
        const start = selection.positions.get(index) ?? selection.start;
        return { start, reader: new SubscribedPartition(topic, index, start, subscription.wake) };
      });
    });
    // The end first: what a client publishes when it has the first answer lies behind it, where the leader has said in time where the end is.
    const fromEnd = wanted.filter(({ start }) => start.kind === 'end');
    const others = wanted.filter(({ start }) => start.kind !== 'end');
    const ends = inTurn(fromEnd, ({ reader }) => subscription.add(reader));
    await this.#withinReason(ends, signal);
    subscription.announce();
    await Promise.all([ends, inTurn(others, ({ reader }) => subscription.add(reader))]);
    const follows = followed.length > 0 && !subscription.stopAtEnd;
    subscription.settle(follows);
    if (follows) await this.#follow(subscription, followed, signal);
  }

  async #withinReason(work: Promise<void>, signal: AbortSignal): Promise<void> {
    using enough = new LinkedAbort(signal);
    const bound = this.#parts.clock.sleep(limits.leadershipWaitMs, enough.signal).catch(() => undefined);
    await Promise.race([work, bound]);
    enough.abort(new Error('Waited long enough.'));
  }

  /** New partitions of the topics, for as long as any of these exists. */
  async #follow(subscription: Subscription, followed: readonly Followed[], signal: AbortSignal): Promise<void> {
    try {
      for await (const { image } of this.#parts.source.changes(signal)) {
        for (const each of followed) await this.#addNew(subscription, each, image);
        if (followed.every(({ topic }) => isGone(image, topic))) break;
      }
    } catch {
      // The subscription is over, or the broker is.
    }
    subscription.settle(false);
  }

  async #addNew(subscription: Subscription, followed: Followed, image: ClusterImage): Promise<void> {
    const now = image.topic(followed.topic.topicId)?.partitions ?? 0;
    const room = limits.subscribePartitions - subscription.partitions;
    const added: SubscribedPartition[] = [];
    while (followed.partitions < now && added.length < room)
      added.push(new SubscribedPartition(followed.topic, followed.partitions++, fromBeginning, subscription.wake));
    await inTurn(added, (reader) => subscription.add(reader));
  }
}

/** Any further message is not read: a subscription is asked for once. @throws TributaryError INVALID_REQUEST. */
async function firstOf(stream: AsyncIterable<SubscribeRequest>): Promise<SubscribeRequest> {
  const { value, done } = await stream[Symbol.asyncIterator]().next();
  if (done === true) throw new TributaryError('INVALID_REQUEST', 'Subscribe was called without a request.');
  return value;
}

function checkCount(partitions: number): void {
  if (partitions <= limits.subscribePartitions) return;
  throw new TributaryError(
    'INVALID_REQUEST',
    `The topics have ${partitions} partitions, a subscription at most ${limits.subscribePartitions}: split it.`,
  );
}

/** Those that do not exist are told of one by one, as failures. */
function partitionsOf({ partitions, positions }: Selection, topic: TopicInfo): readonly number[] {
  if (partitions !== undefined) return partitions;
  const unknown = [...positions.keys()].filter((index) => index < 0 || index >= topic.partitions);
  return [...Array.from({ length: topic.partitions }, (_, index) => index), ...unknown];
}

function isGone(image: ClusterImage, { topicId }: TopicInfo): boolean {
  const topic = image.topic(topicId);
  return topic === undefined || topic.phase === 'deleting';
}
