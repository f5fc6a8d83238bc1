/**
 * Micro benchmark of the transports, two processes on loopback: round trips, small messages in flight, batches each way, memory.
 *
 *     node benchmarks/micro/transport.ts [--output json] [--transport own,grpc-js] [--repeats 3] [--seconds 2] [--profile FOLDER]
 *
 * Several transports take turns, each in fresh processes. Latencies are of one call at a time; `CPU s` is what both processes burn per GiB, or
 * per million messages. Messages are those of Produce and Fetch, through the codecs that they have in production; nothing is done with their
 * records. This is the evidence for docs/adr/0003.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import type { Peer, Transport } from '@tributary/ports';
import { type FetchResponse, methods, type ProduceRequest } from '@tributary/wire';
import { Collection, type Figures, publish, quantile } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    transport: { type: 'string', default: 'own,grpc-js' },
    repeats: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    profile: { type: 'string' },
    // How a child process learns its part.
    role: { type: 'string', default: 'all' },
  },
});
const roundMs = Number(flags.seconds) * 1_000;
const batchBytes = 256 * 1024;
const inFlight = 5;
const smallInFlight = 256;

interface Measured {
  readonly name: string;
  readonly figures: Figures;
}

interface Flow {
  next(): Promise<unknown>;
  close(): void;
}

const never = new AbortController().signal;

async function load(name: string): Promise<Transport> {
  switch (name) {
    case 'own':
      return (await import('@tributary/runtime')).grpcTransport;
    case 'grpc-js':
      return (await import('@tributary/runtime/transport-grpc-js')).grpcJsTransport;
    default:
      throw new Error(`--transport ${name}: there are own and grpc-js`);
  }
}

function produceRequest(bytes: number): ProduceRequest {
  const records = Buffer.alloc(bytes, 7);
  const batch = { correlationId: 7, topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partition: 3, leaderEpoch: 5, records };
  return { context: undefined, acks: 3, timeoutMs: 30_000, transactionalId: '', batches: [batch] };
}

function fetchResponse(bytes: number): FetchResponse {
  const partition = {
    topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
    partition: 3,
    generation: 1,
    errorCode: 0 as const,
    errorMessage: '',
    highWatermark: 123_456_789n,
    lastStableOffset: 123_456_789n,
    logStartOffset: 0n,
    localLogStartOffset: 0n,
    aborted: [],
    records: Buffer.alloc(bytes, 7),
    leaderId: 0,
    leaderEpoch: 0,
    creditNeeded: 0n,
  };
  return { throttleMs: 0, partitions: [partition] };
}

async function serve(transport: Transport): Promise<void> {
  const result = {
    correlationId: 7,
    errorCode: 0 as const,
    errorMessage: '',
    baseOffset: 123_456_789n,
    logAppendTimeMs: -1n,
    logStartOffset: 0n,
    leaderId: 0,
    leaderEpoch: 0,
  };
  const server = await transport.serve('127.0.0.1:0', (handlers) => {
    handlers.unary(methods.listTopics, async () => ({ throttleMs: 0, topics: [] }));
    handlers.stream(methods.produce, async (stream) => {
      for await (const request of stream) {
        stream.send({ throttleMs: 0, results: request.batches.map(() => result) });
      }
    });
    handlers.stream(methods.fetch, async (stream, { signal }) => {
      const response = fetchResponse(batchBytes);
      while (!signal.aborted) {
        await stream.writable();
        stream.send(response);
      }
    });
  });
  process.on('message', (message) => {
    if (message === 'usage') process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() });
    else process.exit();
  });
  process.send?.(server.address);
}

class Bench {
  readonly #child: ChildProcess;
  readonly #peer: Peer;

  constructor(child: ChildProcess, peer: Peer) {
    this.#child = child;
    this.#peer = peer;
  }

  /** Of both processes: CPU seconds, user and system, and MiB of memory. */
  async usage(): Promise<{ readonly cpu: number; readonly rss: number }> {
    this.#child.send('usage');
    const [theirs]: { readonly cpu: NodeJS.CpuUsage; readonly rss: number }[] = await once(this.#child, 'message');
    const ours = process.cpuUsage();
    const cpu = ((theirs?.cpu.user ?? 0) + (theirs?.cpu.system ?? 0) + ours.user + ours.system) / 1e6;
    return { cpu, rss: ((theirs?.rss ?? 0) + process.memoryUsage.rss()) / 2 ** 20 };
  }

  async latency(name: string, open: () => { call(): Promise<unknown>; close(): void }): Promise<Measured> {
    const { call, close } = open();
    for (let i = 0; i < 2_000; i++) await call();
    const before = await this.usage();
    const times: number[] = [];
    const end = performance.now() + roundMs;
    while (performance.now() < end) {
      const begin = performance.now();
      await call();
      times.push((performance.now() - begin) * 1_000);
    }
    const after = await this.usage();
    close();
    times.sort((a, b) => a - b);
    const figures = {
      'p50 µs': quantile(times, 0.5),
      'p99 µs': quantile(times, 0.99),
      'messages/s': times.length / (roundMs / 1_000),
      'CPU s': ((after.cpu - before.cpu) / times.length) * 1e6,
    };
    return { name, figures };
  }

  /** @param open a stream of which `next` brings one message on. */
  async flow(name: string, bytes: number, open: () => Flow): Promise<Measured> {
    const { next, close } = open();
    const warm = performance.now() + roundMs / 4;
    while (performance.now() < warm) await next();
    const before = await this.usage();
    let messages = 0;
    const begin = performance.now();
    while (performance.now() < begin + roundMs) {
      await next();
      messages++;
    }
    const seconds = (performance.now() - begin) / 1_000;
    const after = await this.usage();
    close();
    const burnt = after.cpu - before.cpu;
    if (bytes === 0) return { name, figures: { 'messages/s': messages / seconds, 'CPU s': (burnt / messages) * 1e6 } };
    const gib = (messages * bytes) / 2 ** 30;
    const figures = {
      'messages/s': messages / seconds,
      'MiB/s': (gib * 1_024) / seconds,
      'CPU s': burnt / gib,
      'RSS MiB': after.rss,
    };
    return { name, figures };
  }

  /** @param window messages kept in flight. */
  produce(bytes: number, window: number): Flow & { call(): Promise<unknown> } {
    const stream = this.#peer.stream(methods.produce, never);
    const answers = stream[Symbol.asyncIterator]();
    const request = produceRequest(bytes);
    for (let i = 0; i < window; i++) stream.send(request);
    return {
      next: async () => {
        await answers.next();
        stream.send(request);
      },
      call: () => {
        stream.send(request);
        return answers.next();
      },
      close: () => stream.cancel(),
    };
  }

  fetch(): Flow {
    const stream = this.#peer.stream(methods.fetch, never);
    const answers = stream[Symbol.asyncIterator]();
    return { next: () => answers.next(), close: () => stream.cancel() };
  }

  unary(): { call(): Promise<unknown>; close(): void } {
    const call = (): Promise<unknown> =>
      this.#peer.unary(methods.listTopics, { context: undefined }, { deadlineMs: 10_000 });
    return { call, close: () => undefined };
  }
}

function childOf(role: string, transport: string): ChildProcess {
  const execArgv = [...process.execArgv];
  if (flags.profile !== undefined) execArgv.push('--cpu-prof', `--cpu-prof-dir=${flags.profile}`);
  return fork(import.meta.filename, ['--role', role, '--transport', transport, '--seconds', flags.seconds], {
    execArgv,
  });
}

/** The client's process, one transport. */
async function measure(name: string): Promise<readonly Measured[]> {
  const begin = performance.now();
  const transport = await load(name);
  const imported = { name: 'import', figures: { ms: performance.now() - begin } };
  const child = childOf('server', name);
  const [address]: string[] = await once(child, 'message');
  const peer = transport.connect(address ?? '');
  const bench = new Bench(child, peer);
  const small = `stream, 100 B, ${smallInFlight} in flight`;
  const batches = [16, 256, 1_024].map((kib) => ({
    name: `produce ${kib} KiB, ${inFlight} in flight`,
    bytes: kib * 1_024,
  }));
  const rows = [
    imported,
    await bench.latency('unary round trip', () => bench.unary()),
    await bench.latency('stream round trip, 100 B', () => bench.produce(100, 0)),
    await bench.flow(small, 0, () => bench.produce(100, smallInFlight)),
  ];
  for (const { name: batch, bytes } of batches)
    rows.push(await bench.flow(batch, bytes, () => bench.produce(bytes, inFlight)));
  rows.push(await bench.flow(`fetch ${batchBytes / 1_024} KiB, pushed`, batchBytes, () => bench.fetch()));
  await peer[Symbol.asyncDispose]();
  child.send('stop');
  await once(child, 'exit');
  return rows;
}

async function all(): Promise<void> {
  const names = flags.transport.split(',');
  const collection = new Collection();
  const repeats = Array.from({ length: Number(flags.repeats) }, () => new Map<string, readonly Measured[]>());
  for (const repeat of repeats) {
    for (const name of names) {
      const client = childOf('client', name);
      const [rows]: (readonly Measured[])[] = await once(client, 'message');
      repeat.set(name, rows ?? []);
      await once(client, 'exit');
    }
  }
  const scenarios = repeats[0]?.get(names[0] ?? '') ?? [];
  for (const { name: scenario } of scenarios) {
    for (const name of names) {
      for (const repeat of repeats) {
        const measured = repeat.get(name)?.find((row) => row.name === scenario);
        if (measured !== undefined) collection.add(`${scenario}: ${name}`, measured.figures);
      }
    }
  }
  publish({ benchmark: 'micro/transport', rows: collection.rows }, flags.output);
}

switch (flags.role) {
  case 'server':
    await serve(await load(flags.transport));
    break;
  case 'client':
    process.send?.(await measure(flags.transport));
    process.disconnect?.();
    break;
  default:
    await all();
}
