/** A broker with its controller on a simulated machine, and calls to it as clients make them that know nothing but the record level. */
import { TributaryError } from '@tributary/model';
import type { Clock, Peer, Stream } from '@tributary/ports';
import {
  Acks,
  methods,
  type PublishRecord,
  type PublishRequest,
  type PublishResponse,
  type RequestContext,
  type SubscribedRecords,
  type SubscribeRequest,
  type SubscribeResponse,
} from '@tributary/wire';
import {
  brokerAddress,
  DATA_DIRECTORY,
  embeddedProgram,
  METADATA_DIRECTORY,
} from '../../../../tests/simulator/cluster.ts';
import { untilDone } from '../../../../tests/simulator/clients/routes.ts';
import { type Machine, World } from '../../../../tests/simulator/world.ts';

const deadlineMs = 60_000;

export const context: RequestContext = {
  clusterId: '',
  clientId: 'test',
  principal: '',
  originalPrincipal: '',
  host: '',
  hops: 0,
  minRevision: 0n,
};

/** Whose values are text. */
export const record = (value: string | undefined, rest: Partial<PublishRecord> = {}): PublishRecord => ({
  key: undefined,
  value: value === undefined ? undefined : Buffer.from(value),
  headers: [],
  timestampMs: undefined,
  partition: undefined,
  ...rest,
});

export class Calls {
  readonly peer: Peer;
  readonly clock: Clock;
  readonly world: World;
  readonly server: Machine;

  constructor(peer: Peer, clock: Clock, world: World, server: Machine) {
    this.peer = peer;
    this.clock = clock;
    this.world = world;
    this.server = server;
  }

  async createTopic(name: string, partitions: number, configs: Record<string, string> = {}): Promise<void> {
    await this.peer.unary(
      methods.createTopic,
      { context, name, partitions, replicationFactor: 1, configs, validateOnly: false },
      { deadlineMs },
    );
  }

  publish(topic: string, records: PublishRecord[], rest: Partial<PublishRequest> = {}): Promise<PublishResponse> {
    const request = {
      context,
      topic,
      records,
      partition: undefined,
      acks: Acks.ALL,
      timeoutMs: 0,
      sequence: undefined,
    };
    return this.peer.unary(methods.publish, { ...request, ...rest }, { deadlineMs });
  }

  subscribe(request: Partial<SubscribeRequest>): Subscribed {
    const stream = this.peer.stream(methods.subscribe, new AbortController().signal);
    stream.send({ context, topics: [], isolationLevel: 0, creditBytes: 0n, stopAtEnd: false, ...request });
    stream.end();
    return new Subscribed(stream);
  }

  async grantCredit(subscriptionId: string, creditLimit: bigint): Promise<void> {
    await this.peer.unary(methods.grantCredit, { context, subscriptionId, creditLimit }, { deadlineMs });
  }

  /** All records of a topic, read to the end that it has now. */
  async readAll(topic: string): Promise<Subscribed> {
    const subscribed = this.subscribe({ topics: [fromBeginning(topic)], stopAtEnd: true });
    await subscribed.ended();
    return subscribed;
  }
}

export const fromBeginning = (topic: string) => ({
  topic,
  partitions: [],
  start: { position: { $case: 'beginning' as const, value: true } },
  positions: [],
});

/** What a subscription has brought so far. */
export class Subscribed {
  readonly stream: Stream<SubscribeRequest, SubscribeResponse>;
  readonly answers: SubscribeResponse[] = [];
  failure: TributaryError | undefined;
  isOver = false;
  readonly #reading: Promise<void>;
  #heard: (() => void) | undefined;

  constructor(stream: Stream<SubscribeRequest, SubscribeResponse>) {
    this.stream = stream;
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    try {
      for await (const answer of this.stream) {
        this.answers.push(answer);
        this.#heard?.();
      }
    } catch (thrown) {
      this.failure = TributaryError.from(thrown);
    }
    this.isOver = true;
    this.#heard?.();
  }

  get id(): string {
    return this.answers[0]?.subscriptionId ?? '';
  }

  get partitions(): readonly SubscribedRecords[] {
    return this.answers.flatMap((answer) => answer.partitions);
  }

  /** Values as text; null stays null. */
  values(partition?: number): readonly (string | null)[] {
    return this.partitions
      .filter((each) => partition === undefined || each.partition === partition)
      .flatMap(({ records }) =>
        records.map(({ value }) => (value === undefined ? null : Buffer.from(value).toString())),
      );
  }

  get errors(): readonly string[] {
    return this.partitions
      .filter(({ errorCode }) => errorCode !== 0)
      .map(
        ({ partition, errorCode, errorMessage }) =>
          `${partition} ${TributaryError.fromAnswer(errorCode, errorMessage).error}`,
      );
  }

  /** Of keys, values and headers. */
  get bytes(): number {
    let bytes = 0;
    for (const { records } of this.partitions)
      for (const { key, value, headers } of records) {
        bytes += (key?.length ?? 0) + (value?.length ?? 0);
        for (const header of headers) bytes += Buffer.byteLength(header.key) + (header.value?.length ?? 0);
      }
    return bytes;
  }

  /** Resolves when the condition holds, which is looked at after each answer; fails the story if the stream ends before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.isOver) throw this.failure ?? new Error(`the subscription ended after ${this.answers.length} answers`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  /** Resolves when the stream is over; throws how it failed. */
  async ended(): Promise<void> {
    await this.#reading;
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Runs the story against a broker that serves. */
export async function withBroker(seed: number, story: (calls: Calls) => Promise<void>): Promise<void> {
  const world = new World(seed);
  const server = world.machine('b');
  for (const path of [DATA_DIRECTORY, METADATA_DIRECTORY]) server.disk.provision(path);
  const client = world.machine('c');
  await world.run(async () => {
    server.start('dev', embeddedProgram('b'));
    const process = client.start('client', async (ports, stop) => {
      await using peer = ports.transport.connect(brokerAddress('b'));
      const about = { context, topics: [], allTopics: true, topicIds: [] };
      await untilDone(ports, stop, async () => {
        const { brokers } = await peer.unary(methods.getMetadata, about, { deadlineMs });
        if (brokers.length === 0) throw new TributaryError('BROKER_NOT_AVAILABLE', 'not yet');
      });
      await story(new Calls(peer, ports.clock, world, server));
    });
    const end = await process.ended;
    if (end.how === 'failed') throw end.thrown;
  });
}
