/** Consumer groups from outside: what they are, how far they have read, and changes of those without members. */
import { TributaryError } from '@tributary/model';
import { type GroupListing as Listed, methods } from '@tributary/wire';
import { errorOf, retriableThrown, throwIfRefused } from './admin-group-answers.ts';
import { type AdminOptions, adminCall, type ChangeOptions, leavesDoubt } from './admin-call.ts';
import { type GroupDescription, type GroupPhase, groupDescription, phaseOf } from './admin-group-description.ts';
import { type OffsetReset, type ResetOffset, resetOffsets } from './admin-group-reset.ts';
import type { TopicPartition } from './topic-partition.ts';
import type { Routing } from './routing.ts';

export interface GroupListing {
  readonly groupId: string;
  readonly phase: GroupPhase;
  /** How many. */
  readonly members: number;
  /** Empty: it never had a member. */
  readonly assignor: string;
  /** Node id. */
  readonly coordinator: number;
}

export interface GroupList {
  /** By their ids. */
  readonly groups: readonly GroupListing[];
  /** What the list lacks: partitions of `__consumer_offsets` whose owner did not answer, and why. */
  readonly missing: readonly { readonly partition: number; readonly error: TributaryError }[];
}

export interface DescribeGroupOptions extends AdminOptions {
  /** Ask the leaders of the partitions how far the group is behind. Default true. */
  readonly lag?: boolean | undefined;
}

export interface GroupOutcome {
  readonly groupId: string;
  /** undefined: done. */
  readonly error: TributaryError | undefined;
}

export interface PartitionOutcome extends TopicPartition {
  /** undefined: done. */
  readonly error: TributaryError | undefined;
}

/** Any broker passes these on to the coordinators. What fails retriably, such as a coordinator that still loads, is tried again until the deadline. */
export class GroupsAdmin {
  readonly #routing: Routing;

  /** Use `cluster.admin.groups`. */
  constructor(routing: Routing) {
    this.#routing = routing;
  }

  /** @throws TributaryError: what lasted when the deadline came. */
  async list(options: AdminOptions = {}): Promise<GroupList> {
    const request = () => ({ context: this.#routing.context });
    const call = adminCall(this.#routing, 'Listing groups', options);
    const { groups, missing } = await this.#routing.call(methods.listGroups, request, call);
    return {
      groups: groups.map(listingOf).toSorted((a, b) => (a.groupId < b.groupId ? -1 : 1)),
      missing: missing.map(({ partition, errorCode, errorMessage }) => ({
        partition,
        error: TributaryError.fromAnswer(errorCode, errorMessage),
      })),
    };
  }

  /** One snapshot (G7). @throws TributaryError GROUP_ID_NOT_FOUND, INVALID_GROUP_ID; what lasted when the deadline came. */
  async describe(groupId: string, options: DescribeGroupOptions = {}): Promise<GroupDescription> {
    const call = adminCall(this.#routing, `Describing group "${groupId}"`, options);
    const { lag: includeLag = true, signal } = options;
    return await this.#routing.retry(call, async (attempt, deadlineMs) => {
      const request = { context: this.#routing.context, groupIds: [groupId], includeLag };
      const { groups } = await this.#routing.callOnce(methods.describeGroups, request, attempt, deadlineMs, signal);
      const [described] = groups;
      if (described === undefined)
        throw new TributaryError('UNKNOWN_SERVER_ERROR', `The description of group "${groupId}" came back empty.`);
      if (described.errorCode !== 0) throw TributaryError.fromAnswer(described.errorCode, described.errorMessage);
      return groupDescription(described, includeLag);
    });
  }

  /** Deletes groups without members, with all that they have committed. Each group's failure, such as NON_EMPTY_GROUP, is in its own outcome. */
  async delete(groupIds: readonly string[], options: ChangeOptions = {}): Promise<readonly GroupOutcome[]> {
    const outcomes: GroupOutcome[] = [];
    for (const groupId of groupIds) outcomes.push({ groupId, error: await this.#deleteOne(groupId, options) });
    return outcomes;
  }

  async #deleteOne(groupId: string, options: ChangeOptions): Promise<TributaryError | undefined> {
    const { validateOnly = false, signal } = options;
    let inDoubt = false;
    try {
      const call = adminCall(this.#routing, `Deleting group "${groupId}"`, options);
      await this.#routing.retry(call, async (attempt, deadlineMs) => {
        const request = { context: this.#routing.context, groupIds: [groupId], validateOnly };
        try {
          const { groups } = await this.#routing.callOnce(methods.deleteGroups, request, attempt, deadlineMs, signal);
          throwIfRefused(groups[0]);
        } catch (thrown) {
          const error = TributaryError.from(thrown);
          // The answer to an earlier attempt was lost.
          if (error.error === 'GROUP_ID_NOT_FOUND' && inDoubt) return;
          inDoubt ||= leavesDoubt(error);
          throw error;
        }
      });
      return undefined;
    } catch (thrown) {
      options.signal?.throwIfAborted();
      return TributaryError.from(thrown);
    }
  }

  /**
   * Takes away what a group has committed for partitions that none of its members has. Each partition's failure, such as GROUP_SUBSCRIBED_TO_TOPIC, is in its
   * own outcome. @throws TributaryError GROUP_ID_NOT_FOUND, UNKNOWN_TOPIC_OR_PARTITION for a topic of which the group has nothing either.
   */
  async deleteOffsets(
    groupId: string,
    partitions: readonly TopicPartition[],
    options: AdminOptions = {},
  ): Promise<readonly PartitionOutcome[]> {
    const group = await this.describe(groupId, { ...options, lag: false });
    // Of topics that are gone, too: their commits are what one wants to be rid of.
    const ids = new Map<string, string>(group.partitions.map(({ topic, topicId }) => [topic, topicId]));
    const call = adminCall(this.#routing, `Deleting offsets of group "${groupId}"`, options);
    const wanted: { topicId: string; partition: number }[] = [];
    for (const { topic, partition } of partitions) {
      const topicId = ids.get(topic) ?? (await this.#routing.waitForTopic(topic, call)).id;
      ids.set(topic, topicId);
      wanted.push({ topicId, partition });
    }
    const answer = await this.#routing.retry(call, async (attempt, deadlineMs) => {
      const request = { context: this.#routing.context, groupId, partitions: wanted };
      const { results } = await this.#routing.callOnce(
        methods.deleteOffsets,
        request,
        attempt,
        deadlineMs,
        options.signal,
      );
      return retriableThrown(results);
    });
    return partitions.map(({ topic, partition }, at) => ({ topic, partition, error: errorOf(answer[at]) }));
  }

  /**
   * Lets a group without members go on from elsewhere. `validateOnly` says from where to where, and changes nothing. Each partition's failure is in its own
   * result. @throws TributaryError NON_EMPTY_GROUP naming the members, GROUP_ID_NOT_FOUND, UNKNOWN_TOPIC_OR_PARTITION; what lasted when the deadline came.
   */
  async resetOffsets(
    groupId: string,
    reset: OffsetReset,
    options: ChangeOptions = {},
  ): Promise<readonly ResetOffset[]> {
    const group = await this.#existing(groupId, options);
    return await resetOffsets(this.#routing, groupId, group, reset, options);
  }

  /** undefined: there is none yet, and committing makes it. */
  async #existing(groupId: string, options: AdminOptions): Promise<GroupDescription | undefined> {
    try {
      return await this.describe(groupId, { ...options, lag: false });
    } catch (thrown) {
      if (TributaryError.from(thrown).error === 'GROUP_ID_NOT_FOUND') return undefined;
      throw thrown;
    }
  }
}

function listingOf({ groupId, phase, members, assignor, coordinatorId }: Listed): GroupListing {
  return { groupId, phase: phaseOf(phase), members, assignor, coordinator: coordinatorId };
}
