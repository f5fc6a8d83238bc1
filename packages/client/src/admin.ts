import { limits, type TopicId, topicId, TributaryError } from '@tributary/model';
import { ConfigSource, methods } from '@tributary/wire';
import { FinalError } from './final-error.ts';
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

export interface TopicConfigValue {
  readonly name: string;
  readonly value: string;
  readonly defaultValue: string;
  /** Who set the value. */
  readonly source: 'default' | 'cluster' | 'broker' | 'topic';
  readonly documentation: string;
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
}

export interface TopicDescription extends TopicSummary {
  readonly configs: readonly TopicConfigValue[];
  readonly partitionDescriptions: readonly PartitionDescription[];
}

export interface ClusterDescription {
  readonly clusterId: string;
  readonly brokers: readonly {
    readonly id: number;
    readonly address: string;
    readonly host: string;
    readonly rack: string;
  }[];
}

export interface AdminOptions {
  /** For the whole call, retries included, ms. Default: the client's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CreateTopicOptions extends AdminOptions {
  /** Checks everything and creates nothing. */
  readonly validateOnly?: boolean | undefined;
}

/**
 * Topics and the cluster. Every call ends within its timeout; what fails retriably is tried again until then. A topic that was created or deleted
 * here is so for everything made from the same `cluster` afterwards.
 */
export class Admin {
  readonly #routing: Routing;

  /** Use `cluster.admin`. */
  constructor(routing: Routing) {
    this.#routing = routing;
  }

  /**
   * @throws TributaryError TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG, each naming what
   *   is wrong and what is allowed.
   */
  async createTopic(topic: NewTopic, options: CreateTopicOptions = {}): Promise<TopicSummary> {
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
      configs: answer.configs.map(({ name: key, value, defaultValue, source, documentation }) => {
        return { name: key, value, defaultValue, source: sourceOf(source), documentation };
      }),
      partitionDescriptions: answer.partitions.map(({ leaderId, ...partition }) => ({
        ...partition,
        leader: leaderId < 0 ? undefined : leaderId,
      })),
    };
  }

  /** The brokers as they are now. */
  async describeCluster(options: AdminOptions = {}): Promise<ClusterDescription> {
    const request = () => ({ context: this.#routing.context, topics: [], allTopics: false });
    const { clusterId, brokers } = await this.#routing.call(
      methods.getMetadata,
      request,
      this.#call('Describing the cluster', options),
    );
    return {
      clusterId,
      brokers: brokers
        .map(({ nodeId, address, host, rack }) => ({ id: nodeId, address, host, rack }))
        .toSorted((a, b) => a.id - b.id),
    };
  }

  #call(
    what: string,
    options: AdminOptions,
  ): { deadlineMs: number; attemptMs: number; signal: AbortSignal | undefined; what: string } {
    const deadlineMs = options.timeoutMs ?? this.#routing.options.requestTimeoutMs;
    // A change takes what it takes: asking again while the first attempt runs would only queue behind it.
    return { deadlineMs, attemptMs: Math.max(deadlineMs, limits.attemptTimeoutMs), signal: options.signal, what };
  }
}

/** Having asked the controller, an unknown topic is not one in creation. */
function finalIfUnknown(thrown: unknown): TributaryError {
  const error = TributaryError.from(thrown);
  return error.error === 'UNKNOWN_TOPIC_OR_PARTITION'
    ? new FinalError(error.error, error.message, { cause: error })
    : error;
}

const leavesDoubt = (error: TributaryError): boolean =>
  error.error === 'NETWORK_EXCEPTION' || error.error === 'REQUEST_TIMED_OUT' || error.error === 'UNKNOWN_SERVER_ERROR';

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

function sourceOf(source: ConfigSource): 'default' | 'cluster' | 'broker' | 'topic' {
  switch (source) {
    case ConfigSource.TOPIC:
      return 'topic';
    case ConfigSource.BROKER:
      return 'broker';
    case ConfigSource.CLUSTER:
      return 'cluster';
    case ConfigSource.DEFAULT:
    case ConfigSource.UNSPECIFIED:
      return 'default';
  }
}
