import type { Coverage } from '../coverage.ts';
import { diskFaults, type DiskOperation } from '../disk.ts';
import { metadataFaults } from '../metadata-store.ts';
import { networkFaults } from '../network.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { worldFaults } from '../world.ts';
import { DATA_DIRECTORY } from '../cluster.ts';
import { scanBatches } from '@tributary/record';
import { methods } from '@tributary/wire';
import type { Scene } from './scene.ts';

interface Fault {
  readonly name: string;
  readonly weight: number;
  /** It ends the broker's process. */
  readonly isCrash: boolean;
  readonly strike: (scene: Scene, random: SeededRandom) => Promise<void>;
}

/** No run has fewer crashes, whatever else its seed chooses. */
const CRASHES_MIN = 3;
/** In so many runs, one in seven, a stored bit may turn over. */
const ROT_CHANCE = 1 / 7;

const crash = (name: string, weight: number, strike: Fault['strike']): Fault => ({
  name,
  weight,
  isCrash: true,
  strike,
});
const trouble = (name: string, weight: number, strike: Fault['strike']): Fault => ({
  name,
  weight,
  isCrash: false,
  strike,
});

const ms = (scene: Scene, milliseconds: number): Promise<void> => scene.world.scheduler.pause(milliseconds * 1_000);

const crashes: readonly Fault[] = [
  crash('kill', 3, async (scene) => scene.broker?.kill()),
  crash('power loss', 3, async (scene, random) => {
    scene.losePower();
    await ms(scene, random.between(20, 800));
    scene.server.powerOn();
  }),
  crash('crash at an operation', 8, crashAtOperation),
  crash('failed sync', 3, async (scene, random) => {
    scene.diskTrouble = true;
    scene.server.disk.failSyncs(1);
    await ms(scene, random.between(50, 400));
    if (random.chance(0.7)) scene.server.disk.evictPages();
    if (random.chance(0.3)) {
      scene.losePower();
      await ms(scene, random.between(20, 300));
      scene.server.powerOn();
    }
  }),
];

const troubles: readonly Fault[] = [
  trouble('full disk', 2, async (scene, random) => {
    scene.diskTrouble = true;
    const { disk } = scene.server;
    disk.occupy(Math.max(0, disk.freeBytes - (random.chance(0.5) ? 0 : random.below(3_000))));
    // Long enough to be noticed without a write, now and then, and to start on it.
    await ms(scene, random.between(100, random.chance(0.3) ? 3_000 : 1_500));
    if (random.chance(0.4)) scene.broker?.kill();
    if (random.chance(0.4)) await ms(scene, random.between(100, 1_500));
    disk.occupy(0);
  }),
  trouble('slow disk', 2, async (scene, random) => {
    const { disk } = scene.server;
    disk.syncDelayFactor = random.between(20, 400);
    await ms(scene, random.between(50, 500));
    // What was sent and is not yet durable is sent again meanwhile (P2).
    if (random.chance(0.6)) scene.world.network.breakOne();
    if (random.chance(0.6)) scene.world.network.loseNext({ direction: 'down', path: methods.produce.path });
    await ms(scene, random.between(50, 500));
    if (random.chance(0.3)) scene.broker?.kill();
    disk.syncDelayFactor = 1;
  }),
  trouble('lost reply', 4, async (scene, random) => {
    const path = random.pick([
      methods.produce.path,
      methods.produce.path,
      methods.fetch.path,
      methods.getMetadata.path,
      methods.initProducerId.path,
    ]);
    scene.world.network.loseNext({ direction: random.chance(0.7) ? 'down' : 'up', path });
  }),
  trouble('connection break', 3, async (scene) => {
    scene.world.network.breakOne();
  }),
  trouble('silence', 1, async (scene, random) => {
    const [from, to] = random.chance(0.5) ? ['b', 'c'] : ['c', 'b'];
    scene.world.network.silence(from, to);
    if (random.chance(0.3)) scene.world.network.silence(to, from);
    await ms(scene, random.chance(0.15) ? 25_000 : random.between(50, 3_000));
    scene.world.network.heal();
  }),
  trouble('controller killed', 2, async (scene) => scene.controller?.kill()),
  trouble('stop and start', 1, async (scene) => scene.broker?.askToStop()),
  trouble('metadata away', 1, async (scene, random) => {
    scene.world.metadata.away = true;
    await ms(scene, random.between(100, 5_000));
    scene.world.metadata.away = false;
  }),
  trouble('metadata trouble', 3, async (scene, random) => {
    const { metadata } = scene.world;
    random.pick([
      () => metadata.loseNextCommit('done'),
      () => metadata.loseNextCommit('not done'),
      () => metadata.takeLease(),
      () => metadata.killWatch(),
      () => metadata.breakWatches(),
      () => metadata.compactNow(),
    ])();
  }),
  trouble('clock jump', 1, async (scene, random) => scene.server.jumpClock(random.between(-600_000, 600_000))),
];

const rot = trouble('bit flip', 8, async (scene, random) => {
  scene.diskTrouble = true;
  const path = scene.server.disk.flipBit(
    (each) => each.startsWith(DATA_DIRECTORY) && each.endsWith('.log'),
    isUnderCrc,
  );
  const folder = path?.split('/').at(-2);
  const topic = scene.created.find(({ topicId }) => folder?.startsWith(`${topicId}-`) === true);
  if (topic === undefined || folder === undefined) return;
  const partition = Number(folder.slice(topic.topicId.length + 1));
  scene.history(topic.name, partition).rotten();
  scene.invariants.rotten(folder);
  if (random.chance(0.6)) scene.broker?.kill();
});

/** Base offset and leader epoch lie outside the CRC of the format: nobody could tell that they have changed. */
function isUnderCrc(bytes: Uint8Array, position: number): boolean {
  try {
    for (const { at, size } of scanBatches(bytes)) {
      if (position < at + size) return position >= at + 8 && !(position >= at + 12 && position < at + 16);
    }
  } catch {
    // Behind an earlier flip there is no telling where batches begin.
  }
  return false;
}

/** Counts the broker's operations on its disk, and crashes it in the middle of one of them: every line of its code is such a place. */
async function crashAtOperation(scene: Scene, random: SeededRandom): Promise<void> {
  const { disk } = scene.server;
  const howMany = random.chance(0.3) ? random.between(1, 8) : random.between(1, 120);
  const at = disk.operations + howMany;
  const power = random.chance(0.5);
  const struck = Promise.withResolvers<void>();
  disk.onOperation = (number: number, operation: DiskOperation) => {
    if (number < at) return;
    disk.onOperation = undefined;
    scene.world.coverage.count(`crash in the middle of: ${operation}`);
    if (power) scene.losePower();
    else scene.broker?.kill();
    struck.resolve();
  };
  await Promise.race([struck.promise, ms(scene, 3_000)]);
  disk.onOperation = undefined;
  await ms(scene, random.between(10, 400));
  scene.server.powerOn();
}

/** What every run of many seeds must have met at least once. */
export function expectFaults(coverage: Coverage): void {
  coverage.expect(...diskFaults, ...networkFaults, ...metadataFaults, ...worldFaults);
  coverage.expect(...[...crashes, ...troubles, rot].map(({ name }) => `fault: ${name}`));
  coverage.expect('log: disk full', 'log: disk has room again');
  coverage.expect(
    'crash in the middle of: append',
    'crash in the middle of: sync',
    'crash in the middle of: rename',
    'crash in the middle of: sync directory',
  );
}

/** The faults of a run, in the order and at the moments that its seed chooses. */
export async function strikeAll(scene: Scene, round = 'faults'): Promise<void> {
  const random = scene.world.random.stream(round);
  const choices = [...crashes, ...troubles, ...(random.chance(ROT_CHANCE) ? [rot] : [])];
  const plan: Fault[] = Array.from({ length: random.between(6, 11) }, () => weighted(choices, random));
  for (let i = 0; i < CRASHES_MIN; i++) plan.splice(random.below(plan.length + 1), 0, weighted(crashes, random));
  for (const fault of plan) {
    await ms(scene, random.between(20, 900));
    scene.world.trace.add('fault', fault.name);
    scene.world.coverage.count(`fault: ${fault.name}`);
    await fault.strike(scene, random.stream(`${fault.name} ${scene.world.scheduler.events}`));
  }
  // What was planned may have met nothing to crash.
  while (scene.crashes < CRASHES_MIN) {
    scene.broker?.kill();
    await ms(scene, 400);
  }
}

/** Nothing goes wrong from now on, and everything that is off comes back. */
export function heal(scene: Scene): void {
  const { world, server } = scene;
  world.trace.add('world', 'heals');
  server.disk.onOperation = undefined;
  server.disk.occupy(0);
  server.disk.syncDelayFactor = 1;
  server.disk.healSyncs();
  server.powerOn();
  world.network.forgetLosses();
  world.network.heal();
  world.metadata.away = false;
}

function weighted(choices: readonly Fault[], random: SeededRandom): Fault {
  let at = random.below(choices.reduce((sum, { weight }) => sum + weight, 0));
  for (const fault of choices) {
    at -= fault.weight;
    if (at < 0) return fault;
  }
  throw new Error('no fault to choose from');
}
