/** How topics and settings are shown to those who ask. */
import { type ClusterImage, type ConfigScope, type TopicInfo, allBrokers } from '@tributary/metadata';
import {
  type TopicConfigKey,
  brokerConfigKey,
  brokerConfigNames,
  isInternalTopic,
  topicConfigKeys,
} from '@tributary/model';
import { type PartitionDescription, type ConfigEntry, type TopicSummary, ConfigSource } from '@tributary/wire';
import { remarksOn } from './leaderless.ts';
import { type TopicDefaults, beneath, startedWith } from './topic-defaults.ts';

/** Half-created topics and those being deleted are not shown. Sorted by name. */
export function listTopics(image: ClusterImage): TopicSummary[] {
  const shown = [...image.topics()].filter((topic) => topic.phase === 'ready');
  return shown.map(summary).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function summary({ name, topicId, partitions, replicationFactor }: TopicInfo): TopicSummary {
  return { name, topicId, partitions, replicationFactor, internal: isInternalTopic(name) };
}

/** Every setting of a topic with the value in force and where that comes from. */
export function describeTopicConfigs(
  image: ClusterImage,
  topic: Pick<TopicInfo, 'configs'>,
  defaults: TopicDefaults,
): ConfigEntry[] {
  return (Object.keys(topicConfigKeys) as TopicConfigKey[]).map((name) => {
    const { doc, allowed } = topicConfigKeys[name];
    const own = topic.configs[name];
    const { value, setBy } = beneath(image, name, defaults);
    return {
      name,
      value: own ?? value,
      defaultValue: value,
      source: own === undefined ? sources[setBy] : ConfigSource.TOPIC,
      documentation: doc,
      allowed,
    };
  });
}

const sources = {
  cluster: ConfigSource.CLUSTER,
  start: ConfigSource.BROKER,
  nobody: ConfigSource.DEFAULT,
} as const;

/** Every dynamic setting of one broker, or of all, in the same way. */
export function describeBrokerConfigs(image: ClusterImage, scope: ConfigScope, defaults: TopicDefaults): ConfigEntry[] {
  const ofAll = scope === allBrokers;
  const own = image.configsSet(scope)?.configs ?? {};
  // What the controller was started with, or the broker itself.
  const started: Readonly<Record<string, string>> =
    scope === allBrokers ? startedWith(defaults) : (image.broker(scope)?.registration?.configs ?? {});
  return brokerConfigNames(ofAll ? 'cluster' : 'broker').map((name) => {
    const known = brokerConfigKey(name, ofAll ? 'cluster' : 'broker');
    const below = (ofAll ? undefined : image.clusterConfigs[name]) ?? started[name] ?? known.default;
    const set = own[name];
    const clusterSet = !ofAll && image.clusterConfigs[name] !== undefined;
    const fallback = clusterSet ? 'cluster' : below === known.default ? 'nobody' : 'start';
    return {
      name,
      value: set ?? below,
      defaultValue: below,
      source: set === undefined ? sources[fallback] : ofAll ? ConfigSource.CLUSTER : ConfigSource.BROKER,
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
      reason: remarksOn(image, partition),
      effectiveMinIsr: partition.effectiveMinIsr,
      flushed: partition.effectiveFlushPolicy === 'commit',
    }));
}
