/** Starts a part in the background: it goes on when the command that started it has ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClusterFolder } from './cluster-folder.ts';
import { settingsOf } from './part-settings.ts';
import { addressOf, type LocalCluster, type Part } from './parts.ts';
import { isFree } from './ports.ts';
import { findRunning, identify } from './processes.ts';
import { programOf } from './programs.ts';

/** Size of a log at which the next start begins a new one, and keeps one old one. */
const logMax = 16 * 1024 * 1024;
/** Of its last words, for an error. */
const wordsMax = 400;
/** Of the end of its log, where those are looked for. */
const endBytes = 16 * 1024;

/** Takes over one that runs already. @returns the part with its process. @throws Error naming a port that somebody else has, or a program that cannot be run. */
export async function launch(cluster: LocalCluster, part: Part, folder: ClusterFolder): Promise<Part> {
  const [command, args] = commandOf(cluster, part, folder);
  const left = existsIn(folder, part) ? findRunning(command, args, fs.realpathSync(folder.dataOf(part))) : undefined;
  if (left !== undefined) return { ...part, process: left, asked: null };
  for (const [what, port] of Object.entries(part.ports)) {
    if (!(await isFree(port)))
      throw new Error(
        `${part.name} cannot start: another process listens at its ${what} port ${port}. Ports are kept, so that clients find a part again: end that process, and try again.`,
      );
  }
  fs.mkdirSync(folder.dataOf(part), { recursive: true, mode: 0o700 });
  const log = openLog(folder.logOf(part));
  try {
    const child = spawn(command, args, {
      cwd: folder.dataOf(part),
      env: environment(),
      // Out of the terminal's reach: Ctrl-C is for the command, not for what it has started.
      detached: true,
      stdio: ['ignore', log, log],
    });
    await spawned(child);
    child.unref();
    const process = child.pid === undefined ? undefined : identify(child.pid);
    if (process === undefined) throw new Error(endedSentence(part, folder));
    return { ...part, process, asked: null };
  } finally {
    fs.closeSync(log);
  }
}

/** Where it has never been, it does not run. */
const existsIn = (folder: ClusterFolder, part: Part): boolean => fs.existsSync(folder.dataOf(part));

/**
 * What a broker receives lies outside V8's heap, and is let go only when V8 looks at the small objects that hold it: with a small nursery soon, by a scavenge, with a
 * large one late, by a mark-compact. Three brokers then replicate a quarter to a half more (docs/BENCHMARKS.md).
 */
const nodeFlags = { broker: ['--max-semi-space-size=1'], controller: [], coordinator: [] } as const;

function commandOf(cluster: LocalCluster, part: Part, folder: ClusterFolder): readonly [string, string[]] {
  const settings = Object.entries(settingsOf(cluster, part, folder)).map(([name, value]) => `--${name}=${value}`);
  if (part.role === 'etcd') return [cluster.etcd, settings];
  return [process.execPath, [...nodeFlags[part.role], programOf(part.role), ...settings]];
}

/** The command's own, without what would change the settings of a part behind its back. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|TRIBUTARY_|ETCD_)/.test(name));
  // etcd 3.4 runs there only when it is told that we know of its not being supported.
  const unsupported = process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {};
  return { ...Object.fromEntries(kept), ...unsupported };
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (thrown) => reject(new Error(`${child.spawnfile} cannot be run (${thrown.message}).`)));
  });
}

function openLog(file: string): number {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  if (fs.existsSync(file) && fs.statSync(file).size >= logMax) fs.renameSync(file, `${file}.1`);
  return fs.openSync(file, 'a');
}

/** What it said last, and where to read the rest. */
export function endedSentence(part: Part, folder: ClusterFolder): string {
  const log = folder.logOf(part);
  return `${part.name} (${addressOf(part)}) has ended: ${lastWords(log)} Its log: ${log}`;
}

function lastWords(file: string): string {
  const lines = endOf(file)
    .split('\n')
    .filter((line) => line.trim() !== '');
  // How a part of ours says why it gives up; what else is in a log is for its readers.
  const said = lines.findLast((line) => line.startsWith('tributary ')) ?? lines.at(-1) ?? 'it said nothing.';
  const text = said.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, wordsMax);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function endOf(file: string): string {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fs.fstatSync(descriptor);
    const into = Buffer.alloc(Math.min(size, endBytes));
    fs.readSync(descriptor, into, 0, into.length, size - into.length);
    return into.toString('utf8');
  } finally {
    fs.closeSync(descriptor);
  }
}
