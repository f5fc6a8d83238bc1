/**
 * What the client costs by itself: a producer whose brokers swallow and acknowledge at once, and a consumer that is fed the same answers over and
 * over. Messages pass the real codecs; nothing touches a network. Each case runs in a process of its own, on one core if the machine lets it.
 * Run:  node benchmarks/micro/client.ts [--output json] [--only produce-100,…] [--repeats 3] [--seconds 2]
 */
import { execFileSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectWith, type Consumer, serializers, type Tributary } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import type { Codec, Peer, Stream, Transport } from '@tributary/ports';
import { BatchBuilder, stampBaseOffset } from '@tributary/record';
import { nodeClock, nodeRandom } from '@tributary/runtime';
import {
  type FetchRequest,
  type FetchResponse,
  methods,
  type ProduceRequest,
  type ProduceResponse,
} from '@tributary/wire';
import { Collection, publish } from '../report.ts';

const MiB = 1024 * 1024;

interface Sample {
  readonly records: number;
  readonly bytes: number;
  readonly ms: number;
}

type Case = (seconds: number) => Promise<Sample>;

const partitions = 6;
const topicId = 'AAAAAAAAAAAAAAAAAAAAAA';

/** Messages handed over at the next turn of the event loop, as those of a socket are. */
class Pipe<Out, In> implements Stream<Out, In> {
  readonly queuedBytes = 0;
  readonly #request: Codec<Out>;
  readonly #onMessage: (message: Uint8Array, pipe: Pipe<Out, In>) => void;
  readonly #inbox: In[] = [];
  #wake: (() => void) | undefined;

  constructor(request: Codec<Out>, onMessage: (message: Uint8Array, pipe: Pipe<Out, In>) => void) {
    this.#request = request;
    this.#onMessage = onMessage;
  }

  send(message: Out): void {
    const bytes = this.#request.encode(message);
    setImmediate(() => this.#onMessage(bytes, this));
  }

  answer(message: In): void {
    this.#inbox.push(message);
    this.#wake?.();
    this.#wake = undefined;
  }

  async writable(): Promise<void> {}
  end(): void {}
  cancel(): void {}

  async *[Symbol.asyncIterator](): AsyncIterator<In> {
    for (;;) {
      const message = this.#inbox.shift();
      if (message !== undefined) yield message;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function transport(stream: (path: string) => Pipe<never, never>): Transport {
  const peer: Peer = {
    address: 'null:1',
    unary: async (method) => {
      if (method.path === methods.initProducerId.path)
        return { throttleMs: 0, producerId: 1n, producerEpoch: 0 } as never;
      const views = Array.from({ length: partitions }, (_, partition) => {
        return {
          partition,
          errorCode: 0,
          errorMessage: '',
          leaderId: 1,
          leaderEpoch: 1,
          replicas: [1],
          isr: [1],
          eligibleLeaderReplicas: [],
        };
      });
      const topics = [{ name: 'topic', topicId, errorCode: 0, errorMessage: '', partitions: views }];
      return {
        throttleMs: 0,
        clusterId: 'cluster',
        revision: 1n,
        brokers: [{ nodeId: 1, address: 'null:1', host: '', rack: '' }],
        topics,
      } as never;
    },
    stream: (method) => stream(method.path),
    [Symbol.asyncDispose]: async () => undefined,
  };
  return {
    connect: () => peer,
    serve: () => {
      throw new TributaryError('UNSUPPORTED_VERSION', 'nothing is served here');
    },
  };
}

const connected = async (stream: (path: string) => Pipe<never, never>): Promise<Tributary> =>
  await connectWith({ clock: nodeClock, random: nodeRandom, transport: transport(stream) }, { bootstrap: 'null:1' });

/** Acknowledges every batch of the message. */
function acknowledge(bytes: Uint8Array, pipe: Pipe<ProduceRequest, ProduceResponse>): void {
  const { batches } = methods.produce.request.decode(bytes);
  const results = batches.map(({ correlationId }) => {
    return {
      correlationId,
      errorCode: 0 as const,
      errorMessage: '',
      baseOffset: 0n,
      logAppendTimeMs: -1n,
      logStartOffset: 0n,
      leaderId: 0,
      leaderEpoch: 0,
    };
  });
  pipe.answer({ throttleMs: 0, results });
}

type Keys = 'none' | 'keyed';

const produce =
  (size: number, value: 'bytes' | 'text', keys: Keys = 'none', awaited = false): Case =>
  async (seconds) => {
    await using cluster = await connected(() => new Pipe(methods.produce.request, acknowledge) as never);
    const producer = cluster.producer();
    const payload: Uint8Array | string = value === 'bytes' ? Buffer.alloc(size, 65) : 'A'.repeat(size);
    const names = Array.from({ length: 1000 }, (_, index) => `customer-${index * 7919}`);
    await producer.send({ topic: 'topic', value: payload });
    let records = 0;
    const begin = performance.now();
    const until = begin + seconds * 1000;
    let last: PromiseLike<unknown> | undefined;
    while (performance.now() < until) {
      for (let index = 0; index < 1000; index++) {
        const delivery =
          keys === 'none'
            ? producer.send({ topic: 'topic', value: payload })
            : producer.send({ topic: 'topic', key: names[index], value: payload });
        if (awaited) last = delivery.then(ignore);
        const full = producer.ready();
        if (full !== undefined) await full;
      }
      records += 1000;
    }
    await producer.flush();
    await last;
    return { records, bytes: records * size, ms: performance.now() - begin };
  };

const ignore = (): void => undefined;

/** Fetch answers with the same 256 KiB of batches, within the credit that the client gives. */
class Feeder {
  readonly #chunk: Uint8Array;
  readonly #perChunk: number;
  readonly #position = new Map<number, { generation: number; sent: number; credit: number; offset: bigint }>();
  #scheduled = false;

  constructor(size: number, batchBytes: number) {
    const batches: Buffer[] = [];
    let records = 0;
    let bytes = 0;
    const builder = new BatchBuilder(batchBytes);
    const value = Buffer.alloc(size, 65);
    while (bytes + batchBytes <= 256 * 1024) {
      builder.reset();
      while (builder.append(1_700_000_000_000, null, value));
      batches.push(Buffer.from(builder.build()));
      bytes += builder.estimatedSize;
      records += builder.count;
    }
    this.#chunk = Buffer.concat(batches);
    this.#perChunk = records / batches.length;
  }

  handle(message: Uint8Array, pipe: Pipe<FetchRequest, FetchResponse>): void {
    const request = methods.fetch.request.decode(message);
    for (const { partition, generation, offset, creditLimit } of request.open) {
      this.#position.set(partition, { generation, sent: 0, credit: Number(creditLimit), offset });
    }
    for (const { partition, generation, creditLimit } of request.credit) {
      const position = this.#position.get(partition);
      if (position?.generation === generation) position.credit = Number(creditLimit);
    }
    this.#feed(pipe);
  }

  #feed(pipe: Pipe<FetchRequest, FetchResponse>): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      let more = false;
      for (const [partition, position] of this.#position) {
        if (position.sent + this.#chunk.length > position.credit) continue;
        const bytes = methods.fetch.response.encode({ throttleMs: 0, partitions: [this.#frame(partition, position)] });
        pipe.answer(methods.fetch.response.decode(bytes));
        more ||= position.sent + this.#chunk.length <= position.credit;
      }
      if (more) this.#feed(pipe);
    });
  }

  #frame(partition: number, position: { generation: number; sent: number; offset: bigint }) {
    const batchBytes = this.#chunk.length;
    position.sent += batchBytes;
    let at = 0;
    while (at < batchBytes) {
      stampBaseOffset(this.#chunk, at, position.offset as never);
      position.offset += BigInt(this.#perChunk);
      at += 12 + Buffer.from(this.#chunk.buffer, this.#chunk.byteOffset + at + 8, 4).readInt32BE();
    }
    return {
      ...{
        topicId,
        partition,
        generation: position.generation,
        errorCode: 0 as const,
        errorMessage: '',
        highWatermark: 0n,
        lastStableOffset: 0n,
      },
      ...{
        logStartOffset: 0n,
        localLogStartOffset: 0n,
        aborted: [],
        records: this.#chunk,
        leaderId: 0,
        leaderEpoch: 0,
        creditNeeded: 0n,
      },
    };
  }
}

type Reading = 'poll' | 'iterate' | 'value' | 'text';

const consume =
  (size: number, reading: Reading, checkCrcs = true): Case =>
  async (seconds) => {
    const feeder = new Feeder(size, 64 * 1024);
    await using cluster = await connected(
      () =>
        new Pipe<FetchRequest, FetchResponse>(methods.fetch.request, (bytes, pipe) =>
          feeder.handle(bytes, pipe),
        ) as never,
    );
    const options = { checkCrcs };
    const consumer: Consumer<Uint8Array, Uint8Array | string> =
      reading === 'text'
        ? cluster.consumer({ ...options, valueDeserializer: serializers.string })
        : cluster.consumer(options);
    await consumer.assign(
      Array.from({ length: partitions }, (_, partition) => ({ topic: 'topic', partition, offset: 0n })),
    );
    const begin = performance.now();
    const until = begin + seconds * 1000;
    let records = 0;
    let bytes = 0;
    if (reading === 'iterate') {
      for await (const record of consumer) {
        bytes += record.valueSize;
        if (++records % 1024 === 0 && performance.now() >= until) break;
      }
    } else {
      while (performance.now() < until) {
        for (const record of await consumer.poll()) {
          bytes += reading === 'poll' ? record.valueSize : (record.value?.length ?? 0);
          records++;
        }
      }
    }
    return { records, bytes, ms: performance.now() - begin };
  };

const cases: Readonly<Record<string, Case>> = {
  'produce-100': produce(100, 'bytes'),
  'produce-100-text': produce(100, 'text'),
  'produce-100-keyed': produce(100, 'bytes', 'keyed'),
  'produce-100-awaited': produce(100, 'bytes', 'none', true),
  'produce-1024': produce(1024, 'bytes'),
  'produce-1024-text': produce(1024, 'text'),
  'consume-100': consume(100, 'poll'),
  'consume-100-value': consume(100, 'value'),
  'consume-100-text': consume(100, 'text'),
  'consume-100-iterate': consume(100, 'iterate'),
  'consume-100-unchecked': consume(100, 'poll', false),
  'consume-1024': consume(1024, 'poll'),
  'consume-1024-value': consume(1024, 'value'),
  'consume-1024-unchecked': consume(1024, 'poll', false),
};

const { values } = parseArgs({
  options: {
    output: { type: 'string', default: 'table' },
    only: { type: 'string', default: Object.keys(cases).join(',') },
    repeats: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    child: { type: 'string' },
  },
});

if (values.child === undefined) {
  const collection = new Collection();
  for (const name of values.only.split(',')) {
    for (let repeat = 0; repeat < Number(values.repeats); repeat++) {
      const args = [fileURLToPath(import.meta.url), '--child', name, '--seconds', values.seconds];
      const { records, bytes, ms } = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Sample;
      collection.add(name, { 'M records/s': records / ms / 1000, 'MiB/s': bytes / MiB / (ms / 1000) });
    }
  }
  publish({ benchmark: 'micro/client', rows: collection.rows }, values.output);
} else {
  const run = cases[values.child];
  if (run === undefined) throw new RangeError(`unknown case ${values.child}; known: ${Object.keys(cases).join(', ')}`);
  // Once to warm up the compiler.
  await run(1);
  console.log(JSON.stringify(await run(Number(values.seconds))));
  process.exit(0);
}
