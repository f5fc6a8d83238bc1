// A cluster of containers of the project's own image, on a network of their own: an etcd, controllers, brokers and coordinators. Only the first broker, the door,
// publishes its port on this machine's loopback; nothing outside can even resolve what the others advertise. Everything has the id of this
// process in its name, so that what an earlier run left behind when it was cut short is known for what it is, and removed.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ContainerRuntimeClient,
  GenericContainer,
  getContainerRuntimeClient,
  Network,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { freePort } from '../end-to-end/dev-process.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const prefix = 'tributary-test';
const image = 'tributary:local';
const etcdImage = 'tributary-etcd';
const brokerPort = 9095;
const ports: Readonly<Record<string, number>> = { broker: brokerPort, controller: 9096, coordinator: 9097 };
/** A first build downloads packages. ms. */
const buildMsMax = 240_000;
const startMsMax = 60_000;

// Its image cannot be pulled everywhere; what it does is done here by name.
process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';

/** `etcd`, `controller-101`, `broker-1`, `coordinator-201`. */
export type PartName = string;

/** The broker by which everything outside comes in. */
export const door = 'broker-1';

type Settings = Readonly<Record<string, string | number>>;

export interface ContainerShape {
  readonly controllers: number;
  readonly brokers: number;
  /** Default: none. */
  readonly coordinators?: number;
  /** Of every part. */
  readonly settings?: Settings;
}

let clusters = 0;

/** Builds the images, unless they are there as they would be built. @throws with what the script said. */
export function buildImages(): void {
  const script = path.join(root, 'deploy', 'docker', 'build.sh');
  const { status, stderr, stdout } = spawnSync(script, { encoding: 'utf8', timeout: buildMsMax });
  if (status !== 0) throw new Error(`deploy/docker/build.sh failed:\n${stdout}${stderr}`);
}

/** Runs a command in a container of its own, which goes afterwards. */
export async function runInImage(...command: string[]): Promise<{ readonly code: number; readonly said: string }> {
  const client = await getContainerRuntimeClient();
  const name = `${prefix}-${process.pid}-run-${clusters++}`;
  const container = await client.container.create({ Image: image, Cmd: command, name, Tty: true });
  try {
    await container.start();
    const { StatusCode: code }: { StatusCode: number } = await container.wait();
    return { code, said: (await container.logs({ stdout: true, stderr: true })).toString() };
  } finally {
    await container.remove({ force: true, v: true });
  }
}

export class ContainerCluster implements AsyncDisposable {
  readonly controllers: readonly PartName[];
  readonly brokers: readonly PartName[];
  readonly coordinators: readonly PartName[];
  readonly #prefix: string;
  readonly #client: ContainerRuntimeClient;
  /** What has been made, to be removed in the reverse order. */
  readonly #stack = new AsyncDisposableStack();
  readonly #containers = new Map<PartName, StartedTestContainer>();
  /** By the test. */
  readonly #ended = new Set<PartName>();
  #networkId = '';
  #port = 0;

  private constructor(shape: ContainerShape, client: ContainerRuntimeClient) {
    this.#prefix = `${prefix}-${process.pid}-${++clusters}`;
    this.#client = client;
    this.controllers = Array.from({ length: shape.controllers }, (_, i) => `controller-${101 + i}`);
    this.brokers = Array.from({ length: shape.brokers }, (_, i) => `broker-${1 + i}`);
    this.coordinators = Array.from({ length: shape.coordinators ?? 0 }, (_, i) => `coordinator-${201 + i}`);
  }

  /** Everything at once, as an orchestrator does it. */
  static async begin(shape: ContainerShape): Promise<ContainerCluster> {
    const client = await getContainerRuntimeClient();
    await removeWhatIsLeft(client);
    const cluster = new ContainerCluster(shape, client);
    try {
      await cluster.#start(shape.settings ?? {});
      return cluster;
    } catch (thrown) {
      await cluster[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Where the door is on this machine. */
  get bootstrap(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** SIGKILL. Resolves once it is gone. */
  async kill(name: PartName): Promise<void> {
    const container = this.#client.container.getById(this.#idOf(name));
    this.#ended.add(name);
    await container.kill({ signal: 'SIGKILL' });
    await container.wait();
  }

  /** SIGTERM. @returns its exit code; 137 where it had to be killed after `withinMs`. */
  async stop(name: PartName, withinMs: number): Promise<number> {
    const container = this.#client.container.getById(this.#idOf(name));
    this.#ended.add(name);
    await container.stop({ t: Math.ceil(withinMs / 1_000) });
    return (await container.inspect()).State.ExitCode;
  }

  /** Again, with the disk that it had. */
  async start(name: PartName): Promise<void> {
    await this.#client.container.getById(this.#idOf(name)).start();
    this.#ended.delete(name);
  }

  /** Pulls the cable: nobody reaches it, nor it anybody. Of the door, the published port is away as well. */
  async disconnect(name: PartName): Promise<void> {
    await this.#client.network.getById(this.#networkId).disconnect({ Container: this.#idOf(name), Force: true });
  }

  async reconnect(name: PartName): Promise<void> {
    await this.#client.network.getById(this.#networkId).connect({ Container: this.#idOf(name) });
  }

  /** All that it has said. */
  async said(name: PartName): Promise<string> {
    const container = this.#client.container.getById(this.#idOf(name));
    return (await container.logs({ stdout: true, stderr: true })).toString();
  }

  /** Of those that have ended although nobody ended them: what they said last. [] when all is well. */
  async fallen(): Promise<readonly string[]> {
    const said = await Promise.all(
      [...this.#containers.keys()].map(async (name) => {
        if (this.#ended.has(name)) return undefined;
        const { State } = await this.#client.container.getById(this.#idOf(name)).inspect();
        return State.Running
          ? undefined
          : `${name} ended with ${State.ExitCode}: ${(await this.said(name)).slice(-1_000)}`;
      }),
    );
    return said.filter((each) => each !== undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }

  async #start(settings: Settings): Promise<void> {
    const network = this.#stack.use(await new Network({ nextUuid: () => this.#prefix }).start());
    this.#networkId = network.getId();
    const parts = [...this.controllers, ...this.brokers, ...this.coordinators];
    this.#port = await freePort();
    // By name, so that what has been made of a container that failed goes too.
    this.#stack.defer(() => removeContainers(this.#client, (name) => name.startsWith(`${this.#prefix}-`)));
    // All have settled before any failure is told of: nothing is made after the removal.
    const started = await Promise.allSettled([
      this.#run('etcd', []),
      ...parts.map((name) => this.#run(name, this.#commandOf(name, settings))),
    ]);
    for (const each of started) if (each.status === 'rejected') throw each.reason;
  }

  #commandOf(name: PartName, settings: Settings): string[] {
    const [kind = '', id = ''] = name.split('-');
    const port = ports[kind] ?? 0;
    const all = {
      'node.id': id,
      'etcd.endpoints': `http://${this.#nameOf('etcd')}:2379`,
      // Other containers find it by the container's name.
      advertised: `${this.#nameOf(name)}:${port}`,
      'log.format': 'json',
      ...(kind === 'controller' ? {} : { host: name }),
      ...settings,
    };
    return [`tributary-${kind}`, ...Object.entries(all).flatMap(([key, value]) => [`--${key}`, String(value)])];
  }

  async #run(name: PartName, command: string[]): Promise<void> {
    const container = new GenericContainer(name === 'etcd' ? etcdImage : image)
      .withName(this.#nameOf(name))
      .withNetworkMode(this.#prefix)
      .withStartupTimeout(startMsMax)
      .withWaitStrategy(Wait.forLogMessage(name === 'etcd' ? /serving .*client/ : /"event":"ready"/));
    if (command.length > 0) container.withCommand(command);
    // A fixed one: it is to be the same after a restart.
    if (name === door) container.withExposedPorts({ container: brokerPort, host: this.#port });
    let said = '';
    container.withLogConsumer((log) => log.on('data', (line: Buffer | string) => (said += line.toString())));
    try {
      this.#containers.set(name, await container.start());
    } catch (thrown) {
      throw new Error(`${name} did not come up. It said:\n${said.slice(-4_000)}`, { cause: thrown });
    }
  }

  #nameOf(name: PartName): string {
    return `${this.#prefix}-${name}`;
  }

  #idOf(name: PartName): string {
    const container = this.#containers.get(name);
    if (container === undefined) throw new Error(`there is no container ${name}`);
    return container.getId();
  }
}

/** Resolves when it is so. @throws naming what never came. */
export async function until(
  condition: () => Promise<boolean>,
  withinMs: number,
  what: string | (() => string),
): Promise<void> {
  for (const deadline = performance.now() + withinMs; !(await condition()); await sleep(100))
    if (performance.now() > deadline)
      throw new Error(`not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`);
}

/** Of runs whose process is gone. */
async function removeWhatIsLeft(client: ContainerRuntimeClient): Promise<void> {
  const isOrphan = (name: string): boolean => {
    const pid = new RegExp(`^${prefix}-(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  };
  await removeContainers(client, isOrphan);
  for (const { Name, Id } of await client.container.dockerode.listNetworks())
    if (isOrphan(Name)) await client.network.getById(Id).remove();
}

async function removeContainers(client: ContainerRuntimeClient, isWanted: (name: string) => boolean): Promise<void> {
  const there = await client.container.dockerode.listContainers({ all: true });
  const wanted = there.filter(({ Names }) => Names.some((name) => isWanted(name.replace(/^\//, ''))));
  await Promise.all(wanted.map(async ({ Id }) => client.container.getById(Id).remove({ force: true, v: true })));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
