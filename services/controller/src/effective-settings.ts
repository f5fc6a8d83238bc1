// pure
/**
 * `min.insync.replicas` and `flush.policy` as partitions keep to them: their keys follow the settings (M1), in transactions that can be taken up
 * from the store alone (M3).
 */
import { type BrokerEpoch, type LeaderEpoch, type NodeId, type TopicId, partitionEpoch } from '@tributary/model';
import type { ClusterImage, PartitionInfo, PartitionName, Stored, TopicInfo } from '@tributary/metadata';
import { type PartitionChange, partitionSteps } from './partition-changes.ts';
import type { Step } from './step.ts';
import { type Effective, type TopicDefaults, effectiveOf } from './topic-defaults.ts';

/** Topics whose settings may have changed. */
export type Reconfigured = ReadonlySet<TopicId> | 'all';

/** Brings the keys of these topics' partitions to what the settings say; [] when they do. */
export function settleEffective(
  image: ClusterImage,
  reconfigured: Reconfigured,
  defaults: TopicDefaults,
): readonly Step[] {
  return change(image, reconfigured, (partition, wanted) => followed(partition, wanted), defaults);
}

/** The keys of these partitions say `commit` once every in-sync or eligible replica has said that all is flushed, and stays so (R6). */
export function settleFlushed(
  image: ClusterImage,
  names: readonly PartitionName[],
  reports: FlushReports,
  defaults: TopicDefaults,
): readonly Step[] {
  const named = new Set(names.map(keyOf));
  const after = (partition: Stored<PartitionInfo>, { flushPolicy }: Effective): PartitionInfo => {
    if (!named.has(keyOf(partition)) || flushPolicy !== 'commit') return partition;
    if (partition.effectiveFlushPolicy === 'commit' || !reports.complete(image, partition)) return partition;
    return { ...partition, effectiveFlushPolicy: 'commit', partitionEpoch: bumped(partition) };
  };
  return change(image, new Set(names.map((name) => name.topicId)), after, defaults);
}

/** @returns the same object when nothing changes. */
function followed(partition: PartitionInfo, { minIsr, flushPolicy }: Effective): PartitionInfo {
  // Whoever has acknowledged without flushing must not be taken for one that flushes: only reports lead to `commit`.
  const effectiveFlushPolicy = flushPolicy === 'async' ? 'async' : partition.effectiveFlushPolicy;
  if (partition.effectiveMinIsr === minIsr && partition.effectiveFlushPolicy === effectiveFlushPolicy) return partition;
  return {
    ...partition,
    effectiveMinIsr: minIsr,
    effectiveFlushPolicy,
    // R5: the in-sync replicas may go on without those from now on.
    eligibleLeaderReplicas: partition.isr.length >= minIsr ? [] : partition.eligibleLeaderReplicas,
    partitionEpoch: bumped(partition),
  };
}

const bumped = (partition: PartitionInfo) => partitionEpoch(partition.partitionEpoch + 1);

function change(
  image: ClusterImage,
  which: Reconfigured,
  after: (partition: Stored<PartitionInfo>, wanted: Effective) => PartitionInfo,
  defaults: TopicDefaults,
): readonly Step[] {
  const changes: PartitionChange[] = [];
  for (const topic of topicsIn(image, which)) {
    if (topic.phase === 'deleting') continue;
    const wanted = effectiveOf(image, topic, defaults);
    for (const before of image.partitionsOf(topic.topicId)) {
      const next = before === undefined ? undefined : after(before, wanted);
      if (before !== undefined && next !== undefined && next !== before) changes.push({ before, after: next });
    }
  }
  return partitionSteps(changes, (count) => `${count} partitions take over changed settings`, 'settings');
}

function* topicsIn(image: ClusterImage, which: Reconfigured): Generator<Stored<TopicInfo>> {
  if (which === 'all') {
    yield* image.topics();
    return;
  }
  for (const id of which) {
    const topic = image.topic(id);
    if (topic !== undefined) yield topic;
  }
}

const keyOf = ({ topicId, partition }: PartitionName): string => `${topicId}/${partition}`;

/** One replica's word: as of metadata revision `revision` it flushes whatever it writes, and what it had written before is flushed. */
interface FlushReport {
  readonly brokerEpoch: BrokerEpoch;
  readonly leaderEpoch: LeaderEpoch;
  readonly revision: bigint;
}

/** The replicas' words, while others are missing. They are given again and again until the key says `commit`: a new controller begins with none. */
export class FlushReports {
  readonly #reports = new Map<string, Map<NodeId, FlushReport>>();

  note(name: PartitionName, node: NodeId, report: FlushReport): void {
    const key = keyOf(name);
    const ofPartition = this.#reports.get(key) ?? new Map<NodeId, FlushReport>();
    this.#reports.set(key, ofPartition.set(node, report));
  }

  /**
   * Every in-sync replica has given its word, and no setting has changed since. Every eligible one too: it may lead, and what a machine lost would
   * not be asked after any more.
   */
  complete(image: ClusterImage, partition: PartitionInfo): boolean {
    const topic = image.topic(partition.topicId);
    const ofPartition = this.#reports.get(keyOf(partition));
    if (topic === undefined || ofPartition === undefined || partition.isr.length === 0) return false;
    const ofCluster = image.configsSet('all')?.modRevision ?? 0n;
    const settledAt = topic.modRevision > ofCluster ? topic.modRevision : ofCluster;
    return [...partition.isr, ...partition.eligibleLeaderReplicas].every((node) => {
      const report = ofPartition.get(node);
      return (
        report !== undefined &&
        report.leaderEpoch === partition.leaderEpoch &&
        report.revision >= settledAt &&
        report.brokerEpoch === image.broker(node)?.registration?.createRevision
      );
    });
  }

  /** Those that no decision can need any more. */
  forget(image: ClusterImage, names: readonly PartitionName[]): void {
    for (const name of names) {
      const partition = image.partition(name.topicId, name.partition);
      if (partition?.effectiveFlushPolicy !== 'async') this.#reports.delete(keyOf(name));
    }
  }

  clear(): void {
    this.#reports.clear();
  }
}
