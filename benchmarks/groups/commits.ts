/**
 * Commits of one group and of 64 at once, one after the other each, beside Kafka's; and how long they stand still when the owner of the group is killed. One broker,
 * one controller, two coordinators, each a process; Kafka: one node. Ours are on disk (`flush.policy` of the journal is `commit`), Kafka's are in its page cache.
 *
 *     node benchmarks/groups/commits.ts [--runs 5] [--seconds 4] [--only commits,owner] [--kafka path/to/kafka.sh] [--output table|json]
 *
 * The script runs Kafka: `start DIR 1`, `topic DIR NAME PARTITIONS REPLICAS`, `cp DIR`, `clean DIR`, on BASE_PORT.
 */
import { execFile } from 'node:child_process';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { type Consumer, connect, type Tributary } from '@tributary/client';
import { ClusterProcesses } from '../../tests/end-to-end/cluster-processes.ts';
import { freePort } from '../end-to-end/processes.ts';
import { Collection, publish, quantile } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string', default: 'commits,owner' },
    kafka: { type: 'string', default: '' },
    output: { type: 'string', default: 'table' },
  },
});
const topic = 'committed';
const lanes = [1, 64];
const warmMs = 3_000;
const patienceMs = 30_000;
const run = promisify(execFile);

function rowOf(committers: number, whose: string): string {
  return `${committers === 1 ? 'one committer' : `${committers} committers`}, ${whose}`;
}

async function member(client: Tributary, groupId: string): Promise<Consumer> {
  const consumer = client.consumer({ groupId, autoCommit: false, autoOffsetReset: 'earliest' });
  await consumer.subscribe({ topics: [topic] });
  for (const until = performance.now() + patienceMs; consumer.assignment.length === 0; ) {
    if (performance.now() > until) throw new Error(`${groupId} is given nothing`);
    await consumer.poll({ timeoutMs: 20 });
  }
  return consumer;
}

async function ours(client: Tributary, committers: number, collection: Collection): Promise<void> {
  const names = Array.from({ length: committers }, (_, index) => `committing-${index}`);
  const consumers = await Promise.all(names.map((name) => member(client, name)));
  const times: number[] = [];
  const begun = performance.now() + warmMs;
  const until = begun + Number(flags.seconds) * 1_000;
  await Promise.all(
    consumers.map(async (consumer) => {
      for (let at = performance.now(); at < until; at = performance.now()) {
        await consumer.commit([{ topic, partition: 0, offset: 0n }]);
        if (at > begun) times.push(performance.now() - at);
      }
    }),
  );
  await Promise.all(consumers.map((consumer) => consumer.close()));
  const sorted = times.toSorted((a, b) => a - b);
  collection.add(rowOf(committers, 'Tributary'), {
    'commits/s': times.length / Number(flags.seconds),
    'p50, ms': quantile(sorted, 0.5),
    'p99, ms': quantile(sorted, 0.99),
  });
}

/** SIGKILL of the owner while it is asked for one commit after the other: the longest gap between two that were answered. */
async function ownerKilled(cluster: ClusterProcesses, client: Tributary, collection: Collection): Promise<void> {
  await using consumer = await member(client, 'taken-over');
  const { coordinator } = await client.admin.groups.describe('taken-over', { lag: false });
  const owner = cluster.coordinator(coordinator);
  let isOver = false;
  let lastAt = performance.now();
  let gapMs = 0;
  const committing = (async () => {
    while (!isOver) {
      await consumer.commit([{ topic, partition: 0, offset: 0n }]);
      gapMs = Math.max(gapMs, performance.now() - lastAt);
      lastAt = performance.now();
    }
  })();
  await sleep(1_000);
  gapMs = 0;
  const killedAt = performance.now();
  await owner.end('SIGKILL');
  await sleep(2_000);
  isOver = true;
  await committing;
  if (lastAt < killedAt) throw new Error('no commit came through');
  collection.add('SIGKILL of the owner', { 'longest gap between commits, ms': gapMs });
  await owner.start();
  await sleep(1_000);
}

async function kafka(script: string, collection: Collection): Promise<void> {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'kafka-'));
  const port = await freePort(100);
  const env = { ...process.env, BASE_PORT: String(port) };
  const call = async (command: string, ...args: readonly string[]): Promise<string> =>
    (await run(path.resolve(script), [command, folder.path, ...args], { env })).stdout;
  try {
    await call('start', '1');
    await call('topic', topic, '1', '1');
    const classpath = (await call('cp')).trim();
    const program = path.join(import.meta.dirname, 'Commits.java');
    for (const committers of lanes) {
      const args = ['-cp', classpath, program, `127.0.0.1:${port}`, topic, String(committers), flags.seconds];
      for (let turn = 0; turn < Number(flags.runs); turn++) {
        const { perSecond, p50Ms, p99Ms }: Readonly<Record<'perSecond' | 'p50Ms' | 'p99Ms', number>> = JSON.parse(
          (await run('java', args)).stdout,
        );
        const figures = { 'commits/s': perSecond, 'p50, ms': p50Ms, 'p99, ms': p99Ms };
        collection.add(rowOf(committers, 'Kafka'), figures);
      }
    }
  } finally {
    await call('clean');
  }
}

const collection = new Collection();
{
  await using cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 1, coordinators: 2 });
  const client = await connect({ bootstrap: cluster.bootstrap });
  await client.admin.createTopic({ name: topic, partitions: 1 });
  for (let turn = 0; turn < Number(flags.runs); turn++) {
    if (flags.only.includes('commits')) for (const committers of lanes) await ours(client, committers, collection);
    if (flags.only.includes('owner')) await ownerKilled(cluster, client, collection);
  }
  await client.close();
}
if (flags.kafka !== '') await kafka(flags.kafka, collection);
publish({ benchmark: 'commits of groups', rows: collection.rows }, flags.output);
