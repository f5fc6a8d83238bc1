import { type PartitionIndex, partitionIndex, topicId } from '@tributary/model';
import type { TopicFacts, TopicView } from '../../src/group/topic-view.ts';

/** Topics for tests: their id is their name and a generation. */
export class FakeTopics implements TopicView {
  version = 0n;
  readonly #topics = new Map<string, TopicFacts>();
  #generation = 0;

  add(name: string, partitions: number, racks: (partition: PartitionIndex) => readonly string[] = () => []): this {
    this.#generation += 1;
    this.#topics.set(name, { topicId: topicId(`${name}.${this.#generation}`), name, partitions, racks });
    this.version += 1n;
    return this;
  }

  grow(name: string, partitions: number): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    this.#topics.set(name, { ...topic, partitions });
    this.version += 1n;
  }

  remove(name: string): void {
    this.#topics.delete(name);
    this.version += 1n;
  }

  topic(id: string): TopicFacts | undefined {
    return [...this.#topics.values()].find(({ topicId: its }) => its === id);
  }

  named(name: string): TopicFacts | undefined {
    return this.#topics.get(name);
  }

  names(): Iterable<string> {
    return this.#topics.keys();
  }

  place(name: string, partition: number) {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    return { topicId: topic.topicId, partition: partitionIndex(partition) };
  }
}
