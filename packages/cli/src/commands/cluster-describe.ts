import { type ClusterDescription, type ClusterReport, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import { count, counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

/** How long a controller may take to answer, ms: an election takes 3 s. */
const controllerMs = 10_000;

/** Without a controller: what the broker that is asked sees, and exit code 1. */
export async function clusterDescribe(options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const { admin } = cluster;
  try {
    const report = await admin.clusterReport({ timeoutMs: controllerMs });
    await print(options.output === 'json' ? json(report) : text(report));
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    if (!error.retriable) throw thrown;
    process.exitCode = 1;
    const seen = await admin.describeCluster();
    await print(
      options.output === 'json' ? JSON.stringify({ ...seen, controller: null }) : leaderlessText(seen, error),
    );
  }
}

function leaderlessText({ clusterId, brokers }: ClusterDescription, { message }: TributaryError): string {
  const rows = brokers.map(({ id, address, host, rack }) => [id, address, host, rack]);
  return [
    `Cluster ${clusterId}. No controller answers: ${message}\n\n`,
    table(['broker', 'address', 'host', 'rack'], rows),
  ].join('');
}

function json({ brokers, coordinators, ...report }: ClusterReport): string {
  const shown = {
    brokers: brokers.map(({ brokerEpoch, ...broker }) => ({ ...broker, brokerEpoch: Number(brokerEpoch) })),
    coordinators: coordinators.map(({ coordinatorEpoch, ...coordinator }) => {
      return { ...coordinator, coordinatorEpoch: Number(coordinatorEpoch) };
    }),
  };
  return JSON.stringify({ ...report, ...shown });
}

function text(report: ClusterReport): string {
  const { clusterId, controller, controllerAddress, version, partitions } = report;
  const rows = report.brokers.map(({ id, address, host, rack, standing, leading, replicas, inSync }) => [
    id,
    address,
    host,
    rack,
    standing,
    count(leading),
    count(replicas),
    count(inSync),
  ]);
  const wrong = [
    [report.offline, 'without a leader'],
    [report.underMinIsr, 'under min.insync.replicas'],
    [report.underReplicated, 'under-replicated'],
  ].map(([number, what]) => `${number} ${what}`);
  return [
    `Cluster ${clusterId}, version ${version}. Controller ${controller} at ${controllerAddress}.\n`,
    `${counted(partitions, 'partition')}: ${wrong.join(', ')}.\n\n`,
    table(['broker', 'address', 'host', 'rack', 'state', 'leads', 'replicas', 'in sync'], rows),
    ...groups(report),
  ].join('');
}

/** Nothing where nobody coordinates groups, and nobody has used one. */
function groups({ coordinators, groupPartitions, groupPartitionsWithoutOwner }: ClusterReport): string[] {
  if (coordinators.length === 0 && groupPartitions === 0) return [];
  const rows = coordinators.map(({ id, address, host, rack, standing, partitionsOwned }) => {
    return [id, address, host, rack, standing, count(partitionsOwned)];
  });
  const what =
    groupPartitions === 0
      ? 'nobody has used one yet'
      : `${counted(groupPartitions, 'partition')} of __consumer_offsets, ${groupPartitionsWithoutOwner} without a coordinator`;
  return [`\nGroups: ${what}.\n\n`, table(['coordinator', 'address', 'host', 'rack', 'state', 'owns'], rows)];
}
