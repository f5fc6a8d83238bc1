import type { BrokerDescription, ConfigValue, LogDirDescription } from '@tributary/client';
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

/** @param id undefined: every broker of the cluster, one after the other. */
export async function brokerDescribe(id: number | undefined, options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const { admin } = cluster;
  const ids = id === undefined ? (await admin.describeCluster()).brokers.map((each) => each.id) : [id];
  const shown: Shown[] = [];
  for (const each of ids) {
    shown.push({
      broker: await admin.describeBroker(each),
      directories: await admin.describeLogDirs({ ids: [each] }),
      configs: await admin.describeConfigs({ kind: 'broker', id: each }),
    });
  }
  const [only] = shown;
  if (options.output === 'text') await print(shown.map(text).join('\n'));
  else await print(JSON.stringify(id === undefined || only === undefined ? shown.map(json) : json(only)));
}

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
