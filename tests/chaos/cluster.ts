// A cluster of processes, each in a network namespace of its own, and who plays which role in it at the moment.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type PartitionDescription, type Tributary } from '@tributary/client';
import { ClusterProcesses, type PartProcess, type Place, type Settings } from '../end-to-end/cluster-processes.ts';
import { TestNetwork } from './network.ts';
import { SmallDisk } from './small-disk.ts';

export interface ChaosShape {
  readonly brokers: number;
  readonly controllers: number;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly settings: Settings;
  /** Default: none, and no groups. */
  readonly coordinators?: number;
}

/** The broker whose disk can be filled. */
export const smallDiskBroker = 1;

export class ChaosCluster implements AsyncDisposable {
  readonly shape: ChaosShape;
  readonly network: TestNetwork;
  readonly disk: SmallDisk;
  readonly processes: ClusterProcesses;
  readonly client: Tributary;
  readonly #stack: AsyncDisposableStack;
  readonly #places = new Map<string, Place>();
  #topics = 0;

  private constructor(
    shape: ChaosShape,
    network: TestNetwork,
    disk: SmallDisk,
    processes: ClusterProcesses,
    client: Tributary,
    stack: AsyncDisposableStack,
  ) {
    this.shape = shape;
    this.network = network;
    this.disk = disk;
    this.processes = processes;
    this.client = client;
    this.#stack = stack;
  }

  static async begin(shape: ChaosShape): Promise<ChaosCluster> {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(TestNetwork.create());
    const disk = stack.use(new SmallDisk(network.name, `broker-${smallDiskBroker}`));
    const { brokers, controllers, coordinators = 0, settings, replicationFactor, minInsyncReplicas } = shape;
    const processes = stack.use(
      await ClusterProcesses.begin({
        controllers,
        brokers,
        coordinators,
        settings,
        controllerSettings: {
          'default.replication.factor': replicationFactor,
          'min.insync.replicas': minInsyncReplicas,
        },
        placeOf: (name) => network.add(name),
        folder: disk.folder,
      }),
    );
    const client = stack.use(await connect({ bootstrap: processes.bootstrap, clientId: 'chaos' }));
    return new ChaosCluster(shape, network, disk, processes, client, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }

  /** Where a client's process runs: a namespace with an address of its own. */
  placeOf(name: string): Place {
    const place = this.#places.get(name) ?? this.network.add(name);
    this.#places.set(name, place);
    return place;
  }

  /** A topic of its own for a run. @returns its name, when all of its partitions are led. */
  async newTopic(): Promise<string> {
    const name = `load-${++this.#topics}`;
    const { partitions, replicationFactor, minInsyncReplicas } = this.shape;
    const configs = { 'min.insync.replicas': String(minInsyncReplicas) };
    await this.#registered();
    await this.client.admin.createTopic({ name, partitions, replicationFactor, configs });
    await this.whole(name, 30_000);
    return name;
  }

  /** A fault may have cost a broker its registration, which it is about to renew. */
  async #registered(): Promise<void> {
    for (const until = performance.now() + 30_000; ; await sleep(50)) {
      const { brokers } = await this.client.admin.describeCluster();
      if (brokers.length === this.shape.brokers) return;
      if (performance.now() > until) throw new Error(`only ${brokers.length} brokers are registered, for 30 s`);
    }
  }

  async partitionsOf(topic: string): Promise<readonly PartitionDescription[]> {
    return (await this.client.admin.describeTopic(topic)).partitionDescriptions;
  }

  /** The broker that leads most of the topic's partitions, or fewest. */
  async leaderOf(topic: string, which: 'most' | 'fewest'): Promise<PartProcess> {
    const leaders = (await this.partitionsOf(topic)).map(({ leader }) => leader);
    const count = (id: number): number => leaders.filter((leader) => leader === id).length;
    const sorted = this.processes.brokers.toSorted((a, b) => count(b.id) - count(a.id));
    const found = which === 'most' ? sorted[0] : sorted.at(-1);
    if (found === undefined) throw new Error('there is no broker');
    return found;
  }

  async controllers(): Promise<{ readonly active: PartProcess; readonly standby: PartProcess }> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const { controller } = await this.client.admin.describeCluster();
      const active = this.processes.controllers.find(({ id }) => id === controller);
      const standby = this.processes.controllers.find(({ id }) => id !== controller);
      if (active !== undefined && standby !== undefined) return { active, standby };
      if (performance.now() > deadline) throw new Error('no controller is active, for 30 s');
      await sleep(50);
    }
  }

  /** Resolves when every partition is led and all of its replicas are in sync. @throws with what is missing. */
  async whole(topic: string, withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const partitions = await this.partitionsOf(topic).catch(() => undefined);
      const bad = partitions?.filter(
        ({ leader, isr, replicas }) => leader === undefined || isr.length < replicas.length,
      );
      if (bad?.length === 0) return;
      if (performance.now() > deadline) {
        const told = bad?.map(
          ({ partition, leader, isr, replicas, reason }) =>
            `${partition}: leader ${leader ?? 'none'}, in sync ${isr.join()} of ${replicas.join()} ${reason}`,
        );
        throw new Error(`not every replica is in sync after ${withinMs} ms: ${told?.join('; ') ?? 'nobody answers'}`);
      }
      await sleep(100);
    }
  }
}
