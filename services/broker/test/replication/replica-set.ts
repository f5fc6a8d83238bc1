/**
 * Brokers that hold one partition each, on simulated disks and networks. Who leads and who is in sync is what the test says: there is no controller,
 * and what leaders propose is kept for the test to look at.
 */
import assert from 'node:assert/strict';
import type { ClusterImage, ImageSource } from '@tributary/metadata';
import {
  brokerSettings,
  clusterId,
  isInternalTopic,
  leaderEpoch,
  millis,
  type NodeId,
  nodeId,
  offset,
  partitionEpoch,
} from '@tributary/model';
import { encodeBatch } from '@tributary/record';
import { brokerAddress } from '../../../../tests/simulator/cluster.ts';
import type { SimulatedProcess } from '../../../../tests/simulator/process.ts';
import { type Machine, World } from '../../../../tests/simulator/world.ts';
import type { ProposedIsr } from '../../src/attendance/proposals.ts';
import type { Partition, ProduceOutcome } from '../../src/partition/partition.ts';
import type { Acks } from '../../src/partition/partition-state.ts';
import { Replicas } from '../../src/replicas.ts';
import { Replication } from '../../src/replication/replication.ts';
import { openDirectory, partition as index, readAll, topic } from '../log/harness.ts';

const root = 'data/broker-1';
const capacity = 256 * 1024 * 1024;
const name = { topicId: topic, partition: index };

/** What metadata says of the partition. */
export interface Decided {
  readonly leader: number | undefined;
  readonly epoch: number;
  readonly isr: readonly number[];
  readonly minIsr: number;
  readonly partitionEpoch: number;
  readonly uncleanEpoch: number | undefined;
  readonly configs: Readonly<Record<string, string>>;
}

interface Running {
  readonly process: SimulatedProcess;
  readonly replicas: Replicas;
  readonly directoryId: string;
  /** Of its registration. */
  readonly epoch: bigint;
  image: ClusterImage;
  readonly proposals: ProposedIsr[];
  /** Events that it logged, in order. */
  readonly logged: { readonly event: string; readonly why: unknown }[];
}

export class ReplicaSet {
  readonly world: World;
  decided: Decided;
  readonly #count: number;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #topic: string;
  readonly #running = new Map<number, Running>();
  #revision = 1n;
  #epochs = 100n;

  constructor(world: World, count: number, options: SetOptions) {
    this.world = world;
    this.#count = count;
    this.#settings = options.settings ?? {};
    this.#topic = options.topic ?? 't';
    const isr = Array.from({ length: count }, (_, i) => i + 1);
    const configs = { 'flush.policy': 'commit', ...options.configs };
    this.decided = { leader: 1, epoch: 1, isr, minIsr: 1, partitionEpoch: 0, uncleanEpoch: undefined, configs };
    for (const id of isr) world.machine(nameOf(id), { capacity }).disk.provision(root);
  }

  machine(id: number): Machine {
    const machine = this.world.machines.get(nameOf(id));
    if (machine === undefined) throw new Error(`there is no broker ${id}`);
    return machine;
  }

  at(id: number): Running {
    const running = this.#running.get(id);
    if (running === undefined) throw new Error(`broker ${id} does not run`);
    return running;
  }

  partition(id: number): Partition {
    return this.at(id).replicas.find(topic, index);
  }

  /** A broker starts, and knows what is decided once {@link announce} tells it. */
  async start(id: number): Promise<void> {
    const started = Promise.withResolvers<void>();
    const machine = this.machine(id);
    const process = machine.start('broker', async (ports, stop) => {
      const directory = await openDirectory(ports.files, { ...ports, root });
      const logged: Running['logged'] = [];
      const noting = (event: string, fields?: Readonly<Record<string, unknown>>): void => {
        logged.push({ event, why: fields?.['why'] });
        ports.logger.info(event, fields);
      };
      const logger = { info: noting, warn: noting, error: noting };
      const proposals: ProposedIsr[] = [];
      const epoch = ++this.#epochs;
      const image = this.#image(id, directory.directoryId);
      const replicas = new Replicas(nodeId(id), directory, { clock: ports.clock, logger }, image);
      const self: Running = {
        process,
        replicas,
        directoryId: directory.directoryId,
        epoch,
        image,
        proposals,
        logged,
      };
      const images = { reached: () => Promise.resolve(self.image) } as unknown as ImageSource;
      Object.defineProperty(images, 'current', { get: () => self.image });
      const replication = new Replication({
        replicas,
        images,
        transport: ports.transport,
        clock: ports.clock,
        logger,
        proposer: {
          propose: async (proposal) => {
            proposals.push(proposal);
            return await new Promise<never>(() => undefined);
          },
        },
        observer: { isrChanged: () => undefined, isrRefused: () => undefined },
        settings: { current: brokerSettings(this.#settings) },
        brokerEpoch: () => epoch as never,
      });
      await ports.transport.serve(brokerAddress(machine.name), (handlers) => replication.serve(handlers));
      await replicas.recover();
      this.#running.set(id, self);
      started.resolve();
      await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
      await replication[Symbol.asyncDispose]();
      await replicas.close();
      await directory.close();
    });
    await Promise.race([
      started.promise,
      process.ended.then((end) => {
        if (end.how === 'failed') throw end.thrown;
      }),
    ]);
  }

  kill(id: number): void {
    this.at(id).process.kill();
    this.#running.delete(id);
  }

  async losePower(id: number): Promise<void> {
    this.machine(id).losePower();
    this.#running.delete(id);
    await this.passed(5);
    this.machine(id).powerOn();
  }

  /** Metadata changes; those who run hear of it, or only some. */
  async decide(change: Partial<Decided>, told?: readonly number[]): Promise<void> {
    this.decided = { ...this.decided, partitionEpoch: this.decided.partitionEpoch + 1, ...change };
    await this.announce(told);
  }

  async announce(told: readonly number[] = [...this.#running.keys()]): Promise<void> {
    this.#revision++;
    await Promise.all(
      told.map(async (id) => {
        const running = this.at(id);
        running.image = this.#image(id, running.directoryId);
        await running.replicas.follow(running.image, true, [name]);
      }),
    );
  }

  #image(id: number, directoryId: string): ClusterImage {
    const { leader, epoch, isr, minIsr, uncleanEpoch, configs, partitionEpoch: at } = this.decided;
    const all = Array.from({ length: this.#count }, (_, i) => nodeId(i + 1));
    const info = {
      ...name,
      leader,
      leaderEpoch: leaderEpoch(epoch),
      partitionEpoch: partitionEpoch(at),
      isr: isr.map(nodeId),
      eligibleLeaderReplicas: [],
      replicas: all.map((each) => ({ nodeId: each, directoryId: each === id ? directoryId : '' })),
      effectiveMinIsr: minIsr,
      effectiveFlushPolicy: configs['flush.policy'],
      uncleanEpoch,
    };
    const about = { topicId: topic, name: this.#topic, partitions: 1, configs, phase: 'ready' };
    const image = {
      cluster: { clusterId: clusterId('c') },
      clusterConfigs: {},
      revision: this.#revision + 1_000n,
      topic: () => about,
      partition: () => info,
      partitions: () => [info],
      broker: (node: NodeId) => this.#broker(node),
    };
    return image as unknown as ClusterImage;
  }

  #broker(node: number) {
    const running = this.#running.get(node);
    if (running === undefined) return undefined;
    const { epoch, directoryId } = running;
    return {
      registration: { address: brokerAddress(nameOf(node)), createRevision: epoch, directoryId, brokerEpoch: epoch },
      status: { fenced: false, leaving: false, brokerEpoch: epoch },
    };
  }

  /** One batch to a broker that leads. */
  produce(id: number, values: readonly string[], acks: Acks = 'all', producer?: Producer): Promise<ProduceOutcome> {
    const records = values.map((value) => ({ timestamp: 1_000, key: null, value }));
    const bytes = encodeBatch(records, { copy: true, ...(producer === undefined ? {} : { producer }) });
    return new Promise((resolve) => {
      const writerEpoch = isInternalTopic(this.#topic) ? producer?.id : undefined;
      this.partition(id).produce(bytes, this.decided.epoch, acks, millis(1e12), resolve, writerEpoch);
    });
  }

  /** As {@link produce}. @throws where it is not appended. */
  async append(id: number, values: readonly string[], acks: Acks = 'all', producer?: Producer): Promise<bigint> {
    const outcome = await this.produce(id, values, acks, producer);
    if (outcome.kind === 'failed') throw outcome.error;
    return outcome.baseOffset;
  }

  async passed(ms: number): Promise<void> {
    await this.world.scheduler.pause(ms * 1_000);
  }

  /** Looks every millisecond. @throws what did not come true. */
  async until(what: string, condition: () => boolean, withinMs = 5_000): Promise<void> {
    for (let ms = 0; ms < withinMs; ms++) {
      if (condition()) return;
      await this.passed(1);
    }
    throw new Error(`not within ${withinMs} ms: ${what}`);
  }

  /** Where a replica's log ends, and what is committed there as far as it knows; −1: it has none now. */
  end(id: number): number {
    return this.#tell(id, (partition) => partition.log.endOffset);
  }

  highWatermark(id: number): number {
    return this.#tell(id, (partition) => partition.highWatermark);
  }

  #tell(id: number, what: (partition: Partition) => bigint): number {
    try {
      return Number(what(this.partition(id)));
    } catch {
      return -1;
    }
  }

  /** All that a replica has, as base offset, epoch and bytes. */
  async contents(id: number): Promise<readonly string[]> {
    const { log } = this.partition(id);
    const read = await readAll(log);
    return read.map(({ base, epoch, bytes }) => `${base} in ${epoch}: ${bytes.subarray(61).toString('latin1')}`);
  }

  /** The disk has no room left, or all that it had. */
  fill(id: number, isFull: boolean): void {
    this.machine(id).disk.occupy(isFull ? capacity : 0);
  }

  /** A bit turns over in the snapshots of its producers, while it does not run. */
  async spoilProducers(id: number): Promise<void> {
    this.kill(id);
    const isHit = this.machine(id).disk.flipBit((path) => path.endsWith('.snapshot'));
    assert.ok(isHit !== undefined, 'there is a snapshot');
    await this.start(id);
  }

  /** A new disk in the place of the old one. */
  async replaceDisk(id: number): Promise<void> {
    this.kill(id);
    this.machine(id).disk.replaceContents(root, new Map());
    await this.start(id);
    await this.announce();
  }

  /** The log of the leader begins later, as after DeleteRecords. */
  async deleteBelow(id: number, start: number): Promise<void> {
    const partition = this.partition(id);
    assert.equal(await partition.log.advanceStart(offset(BigInt(start))), true);
    partition.startMoved();
  }

  /** Resolves when all have what the leader has. */
  async untilEqual(...ids: readonly number[]): Promise<void> {
    const { leader = 0 } = this.decided;
    await this.until(`${ids.join(', ')} have what broker ${leader} has`, () =>
      ids.every((id) => this.end(id) === this.end(leader) && this.highWatermark(id) === this.highWatermark(leader)),
    );
    const wanted = await this.contents(leader);
    for (const id of ids) {
      const start = String(this.partition(leader).startOffset);
      const found = await this.contents(id);
      assert.deepEqual(found.slice(-wanted.length), wanted, `broker ${id}, log start ${start}`);
    }
  }

  /** Records bytes that a leader has sent to a follower's broker so far, and what its last message took. */
  countPushes(): { bytes: number; most: number } {
    const counted = { bytes: 0, most: 0 };
    this.world.network.onDelivered = (_from, _to, path, kind, bytes) => {
      if (kind !== 'message' || !path.endsWith('Replicate')) return;
      counted.bytes += bytes;
      counted.most = Math.max(counted.most, bytes);
    };
    return counted;
  }

  logged(id: number, event: string): number {
    return this.at(id).logged.filter((each) => each.event === event).length;
  }
}

type Producer = NonNullable<NonNullable<Parameters<typeof encodeBatch>[1]>['producer']>;

export interface SetOptions {
  readonly configs?: Readonly<Record<string, string>>;
  /** Its name; default: t. An internal one has a fence (G1). */
  readonly topic?: string;
  /** Of each broker. */
  readonly settings?: Readonly<Record<string, string>>;
}

const nameOf = (id: number): string => `b${id}`;

/** Runs a story with brokers 1, 2, … that have started and know that broker 1 leads in epoch 1, with all in sync. */
export async function withReplicas(
  seed: number,
  count: number,
  story: (set: ReplicaSet) => Promise<void>,
  options: SetOptions = {},
): Promise<void> {
  const world = new World(seed);
  const defects: string[] = [];
  const note = (thrown: unknown): void => {
    defects.push(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  };
  process.on('unhandledRejection', note);
  try {
    await world.run(async () => {
      const set = new ReplicaSet(world, count, options);
      for (let id = 1; id <= count; id++) await set.start(id);
      await set.announce();
      await story(set);
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
  } finally {
    process.off('unhandledRejection', note);
  }
  if (defects.length > 0) throw new Error(`nobody caught: ${defects.join('\n')}`);
}
