/** Changes of settings, as options give them and as people read them. */
import type { AlteredConfigs, ConfigChange } from '@tributary/client';
import { UsageError } from './failure.ts';
import { table } from './table.ts';

export interface SettingOptions {
  readonly set?: Readonly<Record<string, string>>;
  readonly append?: Readonly<Record<string, string>>;
  readonly subtract?: Readonly<Record<string, string>>;
  readonly delete?: readonly string[];
}

/** What a policy of compaction does that no dry run counts: it depends on the keys. */
export const compactionRemark =
  'Compaction keeps the newest record of each key; older ones of the same key go, and so do records without a key.';

/** @throws UsageError where a setting is named twice. */
export function changesIn({ set = {}, append = {}, subtract = {}, delete: gone = [] }: SettingOptions): ConfigChange[] {
  const changes: ConfigChange[] = [
    ...Object.entries(set).map(([name, value]) => ({ name, operation: 'set' as const, value })),
    ...Object.entries(append).map(([name, value]) => ({ name, operation: 'append' as const, value })),
    ...Object.entries(subtract).map(([name, value]) => ({ name, operation: 'subtract' as const, value })),
    ...gone.map((name) => ({ name, operation: 'delete' as const })),
  ];
  const twice = changes.find(({ name }, i) => changes.findIndex((each) => each.name === name) !== i);
  if (twice !== undefined) throw new UsageError(`The setting ${twice.name} is changed twice in one command.`);
  return changes;
}

export function settingsTable({ before, after }: AlteredConfigs): string {
  const rows = after.map(({ name, value, source }, i) => [name, before[i]?.value ?? '', value, source]);
  return table(['config', 'before', 'after', 'set by'], rows);
}

export function settingsJson({ before, after }: AlteredConfigs) {
  return after.map(({ name, value, source }, i) => ({
    name,
    before: before[i]?.value,
    after: value,
    sourceBefore: before[i]?.source,
    source,
  }));
}
