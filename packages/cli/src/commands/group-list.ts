import { open } from '../cluster.ts';
import { say } from '../failure.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

/** Exit code 1 when the list may lack groups. */
export async function groupList(options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const { groups, missing } = await cluster.admin.groups.list();
  if (missing.length > 0) process.exitCode = 1;
  if (options.output === 'json') {
    const all = groups.map(({ groupId, phase, members, assignor, coordinator }) => {
      return { group: groupId, state: phase, members, assignor, coordinator };
    });
    await print(
      JSON.stringify({
        groups: all,
        missing: missing.map(({ partition, error }) => ({ partition, error: error.error, message: error.message })),
      }),
    );
    return;
  }
  const rows = groups.map(({ groupId, phase, members, assignor, coordinator }) => {
    return [groupId, phase, members, assignor === '' ? '-' : assignor, coordinator];
  });
  await print(table(['GROUP', 'STATE', '#MEMBERS', 'ASSIGNOR', 'COORDINATOR'], rows));
  const [first] = missing;
  if (first !== undefined)
    say(
      `Groups of ${missing.length === 1 ? 'a partition' : `${missing.length} partitions`} of __consumer_offsets may be missing: ${first.error.message}`,
    );
}
