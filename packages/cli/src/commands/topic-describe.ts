import type { LogDescription, TopicDescription } from '@tributary/client';
import { open } from '../cluster.ts';
import { byteSize, count, counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

export async function topicDescribe(name: string, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const topic = await cluster.admin.describeTopic(name);
  const directories = await cluster.admin.describeLogDirs({ topicIds: [topic.id] });
  // Of each partition what its leader says, or else whoever has it.
  const logs = new Map<number, LogDescription>();
  for (const { broker, partitions } of directories) {
    for (const log of partitions) {
      const isLeader = topic.partitionDescriptions[log.partition]?.leader === broker;
      if (isLeader || !logs.has(log.partition)) logs.set(log.partition, log);
    }
  }
  await print(options.output === 'json' ? json(topic, logs) : text(topic, logs));
}

function json(topic: TopicDescription, logs: ReadonlyMap<number, LogDescription>): string {
  const { name, id, partitions, replicationFactor, internal, configs } = topic;
  const partitionDescriptions = topic.partitionDescriptions.map((partition) => {
    const log = logs.get(partition.partition);
    if (log === undefined) return partition;
    return {
      ...partition,
      sizeBytes: log.sizeBytes,
      segments: log.segments,
      logStartOffset: Number(log.logStartOffset),
      highWatermark: Number(log.highWatermark),
      logEndOffset: Number(log.logEndOffset),
    };
  });
  return JSON.stringify({ name, id, partitions, replicationFactor, internal, configs, partitionDescriptions });
}

/** Epochs: the leader’s, which rises with each election, and the partition’s, which rises with each change. */
const head = ['partition', 'leader', 'epochs', 'replicas', 'in sync', 'eligible', 'flush', 'first', 'end', 'size'];

function text(topic: TopicDescription, logs: ReadonlyMap<number, LogDescription>): string {
  const partitions = topic.partitionDescriptions.map((each) => {
    const { partition, leader, replicas, isr, effectiveMinIsr, flushed } = each;
    const log = logs.get(partition);
    return [
      partition,
      leader ?? 'none',
      `${each.leaderEpoch}.${each.partitionEpoch}`,
      replicas.join(','),
      `${isr.join(',')} (min ${effectiveMinIsr})`,
      each.eligibleLeaderReplicas.join(','),
      flushed ? 'commit' : 'async',
      log === undefined ? '?' : String(log.logStartOffset),
      log === undefined ? '?' : String(log.highWatermark),
      log === undefined ? '?' : byteSize(log.sizeBytes),
    ];
  });
  const configs = topic.configs.map((config) => {
    return [config.name, config.value, config.source, config.defaultValue, config.documentation];
  });
  const all = [...logs.values()];
  const records = all.reduce((sum, log) => sum + Number(log.highWatermark - log.logStartOffset), 0);
  const bytes = all.reduce((sum, log) => sum + log.sizeBytes, 0);
  return [
    `Topic ${topic.name} (id ${topic.id}): ${counted(topic.partitions, 'partition')}, replication factor ${topic.replicationFactor}, `,
    `${count(records)} offsets, ${byteSize(bytes)}\n\n`,
    table(head, partitions),
    ...topic.partitionDescriptions.flatMap(({ partition, reason }) =>
      reason === '' ? [] : [`Partition ${partition}: ${reason}\n`],
    ),
    '\n',
    table(['config', 'value', 'set by', 'default', 'meaning'], configs),
  ].join('');
}
