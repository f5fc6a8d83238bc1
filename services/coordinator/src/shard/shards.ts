/** The partitions of `__consumer_offsets` that this coordinator owns, as the image says: each a shard, fenced by its writer epoch. */
import { type BrokerEpoch, limits, type NodeId, type PartitionIndex } from '@tributary/model';
import { type ClusterImage, LinkedAbort, offsetsTopic } from '@tributary/metadata';
import type { JournalPlace } from '../journal/journal-writer.ts';
import { Shard, type ShardOptions, type ShardPorts } from './shard.ts';

export interface ShardsPorts extends ShardPorts {
  /** A journal that does not take what its owner writes: another registration begins another writer epoch. */
  readonly broken: (place: JournalPlace, why: unknown) => void;
}

interface Running {
  readonly shard: Shard;
  readonly stop: LinkedAbort;
}

export class Shards implements AsyncDisposable {
  readonly #options: ShardOptions;
  readonly #ports: ShardsPorts;
  readonly #signal: AbortSignal;
  readonly #running = new Map<PartitionIndex, Running>();
  /** Runs that have not ended. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: ShardOptions, ports: ShardsPorts, signal: AbortSignal) {
    this.#options = options;
    this.#ports = ports;
    this.#signal = signal;
  }

  get(partition: PartitionIndex): Shard | undefined {
    return this.#running.get(partition)?.shard;
  }

  *[Symbol.iterator](): Generator<Shard> {
    for (const { shard } of this.#running.values()) yield shard;
  }

  get count(): number {
    return this.#running.size;
  }

  /** @param epoch of this coordinator's registration; undefined: it has none, and owns nothing. One whose lease is lost stays until the next. */
  follow(image: ClusterImage, me: NodeId, epoch: BrokerEpoch | undefined): void {
    const topic = offsetsTopic(image);
    const owned = new Map<PartitionIndex, JournalPlace>();
    for (const { partition, coordinator, coordinatorEpoch, writerEpoch } of image.groupPartitions()) {
      if (topic === undefined || coordinator !== me) continue;
      if (epoch === undefined || coordinatorEpoch !== epoch) continue;
      owned.set(partition, { topicId: topic.topicId, partition, writerEpoch });
    }
    for (const [partition, { shard, stop }] of this.#running) {
      const place = owned.get(partition);
      if (place?.writerEpoch === shard.place.writerEpoch && place.topicId === shard.place.topicId) continue;
      this.#running.delete(partition);
      stop.abort(new Error('The controller has given the partition to another.'));
    }
    for (const place of owned.values()) if (!this.#running.has(place.partition)) this.#begin(place);
  }

  #begin(place: JournalPlace): void {
    const shard = new Shard(place, this.#options, this.#ports);
    const stop = new LinkedAbort(this.#signal);
    this.#running.set(place.partition, { shard, stop });
    const running = this.#run(shard, stop).finally(() => this.#ending.delete(running));
    this.#ending.add(running);
  }

  /** Never rejects. */
  async #run(shard: Shard, stop: LinkedAbort): Promise<void> {
    const { logger } = this.#ports;
    const { partition, writerEpoch } = shard.place;
    const fields = { partition, writerEpoch: writerEpoch.toString() };
    try {
      await shard.run(stop.signal);
      const { reason } = shard.over;
      logger.info('group-partition-over', { ...fields, why: reason instanceof Error ? reason.message : '' });
    } catch (thrown) {
      logger.error('group-partition-failed', { ...fields, why: thrown instanceof Error ? thrown.message : '' });
      // Not at once again and again, where it lasts.
      await this.#ports.clock.sleep(limits.journalRetryMsMax, stop.signal).catch(() => undefined);
      if (!stop.signal.aborted) this.#ports.broken(shard.place, thrown);
    }
    stop[Symbol.dispose]();
  }

  /** Once `signal` is aborted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ending);
    this.#running.clear();
  }
}
