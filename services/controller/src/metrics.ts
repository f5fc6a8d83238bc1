/**
 * What a controller tells Prometheus. Pictures of the cluster are read at each scrape, and exported by the active controller alone: else a sum over
 * all processes would count them twice. Of those, what kafka_exporter has carries its names and labels, so that existing dashboards work.
 */
import { type ClusterImage, type ImageSource, type PartitionInfo, isUnfenced } from '@tributary/metadata';
import type { Metrics } from '@tributary/runtime';
import { livePartitions } from './brokers.ts';
import type { Controller } from './controller.ts';
import { ownership } from './coordinators.ts';

type Watched = Pick<Controller, 'isActive' | 'facts' | 'silent' | 'silentCoordinators'>;
type Images = Pick<ImageSource, 'current'>;

export function registerControllerMetrics(metrics: Metrics, controller: Watched, images: Images): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge<never>({
      name,
      help,
      collect() {
        this.set(value());
      },
    });
  };
  gauge('tributary_controller_active', '1 where this controller is the one that decides.', () =>
    controller.isActive ? 1 : 0,
  );
  gauge('tributary_metadata_revision', 'Revision of the metadata that this process has reached.', () =>
    Number(images.current.revision),
  );
  registerDecisions(metrics, controller);
  registerTotals(metrics, controller, images);
  registerCoordinators(metrics, controller, images);
  registerTopics(metrics, controller, images);
}

/** Counted by whoever decided. */
function registerDecisions(metrics: Metrics, { facts }: Watched): void {
  const help = 'Partitions that this controller gave a leader, by what called for it.';
  metrics.counter<'reason'>({
    name: 'tributary_leader_elections_total',
    help,
    labelNames: ['reason'],
    collect() {
      this.reset();
      for (const [reason, count] of facts.elections) this.inc({ reason }, count);
    },
  });
  const count = (name: string, about: string, value: () => number): void => {
    metrics.counter<never>({
      name,
      help: about,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  const unclean = 'Of them, those whose leader may lack acknowledged records.';
  count('tributary_unclean_leader_elections_total', unclean, () => facts.uncleanElections);
  const shrinks = 'Partitions whose ISR lost members by decisions of this controller.';
  count('tributary_isr_shrunk_partitions_total', shrinks, () => facts.isrShrinks);
  const expands = 'Partitions whose ISR gained members by decisions of this controller.';
  count('tributary_isr_expanded_partitions_total', expands, () => facts.isrExpands);
}

function registerCoordinators(metrics: Metrics, controller: Watched, images: Images): void {
  metrics.counter<'reason'>({
    name: 'tributary_group_partition_moves_total',
    help: 'Partitions of groups to which this controller gave another owner, by what called for it.',
    labelNames: ['reason'],
    collect() {
      this.reset();
      for (const [reason, count] of controller.facts.groupMoves) this.inc({ reason }, count);
    },
  });
  const total = (name: string, help: string, value: (image: ClusterImage) => number): void => {
    metrics.gauge<never>({
      name,
      help,
      collect() {
        if (controller.isActive) this.set(value(images.current));
        else this.remove();
      },
    });
  };
  total('tributary_coordinators', 'Coordinators registered.', (image) => [...image.coordinators()].length);
  total(
    'tributary_coordinators_silent',
    'Coordinators registered of which nothing is heard.',
    () => controller.silentCoordinators.length,
  );
  total(
    'tributary_group_partitions_without_owner',
    'Partitions of __consumer_offsets whose groups nobody serves.',
    (image) => ownership(image).withoutOwner,
  );
}

function registerTotals(metrics: Metrics, controller: Watched, images: Images): void {
  const total = (name: string, help: string, value: (image: ClusterImage) => number): void => {
    metrics.gauge<never>({
      name,
      help,
      collect() {
        if (controller.isActive) this.set(value(images.current));
        else this.remove();
      },
    });
  };
  const partitions = (is: (partition: PartitionInfo) => boolean) => (image: ClusterImage) => {
    let count = 0;
    for (const partition of livePartitions(image)) if (is(partition)) count++;
    return count;
  };
  const brokers = (is: (broker: Parameters<typeof isUnfenced>[0]) => boolean) => (image: ClusterImage) =>
    [...image.brokers()].filter(is).length;
  total('tributary_topics', 'Topics, those in creation or deletion included.', (image) => image.topicCount);
  total('tributary_partitions', 'Partitions of all topics.', (image) => image.partitionCount);
  total(
    'tributary_partitions_without_leader',
    'Partitions that nobody leads.',
    partitions(({ leader }) => leader === undefined),
  );
  total(
    'tributary_partitions_under_replicated',
    'Partitions of which a replica is not in sync.',
    partitions(({ isr, replicas }) => isr.length < replicas.length),
  );
  total(
    'tributary_partitions_under_min_isr',
    'Partitions of which fewer replicas are in sync than min.insync.replicas: acks=all is refused.',
    partitions(({ isr, effectiveMinIsr }) => isr.length < effectiveMinIsr),
  );
  total(
    'tributary_partitions_not_led_by_preferred',
    'Partitions that another than their first replica leads.',
    partitions(({ leader, replicas }) => leader !== undefined && leader !== replicas[0]?.nodeId),
  );
  total('tributary_brokers_active', 'Brokers registered and let in.', brokers(isUnfenced));
  total(
    'tributary_brokers_fenced',
    'Brokers registered and not let in.',
    brokers((broker) => broker?.registration !== undefined && !isUnfenced(broker)),
  );
  total('tributary_brokers_silent', 'Brokers registered of which nothing is heard.', () => controller.silent.length);
  total('tributary_metadata_store_writable', '0 while etcd takes no writes: its NOSPACE alarm, or CORRUPT.', () =>
    controller.facts.isStoreWritable ? 1 : 0,
  );
  total(
    'kafka_brokers',
    'Brokers registered.',
    brokers((broker) => broker?.registration !== undefined),
  );
}

function registerTopics(metrics: Metrics, controller: Watched, images: Images): void {
  metrics.gauge<'topic'>({
    name: 'kafka_topic_partitions',
    help: 'Partitions of the topic.',
    labelNames: ['topic'],
    collect() {
      this.reset();
      if (!controller.isActive) return;
      for (const { name, topicId } of images.current.topics())
        this.set({ topic: name }, images.current.partitionsOf(topicId).length);
    },
  });
  const ofPartition = (name: string, help: string, value: (partition: PartitionInfo) => number): void => {
    metrics.gauge<'topic' | 'partition'>({
      name: `kafka_topic_partition_${name}`,
      help,
      labelNames: ['topic', 'partition'],
      collect() {
        // What was deleted since must not stay.
        this.reset();
        if (!controller.isActive) return;
        const image = images.current;
        for (const partition of livePartitions(image)) {
          const topic = image.topic(partition.topicId)?.name;
          if (topic !== undefined) this.set({ topic, partition: partition.partition }, value(partition));
        }
      },
    });
  };
  ofPartition('leader', 'Who leads the partition; −1: nobody.', ({ leader }) => leader ?? -1);
  ofPartition('replicas', 'Replicas of the partition.', ({ replicas }) => replicas.length);
  ofPartition('in_sync_replica', 'Replicas of the partition that are in sync.', ({ isr }) => isr.length);
  ofPartition('leader_is_preferred', '1 where the first replica leads.', ({ leader, replicas }) =>
    leader !== undefined && leader === replicas[0]?.nodeId ? 1 : 0,
  );
  ofPartition('under_replicated_partition', '1 where a replica is not in sync.', ({ isr, replicas }) =>
    isr.length < replicas.length ? 1 : 0,
  );
}
