/** How topics are shown to those who ask. */
import type { ClusterImage, Stored, TopicInfo } from '@tributary/metadata';
import { topicConfigKeys } from '@tributary/model';
import { type PartitionDescription, type ConfigEntry, type TopicSummary, ConfigSource } from '@tributary/wire';
import { leaderlessReason } from './leaderless.ts';
import type { TopicDefaults } from './topics.ts';

/** Half-created topics and those being deleted are not shown. Sorted by name. */
export function listTopics(image: ClusterImage): TopicSummary[] {
  const shown = [...image.topics()].filter((topic) => topic.phase === 'ready');
  return shown.map(summary).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function summary({ name, topicId, partitions, replicationFactor }: TopicInfo): TopicSummary {
  return { name, topicId, partitions, replicationFactor, internal: name.startsWith('__') };
}

/** Every config with its effective value and where that comes from. */
export function describeConfigs(topic: Stored<TopicInfo>, defaults: TopicDefaults): ConfigEntry[] {
  const ofBrokers: Readonly<Record<string, string>> = { 'min.insync.replicas': String(defaults.minInsyncReplicas) };
  return Object.entries(topicConfigKeys).map(([name, known]) => {
    const set = topic.configs[name];
    const default_ = ofBrokers[name] ?? known.default;
    const fallback = default_ === known.default ? ConfigSource.DEFAULT : ConfigSource.BROKER;
    return {
      name,
      value: set ?? default_,
      defaultValue: default_,
      source: set === undefined ? fallback : ConfigSource.TOPIC,
      documentation: known.doc,
      allowed: known.allowed,
    };
  });
}

export function describePartitions(image: ClusterImage, topic: TopicInfo): PartitionDescription[] {
  return image
    .partitionsOf(topic.topicId)
    .filter((partition) => partition !== undefined)
    .map((partition) => ({
      partition: partition.partition,
      leaderId: partition.leader ?? -1,
      leaderEpoch: partition.leaderEpoch,
      partitionEpoch: partition.partitionEpoch,
      replicas: partition.replicas.map((replica) => replica.nodeId),
      isr: [...partition.isr],
      eligibleLeaderReplicas: [...partition.eligibleLeaderReplicas],
      reason: leaderlessReason(image, partition),
    }));
}
