// A network of the test's own: each member in a network namespace with one address, all on one bridge, which has a namespace of its own too,
// out of reach of the machine's packet filter. The clients are the test process itself, on the one device that the machine itself has of it.
//
// A cut is a wrong hardware address for the other side: what is sent there goes nowhere, and nobody is told, as with a switch that drops packets.
// It works in one direction, on connections that are open, and needs nothing but `ip`.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Place } from '../end-to-end/cluster-processes.ts';
import { releaseDisks } from './small-disk.ts';

/** Networks of this kind that may be there at once: their numbers are part of addresses. */
const networksMax = 200;
const prefixOf = (number: number): string => `tributary-${number}`;
/** Nobody has it: locally administered, and not one that the kernel draws for a veth of ours. */
const nowhere = '02:00:00:00:de:ad';

interface Member {
  readonly name: string;
  readonly address: string;
  /** undefined: the clients, in the machine's own namespace. */
  readonly namespace: string | undefined;
  /** The device that leads to the bridge. */
  readonly device: string;
}

/** From one member to another. */
export type Way = readonly [from: string, to: string];

export class TestNetwork implements Disposable {
  readonly #number: number;
  readonly #members = new Map<string, Member>();
  readonly #cuts = new Map<string, Way>();

  private constructor(number: number) {
    this.#number = number;
    this.#members.set('clients', {
      name: 'clients',
      address: this.#addressOf(1),
      namespace: undefined,
      device: this.name,
    });
  }

  get #switch(): string {
    return `${this.name}-switch`;
  }

  /** Removes what runs that ended without cleaning up left, and makes a bridge. @throws without the rights. */
  static create(): TestNetwork {
    sweep();
    const owner = `${process.pid} ${startOf(process.pid) ?? ''}`;
    for (let number = 1; number <= networksMax; number++) {
      const name = prefixOf(number);
      if (devices().some((each) => each.name === name)) continue;
      try {
        // The name is what another run at the same time cannot take as well.
        ip('link', 'add', 'name', name, 'type', 'veth', 'peer', 'name', `tb${number}-clients`);
      } catch (thrown) {
        if (String(thrown).includes('File exists')) continue;
        throw thrown;
      }
      ip('link', 'set', name, 'alias', owner);
      const network = new TestNetwork(number);
      network.#connect();
      return network;
    }
    throw new Error(`there are ${networksMax} test networks: see ip link show type veth`);
  }

  /** Who is in it, the clients included. */
  get members(): readonly string[] {
    return [...this.#members.keys()];
  }

  get name(): string {
    return prefixOf(this.#number);
  }

  #connect(): void {
    const clients = `tb${this.#number}-clients`;
    ip('netns', 'add', this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'name', 'bridge', 'up', 'type', 'bridge');
    ip('link', 'set', clients, 'netns', this.#switch);
    ip('-n', this.#switch, 'link', 'set', clients, 'master', 'bridge', 'up');
    ip('addr', 'add', `${this.#addressOf(1)}/24`, 'dev', this.name);
    ip('link', 'set', this.name, 'up');
  }

  /** A namespace with an address of its own, for processes that are started `within` it. */
  add(name: string): Place {
    const host = this.#members.size + 1;
    const namespace = `${this.name}-${name}`;
    const member: Member = { name, address: this.#addressOf(host), namespace, device: 'eth0' };
    ip('netns', 'add', namespace);
    const peer = ['peer', 'name', 'eth0', 'netns', namespace];
    ip('-n', this.#switch, 'link', 'add', name, 'master', 'bridge', 'up', 'type', 'veth', ...peer);
    ip('-n', namespace, 'addr', 'add', `${member.address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    this.#members.set(name, member);
    return { host: member.address, within: ['ip', 'netns', 'exec', namespace] };
  }

  /** What the first of each pair sends to the second is lost from now on; the other way is open. */
  cutOneWay(ways: readonly Way[]): void {
    const fresh = ways.filter((way) => !this.#cuts.has(way.join('>')));
    this.#neighbours(fresh, (to) => `neigh replace ${to} lladdr ${nowhere} nud permanent`);
    for (const way of fresh) this.#cuts.set(way.join('>'), way);
  }

  /** Both ways. */
  cut(one: string, ...others: readonly string[]): void {
    this.cutOneWay([...others.map((other): Way => [one, other]), ...others.map((other): Way => [other, one])]);
  }

  /** All ways are open again. */
  heal(): void {
    this.#neighbours([...this.#cuts.values()], (to) => `neigh del ${to}`);
    this.#cuts.clear();
  }

  [Symbol.dispose](): void {
    remove(this.name);
  }

  /** One call of `ip` for all that changes at one end: a cut takes hold at once. */
  #neighbours(ways: readonly Way[], command: (to: string) => string): void {
    for (const [from, own] of Map.groupBy(ways, ([each]) => each)) {
      const { namespace, device } = this.#member(from);
      const inside = namespace === undefined ? [] : ['-n', namespace];
      const lines = own.map(([, to]) => `${command(this.#member(to).address)} dev ${device}\n`);
      ipBatch([...inside, '-batch', '-'], lines.join(''));
    }
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined)
      throw new Error(`the network has no ${name}: there are ${[...this.#members.keys()].join()}`);
    return member;
  }

  #addressOf(host: number): string {
    return `10.231.${this.#number}.${host}`;
  }
}

/** Whether this process may make namespaces. */
export function mayMakeNetworks(): boolean {
  const probe = `tributary-probe-${process.pid}`;
  try {
    ip('netns', 'add', probe);
    ip('netns', 'del', probe);
    return true;
  } catch {
    return false;
  }
}

/** Networks whose owner is gone, with whatever still runs in them. */
function sweep(): void {
  for (const { name, alias = '' } of devices()) {
    const [pid, start] = alias.split(' ');
    // One without an owner is being made at this moment.
    if (pid === undefined || pid === '' || startOf(Number(pid)) === start) continue;
    remove(name);
  }
}

function remove(network: string): void {
  const spaces: readonly { readonly name: string }[] = list('netns', 'list');
  for (const { name } of spaces.filter((each) => each.name.startsWith(`${network}-`))) {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended in between.
      }
    }
    unlessGone(() => ip('netns', 'del', name));
  }
  releaseDisks(network);
  // It goes with its other end, in the namespace of the switch, a moment later.
  unlessGone(() => ip('link', 'del', network));
}

/** Another run may be sweeping at the same time. */
function unlessGone(removal: () => unknown): void {
  try {
    removal();
  } catch (thrown) {
    if (!/Cannot find device|No such file/.test(String(thrown))) throw thrown;
  }
}

interface Link {
  readonly name: string;
  readonly alias?: string;
}

function devices(): readonly Link[] {
  const links: readonly { ifname: string; ifalias?: string }[] = list('link', 'show', 'type', 'veth');
  return links
    .filter(({ ifname }) => /^tributary-\d+$/.test(ifname))
    .map(({ ifname, ifalias }) => ({ name: ifname, ...(ifalias !== undefined && { alias: ifalias }) }));
}

function list<T>(...args: readonly string[]): readonly T[] {
  return JSON.parse(ip('-j', ...args) || '[]') as readonly T[];
}

/** @throws with what `ip` said. */
function ip(...args: readonly string[]): string {
  return ipBatch(args, '');
}

/** @throws with what `ip` said. @param lines its standard input. */
function ipBatch(args: readonly string[], lines: string): string {
  return execFileSync('ip', args, { encoding: 'utf8', input: lines, stdio: 'pipe', timeout: 10_000 });
}

/** When a process started, in the kernel's own units; undefined: there is none. A number may have been given to somebody else since. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
