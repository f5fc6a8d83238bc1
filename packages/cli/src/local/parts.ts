/** What a local cluster is made of. */
import { lifeOf, type ProcessIdentity } from './processes.ts';

/** In the order in which they are started: nobody waits for somebody who comes later. */
export const roles = ['etcd', 'controller', 'broker', 'coordinator'] as const;
export type Role = (typeof roles)[number];

/** Of etcd: client and peer; of the others: grpc and http. */
export type Ports = Readonly<Record<string, number>>;

/** The same through all its starts, but for the process. */
export interface Part {
  /** `broker-1` … */
  readonly name: string;
  readonly role: Role;
  /** Node id: one row of numbers for all roles. null: etcd is no node of ours. */
  readonly id: number | null;
  readonly ports: Ports;
  /** The one that was started last. */
  readonly process: ProcessIdentity | null;
  /** What that one was last asked for; tells a stop from a crash once it has gone. */
  readonly asked: 'stop' | 'kill' | null;
}

/** `killed`: it ended without having been asked to stop, whoever or whatever it was. */
export type PartState = 'running' | 'paused' | 'stopped' | 'killed';

export function stateOf({ process, asked }: Part): PartState {
  if (process === null) return 'stopped';
  const life = lifeOf(process);
  if (life !== 'gone') return life;
  return asked === 'stop' ? 'stopped' : 'killed';
}

export const isAlive = (part: Part): boolean => part.process !== null && lifeOf(part.process) !== 'gone';

/** What `local.json` holds. */
export interface LocalCluster {
  /** etcd's program, as a path. */
  readonly etcd: string;
  /** By `broker.session.timeout.ms` or `broker-1.rack`: of a role or of one part. */
  readonly settings: Readonly<Record<string, string>>;
  /** In the order of their roles. */
  readonly parts: readonly Part[];
}

export const loopback = '127.0.0.1';

/** host:port of the part's service; of etcd what its clients are told. */
export function addressOf({ role, ports }: Part): string {
  const port = role === 'etcd' ? ports['client'] : ports['grpc'];
  return `${loopback}:${port ?? 0}`;
}

/** Where it says how it is. */
export function statusPage({ role, ports }: Part): string {
  return role === 'etcd'
    ? `http://${loopback}:${ports['client'] ?? 0}/health`
    : `http://${loopback}:${ports['http'] ?? 0}/readyz`;
}

export const withRole = ({ parts }: LocalCluster, role: Role): readonly Part[] =>
  parts.filter((part) => part.role === role);

/** Any of these finds the whole cluster. */
export const bootstrapOf = (cluster: LocalCluster): string =>
  withRole(cluster, 'broker')
    .map((part) => addressOf(part))
    .join(',');

export function withPart(cluster: LocalCluster, changed: Part): LocalCluster {
  return { ...cluster, parts: cluster.parts.map((part) => (part.name === changed.name ? changed : part)) };
}
