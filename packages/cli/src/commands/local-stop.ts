/** `tributary local stop|down`. */
import { say } from '../failure.ts';
import { ClusterFolder } from '../local/cluster-folder.ts';
import { type Ended, killParts, stopParts } from '../local/lifecycle.ts';
import { isAlive, roles, withRole } from '../local/parts.ts';
import type { LocalOptions, StopOptions } from '../program/local.ts';
import { print } from '../standard-output.ts';
import { sayDone } from './local-signal.ts';

interface DownOptions extends LocalOptions, StopOptions {
  readonly removeData?: boolean;
}

export async function localStop(names: readonly string[], options: LocalOptions & StopOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const ended = await stopParts(folder, names, options.timeout * 1000);
  const left = ended.find(({ gone }) => !gone);
  if (left !== undefined) throw leftRunning(left, folder, options.timeout);
  await sayDone(
    folder,
    names,
    options,
    ended.map(({ part, before }) =>
      before === 'running' || before === 'paused' ? `Stopped ${part.name}.` : `${part.name} did not run (${before}).`,
    ),
  );
}

export function leftRunning({ part }: Ended, folder: ClusterFolder, timeoutSeconds: number): Error {
  return new Error(
    `${part.name} (process ${part.process?.pid ?? 0}) has not ended within ${timeoutSeconds} s of SIGTERM, and goes on doing so. Its log: ${folder.logOf(part)}. \`tributary local kill ${part.name}\` ends it at once.`,
  );
}

export async function localDown(options: DownOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const count = await takeDown(folder, options.timeout);
  if (options.removeData === true) {
    await using _ = await folder.lock();
    const cluster = folder.expect();
    const alive = cluster.parts.find((part) => isAlive(part));
    if (alive !== undefined)
      throw new Error(`${alive.name} was started again meanwhile: nothing was removed. Try again.`);
    folder.remove(cluster);
  }
  const data = options.removeData === true ? 'Its data is gone.' : `Its data stays in ${folder.directory}.`;
  await print(
    options.output === 'json'
      ? JSON.stringify({ stopped: count, dataDirectory: folder.directory, removed: options.removeData === true })
      : `${count === 0 ? 'Nothing ran.' : 'The cluster is down.'} ${data}`,
  );
}

/**
 * Whoever needs somebody else ends first: the reverse of how they were started. What does not end in time is killed, which is said: a crash
 * loses nothing that was acknowledged. @returns how many ran.
 */
export async function takeDown(folder: ClusterFolder, timeoutSeconds: number): Promise<number> {
  let count = 0;
  for (const role of roles.toReversed()) {
    const names = withRole(folder.expect(), role)
      .filter((part) => isAlive(part))
      .map(({ name }) => name);
    count += names.length;
    const ended = await stopParts(folder, names, timeoutSeconds * 1000);
    const late = ended.filter(({ gone }) => !gone).map(({ part }) => part.name);
    if (late.length === 0) continue;
    say(`${late.join(', ')} did not end within ${timeoutSeconds} s of SIGTERM: killed.`);
    const left = (await killParts(folder, late)).find(({ gone }) => !gone);
    if (left !== undefined) throw new Error(`${left.part.name} has been killed, and the system has not ended it yet.`);
  }
  return count;
}
