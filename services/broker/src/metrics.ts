/**
 * What a broker tells Prometheus. Partition offsets carry kafka_exporter's names and labels, so that existing dashboards work; all else is
 * `tributary_*`. Facts are counted from the first one on; the distributions begin with `register`, which comes once the broker serves.
 */
import type { ImageSource, PartitionName } from '@tributary/metadata';
import type { ErrorName, TributaryError } from '@tributary/model';
import type { Histogram, Metrics } from '@tributary/runtime';
import type { BrokerObserver } from './observer.ts';
import type { Partition } from './partition/partition.ts';
import type { Resources, ResourceUse } from './resources.ts';

type RequestKind = 'produce' | 'fetch';
type PartitionLabel = 'topic' | 'partition';

/** What is read at each scrape. */
interface Watched {
  readonly resources: Pick<Resources, 'list'>;
  partitions(): Iterable<{ readonly name: PartitionName; readonly partition: Partition }>;
}

interface PartitionFamily {
  readonly name: string;
  readonly help: string;
  readonly value: (partition: Partition) => number;
}

const partitionFamilies: readonly PartitionFamily[] = [
  {
    name: 'kafka_topic_partition_current_offset',
    help: 'High watermark: the offset after the last record that consumers may read.',
    value: ({ highWatermark }) => Number(highWatermark),
  },
  {
    name: 'kafka_topic_partition_oldest_offset',
    help: 'Log start: the first offset that is still there.',
    value: ({ startOffset }) => Number(startOffset),
  },
  {
    name: 'tributary_log_end_offset',
    help: 'The offset after the last record written.',
    value: ({ log }) => Number(log.endOffset),
  },
  {
    name: 'tributary_log_durable_offset',
    help: 'The offset after the last record flushed to the disk.',
    value: ({ log }) => Number(log.durableOffset),
  },
  { name: 'tributary_log_size_bytes', help: 'Bytes of all segments.', value: ({ log }) => log.sizeBytes },
  { name: 'tributary_log_segments', help: 'Segments.', value: ({ log }) => log.segmentCount },
  {
    name: 'tributary_log_first_dirty_offset',
    help: 'The offset from which on the log has not been compacted.',
    value: ({ log }) => Number(log.firstDirty),
  },
  {
    name: 'tributary_log_staged_bytes',
    help: 'Bytes accepted and not yet written.',
    value: ({ stagedBytes }) => stagedBytes,
  },
  {
    name: 'tributary_produce_parked',
    help: 'Batches whose acknowledgement waits for durability.',
    value: ({ parked }) => parked,
  },
  {
    name: 'tributary_producer_states',
    help: 'Idempotent producers remembered.',
    value: ({ producerCount }) => producerCount,
  },
  {
    name: 'tributary_log_damaged_ranges',
    help: 'Ranges of offsets that are answered with an error because the disk lost them.',
    value: ({ log }) => log.health.damaged.length,
  },
];

interface CleanerTotals {
  rounds: number;
  bytesRead: number;
  bytesFreed: number;
  recordsRemoved: number;
  tombstonesRemoved: number;
  stopped: number;
}

export class BrokerMetrics {
  readonly observer: BrokerObserver;
  #bytesIn = 0;
  #recordsIn = 0;
  #bytesOut = 0;
  readonly #errors: Readonly<Record<RequestKind, Map<ErrorName, number>>> = { produce: new Map(), fetch: new Map() };
  readonly #isr = { expanding: 0, shrinking: 0, refused: 0 };
  readonly #cleaner: CleanerTotals = {
    rounds: 0,
    bytesRead: 0,
    bytesFreed: 0,
    recordsRemoved: 0,
    tombstonesRemoved: 0,
    stopped: 0,
  };
  #produceSeconds: Histogram<never> | undefined;
  #syncSeconds: Histogram<never> | undefined;

  constructor() {
    this.observer = {
      produce: {
        produced: (bytes, records) => {
          this.#bytesIn += bytes;
          this.#recordsIn += records;
        },
        refused: (error) => this.#refused('produce', error),
        answered: (ms) => this.#produceSeconds?.observe(ms / 1000),
      },
      fetch: {
        fetched: (bytes) => {
          this.#bytesOut += bytes;
        },
        refused: (error) => this.#refused('fetch', error),
      },
      cleaner: {
        compacted: (report) => {
          this.#cleaner.rounds++;
          this.#cleaner.bytesRead += report.bytesRead;
          this.#cleaner.bytesFreed += report.bytesBefore - report.bytesAfter;
          this.#cleaner.recordsRemoved += report.recordsBefore - report.recordsAfter;
          this.#cleaner.tombstonesRemoved += report.tombstonesGone;
        },
        stopped: () => {
          this.#cleaner.stopped++;
        },
      },
      isr: {
        isrChanged: (kind) => {
          this.#isr[kind]++;
        },
        isrRefused: () => {
          this.#isr.refused++;
        },
      },
      synced: (ms) => this.#syncSeconds?.observe(ms / 1000),
    };
  }

  /** @param secondsBuckets bounds of the distributions' buckets, s. */
  register(
    metrics: Metrics,
    secondsBuckets: readonly number[],
    broker: Watched,
    images: Pick<ImageSource, 'current'>,
  ): void {
    const buckets = [...secondsBuckets];
    const produceHelp = 'From the arrival of a batch to its answer.';
    this.#produceSeconds = metrics.histogram({ name: 'tributary_produce_request_seconds', help: produceHelp, buckets });
    this.#syncSeconds = metrics.histogram({
      name: 'tributary_log_sync_seconds',
      help: 'One flush of a log file to the disk.',
      buckets,
    });
    this.#count(metrics, 'tributary_bytes_in_total', 'Bytes of batches appended.', () => this.#bytesIn);
    this.#count(metrics, 'tributary_records_in_total', 'Records appended.', () => this.#recordsIn);
    this.#count(metrics, 'tributary_bytes_out_total', 'Bytes of batches sent to consumers.', () => this.#bytesOut);
    this.#registerCleaner(metrics);
    this.#registerErrors(metrics);
    this.#registerPartitions(metrics, broker, images);
    this.#registerTopics(metrics, images);
    this.#registerResources(metrics, broker);
  }

  #registerResources(metrics: Metrics, { resources }: Watched): void {
    const figures = [
      ['tributary_resource_used', 'Of a bounded resource, in use now.', ({ used }: ResourceUse) => used],
      ['tributary_resource_limit', 'Of a bounded resource, what is allowed.', ({ limit }: ResourceUse) => limit],
    ] as const;
    for (const [name, help, of] of figures) {
      metrics.gauge({
        name,
        help,
        labelNames: ['resource'],
        collect() {
          for (const each of resources.list()) this.set({ resource: each.name }, of(each));
        },
      });
    }
    metrics.counter({
      name: 'tributary_resource_refused_total',
      help: 'Requests, calls and connections refused because a resource was used up.',
      labelNames: ['resource'],
      collect() {
        this.reset();
        for (const each of resources.list()) this.inc({ resource: each.name }, each.refused);
      },
    });
  }

  #refused(kind: RequestKind, { error }: TributaryError): void {
    const errors = this.#errors[kind];
    errors.set(error, (errors.get(error) ?? 0) + 1);
  }

  #count(metrics: Metrics, name: string, help: string, total: () => number): void {
    metrics.counter<never>({
      name,
      help,
      collect() {
        this.reset();
        this.inc(total());
      },
    });
  }

  #registerCleaner(metrics: Metrics): void {
    const total = (name: string, help: string, figure: keyof CleanerTotals): void =>
      this.#count(metrics, `tributary_log_cleaner_${name}_total`, help, () => this.#cleaner[figure]);
    total('rounds', 'Rounds of compaction, each over one log.', 'rounds');
    total('read_bytes', 'Bytes that compaction has read.', 'bytesRead');
    total('freed_bytes', 'Bytes that compaction has freed.', 'bytesFreed');
    total('removed_records', 'Records that compaction has removed, tombstones included.', 'recordsRemoved');
    total('removed_tombstones', 'Tombstones that compaction has removed.', 'tombstonesRemoved');
    total('stopped', 'Logs given up by compaction until their settings change or the broker starts again.', 'stopped');
  }

  #registerErrors(metrics: Metrics): void {
    const errors = Object.entries(this.#errors);
    metrics.counter<'request' | 'error'>({
      name: 'tributary_request_errors_total',
      help: 'Batches and partitions answered with an error, by its name.',
      labelNames: ['request', 'error'],
      collect() {
        this.reset();
        for (const [request, byName] of errors)
          for (const [error, total] of byName) this.inc({ request, error }, total);
      },
    });
  }

  #registerPartitions(metrics: Metrics, broker: Watched, images: Pick<ImageSource, 'current'>): void {
    for (const { name, help, value } of partitionFamilies) {
      metrics.gauge<PartitionLabel>({
        name,
        help,
        labelNames: ['topic', 'partition'],
        collect() {
          // What was deleted since must not stay.
          this.reset();
          for (const { name: where, partition } of broker.partitions()) {
            const topic = images.current.topic(where.topicId)?.name;
            if (topic !== undefined) this.set({ topic, partition: where.partition }, value(partition));
          }
        },
      });
    }
  }

  #registerTopics(metrics: Metrics, images: Pick<ImageSource, 'current'>): void {
    metrics.gauge<'topic'>({
      name: 'kafka_topic_partitions',
      help: 'Partitions of the topic.',
      labelNames: ['topic'],
      collect() {
        this.reset();
        for (const { name, topicId } of images.current.topics())
          this.set({ topic: name }, images.current.partitionsOf(topicId).length);
      },
    });
    metrics.gauge<never>({
      name: 'kafka_brokers',
      help: 'Brokers registered.',
      collect() {
        this.set([...images.current.brokers()].length);
      },
    });
  }
}
