/** What goes wrong with a cluster, in the order and at the moments that a seed chooses. */
import { nodeId } from '@tributary/model';
import type { Coverage } from '../coverage.ts';
import { DATA_DIRECTORY } from '../cluster.ts';
import { methods } from '@tributary/wire';
import type { DiskCopy, DiskOperation } from '../disk.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { cut, isSpare, ms, putDisk } from './blows.ts';
import {
  controllerCutOff,
  decisionUnheard,
  lateProposal,
  lostBesideASlowOne,
  replaceUnheard,
  wordOfFormerLife,
} from './compound-faults.ts';
import type { Member } from './member.ts';
import { SESSION_TIMEOUT_MS } from './plan.ts';
import type { Stage } from './stage.ts';

export interface Fault {
  readonly name: string;
  readonly weight: number;
  readonly strike: (stage: Stage, random: SeededRandom) => Promise<void>;
}

/** No run has fewer crashes, whatever else its seed chooses. */
const CRASHES_MIN = 3;

/** Longer than a session, or shorter. */
const whileMs = (random: SeededRandom): number =>
  random.chance(0.4) ? random.between(SESSION_TIMEOUT_MS, 2 * SESSION_TIMEOUT_MS) : random.between(50, 1_500);

/** Often the one that matters most at the moment. */
function someBroker(stage: Stage, random: SeededRandom): Member {
  const [first, ...others] = stage.brokers;
  if (first === undefined) throw new Error('no brokers');
  const leaders = [...stage.truth.image.partitions()].map(({ leader }) => leader);
  const [one, ...more] = stage.brokers.filter(({ nodeId }) => leaders.some((leader) => leader === nodeId));
  return one !== undefined && random.chance(0.6) ? random.pick([one, ...more]) : random.pick([first, ...others]);
}

function someController(stage: Stage, random: SeededRandom): Member {
  const [first, ...others] = stage.controllers;
  if (first === undefined) throw new Error('no controllers');
  const active = stage.active;
  return active !== undefined && random.chance(0.7) ? active : random.pick([first, ...others]);
}

function someMember(stage: Stage, random: SeededRandom): Member {
  const [first, ...others] = stage.coordinators;
  if (first !== undefined && random.chance(0.35)) return random.pick([first, ...others]);
  return random.chance(0.75) ? someBroker(stage, random) : someController(stage, random);
}

async function powerCycle(stage: Stage, members: readonly Member[], offMs: number): Promise<void> {
  for (const member of members) member.losePower();
  await ms(stage, offMs);
  for (const member of members) member.machine.powerOn();
}

const crashes: readonly Fault[] = [
  { name: 'kill of a broker', weight: 4, strike: async (stage, random) => someBroker(stage, random).kill() },
  { name: 'kill of a controller', weight: 3, strike: async (stage, random) => someController(stage, random).kill() },
  {
    name: 'power loss of a broker',
    weight: 3,
    strike: (stage, random) => powerCycle(stage, [someBroker(stage, random)], random.between(20, 4_000)),
  },
  {
    name: 'power loss of all',
    weight: 1,
    strike: (stage, random) => powerCycle(stage, stage.members, random.between(20, 800)),
  },
  { name: 'crash at an operation', weight: 5, strike: crashAtOperation },
  {
    name: 'failed sync',
    weight: 2,
    strike: async (stage, random) => {
      const member = someBroker(stage, random);
      member.diskTrouble = true;
      member.troubled();
      member.machine.disk.failSyncs(1);
      await ms(stage, random.between(50, 400));
      if (random.chance(0.7)) member.machine.disk.evictPages();
      if (random.chance(0.3)) await powerCycle(stage, [member], random.between(20, 300));
    },
  },
];

const troubles: readonly Fault[] = [
  {
    name: 'pause',
    weight: 4,
    strike: async (stage, random) => {
      const member = someMember(stage, random);
      const { process } = member;
      if (process === undefined) return;
      member.troubled();
      member.machine.pause(process);
      await ms(stage, whileMs(random));
      member.machine.resume(process);
      member.troubled();
    },
  },
  {
    name: 'partition of two',
    weight: 3,
    strike: (stage, random) => {
      const [a, b] = [someMember(stage, random).name, someMember(stage, random).name];
      const both = random.chance(0.5);
      return cut(
        stage,
        a === b
          ? []
          : both
            ? [
                [a, b],
                [b, a],
              ]
            : [[a, b]],
        whileMs(random),
      );
    },
  },
  {
    name: 'one cut off from all',
    weight: 3,
    strike: async (stage, random) => {
      const one = someMember(stage, random).name;
      const others = [...stage.members.map(({ name }) => name), 'c'].filter((name) => name !== one);
      const how = random.pick(['both', 'both', 'in', 'out']);
      const isOut = how !== 'in';
      const isIn = how !== 'out';
      const withStore = random.chance(0.5);
      if (withStore) stage.world.metadata.cutOff(one, true);
      const pairs = others.flatMap((other) => [
        ...(isOut ? [[one, other] as const] : []),
        ...(isIn ? [[other, one] as const] : []),
      ]);
      await cut(stage, pairs, whileMs(random), [one]);
      stage.world.metadata.cutOff(one, false);
    },
  },
  { name: 'active controller cut off', weight: 2, strike: controllerCutOff },
  {
    name: 'halves',
    weight: 1,
    strike: (stage, random) => {
      const left = stage.members.filter(() => random.chance(0.5)).map(({ name }) => name);
      const right = stage.members.map(({ name }) => name).filter((name) => !left.includes(name));
      const pairs = left.flatMap((a) => right.flatMap((b) => [[a, b] as const, [b, a] as const]));
      return cut(stage, pairs, whileMs(random));
    },
  },
  {
    name: 'slow network',
    weight: 1,
    strike: async (stage, random) => {
      const [a, b] = [someMember(stage, random), someMember(stage, random)];
      stage.world.network.slow(a.name, b.name, random.between(20, 400));
      for (const member of [a, b]) member.troubled();
      await ms(stage, whileMs(random));
      stage.world.network.slow(a.name, b.name, 1);
      for (const member of [a, b]) member.troubled();
    },
  },
  {
    name: 'slow disk',
    weight: 2,
    strike: async (stage, random) => {
      const { disk } = someBroker(stage, random).machine;
      disk.syncDelayFactor = random.between(20, 2_000);
      await ms(stage, whileMs(random));
      disk.syncDelayFactor = 1;
    },
  },
  { name: 'leader lost beside a slow replica', weight: 2, strike: lostBesideASlowOne },
  { name: 'decision unheard', weight: 2, strike: decisionUnheard },
  { name: 'word of a former life', weight: 3, strike: wordOfFormerLife },
  { name: 'late proposal', weight: 2, strike: lateProposal },
  {
    name: 'full disk',
    weight: 1,
    strike: async (stage, random) => {
      const member = someBroker(stage, random);
      const { disk } = member.machine;
      member.diskTrouble = true;
      disk.occupy(Math.max(0, disk.freeBytes - (random.chance(0.5) ? 0 : random.below(3_000))));
      await ms(stage, random.between(100, 2_500));
      if (random.chance(0.3)) member.kill();
      disk.occupy(0);
    },
  },
  {
    name: 'lost reply',
    weight: 4,
    strike: async (stage, random) => {
      const path = random.pick([methods.produce.path, methods.fetch.path, 'Replicate', 'Attend', 'ReportFlushed', '']);
      stage.world.network.loseNext({ direction: random.chance(0.6) ? 'down' : 'up', path });
      for (const member of stage.members) member.shaken();
    },
  },
  {
    name: 'connection break',
    weight: 3,
    strike: async (stage) => {
      stage.world.network.breakOne();
      for (const member of stage.members) member.shaken();
    },
  },
  {
    name: 'stop and start',
    weight: 2,
    strike: async (stage, random) => {
      const member = someMember(stage, random);
      member.troubled();
      member.process?.askToStop();
    },
  },
  { name: 'rolling restart', weight: 1, strike: rollingRestart },
  {
    name: 'metadata away',
    weight: 2,
    strike: async (stage, random) => {
      stage.world.metadata.away = true;
      await ms(stage, random.chance(0.3) ? random.between(10_000, 60_000) : whileMs(random));
      stage.world.metadata.away = false;
    },
  },
  {
    name: 'metadata out of reach',
    weight: 2,
    strike: async (stage, random) => {
      const { metadata } = stage.world;
      const member = someMember(stage, random);
      const isDeaf = random.chance(0.5);
      member.troubled();
      if (isDeaf) metadata.deafen(member.name, true);
      else metadata.cutOff(member.name, true);
      await ms(stage, whileMs(random));
      metadata.deafen(member.name, false);
      metadata.cutOff(member.name, false);
      member.troubled();
    },
  },
  {
    name: 'metadata trouble',
    weight: 4,
    strike: async (stage, random) => {
      const { metadata } = stage.world;
      for (const member of stage.members) member.shaken();
      random.pick([
        () => metadata.loseNextCommit('done'),
        () => metadata.loseNextCommit('done'),
        () => metadata.loseNextCommit('not done'),
        () => metadata.takeLease(),
        () => metadata.killWatch(),
        () => metadata.breakWatches(),
        () => metadata.compactNow(),
      ])();
    },
  },
  {
    name: 'clock jump',
    weight: 1,
    strike: async (stage, random) => someMember(stage, random).machine.jumpClock(random.between(-600_000, 600_000)),
  },
  { name: 'empty disk', weight: 2, strike: (stage, random) => replaceDisk(stage, random, new Map()) },
  { name: 'empty disk, unheard', weight: 1, strike: replaceUnheard },
  { name: 'older disk', weight: 3, strike: olderDisk },
];

/** Counts a broker's operations on its disk, and crashes it in the middle of one of them. */
async function crashAtOperation(stage: Stage, random: SeededRandom): Promise<void> {
  const member = someBroker(stage, random);
  const { disk } = member.machine;
  const at = disk.operations + (random.chance(0.3) ? random.between(1, 8) : random.between(1, 120));
  const power = random.chance(0.5);
  const struck = Promise.withResolvers<void>();
  disk.onOperation = (number: number, operation: DiskOperation) => {
    if (number < at) return;
    disk.onOperation = undefined;
    stage.world.coverage.count(`crash in the middle of: ${operation}`);
    if (power) member.losePower();
    else member.kill();
    struck.resolve();
  };
  await Promise.race([struck.promise, ms(stage, 3_000)]);
  disk.onOperation = undefined;
  await ms(stage, random.between(10, 400));
  member.machine.powerOn();
}

/** Controlled shutdowns, one after the other, each after the one before is back. */
async function rollingRestart(stage: Stage, random: SeededRandom): Promise<void> {
  for (const member of stage.brokers) {
    member.troubled();
    member.process?.askToStop();
    await ms(stage, random.between(100, 3_000));
  }
}

/** A broker comes back under its old id with a disk that is not what it was: allowed where others have all that it had. */
async function replaceDisk(stage: Stage, random: SeededRandom, copy: DiskCopy): Promise<void> {
  const member = [...stage.brokers].sort(() => (random.chance(0.5) ? 1 : -1)).find((each) => isSpare(stage, each));
  if (member === undefined) return;
  stage.world.coverage.count(copy.size === 0 ? 'broker: began anew under its old id' : 'broker: with an older disk');
  putDisk(member, copy);
  await ms(stage, random.between(20, 2_000));
  member.isHeld = false;
}

/** Takes a copy of a broker's directory, and puts it back after the broker has registered at least once more. */
async function olderDisk(stage: Stage, random: SeededRandom): Promise<void> {
  const member = someBroker(stage, random);
  if (!member.runs) return;
  const incarnation = incarnationOf(stage, member);
  const copy = member.machine.disk.copyOf(DATA_DIRECTORY);
  await ms(stage, random.between(50, 1_000));
  member.kill();
  await ms(stage, random.between(300, 3_000));
  // A copy of the life that the store knows best is no older copy to anybody: nothing could tell it from the disk itself.
  const now = incarnationOf(stage, member);
  if (incarnation === undefined || now === undefined || now === incarnation || !isSpare(stage, member)) return;
  // Nor one of the life that was let in last: the newer one's registration may go before anybody takes notice of it.
  if (stage.truth.image.broker(nodeId(member.nodeId))?.status?.incarnationId === incarnation) return;
  stage.world.coverage.count('broker: with an older disk');
  // Nobody is there to see it go.
  if (random.chance(0.6)) for (const controller of stage.controllers) controller.kill();
  putDisk(member, copy);
  await ms(stage, random.between(1, 700));
  member.isHeld = false;
}

function incarnationOf(stage: Stage, member: Member): string | undefined {
  const broker = [...stage.truth.image.brokers()].find(({ nodeId }) => nodeId === member.nodeId);
  return broker?.registration?.incarnationId ?? broker?.status?.incarnationId;
}

/** What every run of many seeds must have met at least once. */
export function expectFaults(coverage: Coverage): void {
  coverage.expect(...[...crashes, ...troubles].map(({ name }) => `fault: ${name}`));
}

/** The faults of a run. @param more what only this story can meet. */
export async function strikeAll(stage: Stage, more: readonly Fault[] = []): Promise<void> {
  const random = stage.world.random.stream('faults');
  const choices = [...crashes, ...troubles, ...more];
  const plan = Array.from({ length: random.between(6, 11) }, () => weighted(choices, random));
  for (let i = 0; i < CRASHES_MIN; i++) plan.splice(random.below(plan.length + 1), 0, weighted(crashes, random));
  const under: Promise<void>[] = [];
  for (const fault of plan) {
    await ms(stage, random.between(20, 1_200));
    stage.world.trace.add('fault', fault.name);
    stage.world.coverage.count(`fault: ${fault.name}`);
    const struck = fault.strike(stage, random.stream(`${fault.name} ${stage.world.scheduler.events}`));
    // Often the next one comes while this one lasts.
    if (random.chance(0.5)) await struck;
    else under.push(struck);
  }
  await Promise.all(under);
  // What was planned may have met nothing to crash.
  while (stage.crashes < CRASHES_MIN) {
    someBroker(stage, random).kill();
    await ms(stage, 400);
  }
}

/** Nothing goes wrong from now on, and everything that is off comes back. */
export function heal(stage: Stage): void {
  const { world } = stage;
  world.trace.add('world', 'heals');
  for (const { machine, process } of stage.members) {
    machine.disk.onOperation = undefined;
    machine.disk.occupy(0);
    machine.disk.syncDelayFactor = 1;
    machine.disk.healSyncs();
    machine.powerOn();
    if (process !== undefined) machine.resume(process);
  }
  for (const member of stage.members) member.isHeld = false;
  world.network.forgetLosses();
  world.network.heal();
  world.metadata.away = false;
  for (const { name } of stage.members) {
    world.metadata.cutOff(name, false);
    world.metadata.deafen(name, false);
  }
}

function weighted(choices: readonly Fault[], random: SeededRandom): Fault {
  let at = random.below(choices.reduce((sum, { weight }) => sum + weight, 0));
  for (const fault of choices) {
    at -= fault.weight;
    if (at < 0) return fault;
  }
  throw new Error('no fault to choose from');
}
