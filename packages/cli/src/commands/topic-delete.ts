import { open } from '../cluster.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

export async function topicDelete(name: string, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  await cluster.admin.deleteTopic(name);
  await print(options.output === 'json' ? JSON.stringify({ name, deleted: true }) : `Deleted topic ${name}.`);
}
