import { type TopicId, topicId, TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { type BrokerDescription, describeBroker, describeLogDirs, type LogDirDescription } from './admin-brokers.ts';
import { type AdminOptions, adminCall, type ChangeOptions, finalIfUnknown, leavesDoubt } from './admin-call.ts';
import {
  type ClusterReport,
  clusterReport,
  type ElectionOutcome,
  type ElectionRequest,
  electLeaders,
} from './admin-cluster.ts';
import {
  type AlteredConfigs,
  alterConfigs,
  type ConfigChange,
  type ConfigResource,
  type ConfigValue,
  describeConfigs,
  valueOf,
} from './admin-configs.ts';
import { GroupsAdmin } from './admin-groups.ts';
import { type DeletedRecords, deleteRecords, previewRetention, type RecordsToDelete } from './admin-records.ts';
import { type FoundOffset, lookUpOffsets, type OffsetQuestion } from './offset-lookup.ts';
import type { Routing } from './routing.ts';

export interface NewTopic {
  readonly name: string;
  /** Default: the cluster's. */
  readonly partitions?: number | undefined;
  /** Default: the cluster's. */
  readonly replicationFactor?: number | undefined;
  /** Kafka's names, for example `{ 'retention.ms': '3600000' }`. */
  readonly configs?: Readonly<Record<string, string>> | undefined;
}

export interface TopicSummary {
  readonly name: string;
  readonly id: TopicId;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Belongs to the cluster itself. */
  readonly internal: boolean;
}

export interface PartitionDescription {
  readonly partition: number;
  /** Node id; undefined: none now, for the reason given. */
  readonly leader: number | undefined;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  /** Node ids. */
  readonly replicas: readonly number[];
  /** Node ids of the in-sync replicas. */
  readonly isr: readonly number[];
  readonly eligibleLeaderReplicas: readonly number[];
  /** Why there is no leader; empty if there is one. */
  readonly reason: string;
  /** So many in-sync replicas acks=all needs: `min.insync.replicas`, but never more than there are replicas. */
  readonly effectiveMinIsr: number;
  /** `flush.policy=commit` is in force: what was acknowledged has been flushed, and is from now on. */
  readonly flushed: boolean;
}

export interface TopicDescription extends TopicSummary {
  readonly configs: readonly ConfigValue[];
  readonly partitionDescriptions: readonly PartitionDescription[];
}

export interface ClusterDescription {
  readonly clusterId: string;
  /** Node id of the elected controller; undefined: none now. */
  readonly controller: number | undefined;
  readonly brokers: readonly {
    readonly id: number;
    readonly address: string;
    readonly host: string;
    readonly rack: string;
  }[];
}

/**
 * Topics and the cluster. Every call ends within its timeout; what fails retriably is tried again until then. A topic that was created or deleted
 * here is so for everything made from the same `cluster` afterwards.
 */
export class Admin {
  readonly #routing: Routing;
  /** Consumer groups. */
  readonly groups: GroupsAdmin;

  /** Use `cluster.admin`. */
  constructor(routing: Routing) {
    this.#routing = routing;
    this.groups = new GroupsAdmin(routing);
  }

  /**
   * @throws TributaryError TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG, each naming what
   *   is wrong and what is allowed.
   */
  async createTopic(topic: NewTopic, options: ChangeOptions = {}): Promise<TopicSummary> {
    const { name, partitions = 0, replicationFactor = 0, configs = {} } = topic;
    let inDoubt = false;
    const answer = await this.#routing.retry(
      this.#call(`Creating topic "${name}"`, options),
      async (attempt, deadlineMs) => {
        const request = {
          context: this.#routing.context,
          name,
          partitions,
          replicationFactor,
          configs: { ...configs },
          validateOnly: options.validateOnly ?? false,
        };
        try {
          const created = await this.#routing.callOnce(
            methods.createTopic,
            request,
            attempt,
            deadlineMs,
            options.signal,
          );
          return {
            id: created.topicId,
            partitions: created.partitions,
            replicationFactor: created.replicationFactor,
            revision: created.revision,
          };
        } catch (thrown) {
          const error = TributaryError.from(thrown);
          // The answer to an earlier attempt was lost: the topic that exists may well be ours.
          if (error.error === 'TOPIC_ALREADY_EXISTS' && inDoubt) {
            const existing = await this.describeTopic(name, options);
            if (partitions === 0 || existing.partitions === partitions) return { ...existing, revision: 0n };
          }
          inDoubt ||= leavesDoubt(error);
          throw error;
        }
      },
    );
    this.#routing.changedAt(answer.revision);
    return {
      name,
      id: topicId(answer.id),
      partitions: answer.partitions,
      replicationFactor: answer.replicationFactor,
      internal: false,
    };
  }

  /** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  async deleteTopic(name: string, options: AdminOptions = {}): Promise<void> {
    let inDoubt = false;
    await this.#routing.retry(this.#call(`Deleting topic "${name}"`, options), async (attempt, deadlineMs) => {
      try {
        const answer = await this.#routing.callOnce(
          methods.deleteTopic,
          { context: this.#routing.context, name },
          attempt,
          deadlineMs,
          options.signal,
        );
        this.#routing.changedAt(answer.revision);
      } catch (thrown) {
        const error = finalIfUnknown(thrown);
        if (error.error === 'UNKNOWN_TOPIC_OR_PARTITION' && inDoubt) return;
        inDoubt ||= leavesDoubt(error);
        throw error;
      }
    });
  }

  /** In the order of their names. */
  async listTopics(options: AdminOptions = {}): Promise<readonly TopicSummary[]> {
    const request = () => ({ context: this.#routing.context });
    const { topics } = await this.#routing.call(methods.listTopics, request, this.#call('Listing topics', options));
    return topics.map(summaryOf).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  async describeTopic(name: string, options: AdminOptions = {}): Promise<TopicDescription> {
    const answer = await this.#routing.retry(
      this.#call(`Describing topic "${name}"`, options),
      async (attempt, deadlineMs) => {
        try {
          return await this.#routing.callOnce(
            methods.describeTopic,
            { context: this.#routing.context, name },
            attempt,
            deadlineMs,
            options.signal,
          );
        } catch (thrown) {
          throw finalIfUnknown(thrown);
        }
      },
    );
    if (answer.topic === undefined)
      throw new TributaryError('UNKNOWN_SERVER_ERROR', `The description of topic "${name}" came back empty.`);
    return {
      ...summaryOf(answer.topic),
      configs: answer.configs.map(valueOf),
      partitionDescriptions: answer.partitions.map(({ leaderId, ...partition }) => ({
        ...partition,
        leader: leaderId < 0 ? undefined : leaderId,
      })),
    };
  }

  /**
   * Adds partitions; there is no way back, and new records of a key may come to another partition than its old ones.
   * @param total how many there are to be in all.
   * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
   */
  async createPartitions(
    name: string,
    total: number,
    options: ChangeOptions = {},
  ): Promise<{ readonly before: number; readonly partitions: number }> {
    let inDoubt = false;
    const call = this.#call(`Adding partitions to topic "${name}"`, options);
    const answer = await this.#routing.retry(call, async (attempt, deadlineMs) => {
      const { validateOnly = false, signal } = options;
      const request = { context: this.#routing.context, name, totalCount: total, validateOnly };
      try {
        return await this.#routing.callOnce(methods.createPartitions, request, attempt, deadlineMs, signal);
      } catch (thrown) {
        const error = finalIfUnknown(thrown);
        // The answer to an earlier attempt was lost.
        if (error.error === 'INVALID_PARTITIONS' && inDoubt) {
          const { partitions } = await this.describeTopic(name, options);
          if (partitions === total) return { partitionsBefore: total, partitions, revision: 0n };
        }
        inDoubt ||= leavesDoubt(error);
        throw error;
      }
    });
    this.#routing.changedAt(answer.revision);
    // Producers and consumers that are open already learn of them at once.
    if (options.validateOnly !== true) this.#routing.refresh();
    return { before: answer.partitionsBefore, partitions: answer.partitions };
  }

  /**
   * All changes or none.
   * @throws TributaryError INVALID_CONFIG naming the setting, the value and what is allowed; UNKNOWN_TOPIC_OR_PARTITION, BROKER_ID_NOT_REGISTERED,
   *   INVALID_REQUEST.
   */
  async alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    options: ChangeOptions = {},
  ): Promise<AlteredConfigs> {
    return await alterConfigs(this.#routing, resource, changes, options);
  }

  /** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, BROKER_ID_NOT_REGISTERED. */
  async describeConfigs(resource: ConfigResource, options: AdminOptions = {}): Promise<readonly ConfigValue[]> {
    return await describeConfigs(this.#routing, resource, options);
  }

  /**
   * Offsets in the order of the questions; undefined: no record is that young, or none has a timestamp.
   * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION; what lasted when the deadline came.
   */
  async listOffsets(
    questions: readonly OffsetQuestion[],
    options: AdminOptions = {},
  ): Promise<readonly (FoundOffset | undefined)[]> {
    const call = this.#call('Listing offsets', options);
    return await lookUpOffsets(this.#routing, questions, call);
  }

  /**
   * Takes records from the beginning of partitions away for ever. Where one fails others may have been done: the error names the partition.
   * @throws TributaryError OFFSET_OUT_OF_RANGE, POLICY_VIOLATION, UNKNOWN_TOPIC_OR_PARTITION; what lasted when the deadline came.
   */
  async deleteRecords(
    wanted: readonly RecordsToDelete[],
    options: ChangeOptions = {},
  ): Promise<readonly DeletedRecords[]> {
    return await deleteRecords(this.#routing, wanted, options);
  }

  /** What retention would take from a topic at once. @param settings in force, whole, by name. @throws TributaryError INVALID_CONFIG. */
  async previewRetention(
    topic: { readonly name: string; readonly id: string },
    settings: Readonly<Record<string, string>>,
    options: AdminOptions = {},
  ): Promise<readonly DeletedRecords[]> {
    return await previewRetention(this.#routing, topic, settings, options);
  }

  /** @param id undefined: whoever is asked. @throws TributaryError BROKER_ID_NOT_REGISTERED naming those there are. */
  async describeBroker(id?: number, options: AdminOptions = {}): Promise<BrokerDescription> {
    return await describeBroker(this.#routing, id, options);
  }

  /** The data directories of brokers, with the logs of these topics (none named: all). @param ids of brokers; none: all. @throws as describeBroker. */
  async describeLogDirs(
    { ids = [], topicIds = [] }: { readonly ids?: readonly number[]; readonly topicIds?: readonly string[] } = {},
    options: AdminOptions = {},
  ): Promise<readonly LogDirDescription[]> {
    const asked = ids.length > 0 ? ids : (await this.describeCluster(options)).brokers.map(({ id }) => id);
    const found: LogDirDescription[] = [];
    for (const id of asked) found.push(...(await describeLogDirs(this.#routing, id, topicIds, options)));
    return found;
  }

  /** What the active controller knows of the cluster: brokers that are absent too, and what is wrong with which partitions. @throws TributaryError. */
  async clusterReport(options: AdminOptions = {}): Promise<ClusterReport> {
    return await clusterReport(this.#routing, options);
  }

  /**
   * Elects leaders. Each partition's failure is in its own outcome.
   * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST; what lasted when the deadline came.
   */
  async electLeaders(request: ElectionRequest, options: ChangeOptions = {}): Promise<readonly ElectionOutcome[]> {
    return await electLeaders(this.#routing, request, options);
  }

  /** The brokers as the one that is asked sees them now: needs no controller. */
  async describeCluster(options: AdminOptions = {}): Promise<ClusterDescription> {
    const request = () => ({ context: this.#routing.context, topics: [], allTopics: false, topicIds: [] });
    const { clusterId, brokers, controllerId } = await this.#routing.call(
      methods.getMetadata,
      request,
      this.#call('Describing the cluster', options),
    );
    return {
      clusterId,
      controller: controllerId < 0 ? undefined : controllerId,
      brokers: brokers
        .map(({ nodeId, address, host, rack }) => ({ id: nodeId, address, host, rack }))
        .toSorted((a, b) => a.id - b.id),
    };
  }

  #call(what: string, options: AdminOptions) {
    return adminCall(this.#routing, what, options);
  }
}

function summaryOf(topic: {
  name: string;
  topicId: string;
  partitions: number;
  replicationFactor: number;
  internal: boolean;
}): TopicSummary {
  const { name, partitions, replicationFactor, internal } = topic;
  return { name, id: topicId(topic.topicId), partitions, replicationFactor, internal };
}
