/** Several things that go wrong together, as rules were made for: each alone is survived by almost anything. */
import { methods } from '@tributary/wire';
import type { SeededRandom } from '../seeded-random.ts';
import { cut, isSpare, ms, putDisk } from './blows.ts';
import { SESSION_TIMEOUT_MS } from './plan.ts';
import type { Stage } from './stage.ts';

/** One replica falls behind, out of the ISR, and while it comes back its leader goes: the next one knows less than was shown (R4, R8). */
export async function lostBesideASlowOne(stage: Stage, random: SeededRandom): Promise<void> {
  const [first, ...others] = [...stage.truth.image.partitions()].filter(({ replicas }) => replicas.length > 2);
  if (first === undefined) return;
  const { leader, replicas } = random.pick([first, ...others]);
  const slow = replicas.map(({ nodeId }) => stage.broker(nodeId)).find((each) => each?.nodeId !== leader);
  const lost = leader === undefined ? undefined : stage.broker(leader);
  if (slow === undefined || lost === undefined) return;
  // Behind by a batch or two, or by many.
  slow.machine.disk.syncDelayFactor = random.chance(0.6) ? random.between(3, 40) : random.between(100, 3_000);
  if (random.chance(0.7)) slow.kill();
  await ms(stage, random.between(200, 3_000));
  if (random.chance(0.7)) lost.kill();
  else lost.losePower();
  await ms(stage, random.between(20, 1_500));
  slow.machine.disk.syncDelayFactor = 1;
  lost.machine.powerOn();
}

/** The same, and the other brokers do not hear what it says, nor that it has gone: they go on as if it were as it was, until they hear it all at once. */
export async function replaceUnheard(stage: Stage, random: SeededRandom): Promise<void> {
  const member = [...stage.brokers].sort(() => (random.chance(0.5) ? 1 : -1)).find((each) => isSpare(stage, each));
  if (member === undefined) return;
  const others = stage.brokers.filter((each) => each !== member).map(({ name }) => name);
  const isDeaf = random.chance(0.3);
  const pairs = others.flatMap((other) => [
    [member.name, other] as const,
    ...(isDeaf ? [[other, member.name] as const] : []),
  ]);
  const unheard = cut(stage, pairs, random.between(500, 6_000), [member.name]);
  await ms(stage, random.between(5, 400));
  if (isSpare(stage, member)) {
    stage.world.coverage.count('broker: began anew under its old id');
    putDisk(member, new Map());
    await ms(stage, random.between(20, 500));
    member.isHeld = false;
  }
  await unheard;
}

/** The active controller and the brokers do not hear each other for longer than a session; the store hears all of them (R10). */
export async function controllerCutOff(stage: Stage, random: SeededRandom): Promise<void> {
  const { active } = stage;
  if (active === undefined) return;
  const pairs = stage.brokers.flatMap(({ name }) => [[name, active.name] as const, [active.name, name] as const]);
  await cut(stage, pairs, SESSION_TIMEOUT_MS + random.between(100, 2_000), [active.name]);
}

/**
 * A proposal is decided, its leader hears neither that nor anything else of the store, and before it asks again the state has moved on: one of its
 * members, whom it still hears, has been taken for dead (M4).
 */
export async function decisionUnheard(stage: Stage, random: SeededRandom): Promise<void> {
  const { metadata } = stage.world;
  const full = [...stage.truth.image.partitions()].filter(({ isr, leader }) => isr.length > 2 && leader !== undefined);
  const [first, ...others] = full;
  if (first === undefined) return;
  const chosen = random.pick([first, ...others]);
  const folder = `${chosen.topicId}-${chosen.partition}`;
  const leader = stage.brokers.find(({ nodeId }) => nodeId === chosen.leader);
  const [cutOff, late] = chosen.isr.filter((node) => node !== chosen.leader).map((node) => stage.broker(node));
  if (leader === undefined || cutOff === undefined || late === undefined) return;
  const toControllers = (name: string) =>
    stage.controllers.flatMap((each) => [[name, each.name] as const, [each.name, name] as const]);
  const cutting = cut(stage, toControllers(cutOff.name), SESSION_TIMEOUT_MS + random.between(500, 2_500));
  await ms(stage, SESSION_TIMEOUT_MS * 0.56);
  let step: 'waiting' | 'decided' | 'moved on' = 'waiting';
  stage.truth.onChange(() => {
    const isr: readonly number[] = stage.truth.partition(folder)?.isr ?? [];
    if (step === 'waiting' && isr.includes(late.nodeId) && late.runs && stage.crashes > crashesBefore) {
      step = 'decided';
      metadata.deafen(leader.name, true);
      stage.world.network.loseNext({ direction: 'down', path: methods.attend.path, client: leader.name });
      for (const [from, to] of toControllers(leader.name)) stage.world.network.silence(from, to);
      late.machine.disk.syncDelayFactor = random.between(500, 4_000);
    } else if (step === 'decided' && !isr.includes(cutOff.nodeId)) {
      step = 'moved on';
      stage.world.coverage.count('a leader asks again after the state has moved on');
      for (const [from, to] of toControllers(leader.name)) stage.world.network.hear(from, to);
    }
  });
  const crashesBefore = stage.crashes;
  leader.troubled();
  late.kill();
  await cutting;
  step = 'moved on';
  await ms(stage, random.between(200, 1_500));
  for (const [from, to] of toControllers(leader.name)) stage.world.network.hear(from, to);
  metadata.deafen(leader.name, false);
  late.machine.disk.syncDelayFactor = 1;
  leader.troubled();
}

/**
 * A follower loses what it has, and comes back with less; what it acknowledged before is heard after it has attached anew, or what it acknowledges then is not heard
 * for a while (R1).
 */
export async function wordOfFormerLife(stage: Stage, random: SeededRandom): Promise<void> {
  const { network, scheduler } = stage.world;
  const led = [...stage.truth.image.partitions()].filter(({ isr, leader }) => isr.length > 1 && leader !== undefined);
  const [first, ...others] = led;
  if (first === undefined) return;
  const chosen = random.pick([first, ...others]);
  const leader = stage.brokers.find(({ nodeId }) => nodeId === chosen.leader);
  const members = chosen.isr.filter((node) => node !== chosen.leader).map((node) => stage.broker(node));
  const follower = members.find((each) => each !== undefined && isSpare(stage, each)) ?? members[0];
  if (leader === undefined || follower === undefined) return;
  const { path } = methods.replicate;
  const isHeardLater = random.chance(0.5);
  let stalled = isHeardLater ? network.stall(follower.name, leader.name, path) : undefined;
  for (const member of [leader, follower]) member.troubled();
  await ms(stage, random.between(5, 200));
  const attached = Promise.withResolvers<void>();
  network.watch(({ client, server, ...call }, bytes) => {
    if (client !== follower.name || server !== leader.name || call.path !== path) return false;
    const { attach } = methods.replicate.request.decode(bytes);
    if (!attach.some(({ topicId, partition }) => topicId === chosen.topicId && partition === chosen.partition))
      return false;
    // What it lacks does not become durable at once.
    follower.machine.disk.syncDelayFactor = random.between(100, 3_000);
    if (isHeardLater) scheduler.after(random.between(1, 1_500), () => stalled?.goOn());
    else stalled = network.stall(follower.name, leader.name, path);
    attached.resolve();
    return true;
  });
  if (isSpare(stage, follower) && random.chance(0.7)) {
    stage.world.coverage.count('broker: began anew under its old id');
    putDisk(follower, new Map());
    await ms(stage, random.between(20, 500));
    follower.isHeld = false;
  } else {
    follower.losePower();
    await ms(stage, random.between(20, 500));
    follower.machine.powerOn();
  }
  await Promise.race([attached.promise, ms(stage, 5_000)]);
  await ms(stage, random.between(50, 1_500));
  stalled?.goOn();
  follower.machine.disk.syncDelayFactor = 1;
  for (const member of [leader, follower]) member.troubled();
}

/**
 * A proposal is held up on its way while its proposer, whose end of the connection has broken, makes it again on another, has it decided, and sees its new member
 * fall out of the ISR again. Then the first one arrives (M4).
 */
export async function lateProposal(stage: Stage, random: SeededRandom): Promise<void> {
  const { network } = stage.world;
  const full = [...stage.truth.image.partitions()].filter(({ isr, leader }) => isr.length > 2 && leader !== undefined);
  const [first, ...others] = full;
  const { active } = stage;
  if (first === undefined || active === undefined) return;
  const chosen = random.pick([first, ...others]);
  const leader = stage.brokers.find(({ nodeId }) => nodeId === chosen.leader);
  const late = stage.broker(chosen.isr.find((node) => node !== chosen.leader) ?? -1);
  if (leader === undefined || late === undefined) return;
  const { path } = methods.attend;
  const isIn = (): boolean =>
    stage.truth.partition(`${chosen.topicId}-${chosen.partition}`)?.isr.some((node) => node === late.nodeId) === true;
  const comesToBe = async (wanted: boolean, withinMs: number): Promise<boolean> => {
    for (let waited = 0; isIn() !== wanted && waited < withinMs; waited += 5) await ms(stage, 5);
    return isIn() === wanted;
  };
  const troubled = (): void => {
    for (const member of [leader, late]) member.troubled();
  };
  troubled();
  late.kill();
  if (!(await comesToBe(false, SESSION_TIMEOUT_MS))) return;
  const stalled = network.stall(leader.name, active.name, path);
  // It has come back by then, and is proposed.
  await ms(stage, random.between(200, 1_200));
  stalled?.breakClientEnd();
  if (stalled !== undefined && (await comesToBe(true, 2_000))) {
    stage.world.coverage.count('a proposal is made again while its first copy is on its way');
    const apart = cut(
      stage,
      [
        [late.name, leader.name],
        [leader.name, late.name],
      ],
      random.between(2_500, 4_000),
    );
    if (await comesToBe(false, 4_000)) await ms(stage, random.between(20, 400));
    stalled.goOn();
    await apart;
  }
  stalled?.goOn();
  troubled();
}
