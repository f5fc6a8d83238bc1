import { type LogDescription, type TopicDescription, type Tributary, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import { byteSize, count, counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

/** How long a broker may take to tell of its logs, ms: those that can, do at once. */
const logsMs = 2_000;

export async function topicDescribe(name: string, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const topic = await cluster.admin.describeTopic(name);
  const { logs, silent } = await logsOf(cluster, topic);
  await print(options.output === 'json' ? json(topic, logs) : text(topic, logs, silent));
}

interface FoundLogs {
  /** Of each partition what its leader says, or else whoever has it. */
  readonly logs: ReadonlyMap<number, LogDescription>;
  /** Why brokers did not tell theirs. */
  readonly silent: readonly string[];
}

/** Asks the leaders, and where there is none all replicas. A broker that does not answer is no reason to show nothing: it may be what is wrong. */
async function logsOf({ admin }: Tributary, { id, partitionDescriptions }: TopicDescription): Promise<FoundLogs> {
  const asked = new Set(
    partitionDescriptions.flatMap(({ leader, replicas }) => (leader === undefined ? replicas : [leader])),
  );
  const silent: string[] = [];
  const logs = new Map<number, LogDescription>();
  await Promise.all(
    [...asked].map(async (broker) => {
      const options = { timeoutMs: logsMs };
      try {
        const directories = await admin.describeLogDirs({ ids: [broker], topicIds: [id] }, options);
        for (const log of directories.flatMap(({ partitions }) => partitions)) {
          const isLeader = partitionDescriptions[log.partition]?.leader === broker;
          if (isLeader || !logs.has(log.partition)) logs.set(log.partition, log);
        }
      } catch (thrown) {
        silent.push(TributaryError.from(thrown).message);
      }
    }),
  );
  return { logs, silent };
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

function text(topic: TopicDescription, logs: ReadonlyMap<number, LogDescription>, silent: readonly string[]): string {
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
    `Topic ${topic.name} (id ${topic.id}${topic.internal ? ', of the cluster itself' : ''}): ${counted(topic.partitions, 'partition')}, replication factor ${topic.replicationFactor}, `,
    `${count(records)} offsets, ${byteSize(bytes)}\n\n`,
    table(head, partitions),
    ...topic.partitionDescriptions.flatMap(({ partition, reason }) =>
      reason === '' ? [] : [`Partition ${partition}: ${reason}\n`],
    ),
    ...silent.map((why) => `Unknown, and shown as ?: ${why}\n`),
    '\n',
    table(['config', 'value', 'set by', 'default', 'meaning'], configs),
  ].join('');
}
