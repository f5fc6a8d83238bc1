/** What goes wrong with coordinators, members and what a coordinator writes to: how it is done, and how it is undone. */
import { groupPartitionOf } from '@tributary/metadata';
import { offsetsTopicName } from '@tributary/model';
import type { PartProcess } from '../../end-to-end/cluster-processes.ts';
import type { GroupRun } from './run.ts';
import type { Seat } from './seat.ts';

/** How long a strike waits for something that it can hit, ms. */
export const aimMs = 5_000;

export const groupFaultNames = [
  'kill-owner',
  'stop-owner',
  'kill-coordinators',
  'cut-owner-from-brokers',
  'cut-owner-from-cluster',
  'kill-member',
  'stop-member',
  'cut-member',
  'kill-offsets-leader',
  'etcd-away',
] as const;
export type GroupFault = (typeof groupFaultNames)[number];

/** A fault that knows its victims. */
export interface AimedAtGroup {
  /** For people. */
  readonly what: string;
  /** Whose commit must be on its way when it strikes; undefined: anybody's. */
  readonly seat: Seat | undefined;
  /** What waits for it: commits, or changes that need etcd. */
  readonly hits: 'commits' | 'changes';
  /** Whether all partitions are read and committed while it lasts. */
  readonly goesOn: boolean;
  strike(): Promise<void>;
  heal(): Promise<void>;
}

export async function aimAtGroup(run: GroupRun, fault: GroupFault): Promise<AimedAtGroup> {
  const owner = await ownerOf(run);
  // What its broker or its coordinator has done is in doubt: it is one that owns something.
  const seat = run.seats.toSorted((a, b) => b.assignment.length - a.assignment.length)[0];
  if (seat === undefined) throw new Error('nobody sits in the group');
  switch (fault) {
    case 'kill-owner':
      return aimKill(owner, 'owner of the group');
    case 'stop-owner':
      return {
        ...{ what: `SIGSTOP of ${owner.name} (owner of the group)`, seat: undefined, hits: 'commits', goesOn: true },
        strike: () => Promise.resolve(owner.pause()),
        heal: () => Promise.resolve(owner.resume()),
      };
    case 'kill-coordinators':
      return aimKillAll(run);
    case 'cut-owner-from-brokers':
    case 'cut-owner-from-cluster':
      return aimCutOwner(run, owner, fault === 'cut-owner-from-cluster');
    case 'kill-member':
      return {
        ...{ what: `SIGKILL of ${seat.name}`, seat, hits: 'commits', goesOn: true },
        strike: () => Promise.resolve(seat.kill()),
        heal: async () => {
          await seat.gone();
          seat.start();
        },
      };
    case 'stop-member':
      return {
        ...{ what: `SIGSTOP of ${seat.name}`, seat, hits: 'commits', goesOn: true },
        strike: () => Promise.resolve(seat.pause()),
        heal: () => Promise.resolve(seat.resume()),
      };
    case 'cut-member':
      return aimCutMember(run, seat);
    case 'kill-offsets-leader':
      return aimKill(await offsetsLeader(run), "leader of the group's part of the journal");
    case 'etcd-away':
      return aimEtcd(run, seat);
  }
}

async function ownerOf(run: GroupRun): Promise<PartProcess> {
  const { client, processes } = run.cluster;
  const { coordinator } = await client.admin.groups.describe(run.shape.groupId, { lag: false });
  return processes.coordinator(coordinator);
}

async function offsetsLeader(run: GroupRun): Promise<PartProcess> {
  const partitions = await run.cluster.partitionsOf(offsetsTopicName);
  const own = groupPartitionOf(run.shape.groupId, partitions.length);
  return run.cluster.processes.broker(partitions.find(({ partition }) => partition === own)?.leader);
}

function aimKill(part: PartProcess, role: string): AimedAtGroup {
  return {
    ...{ what: `SIGKILL of ${part.name} (${role})`, seat: undefined, hits: 'commits', goesOn: true },
    strike: async () => void (await part.end('SIGKILL')),
    heal: () => part.start(),
  };
}

function aimKillAll({ cluster: { processes } }: GroupRun): AimedAtGroup {
  return {
    ...{ what: 'SIGKILL of all coordinators', seat: undefined, hits: 'commits', goesOn: false },
    strike: async () => void (await Promise.all(processes.coordinators.map((each) => each.end('SIGKILL')))),
    heal: async () => void (await Promise.all(processes.coordinators.map((each) => each.start()))),
  };
}

/** Members still reach it, and it says to them what it may (G2). It stands still until a commit is on its way to it: else that would be a matter of milliseconds. */
function aimCutOwner(run: GroupRun, owner: PartProcess, fromAll: boolean): AimedAtGroup {
  const { network, processes } = run.cluster;
  const brokers = processes.brokers.map(({ name }) => name);
  const rest = [...processes.controllers, ...processes.coordinators].map(({ name }) => name);
  const others = fromAll ? [...brokers, ...rest.filter((name) => name !== owner.name), 'etcd'] : brokers;
  return {
    what: `${owner.name} (owner of the group) cut off from ${fromAll ? 'the cluster' : 'the brokers'}, not from members`,
    // Who can be heard by the controller keeps what it owns.
    ...{ seat: undefined, hits: 'commits', goesOn: fromAll },
    strike: async () => {
      owner.pause();
      try {
        if (!(await run.commitAsked(aimMs))) throw new Error(`no commit was on its way to ${owner.name}`);
        network.cut(owner.name, ...others);
      } finally {
        owner.resume();
      }
    },
    heal: () => Promise.resolve(network.heal()),
  };
}

function aimCutMember({ cluster: { network } }: GroupRun, seat: Seat): AimedAtGroup {
  const others = network.members.filter((name) => name !== seat.name && name !== 'clients');
  return {
    ...{ what: `${seat.name} cut off from everybody`, seat, hits: 'commits', goesOn: true },
    strike: () => Promise.resolve(network.cut(seat.name, ...others)),
    heal: () => Promise.resolve(network.heal()),
  };
}

/** Coordinators and brokers need it for nothing that a group does: members come and go meanwhile. */
function aimEtcd(run: GroupRun, seat: Seat): AimedAtGroup {
  const { etcd } = run.cluster.processes;
  return {
    ...{ what: `etcd away, ${seat.name} goes and comes back`, seat: undefined, hits: 'changes', goesOn: true },
    strike: async () => {
      await etcd.end('SIGKILL');
      await seat.leave();
      seat.start();
    },
    heal: () => etcd.restart(),
  };
}
