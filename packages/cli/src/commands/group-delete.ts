import { type GroupOutcome, type Tributary, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface DeleteOptions extends ConnectionOptions {
  readonly dryRun?: true;
}

/** Exit code 1 when a group is still there. */
export async function groupDelete(groups: readonly string[], options: DeleteOptions): Promise<void> {
  await using cluster = await open(options);
  const validateOnly = options.dryRun ?? false;
  const found = await cluster.admin.groups.delete(groups, { validateOnly });
  const outcomes = await Promise.all(found.map((each) => withMembers(cluster, each)));
  if (outcomes.some(({ error }) => error !== undefined)) process.exitCode = 1;
  await print(
    options.output === 'json'
      ? JSON.stringify(
          outcomes.map(({ groupId, error }) => ({
            group: groupId,
            deleted: error === undefined && !validateOnly,
            dryRun: validateOnly,
            error: error === undefined ? null : { error: error.error, message: error.message },
          })),
        )
      : outcomes.map((outcome) => sentence(outcome, validateOnly)).join('\n'),
  );
}

function sentence({ groupId, error }: GroupOutcome, isDry: boolean): string {
  if (error !== undefined) return `Not deleted: ${error.message}`;
  return isDry ? `Dry run: would delete group ${groupId}.` : `Deleted group ${groupId}.`;
}

/** Who has to stop first. */
async function withMembers(cluster: Tributary, outcome: GroupOutcome): Promise<GroupOutcome> {
  const { groupId, error } = outcome;
  if (error?.error !== 'NON_EMPTY_GROUP') return outcome;
  const { members } = await cluster.admin.groups.describe(groupId, { lag: false });
  const who = members.map(({ memberId, clientId, host }) => `${memberId} (client ${clientId} at ${host})`).join(', ');
  const message = `Group "${groupId}" has ${members.length === 1 ? 'a member' : `${members.length} members`}: ${who}. Stop them first.`;
  return { groupId, error: new TributaryError('NON_EMPTY_GROUP', message) };
}
