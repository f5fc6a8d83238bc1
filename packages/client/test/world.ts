/** A client and a cluster in memory, in virtual time. */
import { type ConnectOptions, connectWith, type Tributary } from '../src/connect.ts';
import { FakeCluster } from './fake-broker.ts';
import { FakeNetwork } from './fake-network.ts';
import { seededRandom, VirtualClock } from './virtual-clock.ts';

export interface World extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly network: FakeNetwork;
  readonly cluster: FakeCluster;
  readonly client: Tributary;
  /** Virtual milliseconds pass. */
  pass(ms: number): Promise<void>;
}

export interface WorldOptions extends Partial<ConnectOptions> {
  readonly brokers?: readonly string[];
  readonly latencyMs?: number;
}

export async function world(options: WorldOptions = {}): Promise<World> {
  const { brokers = ['a:1'], latencyMs = 1, ...connecting } = options;
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock, latencyMs);
  const cluster = new FakeCluster(network, brokers);
  const retries = { retryBackoffMs: 10, retryBackoffMsMax: 100 };
  const client = await connectWith(
    { clock, random: seededRandom(1), transport: network },
    { bootstrap: brokers, ...retries, ...connecting },
  );
  return {
    clock,
    network,
    cluster,
    client,
    pass: async (ms) => await clock.sleep(ms, new AbortController().signal),
    [Symbol.asyncDispose]: async () => await client.close(),
  };
}
