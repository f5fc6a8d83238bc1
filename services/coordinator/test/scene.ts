/** Coordinators, a broker and a controller on simulated machines, and calls to the coordinators as brokers make them. */
import assert from 'node:assert/strict';
import { errorName, TributaryError } from '@tributary/model';
import type { Clock, Peer, Stream, UnaryMethod } from '@tributary/ports';
import {
  type JoinRequest,
  type JoinResponse,
  type MemberRequest,
  type MemberResponse,
  type MemberSubscription,
  methods,
  type RequestContext,
} from '@tributary/wire';
import { untilDone } from '../../../tests/simulator/clients/routes.ts';
import {
  brokerAddress,
  brokerProgram,
  controllerProgram,
  coordinatorAddress,
  coordinatorProgram,
  DATA_DIRECTORY,
} from '../../../tests/simulator/cluster.ts';
import type { SimulatedProcess } from '../../../tests/simulator/process.ts';
import { World } from '../../../tests/simulator/world.ts';

const deadlineMs = 60_000;

export const context: RequestContext = {
  clusterId: '',
  clientId: 'test',
  principal: '',
  originalPrincipal: '',
  host: '10.0.0.7:5555',
  hops: 1,
  minRevision: 0n,
};

export interface Scene {
  readonly world: World;
  readonly clock: Clock;
  readonly stop: AbortSignal;
  readonly broker: Peer;
  /** Coordinator 1, 2, … */
  at(index: number): Peer;
  process(index: number): SimulatedProcess;
  killBroker(): void;
  startBroker(): void;
  /** SIGSTOP and SIGCONT of coordinator 1, 2, … */
  pause(index: number): void;
  resume(index: number): void;
  /** Starts coordinator 1, 2, … again. */
  restart(index: number): void;
  /** Which coordinator owns the group, from 1; waited for. */
  ownerOf(groupId: string): Promise<number>;
  createTopic(name: string, partitions: number): Promise<string>;
  /** Again until the owner, whoever that is, answers. */
  asked<Request, Response>(
    groupId: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
  ): Promise<Response>;
}

const firstNode = 11;
const nameOf = (index: number): string => `g${index}`;

/** Runs the story once coordinators own all of the groups' journal. */
export async function withCoordinators(
  seed: number,
  count: number,
  story: (scene: Scene) => Promise<void>,
): Promise<void> {
  const world = new World(seed);
  const controller = world.machine('k');
  const log = world.machine('b');
  log.disk.provision(DATA_DIRECTORY);
  const machines = Array.from({ length: count }, (_, index) => world.machine(nameOf(index + 1)));
  const client = world.machine('c');
  await world.run(async () => {
    controller.start('controller', controllerProgram('k'));
    let broker = log.start('broker', brokerProgram('b'));
    const start = (index: number): SimulatedProcess => {
      const machine = machines[index - 1];
      assert(machine !== undefined);
      const bootstrap = [brokerAddress('b')];
      const place = { machine: machine.name, nodeId: firstNode + index - 1, sessionTimeoutMs: 2_000, bootstrap };
      return machine.start('coordinator', coordinatorProgram(place));
    };
    const processes = machines.map((_, index) => start(index + 1));
    const told = client.start('client', async (ports, stop) => {
      await using stack = new AsyncDisposableStack();
      const toBroker = stack.use(ports.transport.connect(brokerAddress('b')));
      const peers = machines.map(({ name }) => stack.use(ports.transport.connect(coordinatorAddress(name))));
      const at = (index: number): Peer => peers[index - 1] ?? toBroker;
      const ownerOf = async (groupId: string): Promise<number> => {
        let owner = 0;
        await untilDone(ports, stop, async () => {
          const request = { context: { ...context, hops: 0 }, groupId };
          const { nodeId } = await toBroker.unary(methods.findCoordinator, request, { deadlineMs });
          owner = nodeId - firstNode + 1;
        });
        return owner;
      };
      const scene: Scene = {
        world,
        clock: ports.clock,
        stop,
        broker: toBroker,
        killBroker: () => broker.kill(),
        startBroker: () => {
          broker = log.start('broker', brokerProgram('b'));
        },
        pause: (index) => machines[index - 1]?.pause(scene.process(index)),
        resume: (index) => machines[index - 1]?.resume(scene.process(index)),
        at,
        process: (index) => {
          const process = processes[index - 1];
          assert(process !== undefined);
          return process;
        },
        restart: (index) => {
          processes[index - 1] = start(index);
        },
        ownerOf,
        createTopic: async (name, partitions) => {
          const request = { context: { ...context, hops: 0 }, name, partitions, replicationFactor: 1 };
          const rest = { configs: {}, validateOnly: false };
          return (await toBroker.unary(methods.createTopic, { ...request, ...rest }, { deadlineMs })).topicId;
        },
        asked: async (groupId, method, request) => {
          for (;;) {
            try {
              const index = await ownerOf(groupId);
              return await at(index).unary(method, request, { deadlineMs: 2_000, signal: stop });
            } catch (thrown) {
              if (!TributaryError.from(thrown).retriable) throw thrown;
              await ports.clock.sleep(20, stop);
            }
          }
        },
      };
      await ownerOf('any');
      await story(scene);
    });
    const end = await told.ended;
    if (end.how === 'failed') throw end.thrown;
  });
}

const noSubscription: MemberSubscription = {
  instanceId: '',
  topics: [],
  topicPattern: '',
  assignor: '',
  clientAssignors: [],
  userData: new Uint8Array(),
  rack: '',
  sessionTimeoutMs: 0,
  maxPollIntervalMs: 0,
};

/** A member that does what the coordinator says, at once, over one stream at a time. */
export class TestMember {
  readonly groupId: string;
  readonly memberId: string;
  readonly answers: MemberResponse[] = [];
  epoch = 0;
  version = 0n;
  sequence = 0n;
  partitions: readonly string[] = [];
  readonly #scene: Scene;
  readonly subscription: MemberSubscription;
  #stream: Stream<JoinRequest, JoinResponse> | undefined;
  #heard = Promise.withResolvers<void>();

  constructor(scene: Scene, groupId: string, memberId: string, subscription: Partial<MemberSubscription>) {
    this.#scene = scene;
    this.groupId = groupId;
    this.memberId = memberId;
    this.subscription = { ...noSubscription, ...subscription };
  }

  /** Opens a stream to the owner, and says what there is to say. */
  async connect(): Promise<void> {
    const owner = await this.#scene.ownerOf(this.groupId);
    const stream = this.#scene.at(owner).stream(methods.join, this.#scene.stop);
    this.#stream = stream;
    stream.send({ member: this.request({ context, subscription: this.subscription }) });
    void this.#read(stream);
  }

  request(rest: Partial<MemberRequest> = {}): MemberRequest {
    return {
      context: undefined,
      groupId: this.groupId,
      memberId: this.memberId,
      memberEpoch: this.epoch,
      appliedVersion: this.version,
      subscription: undefined,
      sincePollMs: -1n,
      computed: undefined,
      sequence: ++this.sequence,
      ...rest,
    };
  }

  say(rest: Partial<MemberRequest> = {}): void {
    this.#stream?.send({ member: this.request(rest) });
  }

  disconnect(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  get errors(): readonly string[] {
    return this.answers.filter(({ errorCode }) => errorCode !== 0).map(({ errorCode }) => errorName(errorCode));
  }

  /** Waits until it is so, of what was heard; a sign of life goes out meanwhile. */
  async until(condition: (member: TestMember) => boolean): Promise<void> {
    const { clock, stop } = this.#scene;
    while (!condition(this)) {
      const heard = this.#heard.promise;
      await Promise.race([heard, clock.sleep(500, stop)]);
      this.say();
    }
  }

  async #read(stream: Stream<JoinRequest, JoinResponse>): Promise<void> {
    try {
      for await (const { member } of stream) {
        if (member === undefined) continue;
        this.answers.push(member);
        if (member.errorCode === 0) this.#take(member);
        const heard = this.#heard;
        this.#heard = Promise.withResolvers<void>();
        heard.resolve();
      }
    } catch {
      // Whoever waits opens another.
    }
    if (this.#stream === stream) this.#stream = undefined;
  }

  #take({ memberEpoch, assignment }: MemberResponse): void {
    this.epoch = memberEpoch;
    if (assignment === undefined || assignment.version === this.version) return;
    this.version = assignment.version;
    this.partitions = assignment.partitions.map(({ topicId, partition }) => `${topicId}/${partition}`);
    this.say();
  }

  get isConnected(): boolean {
    return this.#stream !== undefined;
  }
}
