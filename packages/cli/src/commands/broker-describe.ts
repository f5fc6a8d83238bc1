import {
  type Admin,
  type BrokerDescription,
  type ConfigValue,
  type LogDirDescription,
  TributaryError,
} from '@tributary/client';
import { open } from '../cluster.ts';
import { byteSize, count, counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

interface Shown {
  readonly broker: BrokerDescription;
  readonly directories: readonly LogDirDescription[];
  readonly configs: readonly ConfigValue[];
}

/** Of several: how long one of them may take, ms. One that stands still must not keep the others from being shown. */
const eachMs = 5_000;

/** @param id undefined: every broker of the cluster, one after the other; exit code 1 where one of them does not answer. */
export async function brokerDescribe(id: number | undefined, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const { admin } = cluster;
  if (id !== undefined) {
    const shown = await ask(admin, id);
    await print(options.output === 'json' ? JSON.stringify(json(shown)) : text(shown));
    return;
  }
  const { brokers } = await admin.describeCluster();
  const answers = await Promise.all(
    brokers.map(async (broker) => await ask(admin, broker.id, eachMs).catch((thrown: unknown) => ({ broker, thrown }))),
  );
  if (answers.some((answer) => 'thrown' in answer)) process.exitCode = 1;
  await print(
    options.output === 'json'
      ? JSON.stringify(answers.map((answer) => ('thrown' in answer ? silentJson(answer) : json(answer))))
      : answers.map((answer) => ('thrown' in answer ? silentText(answer) : text(answer))).join('\n'),
  );
}

async function ask(admin: Admin, id: number, timeoutMs?: number): Promise<Shown> {
  const [broker, directories, configs] = await Promise.all([
    admin.describeBroker(id, { timeoutMs }),
    admin.describeLogDirs({ ids: [id] }, { timeoutMs }),
    admin.describeConfigs({ kind: 'broker', id }, { timeoutMs }),
  ]);
  return { broker, directories, configs };
}

/** One that has not answered. */
interface Silent {
  readonly broker: { readonly id: number; readonly address: string };
  readonly thrown: unknown;
}

const silentJson = ({ broker: { id, address }, thrown }: Silent) => {
  return { id, address, error: TributaryError.from(thrown).message };
};

const silentText = ({ broker: { id, address }, thrown }: Silent): string =>
  `Broker ${id} at ${address} does not tell: ${TributaryError.from(thrown).message}\n`;

function json({ broker, directories, configs }: Shown) {
  return {
    ...broker,
    brokerEpoch: Number(broker.brokerEpoch),
    logDirs: directories.map(({ broker: _, error, partitions, ...directory }) => ({
      ...directory,
      error: error?.message,
      partitions: partitions.length,
      sizeBytes: sizeOf(partitions),
    })),
    configs,
  };
}

const sizeOf = (partitions: readonly { readonly sizeBytes: number }[]): number =>
  partitions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

function text({ broker, directories, configs }: Shown): string {
  const { id, address, host, rack, softwareVersion, startedMs, partitions, partitionsLed, brokerEpoch } = broker;
  const disk = directories.map(({ path, totalBytes, freeBytes, refuseBelowFreeBytes, partitions: logs }) => [
    path,
    logs.length,
    byteSize(sizeOf(logs)),
    totalBytes === undefined ? 'unknown' : byteSize(totalBytes),
    freeBytes === undefined ? 'unknown' : byteSize(freeBytes),
    byteSize(refuseBelowFreeBytes),
  ]);
  const troubles = directories.flatMap(({ path, error, remark }) => {
    const said = error?.message ?? remark;
    return said === '' ? [] : [`${path}: ${said}\n`];
  });
  const uses = broker.resources.map(({ name, used, limit, refused }) => [
    name,
    count(used),
    count(limit),
    count(refused),
  ]);
  const settings = configs.map((each) => [each.name, each.value, each.source, each.defaultValue, each.documentation]);
  return [
    `Broker ${id} at ${address} (host ${host}${rack === '' ? '' : `, rack ${rack}`}), version ${softwareVersion}, `,
    `started ${new Date(startedMs).toISOString()}, broker epoch ${brokerEpoch}: `,
    `${counted(partitions, 'partition')}, leads ${count(partitionsLed)}\n\n`,
    table(['log directory', 'partitions', 'size', 'disk', 'free', 'refuses below'], disk),
    ...troubles,
    ...(uses.length === 0 ? [] : ['\n', table(['resource', 'used', 'limit', 'refused'], uses)]),
    '\n',
    table(['config', 'value', 'set by', 'default', 'meaning'], settings),
  ].join('');
}
