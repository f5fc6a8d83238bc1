/** What the topics are called of whose ids a member was told. */
import { limits } from '@tributary/model';
import { methods } from '@tributary/wire';
import type { Routing } from '../routing.ts';

export class TopicNames {
  readonly #routing: Routing;
  readonly #names = new Map<string, { readonly name: string; readonly partitions: number }>();

  constructor(routing: Routing) {
    this.#routing = routing;
  }

  get(topicId: string): string | undefined {
    return this.#names.get(topicId)?.name;
  }

  /** How many there were when this member first heard of the topic. */
  partitionsAtFirst(topicId: string): number | undefined {
    return this.#names.get(topicId)?.partitions;
  }

  /** Asks about those that are not known yet. What is unknown afterwards too is gone, or too new for the broker that was asked. @throws TributaryError. */
  async learn(topicIds: Iterable<string>, signal: AbortSignal | undefined): Promise<void> {
    const unknown = [...new Set(topicIds)].filter((id) => !this.#names.has(id));
    if (unknown.length === 0) return;
    const request = () => ({ context: this.#routing.context, topics: [], allTopics: false, topicIds: unknown });
    const call = { deadlineMs: limits.attemptTimeoutMs, signal, what: 'Finding the names of topics' };
    const { topics } = await this.#routing.call(methods.getMetadata, request, call);
    for (const { name, topicId, errorCode, partitions } of topics)
      if (errorCode === 0 && unknown.includes(topicId))
        this.#names.set(topicId, { name, partitions: partitions.length });
  }
}
