/** The settings of each part: those that make it a part of its cluster, and those that the user gives. */
import { readSettings, type SettingTable } from '@tributary/runtime';
import { TributaryError } from '@tributary/model';
import { UsageError } from '../failure.ts';
import type { ClusterFolder } from './cluster-folder.ts';
import { addressOf, type LocalCluster, loopback, type Part, type Role, roles, withRole } from './parts.ts';
import { programOf } from './programs.ts';

/** Copies of a partition where nobody says otherwise: as many as survive the loss of a broker without a gap, if there are so many brokers. */
const replicasWished = 3;
const inSyncWished = 2;

type Settings = Readonly<Record<string, string>>;

/** What makes it that part of that cluster: not the user's to give. */
function identitySettings(cluster: LocalCluster, part: Part, folder: ClusterFolder): Settings {
  const address = addressOf(part);
  if (part.role === 'etcd') {
    const [client, peer] = [`http://${address}`, `http://${loopback}:${part.ports['peer'] ?? 0}`];
    return {
      name: part.name,
      'data-dir': folder.dataOf(part),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `${part.name}=${peer}`,
    };
  }
  const [etcd] = withRole(cluster, 'etcd');
  return {
    'node.id': String(part.id ?? 0),
    cluster: 'local',
    'etcd.endpoints': etcd === undefined ? '' : `http://${addressOf(etcd)}`,
    listen: address,
    'http.listen': `${loopback}:${part.ports['http'] ?? 0}`,
    ...(part.role === 'broker' ? { 'data.dir': folder.dataOf(part) } : {}),
  };
}

/** All of them, by their names. */
export function settingsOf(cluster: LocalCluster, part: Part, folder: ClusterFolder): Settings {
  return {
    ...defaults(cluster, part),
    ...given(cluster.settings, part.role),
    ...given(cluster.settings, part.name),
    ...identitySettings(cluster, part, folder),
  };
}

function defaults(cluster: LocalCluster, { role, name }: Part): Settings {
  const brokers = withRole(cluster, 'broker').length;
  switch (role) {
    case 'etcd':
      return { logger: 'zap', 'log-level': 'warn' };
    case 'broker':
      // Each as if it had a machine of its own: replicas go to different ones.
      return { host: name };
    case 'coordinator':
      return {};
    case 'controller':
      return {
        'default.replication.factor': String(Math.min(replicasWished, brokers)),
        'min.insync.replicas': String(brokers >= replicasWished ? inSyncWished : 1),
      };
  }
}

function given(settings: Settings, target: string): Settings {
  const prefix = `${target}.`;
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  );
}

/** @throws UsageError naming what is wrong with a setting, before any part meets it. */
export async function withOwnSettings(
  cluster: LocalCluster,
  set: Settings,
  removed: readonly string[],
): Promise<LocalCluster> {
  if (Object.keys(set).length === 0 && removed.length === 0) return cluster;
  for (const key of removed) {
    if (!Object.hasOwn(cluster.settings, key))
      throw new UsageError(`--delete ${key}: it is not set; set are ${shownKeys(cluster.settings)}.`);
  }
  const kept = Object.entries(cluster.settings).filter(([key]) => !removed.includes(key));
  const changed = { ...cluster, settings: { ...Object.fromEntries(kept), ...set } };
  for (const key of Object.keys(set)) checkTarget(changed, key);
  const tables = new Map<Role, SettingTable>();
  for (const role of ['controller', 'broker', 'coordinator'] as const) {
    if (changed.parts.some((part) => part.role === role)) tables.set(role, await tableOf(role));
  }
  for (const part of changed.parts) {
    const table = tables.get(part.role);
    const own = { ...given(changed.settings, part.role), ...given(changed.settings, part.name) };
    if (table !== undefined) check(part, table, own);
  }
  return changed;
}

function checkTarget({ parts }: LocalCluster, key: string): void {
  const targets = [...roles, ...parts.map(({ name }) => name)];
  if (!targets.some((target) => key.startsWith(`${target}.`) && key.length > target.length + 1))
    throw new UsageError(
      `--set ${key}: allowed are settings of a role or of one part, for example broker.session.timeout.ms=4000 or broker-1.rack=a.`,
    );
  const [, name = ''] = /^[^.]+\.(.*)$/.exec(key) ?? [];
  if (/^(node\.id|cluster|etcd\..*|listen|advertised|http\.listen|data\.dir)$/.test(name) || isEtcdIdentity(key, name))
    throw new UsageError(`--set ${key}: \`tributary local\` chooses this itself.`);
}

const isEtcdIdentity = (key: string, name: string): boolean =>
  key.startsWith('etcd') && /^(name|data-dir|wal-dir|config-file|initial-.*|.*-urls)$/.test(name);

/** As the part itself will read them. */
function check({ name }: Part, table: SettingTable, own: Settings): void {
  try {
    readSettings(table, { flags: { 'node.id': '1', ...own } });
  } catch (thrown) {
    throw new UsageError(`--set for ${name}: ${TributaryError.from(thrown).message}`);
  }
}

/** The part's own table, from its program: what is not run as one only tells. */
async function tableOf(role: Exclude<Role, 'etcd'>): Promise<SettingTable> {
  const { settingTable }: { settingTable?: SettingTable } = await import(programOf(role));
  if (settingTable === undefined) throw new Error(`The program of the ${role} does not tell its settings.`);
  return settingTable;
}

const shownKeys = (settings: Settings): string => Object.keys(settings).join(', ') || 'none';
