// One fault under load: it waits for a request to hit, strikes, sees what goes on, heals, and sees everything whole again.

import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosCluster } from './cluster.ts';
import { aim, type Aimed, type Fault, nameOf } from './faults.ts';
import type { Load, Measured } from './load.ts';
import type { Flight, Traffic } from './traffic.ts';

/** What was sent so shortly before cannot have been answered yet: the disks of three brokers, or etcd's, take longer. */
const freshMs = 3;
/** Whoever is aimed at has so long to be sent something, ms, so many times. */
const aimMs = 2_000;
const aimsMax = 10;
/** What is not answered by then has been held up by the fault, ms. */
const heldUpMs = 100;
/** How long a healed cluster may take until every replica is in sync and everything goes on. */
const recoveryMs = 60_000;

export interface Episode extends Measured {
  readonly fault: string;
  /** Who was hit. */
  readonly what: string;
  /** Requests that were on their way when it struck. */
  readonly inFlight: number;
  /** Of those, and of what was sent just after, what whoever it was sent to did not answer soon. */
  readonly heldUp: number;
  /** From the strike until records and decisions went on, ms, where they did so before it was healed. */
  readonly wentOnMs: number | undefined;
  /** From the healing until every replica was in sync and everything went on, ms. */
  readonly recoveredMs: number;
  readonly retries: number;
  readonly errors: readonly string[];
}

export interface EpisodeOptions {
  /** How long the fault lasts at least, ms. */
  readonly lastsMs: number;
  /** Where things are to go on while it lasts, they have so long; then the episode fails. ms. */
  readonly goesOnWithinMs: number;
  /** Strikes while the first one lasts; nothing need go on then. */
  readonly also?: Fault;
}

/** @throws when something does not go on, or come back, in time. */
export async function episode(
  cluster: ChaosCluster,
  load: Load,
  topic: string,
  fault: Fault,
  options: EpisodeOptions,
): Promise<Episode> {
  // Looking for who plays which role takes a while: the first one strikes at once.
  const second = options.also === undefined ? undefined : await aim(cluster, topic, options.also);
  const aimed = await aimAtWork(cluster, load, topic, fault);
  const also = second?.victims.some((name) => aimed.victims.includes(name)) === true ? undefined : second;
  const { traffic } = load;
  const hit = (): readonly Flight[] => inFlight(aimed, traffic);
  const errorsBefore = load.errors.length;
  const retriesBefore = traffic.retries;
  const before = hit();
  const struckAt = performance.now();
  const struck = aimed.strike();
  await sleep(heldUpMs);
  await struck;
  // Clients go on sending to one that they take for alive.
  const meanwhile = hit().filter(({ sentAt }) => sentAt >= struckAt && sentAt < performance.now() - heldUpMs / 2);
  const heldUp = before.filter(({ answeredAt }) => answeredAt === undefined).length + meanwhile.length;
  const wentOnMs = await goesOn(load, aimed.goesOn, struckAt, options.goesOnWithinMs);
  await sleep(Math.max(0, struckAt + options.lastsMs - performance.now()));
  if (also !== undefined) {
    await also.strike();
    await sleep(options.lastsMs);
  }
  const healedAt = performance.now();
  await Promise.all([aimed.heal(), also?.heal()]);
  await cluster.whole(topic, recoveryMs);
  await load.until(() => load.hasRecoveredSince(healedAt, 'everything'), recoveryMs, 'everything goes on once healed');
  checkAllRun(cluster);
  return {
    fault: nameOf(fault),
    what: also === undefined ? aimed.what : `${aimed.what}, then ${also.what}`,
    inFlight: before.length,
    heldUp,
    wentOnMs,
    recoveredMs: Math.round(performance.now() - healedAt),
    ...load.measure(struckAt),
    retries: traffic.retries - retriesBefore,
    errors: load.errors.slice(errorsBefore),
  };
}

function inFlight({ hits }: Aimed, traffic: Traffic): readonly Flight[] {
  return hits.kind === 'change' ? traffic.changesInFlight : traffic.inFlight(hits.address);
}

/** Who plays a role may change until something is in flight that the fault could hit: then it is somebody else's turn. */
async function aimAtWork(cluster: ChaosCluster, load: Load, topic: string, fault: Fault): Promise<Aimed> {
  const isFresh = ({ sentAt }: Flight): boolean => performance.now() - sentAt < freshMs;
  for (let attempt = 0; attempt < aimsMax; attempt++) {
    const aimed = await aim(cluster, topic, fault);
    const { traffic } = load;
    if (await traffic.comesToHold(() => inFlight(aimed, traffic).some(isFresh), aimMs)) return aimed;
  }
  throw new Error(`${nameOf(fault)}: nothing was in flight that it could hit`);
}

/** Waits for what is to go on while the fault lasts. @returns after how many ms it did. */
async function goesOn(
  load: Load,
  expected: { readonly records: boolean; readonly decisions: boolean },
  since: number,
  withinMs: number,
): Promise<number | undefined> {
  if (!expected.records && !expected.decisions) return undefined;
  const what = expected.records ? (expected.decisions ? 'everything' : 'records') : 'decisions';
  // What was answered just after the strike says nothing.
  const from = since + heldUpMs;
  await load.until(() => load.hasRecoveredSince(from, what), withinMs, `${what} to go on while the fault lasts`);
  return Math.round(performance.now() - since);
}

/** Nobody has ended by itself. */
function checkAllRun({ processes: { brokers, controllers, coordinators } }: ChaosCluster): void {
  const ended = [...brokers, ...controllers, ...coordinators].find((part) => !part.runs);
  if (ended !== undefined) throw new Error(`${ended.name} has ended by itself:\n${ended.said.slice(-2_000)}`);
}

/** For people, one line. */
export function told(episode: Episode): string {
  const { what, inFlight, heldUp, acknowledgementGapMs, deliveryGapMs, decisionGapMs, wentOnMs, recoveredMs } = episode;
  const onward = wentOnMs === undefined ? '' : `, went on after ${wentOnMs}`;
  return (
    `${what}: largest gap between acknowledgements ${acknowledgementGapMs} ms, deliveries ${deliveryGapMs}, decisions ${decisionGapMs}${onward}, ` +
    `whole again ${recoveredMs} after healing; ${inFlight} requests in flight, ${heldUp} held up; ${episode.retries} retries, ${episode.errors.length} errors`
  );
}
