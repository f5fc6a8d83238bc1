/** Brokers and a controller on simulated machines of their own, and a client that reaches some of them. */
import { connectWith, type Tributary } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import type { Clock, Peer, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import { untilDone } from '../../../../tests/simulator/clients/routes.ts';
import {
  brokerAddress,
  brokerProgram,
  controllerProgram,
  DATA_DIRECTORY,
} from '../../../../tests/simulator/cluster.ts';
import type { SimulatedProcess } from '../../../../tests/simulator/process.ts';
import { type Machine, World } from '../../../../tests/simulator/world.ts';
import { Calls, context } from './one-broker.ts';

const deadlineMs = 60_000;
/** As the simulator's controllers have it. */
const controllerPort = 9096;

export interface Brokers {
  readonly world: World;
  readonly clock: Clock;
  /** Calls to broker 1, 2, … as clients make them that know nothing but the record level. */
  at(nodeId: number): Calls;
  /** A client that reaches nothing but the broker that it begins with, as through a forwarded port. */
  through(nodeId: number): Promise<Tributary>;
  /** A client that reaches all. */
  direct(): Promise<Tributary>;
  /** Leaders of a topic by partition, as broker 1 knows them; waited for until each has one. */
  leaders(topic: string): Promise<readonly number[]>;
  /** The process that runs broker 1, 2, … */
  process(nodeId: number): SimulatedProcess;
  /** The controller makes the topic of committed offsets. */
  makeOffsetsTopic(): Promise<void>;
  machine(nodeId: number): Machine;
}

const nameOf = (nodeId: number): string => `b${nodeId}`;

/** Runs the story against brokers that serve. */
export async function withBrokers(
  seed: number,
  count: number,
  story: (brokers: Brokers) => Promise<void>,
): Promise<void> {
  const world = new World(seed);
  const controller = world.machine('k');
  const machines = Array.from({ length: count }, (_, index) => world.machine(nameOf(index + 1)));
  const client = world.machine('c');
  for (const { disk } of machines) disk.provision(DATA_DIRECTORY);
  await world.run(async () => {
    controller.start('controller', controllerProgram('k'));
    const processes = machines.map((machine, index) =>
      machine.start(
        'broker',
        brokerProgram({
          machine: machine.name,
          nodeId: index + 1,
          rack: `r${index + 1}`,
          sessionTimeoutMs: 2_000,
          configs: {},
        }),
      ),
    );
    const told = client.start('client', async (ports, stop) => {
      await using stack = new AsyncDisposableStack();
      const peers = machines.map(({ name }) => stack.use(ports.transport.connect(brokerAddress(name))));
      const peer = (nodeId: number): Peer => {
        const found = peers[nodeId - 1];
        if (found === undefined) throw new Error(`there is no broker ${nodeId}`);
        return found;
      };
      const asked = async (nodeId: number, topics: string[]) =>
        await peer(nodeId).unary(
          methods.getMetadata,
          { context, topics, allTopics: false, topicIds: [] },
          { deadlineMs },
        );
      await untilDone(ports, stop, async () => {
        for (let nodeId = 1; nodeId <= count; nodeId++) {
          const { brokers } = await asked(nodeId, []);
          if (brokers.length < count) throw new TributaryError('BROKER_NOT_AVAILABLE', 'not yet');
        }
      });
      const clientOf = async (transport: Transport, nodeId: number): Promise<Tributary> =>
        stack.use(await connectWith({ ...ports, transport }, { bootstrap: brokerAddress(nameOf(nodeId)) }));
      await story({
        world,
        clock: ports.clock,
        at: (nodeId) => new Calls(peer(nodeId), ports.clock, world, machines[nodeId - 1] ?? client),
        direct: () => clientOf(ports.transport, 1),
        through: (nodeId) => clientOf(reachingOnly(ports.transport, brokerAddress(nameOf(nodeId))), nodeId),
        leaders: async (topic) => {
          for (;;) {
            const found = (await asked(1, [topic])).topics[0]?.partitions ?? [];
            if (found.length > 0 && found.every(({ leaderId }) => leaderId > 0))
              return found.map(({ leaderId }) => leaderId);
            await ports.clock.sleep(50, stop);
          }
        },
        process: (nodeId) => {
          const process = processes[nodeId - 1];
          if (process === undefined) throw new Error(`there is no broker ${nodeId}`);
          return process;
        },
        makeOffsetsTopic: async () => {
          await using controllerPeer = ports.transport.connect(`k:${controllerPort}`);
          await controllerPeer.unary(methods.ensureOffsetsTopic, { context }, { deadlineMs });
        },
        machine: (nodeId) => machines[nodeId - 1] ?? client,
      });
    });
    const end = await told.ended;
    if (end.how === 'failed') throw end.thrown;
  });
}

/** Nobody listens at the other addresses, as far as this side can see. */
function reachingOnly(transport: Transport, address: string): Transport {
  return {
    connect: (wanted) => transport.connect(wanted === address ? wanted : 'nowhere:1'),
    serve: (...given) => transport.serve(...given),
  };
}
