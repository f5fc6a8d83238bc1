import { open } from '../cluster.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface TopicCreateOptions extends ConnectionOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Readonly<Record<string, string>>;
  readonly dryRun?: boolean;
}

export async function topicCreate(name: string, options: TopicCreateOptions): Promise<void> {
  await using cluster = await open(options);
  const { partitions, replicationFactor, config: configs, dryRun = false } = options;
  const created = await cluster.admin.createTopic(
    { name, partitions, replicationFactor, configs },
    { validateOnly: dryRun },
  );
  const about = {
    name: created.name,
    partitions: created.partitions,
    replicationFactor: created.replicationFactor,
  };
  if (options.output === 'json') {
    await print(JSON.stringify(dryRun ? { ...about, dryRun } : { ...about, id: created.id }));
    return;
  }
  const done = dryRun ? 'Dry run: would create' : 'Created';
  await print(
    `${done} topic ${about.name} with ${counted(about.partitions, 'partition')}, replication factor ${about.replicationFactor}.`,
  );
}
