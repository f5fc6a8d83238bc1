/**
 * The largest gap that an application sees when a part of a cluster of three goes: one partition, three replicas, min.insync.replicas 2, a record every 5 ms with
 * acks=all. No figure passes or fails.
 *
 *     node benchmarks/failover/main.ts [--kafka-script FILE] [--only kill,stop,drop,controller,etcd,rolling] [--runs 5] [--session-ms 6000] [--etcd-seconds 60]
 *                                      [--data-dir data-bench] [--output table|json]
 *
 * Needs root (Linux), etcd and iproute2. Kafka runs twice, with its default session timeout and with ours; its nodes share one loopback, so that it has no dropped network.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Collection, type Figures, publish } from '../report.ts';
import { type Contender, type Gap, replicas } from './contender.ts';
import { Kafka } from './kafka.ts';
import { Tributary } from './tributary.ts';

const { values: flags } = parseArgs({
  options: {
    'kafka-script': { type: 'string', default: process.env['KAFKA_PEER'] ?? '' },
    only: { type: 'string', default: 'kill,stop,drop,controller,etcd,rolling' },
    runs: { type: 'string', default: '5' },
    'session-ms': { type: 'string', default: '6000' },
    'etcd-seconds': { type: 'string', default: '60' },
    'data-dir': { type: 'string', default: 'data-bench' },
    output: { type: 'string', default: 'table' },
  },
});

/** Acknowledged after a fault: it is over for the application. */
const acknowledgedEnough = 200;
const faultMsMax = 60_000;
const recoveryMsMax = 90_000;
const collection = new Collection();

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function note(contender: Contender, row: string, gap: Gap, more: Figures = {}): void {
  const figures = {
    'acknowledgements, ms': gap.gapMs,
    ...(gap.deliveryGapMs !== undefined && { 'deliveries, ms': gap.deliveryGapMs }),
    errors: gap.errors,
    ...(gap.retries !== undefined && { retries: gap.retries }),
    ...more,
  };
  collection.add(`${row}: ${contender.name}`, figures);
  say(`${row}: ${contender.name}: ${JSON.stringify(figures)}`);
}

async function until(condition: () => Promise<boolean>, withinMs: number, what: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await sleep(20);
  }
}

/** In sync, warm, and nothing counted so far. */
async function ready(contender: Contender): Promise<void> {
  await until(async () => (await contender.inSync()) === replicas, recoveryMsMax, 'every replica is in sync');
  await sleep(2_000);
  await contender.reset();
}

/** From the fault until it no longer shows. */
async function overcome(contender: Contender): Promise<Gap> {
  const { acknowledged } = await contender.gap();
  const enough = async (): Promise<boolean> =>
    (await contender.gap()).acknowledged >= acknowledged + acknowledgedEnough;
  await until(enough, faultMsMax, 'records are acknowledged again');
  return await contender.gap();
}

async function kill(contender: Contender): Promise<void> {
  await ready(contender);
  const leader = await contender.leader();
  await contender.signal(leader, 'SIGKILL');
  note(contender, 'SIGKILL of the leader', await overcome(contender));
  await contender.start(leader);
}

async function stop(contender: Contender): Promise<void> {
  await ready(contender);
  const leader = await contender.leader();
  await contender.signal(leader, 'SIGSTOP');
  note(contender, 'SIGSTOP of the leader', await overcome(contender));
  await contender.signal(leader, 'SIGCONT');
}

async function rolling(contender: Contender): Promise<void> {
  await ready(contender);
  for (let node = 1; node <= replicas; node++) {
    await contender.signal(node, 'SIGTERM');
    await contender.start(node);
    await until(async () => (await contender.inSync()) === replicas, recoveryMsMax, `node ${node} is in sync again`);
    await sleep(1_000);
  }
  note(contender, 'rolling restart', await contender.gap());
}

async function drop(contender: Tributary): Promise<void> {
  await ready(contender);
  const { network, processes } = contender.cluster;
  const { name } = processes.broker(await contender.leader());
  network.cut(name, ...network.members.filter((each) => each !== name));
  note(contender, 'network of the leader dropped', await overcome(contender));
  network.heal();
}

async function controller(contender: Tributary): Promise<void> {
  await ready(contender);
  const { active } = await contender.cluster.controllers();
  const begin = performance.now();
  await active.end('SIGKILL');
  await contender.decision();
  const decided = performance.now() - begin;
  note(contender, 'SIGKILL of the active controller', await overcome(contender), { 'decides again, ms': decided });
  await active.start();
}

async function etcd(contender: Tributary): Promise<void> {
  await ready(contender);
  await contender.cluster.processes.etcd.end('SIGKILL');
  await sleep(Number(flags['etcd-seconds']) * 1_000);
  const gap = await contender.gap();
  const begin = performance.now();
  await contender.cluster.processes.etcd.restart();
  await contender.decision();
  note(contender, `etcd away for ${flags['etcd-seconds']} s`, gap, { 'decides again, ms': performance.now() - begin });
}

const runs = Number(flags.runs);
const names = flags.only.split(',');
const wants = (name: string): boolean => names.includes(name);

async function measure(contender: Contender): Promise<void> {
  for (let i = 0; i < runs && wants('kill'); i++) await kill(contender);
  for (let i = 0; i < runs && wants('stop'); i++) await stop(contender);
  if (contender instanceof Tributary) {
    for (let i = 0; i < runs && wants('drop'); i++) await drop(contender);
    for (let i = 0; i < runs && wants('controller'); i++) await controller(contender);
    if (wants('etcd')) await etcd(contender);
  }
  if (wants('rolling')) await rolling(contender);
}

mkdirSync(flags['data-dir'], { recursive: true });
const sessionMs = Number(flags['session-ms']);
{
  await using tributary = await Tributary.begin(sessionMs);
  await measure(tributary);
}
const script = flags['kafka-script'];
if (script !== '') {
  for (const tuned of [undefined, sessionMs]) {
    await using kafka = await Kafka.begin(script, flags['data-dir'], tuned);
    await measure(kafka);
  }
}
publish(
  {
    benchmark: `failover, ${runs} runs, session timeout ${sessionMs} ms: largest gaps at the application`,
    rows: collection.rows,
    notes:
      script === ''
        ? ['No Kafka beside it: --kafka-script FILE or KAFKA_PEER names a script that runs one (benchmarks/README.md).']
        : [],
  },
  flags.output,
);
