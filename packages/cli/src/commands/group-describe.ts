import type { GroupDescription } from '@tributary/client';
import { open } from '../cluster.ts';
import { groupJsonText, groupText, type Sections } from '../group/picture.ts';
import { watchGroup } from '../group/watch.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface DescribeOptions extends ConnectionOptions, Sections {
  readonly watch?: true;
  /** Seconds. */
  readonly interval: number;
}

export async function groupDescribe(groupId: string, options: DescribeOptions): Promise<void> {
  await using cluster = await open(options);
  const look = async (): Promise<GroupDescription> => await cluster.admin.groups.describe(groupId);
  const first = await look();
  if (options.watch === true) {
    await watchGroup(first, look, { ...options, picture: (group) => groupText(group, options) });
    return;
  }
  await print(options.output === 'json' ? groupJsonText(first) : groupText(first, options));
}
