import type { Admin, AlteredConfigs, ConfigResource, DeletedRecords } from '@tributary/client';
import { topicKeyOfBrokerKey } from '@tributary/model';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { effectText, goneJson, retentionEffect, sumOf, touchesRetention } from '../retention-effect.ts';
import { changesIn, compactionRemark, type SettingOptions, settingsJson, settingsTable } from '../setting-changes.ts';
import { print } from '../standard-output.ts';

interface BrokerAlterOptions extends ConnectionOptions, SettingOptions {
  readonly dryRun?: boolean;
}

/** @param id undefined: the settings of all brokers. */
export async function brokerAlter(id: number | undefined, options: BrokerAlterOptions): Promise<void> {
  const { dryRun = false } = options;
  const changes = changesIn(options);
  if (changes.length === 0) throw new UsageError('Nothing to change: give --set, --append, --subtract or --delete.');
  await using cluster = await open(options);
  const { admin } = cluster;
  const resource: ConfigResource = id === undefined ? { kind: 'all-brokers' } : { kind: 'broker', id };
  const altered = await admin.alterConfigs(resource, changes, { validateOnly: dryRun });
  const gone = dryRun && id === undefined && touchesRetention(altered) ? await effectOf(admin, altered) : undefined;
  const compacts = altered.after.some(({ name, value }) => name === 'log.cleanup.policy' && value.includes('compact'));
  const remarks = compacts ? [compactionRemark] : [];
  if (options.output === 'json') {
    const effect = gone === undefined ? {} : { removed: { ...sumOf(gone), partitions: gone.map(goneJson) } };
    await print(JSON.stringify({ broker: id ?? 'all', dryRun, configs: settingsJson(altered), ...effect, remarks }));
    return;
  }
  const whose = id === undefined ? 'all brokers' : `broker ${id}`;
  const lines = [
    dryRun ? `Dry run: the settings of ${whose} stay as they are.\n` : `Changed the settings of ${whose}.\n`,
  ];
  lines.push(`\n${settingsTable(altered)}`);
  if (gone !== undefined) lines.push(`\n${effectText(gone)}`);
  for (const remark of remarks) lines.push(`\nNote: ${remark}\n`);
  await print(lines.join(''));
}

/** On the topics that leave these settings to the brokers. */
async function effectOf(admin: Admin, { after }: AlteredConfigs): Promise<readonly DeletedRecords[]> {
  const asTopicsSee = after.flatMap(({ name, value }) => {
    const topicName = topicKeyOfBrokerKey.get(name);
    return topicName === undefined ? [] : [{ name: topicName, value }];
  });
  const gone: DeletedRecords[] = [];
  for (const { name } of await admin.listTopics()) {
    const { configs } = await admin.describeTopic(name);
    const own = new Set(configs.filter(({ source }) => source === 'topic').map((each) => each.name));
    const changed = asTopicsSee.filter((each) => !own.has(each.name));
    if (changed.length > 0) gone.push(...(await retentionEffect(admin, name, changed)));
  }
  return gone;
}
