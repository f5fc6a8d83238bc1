/** What there is to say of each partition, and of how its replicas keep up. metrics.ts tells it. */
import type { NodeId } from '@tributary/model';
import type { Partition } from './partition/partition.ts';

/** One figure of each partition. */
export interface PartitionFamily {
  readonly name: string;
  readonly help: string;
  /** Of the replica that leads alone: what all replicas said would be counted several times. */
  readonly leadersOnly?: true;
  readonly value: (partition: Partition) => number;
}

export const partitionFamilies: readonly PartitionFamily[] = [
  {
    name: 'kafka_topic_partition_current_offset',
    help: 'High watermark: the offset after the last record that consumers may read.',
    leadersOnly: true,
    value: ({ highWatermark }) => Number(highWatermark),
  },
  {
    name: 'kafka_topic_partition_oldest_offset',
    help: 'Log start: the first offset that is still there.',
    leadersOnly: true,
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

/** Of all partitions that this broker has. */
export interface ReplicationTotals {
  readonly replicas: number;
  readonly led: number;
  /** Led, and some replica is not in sync. */
  readonly underReplicated: number;
  /** Led, and fewer are in sync than acks=all asks for: it is refused. */
  readonly underMinIsr: number;
}

export function replicationTotals(partitions: Iterable<{ readonly partition: Partition }>): ReplicationTotals {
  let replicas = 0;
  let led = 0;
  let underReplicated = 0;
  let underMinIsr = 0;
  for (const { partition } of partitions) {
    replicas++;
    const term = partition.state.leadership?.term;
    if (term === undefined) continue;
    led++;
    if (term.isr.length < term.replicas.length) underReplicated++;
    if (term.isr.length < term.minIsr) underMinIsr++;
  }
  return { replicas, led, underReplicated, underMinIsr };
}

/** Of each follower of a partition that this broker leads; of one that has acknowledged nothing in this epoch, all of the log. */
export function* replicationLag({
  log,
  state,
}: Partition): Generator<{ readonly replica: NodeId; readonly records: number }> {
  for (const { node, acknowledged } of state.leadership?.followers() ?? []) {
    const has = acknowledged ?? log.startOffset;
    yield { replica: node, records: has < log.endOffset ? Number(log.endOffset - has) : 0 };
  }
}
