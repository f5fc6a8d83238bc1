/**
 * What members of a group notice of one another, on one `tributary dev`: the pause of partitions that stay while a member joins, the takeover after one was killed,
 * and how long commits take. No figure passes or fails.
 *
 *     node benchmarks/groups/main.ts [--members 10] [--partitions 60] [--runs 3] [--committers 20] [--output table|json]
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Consumer, connect, type Tributary } from '@tributary/client';
import { freePort, Started } from '../end-to-end/processes.ts';
import { Collection, publish, quantile } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    members: { type: 'string', default: '10' },
    partitions: { type: 'string', default: '60' },
    runs: { type: 'string', default: '3' },
    committers: { type: 'string', default: '20' },
    output: { type: 'string', default: 'table' },
  },
});
const members = Number(flags.members);
const partitions = Number(flags.partitions);
/** A record for each partition so often, ms: gaps are seen no finer. */
const paceMs = 5;
const watchedMs = 2_000;
const commitMs = 4_000;
const patienceMs = 30_000;

/** Who reads, and when each partition was last heard. */
class Watch {
  readonly #lastAt = new Map<number, number>();
  readonly #gaps = new Map<number, number>();
  /** Owners by partition, when the watch began. */
  #owners = new Map<number, Consumer>();

  begin(consumers: readonly Consumer[]): void {
    this.#gaps.clear();
    this.#owners = ownersOf(consumers);
  }

  heard(partition: number): void {
    const now = performance.now();
    const gap = now - (this.#lastAt.get(partition) ?? now);
    this.#gaps.set(partition, Math.max(gap, this.#gaps.get(partition) ?? 0));
    this.#lastAt.set(partition, now);
  }

  lastAt(partition: number): number {
    return this.#lastAt.get(partition) ?? 0;
  }

  /** The longest of those that have the same owner as when it began, ms. */
  longestOfStaying(consumers: readonly Consumer[]): { readonly gapMs: number; readonly staying: number } {
    const now = ownersOf(consumers);
    const staying = [...now].filter(([partition, owner]) => this.#owners.get(partition) === owner);
    return {
      gapMs: Math.max(...staying.map(([partition]) => this.#gaps.get(partition) ?? 0)),
      staying: staying.length,
    };
  }
}

function ownersOf(consumers: readonly Consumer[]): Map<number, Consumer> {
  return new Map(consumers.flatMap((each) => each.assignment.map(({ partition }) => [partition, each] as const)));
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${patienceMs} ms`);
    await sleep(1);
  }
}

async function read(consumer: Consumer, watch: Watch, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const records = await consumer.poll({ timeoutMs: 100 }).catch(() => []);
    for (const { partition } of records) watch.heard(partition);
  }
}

async function produce(cluster: Tributary, topic: string, signal: AbortSignal): Promise<void> {
  const producer = cluster.producer({ acks: 1, lingerMs: 0 });
  while (!signal.aborted) {
    for (let partition = 0; partition < partitions; partition++) producer.send({ topic, partition, value: 'x' });
    await sleep(paceMs);
  }
}

async function rebalances(bootstrap: string, run: number, collection: Collection): Promise<void> {
  const topic = `joined-${run}`;
  const groupId = `group-${run}`;
  await using cluster = await connect({ bootstrap });
  await cluster.admin.createTopic({ name: topic, partitions, configs: { 'flush.policy': 'async' } });
  const over = new AbortController();
  const watch = new Watch();
  const consumers: Consumer[] = [];
  const join = async (): Promise<void> => {
    const consumer = cluster.consumer({ groupId });
    consumers.push(consumer);
    await consumer.subscribe({ topics: [topic] });
    void read(consumer, watch, over.signal);
  };
  const isWhole = (): boolean =>
    ownersOf(consumers).size === partitions && consumers.every(({ assignment }) => assignment.length > 0);
  void produce(cluster, topic, over.signal);
  for (let index = 0; index < members; index++) await join();
  await until(isWhole, 'everybody has a share');
  await sleep(1_000);
  watch.begin(consumers);
  await sleep(watchedMs);
  const before = watch.longestOfStaying(consumers);
  watch.begin(consumers);
  const joinedAt = performance.now();
  await join();
  await until(isWhole, 'the new member has a share');
  const sharedMs = performance.now() - joinedAt;
  await sleep(watchedMs);
  const during = watch.longestOfStaying(consumers);
  collection.add('a member joins', {
    'longest gap at rest, ms': before.gapMs,
    'longest gap of partitions that stay, ms': during.gapMs,
    'partitions that stay': during.staying,
    'until the new one has its share, ms': sharedMs,
  });
  await takeover({ bootstrap, groupId, topic }, watch, collection);
  over.abort();
}

async function takeover(
  { bootstrap, groupId, topic }: { readonly bootstrap: string; readonly groupId: string; readonly topic: string },
  watch: Watch,
  collection: Collection,
): Promise<void> {
  const program = path.join(import.meta.dirname, 'member.ts');
  const child = spawn(process.execPath, [program, bootstrap, groupId, topic], { stdio: ['ignore', 'pipe', 'inherit'] });
  let its: readonly number[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    its = JSON.parse(line) as number[];
  });
  await until(() => its.length > 0, 'the process has a share');
  await sleep(1_000);
  const gone = once(child, 'exit');
  const killedAt = performance.now();
  child.kill('SIGKILL');
  await gone;
  await until(
    () => its.every((partition) => watch.lastAt(partition) > killedAt + paceMs),
    'the rest has its partitions',
  );
  const first = its.map((partition) => watch.lastAt(partition) - killedAt);
  collection.add('a member is killed', { 'until all its partitions are read again, ms': Math.max(...first) });
}

async function commits(bootstrap: string, collection: Collection): Promise<void> {
  await using cluster = await connect({ bootstrap });
  await cluster.admin.createTopic({ name: 'committed', partitions: 1 });
  const count = Number(flags.committers);
  const times: number[] = [];
  const until = performance.now() + commitMs;
  const commitOn = async (groupId: string): Promise<void> => {
    const consumer = cluster.consumer({ groupId, autoCommit: false, autoOffsetReset: 'earliest' });
    await consumer.subscribe({ topics: ['committed'] });
    while (consumer.assignment.length === 0) await consumer.poll({ timeoutMs: 20 });
    while (performance.now() < until) {
      const at = performance.now();
      await consumer.commit([{ topic: 'committed', partition: 0, offset: 0n }]);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: count }, (_, index) => commitOn(`committing-${index}`)));
  const sorted = times.toSorted((a, b) => a - b);
  collection.add(`commits of ${count} groups at a time`, {
    'commits/s': times.length / (commitMs / 1_000),
    'median, ms': quantile(sorted, 0.5),
    'p99, ms': quantile(sorted, 0.99),
  });
}

/** The broker answers. */
async function begun(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    try {
      await using _ = await connect({ bootstrap });
      return;
    } catch {
      await sleep(100);
    }
  }
  throw new Error(`nothing answers at ${bootstrap}`);
}

const root = path.dirname(path.dirname(import.meta.dirname));
const folder = mkdtempSync(path.join(tmpdir(), 'tributary-groups-'));
const port = await freePort(100);
const bootstrap = `127.0.0.1:${port}`;
const main = path.join(root, 'packages', 'cli', 'src', 'main.ts');
const collection = new Collection();
{
  await using dev = new Started(process.execPath, [main, 'dev', '--port', `${port}`, '--data-dir', folder]);
  await begun();
  for (let run = 0; run < Number(flags.runs); run++) {
    dev.checkAlive();
    await rebalances(bootstrap, run, collection);
  }
  await commits(bootstrap, collection);
}
rmSync(folder, { recursive: true, force: true });
publish({ benchmark: 'groups', rows: collection.rows }, flags.output);
process.exit(0);
