/** What a change of settings would take away, found out before it is made. */
import type { Admin, AlteredConfigs, ConfigValue, DeletedRecords } from '@tributary/client';
import { byteSize, count, counted } from './figures.ts';
import { table } from './table.ts';

/** Of a topic whose settings would change so. @param after the changed settings, by the names that topics have for them. */
export async function retentionEffect(
  admin: Admin,
  topic: string,
  after: readonly Pick<ConfigValue, 'name' | 'value'>[],
): Promise<readonly DeletedRecords[]> {
  const { id, configs } = await admin.describeTopic(topic);
  const settings = Object.fromEntries([...configs, ...after].map(({ name, value }) => [name, value]));
  return await admin.previewRetention({ name: topic, id }, settings);
}

/** Only what decides how long records stay is worth asking the brokers for. */
export function touchesRetention({ after }: AlteredConfigs): boolean {
  return after.some(({ name }) => /retention\.(ms|bytes)$|cleanup\.policy$/.test(name));
}

interface Sum {
  readonly records: number;
  readonly bytes: number;
}

export function sumOf(gone: readonly Sum[]): Sum {
  return gone.reduce((sum, each) => ({ records: sum.records + each.records, bytes: sum.bytes + each.bytes }), {
    records: 0,
    bytes: 0,
  });
}

/** "12 records and 3.4 KiB" */
export function amount({ records, bytes }: Sum): string {
  return `${counted(records, 'record')} and ${byteSize(bytes)}`;
}

export function effectText(gone: readonly DeletedRecords[]): string {
  const affected = gone.filter(({ records }) => records > 0);
  if (affected.length === 0) return 'Retention would remove nothing at its next check.\n';
  const rows = affected.map(({ topic, partition, records, bytes, logStartOffset }) => {
    return [topic, partition, count(records), byteSize(bytes), String(logStartOffset)];
  });
  return [
    `Retention would remove ${amount(sumOf(affected))} at its next check:\n\n`,
    table(['topic', 'partition', 'records', 'size', 'first offset left'], rows),
  ].join('');
}

export function goneJson({ topic, partition, records, bytes, logStartOffset }: DeletedRecords) {
  return { topic, partition, records, bytes, logStartOffset: Number(logStartOffset) };
}
