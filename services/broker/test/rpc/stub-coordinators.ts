/** A broker's GroupService in front of coordinators that a test plays, on a network in memory with real serialisation; who owns what is written as the controller writes it. */
import { encodeTransaction, groupPartitionOf, metadataKeys, openImageSource, type Value } from '@tributary/metadata';
import { brokerEpoch, nodeId, offsetsTopicName, partitionIndex, topicId, writerEpoch } from '@tributary/model';
import type { Clock, MetadataStore, Peer, Service } from '@tributary/ports';
import { aCoordinator, aTopic } from '../../../../packages/metadata/test/samples.ts';
import type { SimulatedProcess } from '../../../../tests/simulator/process.ts';
import { World } from '../../../../tests/simulator/world.ts';
import { Coordinators } from '../../src/rpc/coordinators.ts';
import { serveGroups } from '../../src/rpc/group-service.ts';
import { Neighbours } from '../../src/rpc/neighbours.ts';

const keys = metadataKeys('test');
const partitions = 4;
const offsetsId = topicId('offsets');
/** As the broker knows its client, whose machine has this name. */
export const clientHost = 'c';

export interface Stubs {
  /** The client's way to the broker. */
  readonly peer: Peer;
  readonly clock: Clock;
  /** The process of coordinator 7, 8, … */
  coordinator(id: number): SimulatedProcess;
  /** The partition of the groups belongs to the coordinator from now on, or to nobody. Resolves when that is written. */
  assign(partition: number, owner: number | undefined): Promise<void>;
  /** A group of the partition. */
  groupIn(partition: number): string;
}

/** Runs the story against a broker and coordinators 7, 8, … that serve what is given; nobody owns anything yet. */
export async function withStubs(
  seed: number,
  services: readonly Service[],
  story: (stubs: Stubs) => Promise<void>,
): Promise<void> {
  // The broker hears of each change within moments.
  const world = new World(seed, { metadata: { lateWatchChance: 0 } });
  const coordinators = services.map((service, index) =>
    world.machine(`g${7 + index}`).start('coordinator', async ({ transport }, stop) => {
      await using server = await transport.serve(`g${7 + index}:9097`, service);
      await stopped(stop, server);
    }),
  );
  await world.run(async () => {
    const told = world.machine(clientHost).start('client', async ({ transport, clock, metadata }) => {
      const registered = await register(metadata, services.length);
      startBroker(world);
      await using peer = transport.connect('b:9095');
      let epoch = 0n;
      await clock.sleep(100, new AbortController().signal);
      await story({
        peer,
        clock,
        coordinator: (id) => {
          const process = coordinators[id - 7];
          if (process === undefined) throw new Error(`there is no coordinator ${id}`);
          return process;
        },
        assign: (partition, owner) =>
          put(metadata, {
            kind: 'group-partition',
            value: {
              partition: partitionIndex(partition),
              coordinator: owner === undefined ? undefined : nodeId(owner),
              coordinatorEpoch: owner === undefined ? undefined : brokerEpoch(registered),
              writerEpoch: writerEpoch(++epoch),
            },
          }).then(() => undefined),
        groupIn: (partition) => {
          for (let index = 0; ; index++)
            if (groupPartitionOf(`g${index}`, partitions) === partition) return `g${index}`;
        },
      });
    });
    const end = await told.ended;
    if (end.how === 'failed') throw end.thrown;
  });
}

async function put(store: MetadataStore, ...values: Value[]): Promise<bigint> {
  const { revision } = await store.commit(encodeTransaction(keys, { expect: [], put: values, delete: [] }));
  return revision;
}

/** @returns the revision at which all of them registered. */
function register(store: MetadataStore, count: number): Promise<bigint> {
  return put(
    store,
    { kind: 'topic', value: aTopic(offsetsId, { name: offsetsTopicName, partitions }) },
    { kind: 'topic-name', value: { name: offsetsTopicName, topicId: offsetsId } },
    ...Array.from({ length: count }, (_, index): Value => {
      const id = nodeId(7 + index);
      return { kind: 'coordinator-registration', value: aCoordinator(id, { address: `g${id}:9097` }) };
    }),
  );
}

function startBroker(world: World): void {
  world.machine('b').start('broker', async ({ transport, clock, metadata }, stop) => {
    await using source = await openImageSource(metadata, keys, clock, stop);
    await using neighbours = new Neighbours(nodeId(1), source, transport, clock);
    const controller = { call: () => Promise.reject(new Error('nothing is asked of the controller')) };
    const coordinators = new Coordinators({ neighbours, source, controller, clock });
    await using server = await transport.serve('b:9095', (handlers) => serveGroups(coordinators, handlers));
    await stopped(stop, server);
  });
}

async function stopped(stop: AbortSignal, _serving: AsyncDisposable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stop.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
