/** The settings that every part of a cluster has, and what follows from them. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { limits, TributaryError } from '@tributary/model';
import type { EtcdOptions } from '../etcd/etcd-store.ts';
import { fileError } from '../file-system/file-error.ts';
import { logLevels } from '../logging.ts';
import {
  choiceSetting,
  listSetting,
  numberSetting,
  type Setting,
  type SettingTable,
  type SettingValues,
  textSetting,
} from '../settings.ts';
import { formatAddress, parseAddress } from '../transport/addresses.ts';

/** The HTTP port lies so far above the gRPC port, everywhere in Tributary. */
const httpPortDistance = 100;
/** Listening there is listening at every address of the machine, and no address that others can call. */
const wildcards = ['0.0.0.0', '::'];
const largestNodeId = 2 ** 31 - 1;

interface Meaning {
  readonly doc: string;
  readonly default: string;
}

function addressSetting(meaning: Meaning): Setting<string> {
  const allowed = meaning.default === '' ? 'host:port, or nothing' : 'host:port';
  return { ...meaning, allowed, read: (text) => (text === '' && meaning.default === '' ? text : addressOf(text)) };
}

function addressOf(text: string): string | undefined {
  try {
    return formatAddress(parseAddress(text));
  } catch {
    return undefined;
  }
}

function nameSetting(meaning: Meaning): Setting<string> {
  const allowed = 'letters, digits, ".", "_" and "-"';
  return { ...meaning, allowed, read: (text) => (/^[A-Za-z0-9._-]+$/.test(text) ? text : undefined) };
}

/** @param port of the part's gRPC services where nobody says otherwise. */
export function partSettings(port: number) {
  return {
    'node.id': numberSetting({ doc: 'Number of this node, unique among all parts of the cluster.' }, 0, largestNodeId),
    cluster: nameSetting({
      default: 'tributary',
      doc: 'Name of the cluster: its metadata lies below `/tributary/<name>/`, so several may share an etcd.',
    }),
    'etcd.endpoints': listSetting(
      { default: 'http://127.0.0.1:2379', doc: "Members of etcd's cluster." },
      'http://host:port or https://host:port, several between commas',
      (item) => /^(https?:\/\/)?[^/\s]+:\d+$/.test(item),
    ),
    'etcd.user': textSetting({ default: '', doc: 'User at etcd; empty where it asks for none.' }),
    'etcd.password': textSetting({
      default: '',
      doc: "That user's password; better in the environment than in a flag.",
    }),
    'etcd.ca.file': textSetting(
      { default: '', doc: "Certificates of who signed etcd's; empty: those of the system." },
      'a PEM file',
    ),
    'etcd.certificate.file': textSetting(
      { default: '', doc: 'Own certificate, where etcd asks for one.' },
      'a PEM file',
    ),
    'etcd.key.file': textSetting({ default: '', doc: 'The key of that certificate.' }, 'a PEM file'),
    listen: addressSetting({
      default: `0.0.0.0:${port}`,
      doc: 'Where the gRPC services listen; port 0: any free one.',
    }),
    advertised: addressSetting({
      default: '',
      doc: 'Where others reach them; empty: as `listen`, with the name of the machine for a wildcard.',
    }),
    'http.listen': addressSetting({
      default: '',
      doc: `Where /metrics, /healthz and /readyz are; empty: as \`listen\`, with the port ${httpPortDistance} higher.`,
    }),
    'log.level': choiceSetting({ default: 'info', doc: 'The least that is logged, to standard error.' }, ...logLevels),
    'log.format': choiceSetting(
      { default: 'auto', doc: 'One JSON object or one text per event; `auto`: text on a terminal.' },
      'auto',
      'json',
      'text',
    ),
  } as const satisfies SettingTable;
}

export type PartSettings = SettingValues<ReturnType<typeof partSettings>>;

/** @param bound where the gRPC services listen. @throws TributaryError INVALID_CONFIG where that leaves the port open. */
export function advertisedAddress({ advertised }: PartSettings, bound: string): string {
  if (advertised !== '') return advertised;
  const { host, port } = parseAddress(bound);
  if (port === 0)
    throw new TributaryError(
      'INVALID_CONFIG',
      `Others cannot be told of ${bound}: name a port in listen, or set advertised.`,
    );
  return formatAddress({ host: wildcards.includes(host) ? os.hostname() : host, port });
}

/** @throws TributaryError INVALID_CONFIG where the port would be too high. */
export function httpAddress({ listen, 'http.listen': given }: PartSettings): string {
  if (given !== '') return given;
  const { host, port } = parseAddress(listen);
  if (port === 0) return formatAddress({ host, port });
  if (port + httpPortDistance > 65_535) {
    throw new TributaryError(
      'INVALID_CONFIG',
      `The pages would be at port ${port} + ${httpPortDistance}, which does not exist: set http.listen.`,
    );
  }
  return formatAddress({ host, port: port + httpPortDistance });
}

/** @throws FileError naming a file that cannot be read. */
export function etcdOptions(settings: PartSettings): EtcdOptions {
  const text = (value: string): string | undefined => (value === '' ? undefined : value);
  const file = (name: string): Buffer | undefined => (name === '' ? undefined : contentOf(name));
  return {
    endpoints: settings['etcd.endpoints'],
    user: text(settings['etcd.user']),
    password: text(settings['etcd.password']),
    ca: file(settings['etcd.ca.file']),
    certificate: file(settings['etcd.certificate.file']),
    key: file(settings['etcd.key.file']),
  };
}

function contentOf(name: string): Buffer {
  try {
    return readFileSync(name);
  } catch (thrown) {
    throw fileError('read', name, thrown);
  }
}

/** The name that the machine has where `host` is not set. */
export const machineName = (): string => os.hostname();

/** A session that is lost through no fault of etcd's outlasts an election: see `controllerLeaseMs`. */
export const sessionTimeoutSetting = (doc: string): Setting<number> =>
  numberSetting({ default: String(limits.sessionTimeoutMs), doc }, limits.sessionTimeoutMsMin, 3_600_000);
