// What can go wrong with a process, a wire or a disk: how it is done, and how it is undone.

import type { PartProcess } from '../end-to-end/cluster-processes.ts';
import { type ChaosCluster, smallDiskBroker } from './cluster.ts';
import type { Way } from './network.ts';

/** Who is meant: whoever plays it when the fault strikes. `leader` leads most partitions, `follower` fewest. */
export type Role = 'leader' | 'follower' | 'active' | 'standby' | 'etcd';

export type Fault =
  /** SIGKILL; healed by a start. */
  | { readonly kind: 'kill'; readonly role: Role }
  /** SIGSTOP; healed by SIGCONT. */
  | { readonly kind: 'stop'; readonly role: Role }
  /** Cut off from the whole cluster; clients still reach it, or not. */
  | { readonly kind: 'isolate'; readonly role: Role; readonly fromClients: boolean }
  | { readonly kind: 'cut'; readonly between: readonly [Role, Role]; readonly ways: 'both' | 'there' | 'back' }
  | { readonly kind: 'full-disk' }
  /** SIGKILL of everything. What was written and not synced stays: only a machine can lose it (the simulator's machine crash does). */
  | { readonly kind: 'power' };

/** A fault that knows its victims. */
export interface Aimed {
  /** For people. */
  readonly what: string;
  /** Processes that it ends or stops, by their names: no other fault may do that to them at the same time. */
  readonly victims: readonly string[];
  /** What must be on its way when it strikes: a produce request to this address or to any broker, or a change of a setting. */
  readonly hits: { readonly kind: 'produce'; readonly address: string | undefined } | { readonly kind: 'change' };
  /** Whether records go on before it is healed, and decisions. */
  readonly goesOn: { readonly records: boolean; readonly decisions: boolean };
  /** Strikes at once; resolves when it is done. */
  strike(): Promise<void>;
  heal(): Promise<void>;
}

export function nameOf(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
    case 'stop':
      return `${fault.kind}-${fault.role}`;
    case 'isolate':
      return `isolate-${fault.role}${fault.fromClients ? '-from-all' : ''}`;
    case 'cut':
      return `cut-${fault.between.join('-')}-${fault.ways}`;
    case 'full-disk':
    case 'power':
      return fault.kind;
  }
}

const roles: readonly Role[] = ['leader', 'follower', 'active', 'standby', 'etcd'];
const pairs: readonly (readonly [Role, Role])[] = [
  ['leader', 'follower'],
  ['leader', 'active'],
  ['leader', 'etcd'],
  ['follower', 'active'],
  ['active', 'standby'],
  ['active', 'etcd'],
];

/** Every fault that there is. */
export const allFaults: readonly [Fault, ...Fault[]] = [
  { kind: 'power' },
  ...roles.flatMap((role): Fault[] => [
    { kind: 'kill', role },
    { kind: 'stop', role },
    { kind: 'isolate', role, fromClients: false },
  ]),
  { kind: 'isolate', role: 'leader', fromClients: true },
  ...pairs.flatMap((between) =>
    (['both', 'there', 'back'] as const).map((ways): Fault => ({ kind: 'cut', between, ways })),
  ),
  { kind: 'full-disk' },
];

/** Finds who it hits. */
export async function aim(cluster: ChaosCluster, topic: string, fault: Fault): Promise<Aimed> {
  switch (fault.kind) {
    case 'kill':
      return fault.role === 'etcd'
        ? aimKillEtcd(cluster)
        : aimKill(cluster, fault.role, await playerOf(cluster, topic, fault.role));
    case 'stop':
      return fault.role === 'etcd'
        ? aimStopEtcd(cluster)
        : aimStop(cluster, fault.role, await playerOf(cluster, topic, fault.role));
    case 'isolate':
      return await aimIsolate(cluster, topic, fault.role, fault.fromClients);
    case 'cut':
      return await aimCut(cluster, topic, fault);
    case 'full-disk':
      return await aimFullDisk(cluster, topic);
    case 'power':
      return aimPower(cluster);
  }
}

async function playerOf(cluster: ChaosCluster, topic: string, role: Exclude<Role, 'etcd'>): Promise<PartProcess> {
  switch (role) {
    case 'leader':
      return await cluster.leaderOf(topic, 'most');
    case 'follower':
      return await cluster.leaderOf(topic, 'fewest');
    case 'active':
    case 'standby':
      return (await cluster.controllers())[role];
  }
}

function hitsOf(role: Role, player: PartProcess | undefined): Aimed['hits'] {
  switch (role) {
    case 'leader':
      return { kind: 'produce', address: player?.address };
    case 'follower':
    case 'standby':
      return { kind: 'produce', address: undefined };
    case 'active':
    case 'etcd':
      return { kind: 'change' };
  }
}

/** What one replica has goes with its broker. */
function goesOnWithout(cluster: ChaosCluster, role: Role): Aimed['goesOn'] {
  const isBroker = role === 'leader' || role === 'follower';
  return { records: !isBroker || cluster.shape.replicationFactor > 1, decisions: role !== 'etcd' };
}

const withoutEtcd = { records: true, decisions: false };

function aimKill(cluster: ChaosCluster, role: Role, player: PartProcess): Aimed {
  return {
    what: `SIGKILL of ${player.name} (${role})`,
    victims: [player.name],
    hits: hitsOf(role, player),
    goesOn: goesOnWithout(cluster, role),
    strike: async () => void (await player.end('SIGKILL')),
    heal: () => player.start(),
  };
}

function aimStop(cluster: ChaosCluster, role: Role, player: PartProcess): Aimed {
  return {
    what: `SIGSTOP of ${player.name} (${role})`,
    victims: [player.name],
    hits: hitsOf(role, player),
    goesOn: goesOnWithout(cluster, role),
    strike: () => Promise.resolve(player.pause()),
    heal: () => Promise.resolve(player.resume()),
  };
}

function aimKillEtcd({ processes: { etcd } }: ChaosCluster): Aimed {
  return {
    what: 'SIGKILL of etcd',
    victims: ['etcd'],
    hits: { kind: 'change' },
    goesOn: withoutEtcd,
    strike: () => etcd.end('SIGKILL'),
    heal: () => etcd.restart(),
  };
}

function aimStopEtcd({ processes: { etcd } }: ChaosCluster): Aimed {
  return {
    what: 'SIGSTOP of etcd',
    victims: ['etcd'],
    hits: { kind: 'change' },
    goesOn: withoutEtcd,
    strike: () => etcd.pause(),
    heal: () => Promise.resolve(etcd.resume()),
  };
}

async function aimIsolate(cluster: ChaosCluster, topic: string, role: Role, fromClients: boolean): Promise<Aimed> {
  const player = role === 'etcd' ? undefined : await playerOf(cluster, topic, role);
  const name = player?.name ?? 'etcd';
  const { network } = cluster;
  const others = network.members.filter((each) => each !== name && (fromClients || each !== 'clients'));
  return {
    what: `${name} (${role}) cut off from ${fromClients ? 'everybody' : 'the cluster'}`,
    victims: [],
    hits: hitsOf(role, player),
    goesOn: goesOnWithout(cluster, role),
    strike: () => Promise.resolve(network.cut(name, ...others)),
    heal: () => Promise.resolve(network.heal()),
  };
}

async function aimCut(
  cluster: ChaosCluster,
  topic: string,
  { between, ways }: Extract<Fault, { kind: 'cut' }>,
): Promise<Aimed> {
  const [one, other] = between;
  const players = await Promise.all(
    between.map(async (role) => (role === 'etcd' ? undefined : await playerOf(cluster, topic, role))),
  );
  const [from = '', to = ''] = players.map((player) => player?.name ?? 'etcd');
  const directions: readonly Way[] = [
    ...(ways === 'back' ? [] : [[from, to] as const]),
    ...(ways === 'there' ? [] : [[to, from] as const]),
  ];
  const told = { both: 'and back', there: 'but not back', back: 'only back' }[ways];
  return {
    what: `from ${from} (${one}) to ${to} (${other}), ${told}: cut`,
    victims: [],
    hits: { kind: 'produce', address: one === 'leader' ? players[0]?.address : undefined },
    // A controller that keeps its lease and no longer reaches a broker is not replaced: what that broker needs of it waits.
    goesOn: { records: one === 'active' || other === 'etcd', decisions: one !== 'active' },
    strike: () => Promise.resolve(cluster.network.cutOneWay(directions)),
    heal: () => Promise.resolve(cluster.network.heal()),
  };
}

async function aimFullDisk(cluster: ChaosCluster, topic: string): Promise<Aimed> {
  const { disk, processes } = cluster;
  const broker = processes.broker(smallDiskBroker);
  const leads = (await cluster.partitionsOf(topic)).some(({ leader }) => leader === broker.id);
  return {
    what: `no space left for ${broker.name}`,
    victims: [broker.name],
    hits: { kind: 'produce', address: leads ? broker.address : undefined },
    goesOn: { records: false, decisions: true },
    strike: () => Promise.resolve(disk.fill()),
    heal: async () => {
      disk.free();
      // A failed write may end the process: whoever runs it starts it again.
      if (!broker.runs) await broker.start();
    },
  };
}

function aimPower({ processes: { etcd, brokers, controllers, coordinators } }: ChaosCluster): Aimed {
  const parts = [...brokers, ...controllers, ...coordinators];
  return {
    what: 'SIGKILL of everything',
    victims: ['etcd', ...parts.map(({ name }) => name)],
    hits: { kind: 'produce', address: undefined },
    goesOn: { records: false, decisions: false },
    strike: async () => void (await Promise.all([etcd.end('SIGKILL'), ...parts.map((part) => part.end('SIGKILL'))])),
    heal: async () => void (await Promise.all([etcd.restart(), ...parts.map((part) => part.start())])),
  };
}
