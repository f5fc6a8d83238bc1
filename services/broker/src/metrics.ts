/**
 * What a broker tells Prometheus. Partition offsets carry kafka_exporter's names and labels, so that existing dashboards work; all else is
 * `tributary_*`. Facts are counted from the first one on; the distributions begin with `register`, which comes once the broker serves.
 */
import type { ImageSource, PartitionName } from '@tributary/metadata';
import type { ErrorName, TributaryError } from '@tributary/model';
import type { Histogram, Metrics } from '@tributary/runtime';
import type { BrokerObserver } from './observer.ts';
import { partitionFamilies, replicationLag, replicationTotals, type ReplicationTotals } from './partition-families.ts';
import type { Partition } from './partition/partition.ts';
import type { Resources, ResourceUse } from './resources.ts';

type RequestKind = 'produce' | 'fetch';
type PartitionLabel = 'topic' | 'partition';

/** What is read at each scrape. */
interface Watched {
  readonly resources: Pick<Resources, 'list'>;
  partitions(): Iterable<{ readonly name: PartitionName; readonly partition: Partition }>;
}

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
    this.#registerReplication(metrics, broker, images);
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
    for (const { name, help, leadersOnly, value } of partitionFamilies) {
      metrics.gauge<PartitionLabel>({
        name,
        help,
        labelNames: ['topic', 'partition'],
        collect() {
          // What was deleted since must not stay.
          this.reset();
          for (const { name: where, partition } of broker.partitions()) {
            const topic = images.current.topic(where.topicId)?.name;
            if (leadersOnly === true && partition.state.role.kind !== 'leading') continue;
            if (topic !== undefined) this.set({ topic, partition: where.partition }, value(partition));
          }
        },
      });
    }
  }

  #registerReplication(metrics: Metrics, broker: Watched, images: Pick<ImageSource, 'current'>): void {
    const total = (name: string, help: string, figure: keyof ReplicationTotals): void => {
      metrics.gauge<never>({
        name,
        help,
        collect() {
          this.set(replicationTotals(broker.partitions())[figure]);
        },
      });
    };
    total('tributary_replicas', 'Replicas that this broker has.', 'replicas');
    total('tributary_partitions_led', 'Partitions that this broker leads.', 'led');
    total(
      'tributary_under_replicated_partitions',
      'Of them, those of which a replica is not in sync.',
      'underReplicated',
    );
    total(
      'tributary_under_min_isr_partitions',
      'Of them, those of which fewer replicas are in sync than min.insync.replicas: acks=all is refused.',
      'underMinIsr',
    );
    metrics.gauge<PartitionLabel | 'replica'>({
      name: 'tributary_replication_lag_records',
      help: 'Offsets that a follower of a partition that this broker leads has not yet acknowledged.',
      labelNames: ['topic', 'partition', 'replica'],
      collect() {
        this.reset();
        for (const { name: where, partition } of broker.partitions()) {
          const topic = images.current.topic(where.topicId)?.name;
          if (topic === undefined) continue;
          for (const { replica, records } of replicationLag(partition))
            this.set({ topic, partition: where.partition, replica }, records);
        }
      },
    });
    const expands = 'Replicas let into the ISR of a partition that this broker leads: changes decided.';
    this.#count(metrics, 'tributary_isr_expands_total', expands, () => this.#isr.expanding);
    const shrinks = 'The same of replicas that fell behind.';
    this.#count(metrics, 'tributary_isr_shrinks_total', shrinks, () => this.#isr.shrinking);
    const refused = 'Changes of an ISR that this broker proposed and the controller refused.';
    this.#count(metrics, 'tributary_isr_proposals_refused_total', refused, () => this.#isr.refused);
  }
}
