import { open } from '../cluster.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface TopicCreateOptions extends ConnectionOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Readonly<Record<string, string>>;
}

export async function topicCreate(name: string, options: TopicCreateOptions): Promise<void> {
  await using cluster = await open(options);
  const { partitions, replicationFactor, config: configs } = options;
  const created = await cluster.admin.createTopic({ name, partitions, replicationFactor, configs });
  if (options.output === 'json') {
    await print(
      JSON.stringify({
        name: created.name,
        id: created.id,
        partitions: created.partitions,
        replicationFactor: created.replicationFactor,
      }),
    );
  } else {
    await print(
      `Created topic ${created.name} with ${counted(created.partitions, 'partition')}, replication factor ${created.replicationFactor}.`,
    );
  }
}
