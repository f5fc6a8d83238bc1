// pure
/** What a topic gets where it does not say: what was set for all brokers, else what the controller was started with, else Kafka's default. */
import {
  type TopicConfig,
  checkTopicConfigs,
  type clusterConfigKeys,
  topicConfig,
  topicConfigKeys,
  withBrokerDefaults,
} from '@tributary/model';
import type { ClusterImage, FlushPolicy, TopicInfo } from '@tributary/metadata';

/** What the controller was started with. */
export interface TopicDefaults {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
}

/** The same, below what was set for all brokers since. */
export function defaultsNow(image: ClusterImage, started: TopicDefaults): TopicDefaults {
  const settings = clusterSettings(image, started);
  return {
    partitions: Number(settings['num.partitions']),
    replicationFactor: Number(settings['default.replication.factor']),
    minInsyncReplicas: Number(settings['min.insync.replicas']),
  };
}

/** The names whose default the controller's start decides. */
export function startedWith(defaults: TopicDefaults) {
  return {
    'num.partitions': String(defaults.partitions),
    'default.replication.factor': String(defaults.replicationFactor),
    'min.insync.replicas': String(defaults.minInsyncReplicas),
  } satisfies Record<keyof typeof clusterConfigKeys | 'min.insync.replicas', string>;
}

/** Everything that is set for all brokers, by broker setting's names. */
function clusterSettings(image: ClusterImage, started: TopicDefaults) {
  return { ...startedWith(started), ...image.clusterConfigs };
}

/** A topic's settings in force, by name; what is absent has Kafka's default. */
function settingsInForce(
  image: ClusterImage,
  own: Readonly<Record<string, string>>,
  started: TopicDefaults,
): Readonly<Record<string, string>> {
  return withBrokerDefaults(own, clusterSettings(image, started));
}

function configInForce(image: ClusterImage, topic: Pick<TopicInfo, 'configs'>, started: TopicDefaults): TopicConfig {
  return topicConfig(settingsInForce(image, topic.configs, started));
}

/** A topic's own settings, and what they make with those beneath. @throws TributaryError INVALID_CONFIG. */
export function checkOwnConfigs(
  image: ClusterImage,
  own: Readonly<Record<string, string>>,
  started: TopicDefaults,
): void {
  checkTopicConfigs(own);
  checkTopicConfigs(settingsInForce(image, own, started));
}

/** What the keys of a topic's partitions say of its settings (M1). */
export interface Effective {
  readonly minIsr: number;
  readonly flushPolicy: FlushPolicy;
}

/** R3: never more than there are replicas. */
export function effectiveOf(image: ClusterImage, topic: TopicInfo, started: TopicDefaults): Effective {
  const { minInsyncReplicas, flushPolicy } = configInForce(image, topic, started);
  return { minIsr: Math.min(minInsyncReplicas, topic.replicationFactor), flushPolicy };
}

/** `unclean.leader.election.enable`: where no replica that has all acknowledged records can lead, another may. */
export function mayLose(image: ClusterImage, topic: Pick<TopicInfo, 'configs'>, started: TopicDefaults): boolean {
  return configInForce(image, topic, started).uncleanLeaderElection;
}

/** The value that a topic's setting has without its own, and whether somebody set that. */
export function beneath(
  image: ClusterImage,
  name: keyof typeof topicConfigKeys,
  started: TopicDefaults,
): { readonly value: string; readonly setBy: 'cluster' | 'start' | 'nobody' } {
  const known = topicConfigKeys[name];
  const brokerKey = 'brokerKey' in known ? known.brokerKey : undefined;
  const set = brokerKey === undefined ? undefined : image.clusterConfigs[brokerKey];
  if (set !== undefined) return { value: set, setBy: 'cluster' };
  const given: Readonly<Record<string, string>> = startedWith(started);
  const value = (brokerKey === undefined ? undefined : given[brokerKey]) ?? known.default;
  return { value, setBy: value === known.default ? 'nobody' : 'start' };
}
