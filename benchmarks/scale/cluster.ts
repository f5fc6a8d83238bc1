/**
 * How three brokers and two controllers behave with many partitions of three replicas (min.insync.replicas 2): CPU and memory at rest, how soon a broker that
 * starts again is in sync, how soon a successor of the active controller decides. No figure passes or fails.
 *
 *     node benchmarks/scale/cluster.ts [--partitions 2000] [--repeats 3] [--only idle,term,kill,controller] [--idle-seconds 20]
 *                                      [--profile FOLDER] [--output table|json]
 *
 * Needs etcd on the PATH. `--profile`: CPU profiles of the brokers' whole lives.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type PartitionDescription, type Producer, type Tributary } from '@tributary/client';
import { ClusterProcesses, type PartProcess } from '../../tests/end-to-end/cluster-processes.ts';
import { residentMib } from '../end-to-end/processes.ts';
import { Collection, publish } from '../report.ts';

const { values: flags } = parseArgs({
  options: {
    partitions: { type: 'string', default: '2000' },
    repeats: { type: 'string', default: '3' },
    only: { type: 'string', default: 'idle,term,kill,controller' },
    'idle-seconds': { type: 'string', default: '20' },
    profile: { type: 'string' },
    output: { type: 'string', default: 'table' },
  },
});

const topic = 'wide';
const partitions = Number(flags.partitions);
const replicas = 3;
/** As often as the state of all partitions is asked for, ms: an answer costs a broker some milliseconds. */
const lookMs = 100;
const recoveryMsMax = 120_000;
/** Of the trickle, ms. */
const recordMs = 20;
/** Nothing is due any more after an election or a start, ms. */
const restMs = 10_000;
/** Of the kernel's clock in /proc, per second. */
const ticks = 100;
const collection = new Collection();

const say = (text: string): boolean => process.stderr.write(`${text}\n`);

function note(row: string, figures: Readonly<Record<string, number>>): void {
  collection.add(row, figures);
  say(`${row}: ${JSON.stringify(figures)}`);
}

/** Seconds of CPU, user and system, that a process has had. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

async function until(
  client: Tributary,
  condition: (partition: PartitionDescription) => boolean,
  what: string,
): Promise<void> {
  const deadline = performance.now() + recoveryMsMax;
  for (;;) {
    const { partitionDescriptions } = await client.admin.describeTopic(topic);
    const left = partitionDescriptions.filter((each) => !condition(each));
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error(`${what}: not for ${left.length} partitions`);
    await sleep(lookMs);
  }
}

const inSync = ({ leader, isr }: PartitionDescription): boolean => leader !== undefined && isr.length === replicas;

/** One record at a time over all partitions, as fast as says `recordMs`, until stopped. */
class Trickle implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  failed = 0;

  constructor(producer: Producer) {
    this.#running = this.#run(producer);
  }

  async #run(producer: Producer): Promise<void> {
    const value = Buffer.alloc(100);
    for (let sent = 0; !this.#stop.signal.aborted; sent++) {
      producer.send({ topic, partition: sent % partitions, value }).then(undefined, () => void this.failed++);
      await sleep(recordMs);
    }
    await producer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (this.failed > 0) say(`${this.failed} records of the trickle failed`);
  }
}

class Wide {
  readonly #cluster: ClusterProcesses;
  readonly #client: Tributary;

  constructor(cluster: ClusterProcesses, client: Tributary) {
    this.#cluster = cluster;
    this.#client = client;
  }

  async create(): Promise<void> {
    const begin = performance.now();
    await this.#client.admin.createTopic({
      name: topic,
      partitions,
      replicationFactor: replicas,
      configs: { 'min.insync.replicas': '2' },
    });
    const acknowledged = (performance.now() - begin) / 1_000;
    await until(this.#client, inSync, 'every replica is in sync');
    note('create', { 'acknowledged, s': acknowledged, 'in sync, s': (performance.now() - begin) / 1_000 });
  }

  trickle(): Trickle {
    return new Trickle(this.#client.producer({ acks: 'all' }));
  }

  async rest(row: string): Promise<void> {
    await sleep(restMs);
    const { brokers } = this.#cluster;
    const before = brokers.map(({ pid }) => cpuSeconds(pid));
    const begin = performance.now();
    await sleep(Number(flags['idle-seconds']) * 1_000);
    const seconds = (performance.now() - begin) / 1_000;
    for (const [i, { pid }] of brokers.entries()) {
      const share = (cpuSeconds(pid) - (before[i] ?? 0)) / seconds;
      note(row, { 'CPU of a broker, % of a core': 100 * share, 'memory of a broker, MiB': residentMib(pid) });
    }
  }

  /** Its partitions have gone on without it; then from the start of its process. */
  async restart(broker: PartProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const stopping = performance.now();
    await broker.end(signal);
    const stopped = (performance.now() - stopping) / 1_000;
    const others = this.#cluster.brokers.filter((each) => each !== broker).map(({ address }) => address);
    await using client = await connect({ bootstrap: others.join(',') });
    const isWithout = ({ leader, isr }: PartitionDescription): boolean =>
      leader !== undefined && !isr.includes(broker.id);
    await until(client, isWithout, `broker ${broker.id} is in no ISR`);
    const without = (performance.now() - stopping) / 1_000;
    await sleep(2_000);
    const begin = performance.now();
    await broker.start();
    const ready = (performance.now() - begin) / 1_000;
    await until(client, inSync, 'every replica is in sync');
    note(`start after ${signal}`, {
      'stop, s': stopped,
      'out of every ISR, s': without,
      'ready, s': ready,
      'in sync, s': (performance.now() - begin) / 1_000,
    });
  }

  async successor(repeat: number): Promise<void> {
    const { controller } = await this.#client.admin.describeCluster();
    const active = this.#cluster.controller(controller);
    await active.end('SIGKILL');
    const begin = performance.now();
    await this.#client.admin.createTopic({ name: `beside-${repeat}`, partitions: 1, replicationFactor: replicas });
    note('SIGKILL of the active controller', { 'decides again, s': (performance.now() - begin) / 1_000 });
    await active.start();
  }
}

async function main(): Promise<void> {
  const wanted = flags.only.split(',');
  const repeats = Array.from({ length: Number(flags.repeats) }, (_, i) => i);
  const profile = flags.profile === undefined ? undefined : path.resolve(flags.profile);
  if (profile !== undefined) mkdirSync(profile, { recursive: true });
  const nodeFlags = [
    // As `tributary local` and the image start a broker.
    '--max-semi-space-size=1',
    ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]),
  ];
  await using cluster = await ClusterProcesses.begin({ controllers: 2, brokers: replicas, nodeFlags });
  await using client = await connect({ bootstrap: cluster.bootstrap });
  const wide = new Wide(cluster, client);
  await wide.create();
  const { brokers } = cluster;
  if (wanted.includes('idle')) for (const _ of repeats) await wide.rest('at rest');
  await using _trickle = wide.trickle();
  if (wanted.includes('idle')) for (const _ of repeats) await wide.rest('50 records a second');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!wanted.includes(signal === 'SIGTERM' ? 'term' : 'kill')) continue;
    for (const i of repeats) {
      const broker = brokers[i % brokers.length];
      if (broker === undefined) throw new Error('there is no broker');
      await wide.restart(broker, signal);
      await sleep(restMs);
    }
  }
  if (wanted.includes('controller')) {
    for (const i of repeats) {
      await wide.successor(i);
      await sleep(restMs);
    }
  }
  for (const { pid } of brokers) note('at the end', { 'memory of a broker, MiB': residentMib(pid) });
  // A profile is written by a process that ends by itself.
  if (profile !== undefined) await Promise.all(brokers.map((each) => each.end('SIGTERM')));
  publish(
    { benchmark: `cluster of ${partitions} partitions, ${flags.repeats} repeats`, rows: collection.rows },
    flags.output,
  );
}

await main();
