import type { ClusterReport } from '@tributary/client';
import { open } from '../cluster.ts';
import { count, counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

export async function clusterDescribe(options: ConnectionOptions): Promise<void> {
  await using cluster = await open(options);
  const report = await cluster.admin.clusterReport();
  await print(options.output === 'json' ? json(report) : text(report));
}

function json({ brokers, ...report }: ClusterReport): string {
  const shown = brokers.map(({ brokerEpoch, ...broker }) => ({ ...broker, brokerEpoch: Number(brokerEpoch) }));
  return JSON.stringify({ ...report, brokers: shown });
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
  ].join('');
}
