/**
 * How one broker behaves as it grows: partitions, connections, and gigabytes to recover. No figure passes or fails.
 *
 *     node benchmarks/scale/main.ts [--partitions 10,100,1000,5000] [--connections 0,500,2000] [--gib 10] [--repeats 3]
 *                                   [--data-dir data-bench] [--output table|json]
 */
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { once } from 'node:events';
import { mkdirSync, mkdtempDisposableSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { settle } from '../end-to-end/processes.ts';
import { Collection, publish } from '../report.ts';
import { Server } from './server.ts';

const { values: flags } = parseArgs({
  options: {
    partitions: { type: 'string', default: '10,100,1000,5000' },
    connections: { type: 'string', default: '0,500,2000' },
    gib: { type: 'string', default: '10' },
    repeats: { type: 'string', default: '3' },
    'data-dir': { type: 'string', default: 'data-bench' },
    output: { type: 'string', default: 'table' },
  },
});

const numbers = (text: string): readonly number[] => (text === '' ? [] : text.split(',').map(Number));
const recordBytes = 1_024;
const collection = new Collection();
const tuning = ['--acks', 'all', '--batch-size', '131072', '--linger', '10', '--record-size', String(recordBytes)];

const say = (text: string): boolean => process.stderr.write(`${text}\n`);

function freshFolder(): Disposable & { readonly path: string } {
  const folder = mkdtempDisposableSync(path.join(flags['data-dir'], 'scale-'));
  return { path: folder.path, [Symbol.dispose]: () => folder.remove() };
}

/** Throughput over all partitions, memory, and starts after a clean stop and after a kill. */
async function withPartitions(count: number): Promise<void> {
  using folder = freshFolder();
  await using server = new Server(folder.path);
  await server.start();
  const began = performance.now();
  await server.cluster.admin.createTopic({ name: 'wide', partitions: count });
  const created = (performance.now() - began) / 1_000;
  await settle();
  const records = ['--num-records', '400000'];
  const produced = await server.bench('produce', '--topic', 'wide', ...records, ...tuning);
  const consumed = await server.bench('consume', '--topic', 'wide', ...records);
  const memory = server.memoryMib;
  const stopped = await server.stop();
  const afterStop = await server.start();
  const idle = server.memoryMib;
  await server.bench('produce', '--topic', 'wide', '--num-records', '100000', ...tuning);
  await server.kill();
  const afterKill = await server.start();
  collection.add(`${count} partitions`, {
    'create, s': created,
    'produce commit, MiB/s': produced,
    'consume, MiB/s': consumed,
    'memory loaded, MiB': memory,
    'memory after start, MiB': idle,
    'stop, s': stopped,
    'start after stop, s': afterStop,
    'start after kill -9, s': afterKill,
  });
}

/** Throughput and memory beside connections that are open and silent. */
async function withConnections(count: number): Promise<void> {
  using folder = freshFolder();
  await using server = new Server(folder.path);
  await server.start();
  await server.cluster.admin.createTopic({ name: 'beside', partitions: 6 });
  const idle: ClientHttp2Session[] = [];
  try {
    while (idle.length < count) {
      const opened = Array.from({ length: Math.min(100, count - idle.length) }, () =>
        connectHttp2(`http://${server.bootstrap}`),
      );
      idle.push(...opened);
      await Promise.all(opened.map((session) => once(session, 'remoteSettings')));
    }
    await settle();
    const produced = await server.bench('produce', '--topic', 'beside', '--num-records', '500000', ...tuning);
    const consumed = await server.bench('consume', '--topic', 'beside', '--num-records', '500000');
    collection.add(`${count} idle connections`, {
      'produce commit, MiB/s': produced,
      'consume, MiB/s': consumed,
      'memory loaded, MiB': server.memoryMib,
    });
  } finally {
    for (const session of idle) session.destroy();
  }
}

/** Killed while it is written to, with so much on the disk. */
async function recovery(gib: number): Promise<void> {
  using folder = freshFolder();
  await using server = new Server(folder.path);
  await server.start();
  await server.cluster.admin.createTopic({ name: 'big', partitions: 6, configs: { 'flush.policy': 'async' } });
  const records = Math.ceil((gib * 2 ** 30) / recordBytes);
  await server.bench('produce', '--topic', 'big', '--num-records', String(records), ...tuning);
  for (let repeat = 0; repeat < Number(flags.repeats); repeat++) {
    say(`recovery of ${gib} GiB: ${repeat + 1} of ${flags.repeats}`);
    const writing = server.bench('produce', '--topic', 'big', '--num-records', '20000000', ...tuning).catch(() => 0);
    await sleep(4_500);
    await server.kill();
    const afterKill = await server.start();
    await writing;
    await server.stop();
    const afterStop = await server.start();
    collection.add(`${gib} GiB`, { 'start after kill -9, s': afterKill, 'start after stop, s': afterStop });
  }
}

mkdirSync(flags['data-dir'], { recursive: true });
for (const count of numbers(flags.partitions)) {
  for (let repeat = 0; repeat < Number(flags.repeats); repeat++) {
    say(`${count} partitions: ${repeat + 1} of ${flags.repeats}`);
    await withPartitions(count);
  }
}
for (const count of numbers(flags.connections)) {
  for (let repeat = 0; repeat < Number(flags.repeats); repeat++) {
    say(`${count} connections: ${repeat + 1} of ${flags.repeats}`);
    await withConnections(count);
  }
}
if (Number(flags.gib) > 0) await recovery(Number(flags.gib));
publish({ benchmark: `scale of one broker, ${flags.repeats} repeats`, rows: collection.rows }, flags.output);
