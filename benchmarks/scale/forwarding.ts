/**
 * What it costs to reach a partition through another broker than its leader (F1): the same client, records and partition, once directly and once through
 * one forwarded port. No figure passes or fails.
 *
 *     node benchmarks/scale/forwarding.ts [--records 200000] [--repeats 3] [--data-dir data-bench] [--output table|json]
 */
import { mkdirSync, mkdtempDisposableSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { connectWith, type Tributary } from '@tributary/client';
import type { Transport } from '@tributary/ports';
import { grpcTransport, nodeClock, nodeRandom } from '@tributary/runtime';
import { run } from '../end-to-end/processes.ts';
import { Collection, publish, quantile } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    records: { type: 'string', default: '200000' },
    repeats: { type: 'string', default: '3' },
    'data-dir': { type: 'string', default: 'data-bench' },
    output: { type: 'string', default: 'table' },
  },
});

const cli = path.join(import.meta.dirname, '..', '..', 'packages', 'cli', 'src', 'main.ts');
const recordBytes = 1_024;
const singles = 500;
const collection = new Collection();

/** Nobody listens elsewhere, as far as this client can see. */
function only(address: string): Transport {
  return {
    connect: (wanted) => grpcTransport.connect(wanted === address ? wanted : '127.0.0.1:1'),
    serve: (...given) => grpcTransport.serve(...given),
  };
}

const reaching = (address: string): Promise<Tributary> =>
  connectWith({ clock: nodeClock, random: nodeRandom, transport: only(address) }, { bootstrap: address });

async function measure(way: string, address: string, topic: string): Promise<void> {
  await using cluster = await reaching(address);
  const records = Number(flags.records);
  const value = 'x'.repeat(recordBytes);
  const mebibytes = (records * recordBytes) / 2 ** 20;
  await using producer = cluster.producer({ lingerMs: 10 });
  await producer.send({ topic, value });
  const begun = performance.now();
  for (let sent = 0; sent < records; sent++) {
    producer.send({ topic, value });
    const full = producer.ready();
    if (full) await full;
  }
  await producer.flush();
  const produced = mebibytes / ((performance.now() - begun) / 1_000);
  await using consumer = cluster.consumer();
  await consumer.assign([{ topic, offset: 'beginning' }]);
  const read = performance.now();
  for (let count = 0; count < records; ) count += (await consumer.poll({ maxRecords: 10_000 })).length;
  const consumed = mebibytes / ((performance.now() - read) / 1_000);
  await using single = cluster.producer();
  const took: number[] = [];
  for (let count = 0; count < singles; count++) {
    const at = performance.now();
    await single.send({ topic, value });
    took.push(performance.now() - at);
  }
  took.sort((a, b) => a - b);
  collection.add(way, {
    'produce, MiB/s': produced,
    'consume, MiB/s': consumed,
    'ack p50, ms': quantile(took, 0.5),
    'ack p99, ms': quantile(took, 0.99),
  });
}

async function main(): Promise<void> {
  mkdirSync(flags['data-dir'], { recursive: true });
  using folder = mkdtempDisposableSync(path.join(flags['data-dir'], 'forwarding-'));
  const local = (command: string, ...more: readonly string[]): Promise<string> =>
    run(process.execPath, [cli, 'local', command, '--data-dir', folder.path, ...more]);
  try {
    await local('up', '--brokers', '2', '--controllers', '1', '--port', '9395');
    const parts = JSON.parse(await local('ps', '--output', 'json')) as readonly {
      readonly role: string;
      readonly id: number;
      readonly ports: { readonly grpc: number };
    }[];
    const addresses = new Map(
      parts.filter(({ role }) => role === 'broker').map(({ id, ports }) => [id, `127.0.0.1:${ports.grpc}`]),
    );
    await using cluster = await reaching([...addresses.values()][0] ?? '');
    for (let repeat = 0; repeat < Number(flags.repeats); repeat++) {
      const topic = `t${repeat}`;
      await cluster.admin.createTopic({
        name: topic,
        partitions: 1,
        replicationFactor: 1,
        configs: { 'flush.policy': 'async' },
      });
      const { partitionDescriptions } = await cluster.admin.describeTopic(topic);
      const leader = partitionDescriptions[0]?.leader;
      const ways = [...addresses].map(([id, address]) => ({ way: id === leader ? 'direct' : 'forwarded', address }));
      for (const { way, address } of repeat % 2 === 0 ? ways : ways.toReversed()) await measure(way, address, topic);
      await cluster.admin.deleteTopic(topic);
    }
  } finally {
    await local('down');
  }
  publish({ benchmark: 'forwarding', rows: collection.rows }, flags.output);
}

await main();
