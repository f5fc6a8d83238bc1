import { open } from '../cluster.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

export async function topicDescribe(name: string, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const topic = await cluster.admin.describeTopic(name);
  if (options.output === 'json') {
    const { id, partitions, replicationFactor, internal, configs, partitionDescriptions } = topic;
    await print(
      JSON.stringify({ name: topic.name, id, partitions, replicationFactor, internal, configs, partitionDescriptions }),
    );
    return;
  }
  const partitions = topic.partitionDescriptions.map(({ partition, leader, leaderEpoch, replicas, isr, reason }) => [
    partition,
    leader === undefined ? `none: ${reason}` : leader,
    leaderEpoch,
    replicas.join(','),
    isr.join(','),
  ]);
  const configs = topic.configs.map((config) => [config.name, config.value, config.source, config.documentation]);
  await print(
    [
      `Topic ${topic.name} (id ${topic.id}): ${counted(topic.partitions, 'partition')}, replication factor ${topic.replicationFactor}\n\n`,
      table(['partition', 'leader', 'leader epoch', 'replicas', 'in sync'], partitions),
      '\n',
      table(['config', 'value', 'set by', 'meaning'], configs),
    ].join(''),
  );
}
