/** `tributary local start|restart`. */
import { InterruptedError } from '../failure.ts';
import { duration } from '../figures.ts';
import { Interruption } from '../interruption.ts';
import { ClusterFolder } from '../local/cluster-folder.ts';
import { launchMissing, partsNamed, stopParts } from '../local/lifecycle.ts';
import { stateOf } from '../local/parts.ts';
import { untilReady } from '../local/readiness.ts';
import type { StartOptions, StopOptions } from '../program/local.ts';
import { sayDone } from './local-signal.ts';
import { leftRunning } from './local-stop.ts';

export async function localStart(names: readonly string[], options: StartOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const paused = partsNamed(folder.expect(), names).find((part) => stateOf(part) === 'paused');
  if (paused !== undefined)
    throw new Error(`${paused.name} is paused: \`tributary local resume ${paused.name}\` lets it go on.`);
  await sayDone(folder, names, options, await start(folder, names, options, 'started'));
}

/** One after the other, each ready before the next one stops: so a cluster goes on working meanwhile. */
export async function localRestart(names: readonly string[], options: StartOptions & StopOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  partsNamed(folder.expect(), names);
  const sentences: string[] = [];
  for (const name of names) {
    const [left] = (await stopParts(folder, [name], options.timeout * 1000)).filter(({ gone }) => !gone);
    if (left !== undefined) throw leftRunning(left, folder, options.timeout);
    sentences.push(...(await start(folder, [name], options, 'started again')));
  }
  await sayDone(folder, names, options, sentences);
}

async function start(
  folder: ClusterFolder,
  names: readonly string[],
  options: StartOptions,
  done: string,
): Promise<readonly string[]> {
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
  try {
    if (options.wait) await untilReady(partsNamed(folder.expect(), names), folder, waiting);
  } catch (thrown) {
    throw signal.aborted ? new InterruptedError('Interrupted. What has been started goes on.') : thrown;
  }
  const took = options.wait ? `, and ready after ${duration(performance.now() - begun)}` : '';
  return names.map((name) => (started.includes(name) ? `${name} is ${done}${took}.` : `${name} runs already.`));
}
