/** `tributary local start|restart`. */
import { duration } from '../figures.ts';
import { Interruption } from '../interruption.ts';
import { ClusterFolder } from '../local/cluster-folder.ts';
import { aliveStateOf, launchMissing, partsNamed, stopParts } from '../local/lifecycle.ts';
import { isAlive, stateOf } from '../local/parts.ts';
import { untilReady } from '../local/readiness.ts';
import type { StartOptions, StopOptions } from '../program/local.ts';
import { sayDone } from './local-signal.ts';
import { leftRunning } from './local-stop.ts';

export async function localStart(names: readonly string[], options: StartOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const paused = partsNamed(folder.expect(), names).find((part) => stateOf(part) === 'paused');
  if (paused !== undefined)
    throw new Error(`${paused.name} is paused: \`tributary local resume ${paused.name}\` lets it go on.`);
  await start(folder, names, options, 'started');
}

export async function localRestart(names: readonly string[], options: StartOptions & StopOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  for (const part of partsNamed(folder.expect(), names)) if (isAlive(part)) aliveStateOf(part);
  const ended = await stopParts(folder, names, options.timeout * 1000);
  const left = ended.find(({ gone }) => !gone);
  if (left !== undefined) throw leftRunning(left, folder, options.timeout);
  await start(folder, names, options, 'started again');
}

async function start(
  folder: ClusterFolder,
  names: readonly string[],
  options: StartOptions,
  done: string,
): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  const begun = performance.now();
  let started: readonly string[];
  {
    await using _ = await folder.lock();
    const cluster = folder.expect();
    started = await launchMissing(folder, cluster, partsNamed(cluster, names));
  }
  const waiting = { withinMs: options.timeout * 1000, signal, progress: () => undefined };
  if (options.wait) await untilReady(partsNamed(folder.expect(), names), folder, waiting);
  const took = options.wait ? `, and ready after ${duration(performance.now() - begun)}` : '';
  await sayDone(
    folder,
    names,
    options,
    names.map((name) => (started.includes(name) ? `${name} is ${done}${took}.` : `${name} runs already.`)),
  );
}
