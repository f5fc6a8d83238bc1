/** The way to a broker, hop by hop: name, TCP, HTTP/2, gRPC, metadata; then the same to every address that the brokers advertise. */
import { lookup } from 'node:dns/promises';
import { connect as tcpConnect } from 'node:net';
import { connect, type Tributary } from '@tributary/client';
import { counted } from '../figures.ts';
import { Chain, CheckFailed, type Finding, type Verdict } from './checks.ts';
import { health, openSession } from './http2-hop.ts';

export interface ReachableOptions {
  readonly bootstrap: string;
  /** Of each hop, ms. */
  readonly timeoutMs: number;
  /** A topic to read from; undefined: none. */
  readonly topic: string | undefined;
  /** Append a record to the topic. */
  readonly write: boolean;
}

export async function checkReachable(options: ReachableOptions, found: (finding: Finding) => void): Promise<void> {
  const chain = new Chain(`reachable ${options.bootstrap}`, found);
  await walk(chain, options.bootstrap, options.timeoutMs);
  let cluster: Tributary | undefined;
  try {
    const brokers = await chain.hop('metadata', async () => {
      cluster = await advised(
        connect({
          bootstrap: options.bootstrap,
          clientId: 'tributary-doctor',
          connectTimeoutMs: options.timeoutMs,
        }),
        metadataAdvice,
      );
      const description = await advised(cluster.admin.describeCluster(), metadataAdvice);
      const topics = await advised(cluster.admin.listTopics(), metadataAdvice);
      return {
        detail: `cluster ${description.clusterId}, ${counted(description.brokers.length, 'broker')}, ${counted(topics.length, 'topic')}`,
        value: description.brokers,
      };
    });
    for (const broker of brokers ?? []) {
      if (broker.address === options.bootstrap) continue;
      await walk(
        new Chain(`reachable broker ${broker.id} at ${broker.address}`, found),
        broker.address,
        options.timeoutMs,
        broker.id,
      );
    }
    if (cluster !== undefined && options.topic !== undefined) await checkTopic(chain, cluster, options.topic, options);
  } finally {
    await cluster?.[Symbol.asyncDispose]();
  }
}

const metadataAdvice =
  'The broker answers, but not with the cluster’s metadata: is a controller running? See the broker’s log and /readyz.';

/** What to do when it fails. */
async function advised<T>(attempt: Promise<T>, advice: string): Promise<T> {
  try {
    return await attempt;
  } catch (thrown) {
    throw new CheckFailed(thrown instanceof Error ? thrown.message : String(thrown), advice);
  }
}

async function walk(chain: Chain, address: string, timeoutMs: number, advertisedBy?: number): Promise<void> {
  const hint =
    advertisedBy === undefined
      ? ''
      : ` Broker ${advertisedBy} advertises this address: clients that cannot reach it stay on the bootstrap address, and every record takes one hop more.`;
  const place = await chain.hop('address', async () => parse(address));
  await chain.hop('name', () => resolve(place?.host ?? '', timeoutMs, hint));
  await chain.hop('TCP', () => reach(place?.host ?? '', place?.port ?? 0, timeoutMs, hint));
  const session = await chain.hop('HTTP/2', async () => {
    const opened = await openSession(address, timeoutMs);
    return { detail: `speaks it; window ${opened.remoteSettings.initialWindowSize ?? '?'} bytes`, value: opened };
  });
  await chain.hop('gRPC health', async () => {
    if (session === undefined) throw new CheckFailed('there is no connection', '');
    return await health(session, timeoutMs);
  });
  session?.destroy();
}

function parse(address: string): Verdict & { readonly value: { readonly host: string; readonly port: number } } {
  const match = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 1 || port > 65_535)
    throw new CheckFailed('it is no host:port', 'Give it as in --bootstrap broker-1.example:9095.');
  return { detail: `host ${host}, port ${port}`, value: { host, port } };
}

async function resolve(host: string, timeoutMs: number, hint: string): Promise<Verdict> {
  try {
    const timeout = new Promise<never>((_resolve, reject) => {
      setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs).unref();
    });
    const addresses = await Promise.race([lookup(host, { all: true }), timeout]);
    return { detail: addresses.map(({ address }) => address).join(', ') };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOTFOUND'
        ? 'nobody knows this name'
        : code === 'EAI_AGAIN'
          ? 'no name server answers'
          : String(thrown);
    throw new CheckFailed(
      why,
      `Check the spelling, /etc/hosts and the name server (in Kubernetes: the Service’s name and namespace).${hint}`,
    );
  }
}

const tcpFailures: Readonly<Record<string, readonly [string, string]>> = {
  ECONNREFUSED: [
    'connection refused',
    'The machine is there, nothing listens on this port: is the broker running (tributary dev), and is it this port?',
  ],
  EHOSTUNREACH: ['no way to this host', 'Check routes, VPN and the machine itself.'],
  ENETUNREACH: ['no way to this network', 'Check routes and VPN.'],
  ECONNRESET: ['connection reset', 'Something in between (a firewall, a proxy) ends the connection.'],
};

function reach(host: string, port: number, timeoutMs: number, hint: string): Promise<Verdict> {
  return new Promise((resolveReach, reject) => {
    const socket = tcpConnect({ host, port });
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      reject(
        new CheckFailed(
          `no answer within ${timeoutMs} ms`,
          `A firewall or security group drops the packets, or the address is of another network.${hint}`,
        ),
      );
    });
    socket.on('connect', () => {
      const { remoteAddress = '', remotePort = 0 } = socket;
      socket.destroy();
      resolveReach({ detail: `connected to ${remoteAddress}:${remotePort}` });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const [why, advice] = tcpFailures[error.code ?? ''] ?? [error.message, 'Check the network.'];
      reject(new CheckFailed(why, `${advice}${hint}`));
    });
  });
}

async function checkTopic(
  chain: Chain,
  cluster: Tributary,
  topic: string,
  { write, timeoutMs }: ReachableOptions,
): Promise<void> {
  const partitions = await chain.hop(`topic ${topic}`, async () => {
    const { partitionDescriptions } = await advised(
      cluster.admin.describeTopic(topic),
      `Create it: tributary topic create ${topic}`,
    );
    const headless = partitionDescriptions.filter(({ leader }) => leader === undefined);
    const [first] = headless;
    if (first !== undefined)
      throw new CheckFailed(
        `${counted(headless.length, 'partition')} without a leader: ${first.partition} (${first.reason})`,
        'Start the brokers that hold its replicas.',
      );
    return {
      detail: `${counted(partitionDescriptions.length, 'partition')}, each with a leader`,
      value: partitionDescriptions.length,
    };
  });
  await chain.hop(
    'fetch',
    async () => {
      await using consumer = cluster.consumer({ autoOffsetReset: 'earliest' });
      const all = Array.from({ length: partitions ?? 0 }, (_, partition) => ({ topic, partition }));
      const ends = await consumer.endOffsets(all);
      const begins = await consumer.beginningOffsets(all);
      const filled = all.filter(({ partition }) => (ends[partition]?.offset ?? 0n) > (begins[partition]?.offset ?? 0n));
      if (filled.length === 0) return { detail: 'offsets are told; there is no record to read' };
      await consumer.assign(filled.map((each) => ({ ...each, offset: 'beginning' as const })));
      const records = await consumer.poll({ maxRecords: 1, timeoutMs });
      if (records.length === 0)
        throw new CheckFailed(`no record within ${timeoutMs} ms, though some are there`, 'Look at the leader’s log.');
      return { detail: 'a record was read' };
    },
    false,
  );
  if (!write) return;
  await chain.hop(
    'produce',
    async () => {
      const producer = cluster.producer({ deliveryTimeoutMs: timeoutMs });
      try {
        const { partition, offset } = await producer.send({ topic, value: 'written by tributary doctor' });
        return { detail: `acknowledged by all in-sync replicas: partition ${partition}, offset ${offset}` };
      } finally {
        await producer.close();
      }
    },
    false,
  );
}
