/** Whom a request is for: the group's shard, if it is here. */
import { limits, type NodeId, type TopicId, TributaryError } from '@tributary/model';
import { type ClusterImage, groupPartitionOf, type ImageSource, LinkedAbort, offsetsTopic } from '@tributary/metadata';
import type { CallContext, Clock } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';
import type { CoordinatorFacts } from '../facts.ts';
import type { TopicView } from '../group/topic-view.ts';
import type { Shard } from '../shard/shard.ts';
import type { Shards } from '../shard/shards.ts';
import type { Asker } from './member-wire.ts';

export interface ReceptionParts {
  readonly nodeId: NodeId;
  readonly shards: Shards;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly topics: TopicView;
  readonly facts: CoordinatorFacts;
}

/** Who asks. Its signal is made when it is first looked at: what need not wait does not look. */
export type Caller = Pick<CallContext, 'signal'>;

export class Reception {
  readonly #parts: ReceptionParts;

  constructor(parts: ReceptionParts) {
    this.#parts = parts;
  }

  get facts(): CoordinatorFacts {
    return this.#parts.facts;
  }

  get topics(): TopicView {
    return this.#parts.topics;
  }

  get shards(): Shards {
    return this.#parts.shards;
  }

  /** As the first broker saw it; or as this one, where nobody forwarded. Cut, as both are kept, and written, with the member. */
  asker(context: RequestContext | undefined, peer: string): Asker {
    const host = context?.host ?? '';
    const cut = (text: string): string => text.slice(0, limits.memberIdLength);
    return { clientId: cut(context?.clientId ?? ''), host: cut(hostOf(host === '' ? peer : host)) };
  }

  /**
   * The shard of a group, whatever its phase.
   * @throws TributaryError NOT_COORDINATOR; INVALID_GROUP_ID; INCONSISTENT_CLUSTER_ID (F2); REQUEST_TIMED_OUT (M4).
   */
  async shardOf(groupId: string, context: RequestContext | undefined, call: Caller): Promise<Shard> {
    await this.admit(context, call);
    return this.shardNow(groupId);
  }

  /** @throws TributaryError NOT_COORDINATOR; INVALID_GROUP_ID. */
  shardNow(groupId: string): Shard {
    const { nodeId, images, shards } = this.#parts;
    if (groupId === '') throw new TributaryError('INVALID_GROUP_ID', 'The group id is empty.');
    const topic = offsetsTopic(images.current);
    const partition = topic === undefined ? undefined : groupPartitionOf(groupId, topic.partitions);
    const shard = partition === undefined ? undefined : shards.get(partition);
    if (shard !== undefined) return shard;
    throw new TributaryError(
      'NOT_COORDINATOR',
      `Coordinator ${nodeId} does not own the group "${groupId.slice(0, limits.groupIdLength)}": look the owner up.`,
    );
  }

  /** A topic that was just created may be known to whoever asks before it is known here: waited for, a little. */
  async untilKnown(topics: readonly TopicId[], call: Caller): Promise<void> {
    const { images, clock } = this.#parts;
    const areKnown = (image: ClusterImage): boolean => topics.every((id) => image.topic(id) !== undefined);
    if (areKnown(images.current)) return;
    using waiting = new LinkedAbort(call.signal);
    const either = [images.until(areKnown, waiting.signal), clock.sleep(limits.newTopicWaitMs, waiting.signal)];
    for (const each of either) each.catch(() => undefined);
    await Promise.race(either);
    waiting.abort(new Error('Waited long enough.'));
  }

  /** @throws TributaryError INCONSISTENT_CLUSTER_ID; REQUEST_TIMED_OUT. */
  async admit(context: RequestContext | undefined, call: Caller): Promise<void> {
    if (context === undefined) return;
    const { images, clock } = this.#parts;
    const known = images.current.cluster?.clusterId ?? '';
    if (context.clusterId !== '' && context.clusterId !== known)
      throw new TributaryError(
        'INCONSISTENT_CLUSTER_ID',
        `The request is for cluster ${context.clusterId}; this is cluster ${known}.`,
      );
    const { minRevision } = context;
    if (images.current.revision >= minRevision) return;
    using waiting = new LinkedAbort(call.signal);
    const late = clock.sleep(limits.minRevisionWaitMs, waiting.signal);
    const either = [images.reached(minRevision, waiting.signal), late];
    for (const each of either) each.catch(() => undefined);
    await Promise.race(either);
    waiting.abort(new Error('Waited long enough.'));
    if (images.current.revision < minRevision)
      throw new TributaryError(
        'REQUEST_TIMED_OUT',
        `This coordinator has seen metadata revision ${images.current.revision}, asked for was ${minRevision}; try again.`,
      );
  }
}

/** Without the port, which says nothing to whoever looks at a group. */
function hostOf(address: string): string {
  const colon = address.lastIndexOf(':');
  const isPort = colon > 0 && /^\d+$/.test(address.slice(colon + 1));
  return isPort ? address.slice(0, colon).replace(/^\[(.*)\]$/, '$1') : address;
}
