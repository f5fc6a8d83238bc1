/** A topic as a producer uses it: its partitions' queues, or the records that wait until the partitions are known. */
import type { Payload, RecordHeader } from '@tributary/record';
import type { RecordDelivery } from './delivery.ts';
import { PartitionQueue } from './partition-queue.ts';
import type { PartitionView, TopicView } from './cluster-view.ts';
import { noSuchPartition } from './routing.ts';
import type { StickyEven } from './sticky-even.ts';

/** A record that cannot be given a partition yet; its bytes are its own. */
export interface EarlyRecord {
  readonly delivery: RecordDelivery;
  readonly timestamp: number;
  readonly key: Payload;
  readonly value: Payload;
  readonly headers: readonly RecordHeader[];
  readonly partition: number | undefined;
  /** Bytes that it counts for meanwhile. */
  readonly charged: number;
  /** On the monotonic clock, ms. */
  readonly deadline: number;
}

export class ProducerTopic implements Disposable {
  readonly name: string;
  readonly queues: PartitionQueue[] = [];
  readonly sticky: StickyEven;
  /** 0 while unknown. */
  partitions = 0;
  early: EarlyRecord[] = [];
  #views: readonly PartitionView[] = [];
  readonly #idempotent: boolean;
  readonly #interest: Disposable;

  constructor(name: string, idempotent: boolean, sticky: StickyEven, interest: Disposable) {
    this.name = name;
    this.#idempotent = idempotent;
    this.sticky = sticky;
    this.#interest = interest;
  }

  /** The picture of the cluster has changed. */
  see(view: TopicView): void {
    if (view.kind !== 'known') return;
    this.#views = view.partitions;
    this.partitions = view.partitions.length;
    while (this.queues.length < this.partitions)
      this.queues.push(new PartitionQueue(this.name, this.queues.length, this.#idempotent));
  }

  readonly #hasLeader = (partition: number): boolean => this.#views[partition]?.leaderId !== undefined;

  /** For a record without a key. */
  stickyChoice(): number {
    return this.sticky.choose(this.partitions, this.#hasLeader);
  }

  /** For a record without a key that did not fit into the batch of `stickyChoice`. */
  stickyAfterFull(): number {
    return this.sticky.full(this.partitions, this.#hasLeader);
  }

  /** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
  queue(partition: number): PartitionQueue {
    const queue = partition < this.partitions ? this.queues[partition] : undefined;
    if (queue !== undefined) return queue;
    throw noSuchPartition(this.name, partition, this.partitions);
  }

  [Symbol.dispose](): void {
    this.#interest[Symbol.dispose]();
  }
}
