/** What goes wrong with coordinators and members, beside all that goes wrong with a cluster. */
import { cut, ms } from '../cluster/blows.ts';
import type { Fault } from '../cluster/faults.ts';
import type { Member } from '../cluster/member.ts';
import { SESSION_TIMEOUT_MS } from '../cluster/plan.ts';
import type { Stage } from '../cluster/stage.ts';
import type { Coverage } from '../coverage.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { readInTwo } from './read-in-two.ts';

/** Mostly one that owns something. */
function someCoordinator(stage: Stage, random: SeededRandom): Member {
  const [first, ...others] = stage.coordinators;
  if (first === undefined) throw new Error('no coordinators');
  const owners = [...stage.truth.image.groupPartitions()].map(({ coordinator }) => coordinator);
  const [one, ...more] = stage.coordinators.filter(({ nodeId }) => owners.some((owner) => owner === nodeId));
  return one !== undefined && random.chance(0.8) ? random.pick([one, ...more]) : random.pick([first, ...others]);
}

/** Longer than a session, or shorter. */
const whileMs = (random: SeededRandom): number =>
  random.chance(0.5) ? random.between(SESSION_TIMEOUT_MS, 3 * SESSION_TIMEOUT_MS) : random.between(50, 1_500);

export const groupFaults: readonly Fault[] = [
  { name: 'kill of a coordinator', weight: 5, strike: async (stage, random) => someCoordinator(stage, random).kill() },
  {
    name: 'pause of a coordinator',
    weight: 5,
    strike: async (stage, random) => {
      const member = someCoordinator(stage, random);
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
    // Its members hear it, and it cannot write (G2).
    name: 'coordinator cut off from brokers',
    weight: 5,
    strike: (stage, random) => {
      const { name } = someCoordinator(stage, random);
      const others = [...stage.brokers, ...stage.controllers].map((each) => each.name);
      return cut(
        stage,
        others.flatMap((other) => [[name, other] as const, [other, name] as const]),
        whileMs(random),
        [name],
      );
    },
  },
  {
    name: 'coordinator deaf to metadata',
    weight: 3,
    strike: async (stage, random) => {
      const { name } = someCoordinator(stage, random);
      stage.world.metadata.cutOff(name, true);
      await ms(stage, whileMs(random));
      stage.world.metadata.cutOff(name, false);
    },
  },
  {
    // They hear each other and nobody else: the one goes on saying that all is well, for as long as it may (G2).
    name: 'alone with a coordinator',
    weight: 4,
    strike: (stage, random) => {
      const owner = someCoordinator(stage, random);
      const seats = [...stage.world.machines.keys()].filter((each) => each.startsWith('m') && random.chance(0.6));
      const island = [owner.name, ...seats];
      const others = stage.members.map(({ name }) => name).filter((name) => name !== owner.name);
      return cut(
        stage,
        island.flatMap((one) => others.flatMap((other) => [[one, other] as const, [other, one] as const])),
        random.between(2 * SESSION_TIMEOUT_MS, 4 * SESSION_TIMEOUT_MS),
        [owner.name],
      );
    },
  },
  {
    name: 'members cut off from a coordinator',
    weight: 3,
    strike: (stage, random) => {
      const { name } = someCoordinator(stage, random);
      const seats = [...stage.world.machines.keys()].filter((each) => each.startsWith('m') && random.chance(0.5));
      return cut(
        stage,
        seats.flatMap((seat) => [[name, seat] as const, [seat, name] as const]),
        whileMs(random),
      );
    },
  },
  {
    name: 'member cut off from all',
    weight: 4,
    strike: (stage, random) => {
      const [first, ...others] = [...stage.world.machines.keys()].filter((each) => each.startsWith('m'));
      if (first === undefined) return Promise.resolve();
      const seat = random.pick([first, ...others]);
      const all = stage.members.map(({ name }) => name);
      return cut(
        stage,
        all.flatMap((name) => [[name, seat] as const, [seat, name] as const]),
        whileMs(random),
      );
    },
  },
  { name: 'takeover that reads in two', weight: 5, strike: readInTwo },
];

export function expectGroupFaults(coverage: Coverage): void {
  coverage.expect(...groupFaults.map(({ name }) => `fault: ${name}`));
}
