/**
 * npm run chaos -- [--minutes 10] [--seed N] [--only kill-leader,cut-…] [--verbose]
 *
 * A cluster of processes in network namespaces of its own, under load, and one fault after the other, chosen by the seed; each round has a topic of its
 * own, whose history is judged at its end. Rounds of brokers and controllers and rounds of groups take turns; --only may name faults of both (those of groups
 * are group-…). --verbose: what every part has logged. Needs root (Linux), etcd and iproute2.
 */
import { parseArgs } from 'node:util';
import { requires } from '../requirements.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { ChaosCluster } from './cluster.ts';
import { episode, told } from './episode.ts';
import { allFaults, type Fault, nameOf } from './faults.ts';
import { groupEpisode, toldOf } from './groups/episode.ts';
import { type GroupFault, groupFaultNames } from './groups/faults.ts';
import { GroupRun, memberSessionMs } from './groups/run.ts';
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

const groupPrefix = 'group-';

function chosen(): { readonly faults: readonly Fault[]; readonly groupFaults: readonly GroupFault[] } {
  if (flags.only === '') return { faults: allFaults, groupFaults: groupFaultNames };
  const names = flags.only.split(',');
  const known = [...allFaults.map(nameOf), ...groupFaultNames.map((name) => `${groupPrefix}${name}`)];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there are ${known.join(', ')}`);
  return {
    faults: allFaults.filter((fault) => names.includes(nameOf(fault))),
    groupFaults: groupFaultNames.filter((name) => names.includes(`${groupPrefix}${name}`)),
  };
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

/** One group, with strict ownership or without. */
async function groupRound(
  cluster: ChaosCluster,
  faults: readonly GroupFault[],
  number: number,
  random: SeededRandom,
): Promise<number> {
  const isStrict = number % 2 === 1;
  await using run = await GroupRun.begin(cluster, { groupId: `group-${number}`, isStrict, members: 3 });
  let missed = 0;
  for (const fault of faults) {
    const session = Math.max(sessionMs, memberSessionMs);
    const lastsMs = random.pick([500, session / 2, session + 1_000, 2 * session + random.below(4_000)]);
    say(`${new Date().toISOString()} ${groupPrefix}${fault} for ${lastsMs} ms${isStrict ? ', strict ownership' : ''}`);
    const seen = await groupEpisode(run, fault, { lastsMs, goesOnWithinMs: 30_000 });
    say(`  ${toldOf(seen)}`);
    if (seen.inFlight > 0 && seen.heldUp > 0) continue;
    say('  it hit nothing');
    missed++;
  }
  const { broken, told: counts } = await run.finish(60_000);
  for (const what of broken.slice(0, 20)) say(`BROKEN ${what}`);
  say(`${run.topic}: ${counts}; ${broken.length} promises broken`);
  return broken.length + missed;
}

/** As if drawn from a bag, filled again when it is empty: every fault comes before any comes twice as often. */
function* drawn<T>(faults: readonly T[], random: SeededRandom): Generator<T, never> {
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
  const { faults, groupFaults } = chosen();
  const random = new SeededRandom(`chaos ${flags.seed}`);
  say(
    `seed ${flags.seed}: repeat with npm run chaos -- --seed ${flags.seed}${flags.only === '' ? '' : ` --only ${flags.only}`}`,
  );
  await using cluster = await ChaosCluster.begin({ ...usualShape, coordinators: 2 });
  const until = performance.now() + Number(flags.minutes) * 60_000;
  const bag = drawn(faults, random.stream('faults'));
  const groupBag = drawn(groupFaults, random.stream('faults of groups'));
  let bad = 0;
  let count = 0;
  let groupRounds = 0;
  try {
    while (performance.now() < until && bad === 0) {
      const own = random.stream(`round ${count}`);
      const isOfGroups = faults.length === 0 || (groupFaults.length > 0 && count % 2 === 1);
      const next = <T>(from: Generator<T, never>): T[] =>
        Array.from({ length: faultsPerRound }, () => from.next().value);
      bad += isOfGroups
        ? await groupRound(cluster, next(groupBag), groupRounds++, own)
        : await round(cluster, next(bag), own);
      count++;
    }
  } catch (thrown) {
    bad++;
    say(`FAILED ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  const { controllers, brokers, coordinators } = cluster.processes;
  if (flags.verbose)
    for (const part of [...controllers, ...brokers, ...coordinators]) say(`${part.name}:\n${part.said}`);
  say(bad === 0 ? `seed ${flags.seed}: every promise kept` : `seed ${flags.seed}: not every promise was kept`);
  if (bad > 0) process.exitCode = 1;
}

await main();
