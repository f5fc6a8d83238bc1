/** Which parts a local cluster is to have: names, node ids and ports, chosen once and kept. */
import { UsageError } from '../failure.ts';
import { findEtcd } from './etcd-binary.ts';
import { withOwnSettings } from './part-settings.ts';
import { type LocalCluster, type Part, type Role, roles, withRole } from './parts.ts';
import { FreePorts, httpPortDistance } from './ports.ts';
import { defaultBrokers, defaultControllers, defaultCoordinators, defaultPort, firstId } from './shape.ts';

export interface Wishes {
  readonly brokers: number | undefined;
  readonly controllers: number | undefined;
  readonly coordinators: number | undefined;
  /** Of the first broker, if it is free; undefined: as it is, or the usual one. */
  readonly port: number | undefined;
  readonly etcd: string | undefined;
  readonly set: Readonly<Record<string, string>>;
  readonly delete: readonly string[];
}

const usual = { broker: defaultBrokers, controller: defaultControllers, coordinator: defaultCoordinators } as const;

/** Wished for from the first broker's port on, so that the ports of a cluster can be guessed: broker-2 is at 9105, controller-1 at 9096, coordinator-1 at 9097 … */
const portStride = 10;
const portOffset = { broker: 0, controller: 1, coordinator: 2, etcd: 4 } as const;

/**
 * What is there stays as it is; what is missing is added.
 * @throws UsageError for fewer parts than there are, and for settings that make no sense; Error where etcd or ports are missing.
 */
export async function planned(before: LocalCluster | undefined, wishes: Wishes): Promise<LocalCluster> {
  const parts = before?.parts ?? [];
  const first = wishes.port ?? parts.find(({ role }) => role === 'broker')?.ports['grpc'] ?? defaultPort;
  const ports = new FreePorts(parts.flatMap((part) => Object.values(part.ports)));
  const etcd = parts.some(({ role }) => role === 'etcd') ? [] : [await newEtcd(ports, first)];
  const controllers = await missing('controller', wishes.controllers, parts, ports, first);
  const brokers = await missing('broker', wishes.brokers, parts, ports, first);
  const coordinators = await missing('coordinator', wishes.coordinators, parts, ports, first);
  const all = [...parts, ...etcd, ...controllers, ...brokers, ...coordinators];
  const cluster = {
    etcd: before !== undefined && wishes.etcd === undefined ? before.etcd : findEtcd(wishes.etcd),
    settings: before?.settings ?? {},
    parts: roles.flatMap((role) => all.filter((part) => part.role === role)),
  };
  return await withOwnSettings(cluster, wishes.set, wishes.delete);
}

async function newEtcd(ports: FreePorts, from: number): Promise<Part> {
  const client = await ports.from(from + portOffset.etcd, 1);
  return { name: 'etcd', role: 'etcd', id: null, ports: { client, peer: client + 1 }, process: null, asked: null };
}

async function missing(
  role: Exclude<Role, 'etcd'>,
  wished: number | undefined,
  parts: readonly Part[],
  ports: FreePorts,
  firstPort: number,
): Promise<readonly Part[]> {
  const there = parts.filter((part) => part.role === role).length;
  if (wished !== undefined && wished < there)
    throw new UsageError(
      `This cluster has ${there} ${role}s, and ${wished} were asked for: parts are added, never taken away. Stop some (\`tributary local stop ${role}-${there}\`), or begin anew after \`tributary local down --remove-data\`.`,
    );
  // A cluster that is there already gets no more than was asked for.
  const wanted = wished ?? (there > 0 ? there : usual[role]);
  const added: Part[] = [];
  for (let number = there + 1; number <= wanted; number++) {
    const wish = firstPort + portOffset[role] + (number - 1) * portStride;
    const grpc = await ports.from(wish, httpPortDistance);
    added.push({
      name: `${role}-${number}`,
      role,
      id: firstId[role] + number - 1,
      ports: { grpc, http: grpc + httpPortDistance },
      process: null,
      asked: null,
    });
  }
  return added;
}

/** "etcd, 2 controllers, 3 brokers and 2 coordinators" */
export function inWords(cluster: LocalCluster): string {
  const groups = (['controller', 'broker', 'coordinator'] as const).flatMap((role) => {
    const { length } = withRole(cluster, role);
    return length === 0 ? [] : [`${length} ${role}${length === 1 ? '' : 's'}`];
  });
  return (
    ['etcd', ...groups.slice(0, -1)].join(', ') +
    groups
      .slice(-1)
      .map((last) => ` and ${last}`)
      .join('')
  );
}
