/**
 * npm run chaos -- [--minutes 10] [--seed N] [--only kill-leader,cut-…] [--verbose]
 *
 * A cluster of processes in network namespaces of its own, under load, and one fault after the other, chosen by the seed; each round has a topic of its
 * own, whose history is judged at its end. --verbose: what every part has logged. Needs root (Linux), etcd and iproute2.
 */
import { parseArgs } from 'node:util';
import { requires } from '../requirements.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { ChaosCluster } from './cluster.ts';
import { episode, told } from './episode.ts';
import { allFaults, type Fault, nameOf } from './faults.ts';
import { Load } from './load.ts';
import { sessionMs, usualShape } from './shape.ts';

/** So many faults share a topic and a history: long enough to meet what an earlier fault has left, short enough to be kept in memory. */
const faultsPerRound = 6;
/** Of faults, how many are joined by a second one. */
const secondShare = 0.3;
/** Longer than any lease and any session. */
const etcdAwayMs = 60_000;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function chosen(): readonly Fault[] {
  if (flags.only === '') return allFaults;
  return flags.only.split(',').map((name) => {
    const fault = allFaults.find((each) => nameOf(each) === name);
    if (fault === undefined) throw new Error(`--only ${name}: there are ${allFaults.map(nameOf).join(', ')}`);
    return fault;
  });
}

async function round(cluster: ChaosCluster, faults: readonly Fault[], random: SeededRandom): Promise<number> {
  const topic = await cluster.newTopic();
  const { partitions } = cluster.shape;
  await using load = await Load.begin({ bootstrap: cluster.processes.bootstrap, topic, partitions });
  for (const fault of faults) {
    const isOfEtcd = 'role' in fault && fault.role === 'etcd';
    const longMs = isOfEtcd ? etcdAwayMs : 2 * sessionMs + random.below(4_000);
    const lastsMs = random.pick([1_000, sessionMs, 2 * sessionMs, longMs]);
    const also = random.chance(secondShare) ? random.pick(allFaults) : undefined;
    const name = also === undefined ? nameOf(fault) : `${nameOf(fault)}, then ${nameOf(also)},`;
    say(`${new Date().toISOString()} ${name} for ${lastsMs} ms`);
    const options = { lastsMs, goesOnWithinMs: 60_000, ...(also !== undefined && { also }) };
    const seen = await episode(cluster, load, topic, fault, options);
    say(`  ${told(seen)}`);
    for (const error of seen.errors) say(`  error: ${error}`);
  }
  const broken = await load.finish(60_000);
  for (const what of broken.slice(0, 20)) say(`BROKEN ${what}`);
  say(`${topic}: ${load.events.length} events judged, ${broken.length} promises broken`);
  return broken.length + load.errors.length;
}

/** As if drawn from a bag, filled again when it is empty: every fault comes before any comes twice as often. */
function* drawn(faults: readonly Fault[], random: SeededRandom): Generator<Fault, never> {
  for (;;) {
    const bag = [...faults];
    while (bag.length > 0) {
      const [fault] = bag.splice(random.below(bag.length), 1);
      if (fault !== undefined) yield fault;
    }
  }
}

async function main(): Promise<void> {
  const missing = requires('etcd', 'network namespaces (root, iproute2)');
  if (missing !== false) throw new Error(missing);
  const faults = chosen();
  const random = new SeededRandom(`chaos ${flags.seed}`);
  say(
    `seed ${flags.seed}: repeat with npm run chaos -- --seed ${flags.seed}${flags.only === '' ? '' : ` --only ${flags.only}`}`,
  );
  await using cluster = await ChaosCluster.begin(usualShape);
  const until = performance.now() + Number(flags.minutes) * 60_000;
  const bag = drawn(faults, random.stream('faults'));
  let bad = 0;
  let count = 0;
  try {
    while (performance.now() < until && bad === 0) {
      const next = Array.from({ length: faultsPerRound }, () => bag.next().value);
      bad += await round(cluster, next, random.stream(`round ${count++}`));
    }
  } catch (thrown) {
    bad++;
    say(`FAILED ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  const { controllers, brokers } = cluster.processes;
  if (flags.verbose) for (const part of [...controllers, ...brokers]) say(`${part.name}:\n${part.said}`);
  say(bad === 0 ? `seed ${flags.seed}: every promise kept` : `seed ${flags.seed}: not every promise was kept`);
  if (bad > 0) process.exitCode = 1;
}

await main();
