import type { AlteredConfigs, Tributary } from '@tributary/client';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { effectText, goneJson, retentionEffect, sumOf, touchesRetention } from '../retention-effect.ts';
import { changesIn, compactionRemark, type SettingOptions, settingsJson, settingsTable } from '../setting-changes.ts';
import { print } from '../standard-output.ts';

interface TopicAlterOptions extends ConnectionOptions, SettingOptions {
  readonly partitions?: number;
  readonly dryRun?: boolean;
}

export async function topicAlter(name: string, options: TopicAlterOptions): Promise<void> {
  const { partitions: total, dryRun = false } = options;
  const changes = changesIn(options);
  if (changes.length === 0 && total === undefined)
    throw new UsageError('Nothing to change: give --set, --append, --subtract, --delete or --partitions.');
  await using cluster = await open(options);
  const { admin } = cluster;
  const topic = { kind: 'topic', name } as const;
  // Both are looked at before either is done.
  const alter = (validateOnly: boolean) => admin.alterConfigs(topic, changes, { validateOnly });
  const grow = (wanted: number, validateOnly: boolean) => admin.createPartitions(name, wanted, { validateOnly });
  let altered = changes.length > 0 ? await alter(true) : undefined;
  let grown = total === undefined ? undefined : await grow(total, true);
  const asksRetention = dryRun && altered !== undefined && touchesRetention(altered);
  const gone = asksRetention ? await retentionEffect(admin, name, altered?.after ?? []) : undefined;
  const remarks = await remarksOn(cluster, name, altered, grown !== undefined);
  if (!dryRun) {
    if (changes.length > 0) altered = await alter(false);
    if (total !== undefined) grown = await grow(total, false);
  }
  if (options.output === 'json') {
    const configs = altered === undefined ? [] : settingsJson(altered);
    const effect = gone === undefined ? {} : { removed: { ...sumOf(gone), partitions: gone.map(goneJson) } };
    const added = grown === undefined ? {} : { partitions: { before: grown.before, after: grown.partitions } };
    await print(JSON.stringify({ name, dryRun, configs, ...added, ...effect, remarks }));
    return;
  }
  const lines = [dryRun ? `Dry run: topic ${name} stays as it is.\n` : `Changed topic ${name}.\n`];
  if (altered !== undefined) lines.push(`\n${settingsTable(altered)}`);
  if (grown !== undefined) lines.push(`\nPartitions: ${grown.before} before, ${grown.partitions} after.\n`);
  if (gone !== undefined) lines.push(`\n${effectText(gone)}`);
  for (const remark of remarks) lines.push(`\nNote: ${remark}\n`);
  await print(lines.join(''));
}

/** What is legal and may surprise. */
async function remarksOn(
  cluster: Tributary,
  name: string,
  altered: AlteredConfigs | undefined,
  isGrown: boolean,
): Promise<string[]> {
  const remarks: string[] = [];
  if (isGrown) remarks.push('New records of a key may come to another partition than its old ones.');
  const after = (setting: string): string | undefined => altered?.after.find((each) => each.name === setting)?.value;
  const minInsync = after('min.insync.replicas');
  if (minInsync !== undefined) {
    const { replicationFactor } = await cluster.admin.describeTopic(name);
    if (Number(minInsync) > replicationFactor) {
      const replicas = counted(replicationFactor, 'replica');
      remarks.push(`With ${replicas} of each partition, min.insync.replicas counts as ${replicationFactor}.`);
    }
  }
  if (after('flush.policy') === 'commit')
    remarks.push('A partition counts as flush.policy=commit once every in-sync replica has flushed what it has.');
  if (after('cleanup.policy')?.includes('compact') === true) remarks.push(compactionRemark);
  return remarks;
}
