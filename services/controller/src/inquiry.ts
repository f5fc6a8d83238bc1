/**
 * Where several replicas were the last and each may have lost what it had not flushed, asks all of them how far their logs reach, and has the
 * furthest lead (R7). Whoever does not answer is asked again: nobody may be left out.
 */
import { type ClusterDelta, type ImageSource, type PartitionName, Bell, LinkedAbort } from '@tributary/metadata';
import { type NodeId, type TopicId, limits } from '@tributary/model';
import type { Clock, Logger, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import { candidatesIn } from './brokers.ts';
import { LogEnds, awaiting, longest, questions } from './longest-log.ts';
import type { Office } from './office.ts';
import { askingContext, whoeverIsAsked } from './probe.ts';
import type { TopicDefaults } from './topic-defaults.ts';

interface Ports {
  readonly images: ImageSource;
  readonly transport: Pick<Transport, 'connect'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Inquiry {
  readonly #ports: Ports;
  readonly #office: Office;
  readonly #defaults: TopicDefaults;
  /** Without a leader, and with more than one last member. */
  readonly #open = new Map<string, PartitionName>();
  readonly #changed = new Bell();

  constructor(ports: Ports, office: Office, defaults: TopicDefaults) {
    this.#ports = ports;
    this.#office = office;
    this.#defaults = defaults;
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#open.clear();
    const noting = this.#noteChanges(signal);
    try {
      for (;;) {
        const changed = this.#changed.heard(signal);
        changed.catch(() => undefined);
        // Whoever cannot say yet, or not any more, is asked again; and that somebody was not dead after all no change tells of.
        if (await this.#settle(signal)) await this.#rest(changed, signal);
        else await this.#ports.clock.sleep(limits.storeRetryMsMax, signal);
      }
    } catch {
      // The term is over.
    }
    await noting;
  }

  async #noteChanges(signal: AbortSignal): Promise<void> {
    try {
      for await (const { delta } of this.#ports.images.changes(signal)) {
        this.#note(delta);
        this.#changed.ring();
      }
    } catch {
      // The term is over, or following the store is.
    }
  }

  /** Until something changes, and while partitions wait no longer than a little. */
  async #rest(changed: Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#open.size === 0) return changed;
    using resting = new LinkedAbort(signal);
    const timer = this.#ports.clock.sleep(limits.storeRetryMsMax, resting.signal);
    timer.catch(() => undefined);
    try {
      await Promise.race([changed, timer]);
    } finally {
      resting.abort(new Error('Something changed.'));
    }
  }

  #note({ partitions }: ClusterDelta): void {
    for (const [key, { after }] of partitions) {
      if (after !== undefined && after.leader === undefined && after.lastMembers.length > 1) this.#open.set(key, after);
      else this.#open.delete(key);
    }
  }

  /** @returns whether nothing is left that can be settled now. */
  async #settle(signal: AbortSignal): Promise<boolean> {
    const { images, logger } = this.#ports;
    const image = images.current;
    const candidates = candidatesIn(image, this.#office.losses, this.#defaults);
    const partitions = awaiting(image, this.#open.values(), candidates);
    if (partitions.length === 0) return true;
    const ends = new LogEnds();
    await Promise.all([...questions(partitions)].map(([node, topics]) => this.#ask(node, [...topics], ends, signal)));
    const winners = longest(partitions, ends);
    if (winners.length === 0) return false;
    try {
      const defaults = this.#defaults;
      await this.#office.place({
        event: (_, losses) => ({ kind: 'elect-longest', winners, losses, defaults }),
        signal,
      });
      return winners.length === partitions.length;
    } catch (thrown) {
      signal.throwIfAborted();
      logger.warn('last-replicas-not-elected', { partitions: winners.length, why: whyOf(thrown) });
      return false;
    }
  }

  /** What one cannot say keeps the partitions of others from nothing. */
  async #ask(node: NodeId, topicIds: readonly TopicId[], ends: LogEnds, signal: AbortSignal): Promise<void> {
    const { images, transport, logger } = this.#ports;
    const address = images.current.broker(node)?.registration?.address;
    if (address === undefined) return;
    try {
      await using peer = transport.connect(address);
      const request = { context: askingContext, nodeId: whoeverIsAsked, topicIds: [...topicIds] };
      const options = { deadlineMs: limits.internalCallMs, signal };
      ends.note(await peer.unary(methods.describeLogDirs, request, options));
    } catch (thrown) {
      signal.throwIfAborted();
      logger.warn('last-replicas-not-heard', { nodeId: node, why: whyOf(thrown) });
    }
  }
}

const whyOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
