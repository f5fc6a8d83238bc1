// pure
/** What the client knows of the cluster, from the brokers' answers. */
import { type ErrorName, errorName, TributaryError } from '@tributary/model';
import type { GetMetadataResponse, TopicMetadata } from '@tributary/wire';

export interface BrokerView {
  readonly id: number;
  /** host:port as the broker advertises it. */
  readonly address: string;
  readonly host: string;
  readonly rack: string;
}

export interface PartitionView {
  readonly partition: number;
  /** Undefined: none now. */
  readonly leaderId: number | undefined;
  readonly leaderEpoch: number;
  /** Node ids of the replicas that had everything when the answer was made. */
  readonly isr: readonly number[];
  /** Why there is no leader, where a broker said so. */
  readonly reason: string;
}

/**
 * - `unasked`: nothing was heard yet;
 * - `known`;
 * - `absent`: a broker says that there is none, or refuses the name; it may be in creation.
 */
export type TopicView =
  | { readonly kind: 'unasked' }
  | { readonly kind: 'known'; readonly id: string; readonly partitions: readonly PartitionView[] }
  | { readonly kind: 'absent'; readonly error: ErrorName; readonly message: string; readonly since: number };

const unasked: TopicView = { kind: 'unasked' };

export class ClusterView {
  clusterId = '';
  /** Of the newest answer. */
  #revision = -1n;
  readonly #brokers = new Map<number, BrokerView>();
  readonly #topics = new Map<string, TopicView>();

  get brokers(): readonly BrokerView[] {
    return [...this.#brokers.values()];
  }

  topic(name: string): TopicView {
    return this.#topics.get(name) ?? unasked;
  }

  broker(id: number): BrokerView | undefined {
    return this.#brokers.get(id);
  }

  /**
   * @param asked the topics that the answer is about. @param now on the monotonic clock, ms.
   * @throws TributaryError BROKER_NOT_AVAILABLE when the answer is older than another: a broker that is cut off goes on telling what it last saw.
   */
  apply(answer: GetMetadataResponse, asked: readonly string[], now: number): void {
    if (answer.clusterId === this.clusterId && answer.revision < this.#revision) {
      throw new TributaryError(
        'BROKER_NOT_AVAILABLE',
        `A broker's picture of the cluster is of revision ${answer.revision}, another's was of ${this.#revision}.`,
      );
    }
    this.clusterId = answer.clusterId;
    this.#revision = answer.revision;
    this.#brokers.clear();
    for (const { nodeId, address, host, rack } of answer.brokers)
      this.#brokers.set(nodeId, { id: nodeId, address, host, rack });
    const answered = new Map(answer.topics.map((topic) => [topic.name, topic]));
    for (const name of asked) this.#topics.set(name, this.#topicFrom(name, answered.get(name), now));
  }

  /** A broker refused with the name of the new leader: newer than what the last answer said. */
  leaderMoved(name: string, partition: number, leaderId: number, leaderEpoch: number): void {
    const topic = this.topic(name);
    if (topic.kind !== 'known') return;
    const before = topic.partitions[partition];
    if (before === undefined || before.leaderEpoch >= leaderEpoch || !this.#brokers.has(leaderId)) return;
    this.#topics.set(name, {
      ...topic,
      partitions: topic.partitions.with(partition, { ...before, leaderId, leaderEpoch, reason: '' }),
    });
  }

  /** Forgets a topic that is no longer of interest. */
  forget(name: string): void {
    this.#topics.delete(name);
  }

  #topicFrom(name: string, answer: TopicMetadata | undefined, now: number): TopicView {
    const before = this.topic(name);
    const absent = answer === undefined || answer.errorCode !== 0;
    if (absent) {
      const error = answer === undefined ? 'UNKNOWN_TOPIC_OR_PARTITION' : errorName(answer.errorCode);
      return {
        kind: 'absent',
        error,
        message: answer?.errorMessage ?? '',
        since: before.kind === 'absent' ? before.since : now,
      };
    }
    const partitions = answer.partitions
      .toSorted((a, b) => a.partition - b.partition)
      .map(({ partition, leaderId, leaderEpoch, isr, errorMessage }): PartitionView => {
        const known =
          before.kind === 'known' && before.id === answer.topicId ? before.partitions[partition] : undefined;
        // Another broker may lag behind what a refusal already told.
        if (known !== undefined && known.leaderEpoch > leaderEpoch) return known;
        return { partition, leaderId: leaderId < 0 ? undefined : leaderId, leaderEpoch, isr, reason: errorMessage };
      });
    return { kind: 'known', id: answer.topicId, partitions };
  }
}
