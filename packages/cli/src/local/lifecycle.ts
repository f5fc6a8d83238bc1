/** What is done to the parts of a local cluster. Each change of what `local.json` says happens under its lock; waiting happens outside. */
import { UsageError } from '../failure.ts';
import type { ClusterFolder } from './cluster-folder.ts';
import { launch } from './launch.ts';
import { isAlive, type LocalCluster, type Part, type PartState, stateOf, withPart } from './parts.ts';
import { type ProcessIdentity, sendSignal, untilGone, untilStill } from './processes.ts';

/** How long a killed process may take to go, and a stopped one to stand still, ms: the system does it at once, but for a busy disk. */
const atOnceMs = 5_000;

/** @throws UsageError listing the parts there are. */
function partNamed({ parts }: LocalCluster, name: string): Part {
  const part = parts.find((each) => each.name === name);
  if (part !== undefined) return part;
  throw new UsageError(`There is no part "${name}" here; there are ${parts.map((each) => each.name).join(', ')}.`);
}

export const partsNamed = (cluster: LocalCluster, names: readonly string[]): readonly Part[] =>
  names.map((name) => partNamed(cluster, name));

/** Starts those that do not run and lets those go on that stand still. Under the lock. @returns the names of both. */
export async function launchMissing(
  folder: ClusterFolder,
  before: LocalCluster,
  wanted: readonly Part[],
): Promise<readonly string[]> {
  let cluster = before;
  const started: string[] = [];
  for (const part of wanted) {
    const state = stateOf(part);
    if (state === 'running') continue;
    if (state === 'paused') sendSignal(processOf(part), 'SIGCONT');
    else {
      cluster = withPart(cluster, await launch(cluster, part, folder));
      // Written down one by one: if this command is killed now, nothing runs that nobody knows of.
      folder.write(cluster);
    }
    started.push(part.name);
  }
  return started;
}

/** What became of a part that was to be ended. */
export interface Ended {
  readonly part: Part;
  readonly before: PartState;
  /** Whether it had gone when the time was over. */
  readonly gone: boolean;
}

/** Asks all of them at once to end in their own time, and waits. One that stands still goes on for it. */
export async function stopParts(
  folder: ClusterFolder,
  names: readonly string[],
  withinMs: number,
): Promise<readonly Ended[]> {
  return await endParts(folder, names, 'stop', withinMs);
}

/** Ends them without a word. */
export async function killParts(folder: ClusterFolder, names: readonly string[]): Promise<readonly Ended[]> {
  return await endParts(folder, names, 'kill', atOnceMs);
}

async function endParts(
  folder: ClusterFolder,
  names: readonly string[],
  how: 'stop' | 'kill',
  withinMs: number,
): Promise<readonly Ended[]> {
  const asked: { readonly part: Part; readonly before: PartState }[] = [];
  {
    await using _ = await folder.lock();
    let cluster = folder.expect();
    const parts = partsNamed(cluster, names);
    for (const part of parts) {
      asked.push({ part, before: stateOf(part) });
      if (!isAlive(part)) continue;
      // Written down first: it may have gone before the signal returns.
      cluster = withPart(cluster, { ...part, asked: how });
      folder.write(cluster);
      const process = processOf(part);
      sendSignal(process, how === 'stop' ? 'SIGTERM' : 'SIGKILL');
      if (how === 'stop') sendSignal(process, 'SIGCONT');
    }
  }
  return await Promise.all(
    asked.map(async ({ part, before }) => ({
      part,
      before,
      gone: part.process === null || (await untilGone(part.process, withinMs)),
    })),
  );
}

/** @returns the states before. @throws Error for one that does not run. */
export async function pauseParts(folder: ClusterFolder, names: readonly string[]): Promise<readonly PartState[]> {
  const parts = partsNamed(folder.expect(), names);
  const before = parts.map((part) => aliveStateOf(part));
  for (const part of parts) sendSignal(processOf(part), 'SIGSTOP');
  for (const part of parts) {
    if (!(await untilStill(processOf(part), atOnceMs)))
      throw new Error(`${part.name} has not come to a stand within ${atOnceMs / 1000} s of SIGSTOP.`);
  }
  return before;
}

/** @returns the states before. @throws Error for one that does not run. */
export function resumeParts(folder: ClusterFolder, names: readonly string[]): readonly PartState[] {
  const parts = partsNamed(folder.expect(), names);
  const before = parts.map((part) => aliveStateOf(part));
  for (const part of parts) sendSignal(processOf(part), 'SIGCONT');
  return before;
}

/** @throws Error for one that does not run. */
export function aliveStateOf(part: Part): PartState {
  const state = stateOf(part);
  if (state === 'running' || state === 'paused') return state;
  throw new Error(`${part.name} does not run (${state}): \`tributary local start ${part.name}\` starts it.`);
}

function processOf({ name, process }: Part): ProcessIdentity {
  if (process === null) throw new Error(`${name} does not run.`);
  return process;
}
