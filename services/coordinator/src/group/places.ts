// pure
import type { PartitionIndex, TopicId } from '@tributary/model';
import type { GroupPartition } from './change.ts';

/** A map by partition, without a string for each key. */
export class Places<V> {
  readonly #topics = new Map<TopicId, Map<PartitionIndex, V>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get({ topicId, partition }: GroupPartition): V | undefined {
    return this.#topics.get(topicId)?.get(partition);
  }

  set({ topicId, partition }: GroupPartition, value: V): void {
    let topic = this.#topics.get(topicId);
    if (topic === undefined) {
      topic = new Map();
      this.#topics.set(topicId, topic);
    }
    if (!topic.has(partition)) this.#size += 1;
    topic.set(partition, value);
  }

  delete({ topicId, partition }: GroupPartition): void {
    const topic = this.#topics.get(topicId);
    if (topic?.delete(partition) !== true) return;
    this.#size -= 1;
    if (topic.size === 0) this.#topics.delete(topicId);
  }

  hasTopic(topicId: TopicId): boolean {
    return this.#topics.has(topicId);
  }

  topicIds(): Iterable<TopicId> {
    return this.#topics.keys();
  }

  *entries(): Generator<readonly [GroupPartition, V]> {
    for (const [topicId, partitions] of this.#topics) {
      for (const [partition, value] of partitions) yield [{ topicId, partition }, value];
    }
  }
}
