/** A controller as a process of its own, on an etcd; of several, one is active. `--help` lists its settings. */
import { unlessAborted } from '@tributary/metadata';
import { clusterConfigKeys, limits, nodeId, topicConfigKeys } from '@tributary/model';
import { numberSetting, switchSetting, withStandardServices } from '@tributary/runtime';
import { advertisedAddress, partSettings, runPart, sessionTimeoutSetting } from '@tributary/runtime/part';
import { createController, registerControllerMetrics } from './controller.ts';

export const settingTable = {
  ...partSettings(9096),
  'session.timeout.ms': sessionTimeoutSetting(
    'Silence of a broker that is its death, and how long a new controller waits for brokers that it finds absent: not below that of any broker.',
  ),
  'num.partitions': numberSetting(clusterConfigKeys['num.partitions'], 1, limits.partitionsPerTopic),
  // Kafka's defaults are 1 and 1, with which the loss of one broker is one of records: a cluster keeps three copies where nobody says otherwise.
  'default.replication.factor': numberSetting(
    { ...clusterConfigKeys['default.replication.factor'], default: '3' },
    1,
    100,
  ),
  'min.insync.replicas': numberSetting({ ...topicConfigKeys['min.insync.replicas'], default: '2' }, 1, 100),
  'offsets.topic.num.partitions': numberSetting(
    {
      default: String(limits.offsetsTopicPartitions),
      doc: 'Partitions of __consumer_offsets, over which groups spread. Counts when the topic is created, on first use; it never changes afterwards.',
    },
    1,
    limits.partitionsPerTopic,
  ),
  'offsets.topic.replication.factor': numberSetting(
    {
      default: '0',
      doc: 'Copies of each of them; 0: as default.replication.factor says. Groups wait until so many brokers run.',
    },
    0,
    100,
  ),
  'auto.leader.rebalance.enable': switchSetting({
    default: 'true',
    doc: 'The first replica of a partition leads it again by itself once it is in sync.',
  }),
  'leader.imbalance.check.interval.seconds': numberSetting(
    { default: '300', doc: 'How often that is looked for.' },
    1,
    86_400,
  ),
};

if (import.meta.main) {
  await runPart('controller', settingTable, async ({ settings, ports, metrics, stack, stop, unreadyBecause }) => {
    const config = {
      nodeId: nodeId(settings['node.id']),
      address: advertisedAddress(settings, settings.listen),
      defaults: {
        partitions: settings['num.partitions'],
        replicationFactor: settings['default.replication.factor'],
        minInsyncReplicas: settings['min.insync.replicas'],
      },
      offsetsTopic: {
        partitions: settings['offsets.topic.num.partitions'],
        replicationFactor: settings['offsets.topic.replication.factor'],
      },
      sessionTimeoutMs: settings['session.timeout.ms'],
      ...(settings['auto.leader.rebalance.enable']
        ? { leaderImbalanceCheckMs: settings['leader.imbalance.check.interval.seconds'] * 1_000 }
        : {}),
      electionTimeoutMs: limits.controllerLeaseMs,
    };
    const controller = stack.use(createController(config, ports));
    registerControllerMetrics(metrics, controller, ports.images);
    const service = withStandardServices(controller.service, () => !ports.images.over.aborted);
    stack.use(await ports.transport.serve(settings.listen, service));
    // One that stands by is ready: it says who is active.
    unreadyBecause(() => []);
    await unlessAborted(controller.start(), stop);
  });
}
