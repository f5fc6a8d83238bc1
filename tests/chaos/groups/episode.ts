/** One fault on a group at work: it strikes while a commit is on its way, sees what goes on, heals, and sees every partition owned and read again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { aimAtGroup, aimMs, type AimedAtGroup, type GroupFault } from './faults.ts';
import { nowMs } from './line.ts';
import type { GroupRun } from './run.ts';
import type { Commit } from './seat.ts';

/** What takes so long has been held up: commits take some 5 ms. */
const heldUpMs = 30;
/** How long a healed cluster may take until every partition has one owner and is read and committed again. */
const recoveryMs = 30_000;

export interface GroupEpisode {
  readonly what: string;
  /** Requests that were on their way when it struck. */
  readonly inFlight: number;
  /** Of those, and of what was sent afterwards, what was answered late or never. */
  readonly heldUp: number;
  /** From the strike until every partition was read and committed again, ms, where that was before it was healed. */
  readonly wentOnMs: number | undefined;
  readonly recoveredMs: number;
}

/** @throws when something does not go on, or come back, in time. */
export async function groupEpisode(
  run: GroupRun,
  fault: GroupFault,
  options: { readonly lastsMs: number; readonly goesOnWithinMs: number },
): Promise<GroupEpisode> {
  const aimed = await aimAtGroup(run, fault);
  await using changes = aimed.hits === 'changes' ? await Changes.begin(run) : undefined;
  if (changes === undefined && !(await run.commitAsked(aimMs, aimed.seat)))
    throw new Error(`${fault}: no commit was asked for that it could hit`);
  await changes?.asked(aimMs);
  const struck = aimed.strike();
  const struckAt = nowMs();
  await struck;
  const tookHoldAt = nowMs();
  const wentOnMs = aimed.goesOn
    ? await run.goesOn(struckAt + heldUpMs, options.goesOnWithinMs, `${aimed.what}: the group goes on`, false)
    : undefined;
  await sleep(Math.max(0, struckAt + options.lastsMs - nowMs()));
  const healedAt = nowMs();
  await aimed.heal();
  await run.cluster.whole(run.topic, recoveryMs);
  await run.goesOn(healedAt, recoveryMs, `${aimed.what}: the group is whole once healed`);
  await changes?.until(healedAt, recoveryMs);
  checkAllRun(run);
  const { inFlight, heldUp } = hitBy(aimed, changes?.all ?? run.commits(aimed.seat), {
    struckAt,
    tookHoldAt,
    healedAt,
  });
  return { what: aimed.what, inFlight, heldUp, wentOnMs, recoveredMs: Math.round(nowMs() - healedAt) };
}

/** @param at a strike takes some commands, and takes hold by the last of them: what was on its way at any moment of that may have been hit. */
function hitBy(
  { hits }: AimedAtGroup,
  requests: readonly Commit[],
  { struckAt, tookHoldAt, healedAt }: Record<'struckAt' | 'tookHoldAt' | 'healedAt', number>,
) {
  const lastedMs = ({ begunAt, endedAt = Number.POSITIVE_INFINITY }: Commit): number => endedAt - begunAt;
  const inFlight = requests.filter(
    ({ begunAt, endedAt }) => begunAt <= tookHoldAt && (endedAt === undefined || endedAt > struckAt),
  );
  const later = requests.filter(({ begunAt }) => begunAt > tookHoldAt && begunAt < healedAt);
  const heldUp = [...inFlight, ...later].filter((each) => lastedMs(each) > (hits === 'commits' ? heldUpMs : 500));
  return { inFlight: inFlight.length, heldUp: heldUp.length };
}

/** Nobody has ended by itself. */
function checkAllRun({ cluster: { processes } }: GroupRun): void {
  const { brokers, controllers, coordinators } = processes;
  const ended = [...brokers, ...controllers, ...coordinators].find((part) => !part.runs);
  if (ended !== undefined) throw new Error(`${ended.name} has ended by itself:\n${ended.said.slice(-2_000)}`);
}

/** Changes of a setting, one after the other: each is a decision of the controller, kept in etcd. */
class Changes implements AsyncDisposable {
  readonly all: Commit[] = [];
  readonly #run: GroupRun;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(run: GroupRun) {
    this.#run = run;
  }

  static async begin(run: GroupRun): Promise<Changes> {
    const changes = new Changes(run);
    changes.#running = changes.#change();
    await changes.until(0, aimMs);
    return changes;
  }

  /** One has just been asked for. */
  async asked(withinMs: number): Promise<void> {
    const before = this.all.length;
    await this.#run.until(
      () => this.all.length > before,
      withinMs,
      () => 'no change was asked for',
    );
  }

  /** One that was asked for since has been made. */
  async until(since: number, withinMs: number): Promise<void> {
    const isMade = ({ begunAt, endedAt }: Commit): boolean => begunAt >= since && endedAt !== undefined;
    await this.#run.until(
      () => this.all.some(isMade),
      withinMs,
      () => 'the controller decides nothing',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #change(): Promise<void> {
    const { cluster, topic } = this.#run;
    for (let value = 1_000_000_000; !this.#stop.signal.aborted; value++) {
      const change: Commit = { begunAt: nowMs() };
      this.all.push(change);
      const wanted = { operation: 'set', name: 'retention.ms', value: String(value) } as const;
      try {
        const { signal } = this.#stop;
        await cluster.client.admin.alterConfigs({ kind: 'topic', name: topic }, [wanted], { signal });
        change.endedAt = nowMs();
      } catch {
        // It is judged by when the next one is made.
      }
      await sleep(5);
    }
  }
}

/** For people, one line. */
export function toldOf({ what, inFlight, heldUp, wentOnMs, recoveredMs }: GroupEpisode): string {
  const onward = wentOnMs === undefined ? '' : `, all read and committed again after ${wentOnMs} ms`;
  return `${what}: ${inFlight} requests in flight, ${heldUp} held up${onward}, whole again ${recoveredMs} ms after healing`;
}
