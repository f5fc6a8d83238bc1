import { open } from '../cluster.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

interface TopicListOptions extends ConnectionOptions {
  readonly includeInternal?: true;
}

export async function topicList(options: TopicListOptions): Promise<void> {
  await using cluster = await open(options);
  const topics = (await cluster.admin.listTopics()).filter(
    ({ internal }) => !internal || options.includeInternal === true,
  );
  if (options.output === 'json') {
    await print(
      JSON.stringify(
        topics.map(({ name, id, partitions, replicationFactor, internal }) => ({
          name,
          id,
          partitions,
          replicationFactor,
          internal,
        })),
      ),
    );
    return;
  }
  const rows = topics.map(({ name, partitions, replicationFactor, id }) => [name, partitions, replicationFactor, id]);
  await print(table(['topic', 'partitions', 'replication factor', 'id'], rows));
}
