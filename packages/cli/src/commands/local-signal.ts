/** `tributary local kill|pause|resume`. */
import { ClusterFolder } from '../local/cluster-folder.ts';
import { aliveStateOf, killParts, partsNamed, pauseParts, resumeParts } from '../local/lifecycle.ts';
import { listed } from '../local/listing.ts';
import type { LocalOptions } from '../program/local.ts';
import { print } from '../standard-output.ts';

export async function localKill(names: readonly string[], options: LocalOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  // Before the first is killed: a mistyped second name must not be found out half-way.
  for (const part of partsNamed(folder.expect(), names)) aliveStateOf(part);
  const ended = await killParts(folder, names);
  const left = ended.find(({ gone }) => !gone);
  if (left !== undefined) throw new Error(`${left.part.name} has been killed, and the system has not ended it yet.`);
  await sayDone(
    folder,
    names,
    options,
    ended.map(({ part }) => `Killed ${part.name}.`),
  );
}

export async function localPause(names: readonly string[], options: LocalOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const before = await pauseParts(folder, names);
  await sayDone(
    folder,
    names,
    options,
    before.map((state, at) => `${names[at] ?? ''} ${state === 'paused' ? 'was paused already' : 'is paused'}.`),
  );
}

export async function localResume(names: readonly string[], options: LocalOptions): Promise<void> {
  const folder = new ClusterFolder(options.dataDir);
  const before = resumeParts(folder, names);
  await sayDone(
    folder,
    names,
    options,
    before.map((state, at) => `${names[at] ?? ''} ${state === 'running' ? 'was not paused' : 'goes on'}.`),
  );
}

/** In JSON: the parts named, as `local ps` shows them. */
export async function sayDone(
  folder: ClusterFolder,
  names: readonly string[],
  { output }: LocalOptions,
  sentences: readonly string[],
): Promise<void> {
  const parts = listed(folder.expect(), folder).filter(({ name }) => names.includes(name));
  await print(output === 'json' ? JSON.stringify(parts) : sentences.join('\n'));
}
