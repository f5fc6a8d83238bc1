/**
 * The folder of a local cluster: `local.json` says what there is and which processes are its own; beside it a folder for each part, and their
 * logs. Changed by one command at a time, read by any.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileError } from '@tributary/ports';
import { type LocalCluster, type Part, roles } from './parts.ts';
import { defaultFolder } from './shape.ts';

const stateFile = 'local.json';
const lockName = 'local.lock';
const formatName = 'tributary-local';
const formatVersion = 1;

/** How long a command waits for another one, ms: starting a process and writing it down takes a tenth of a second. */
const lockMs = 10_000;
const lockAgainMs = 20;
/** Names of a folder's contents in an error. */
const namesShown = 3;

export class ClusterFolder {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = path.resolve(directory);
  }

  /** The one that commands take which name none. */
  get isDefault(): boolean {
    return this.directory === path.resolve(defaultFolder);
  }

  /** Of a part alone: its working directory, and its data where it has some. */
  dataOf({ name }: Part): string {
    return path.join(this.directory, name);
  }

  logOf({ name }: Part): string {
    return path.join(this.directory, 'logs', `${name}.log`);
  }

  /** @returns undefined: there is none. @throws Error for what is not ours, or cannot be understood. */
  read(): LocalCluster | undefined {
    const file = path.join(this.directory, stateFile);
    let text: string;
    try {
      text = fs.readFileSync(file, 'utf8');
    } catch (thrown) {
      if (thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR'))
        return undefined;
      throw new Error(`${file} cannot be read (${reasonOf(thrown)}).`, { cause: thrown });
    }
    return clusterFrom(file, text);
  }

  /** @throws Error saying how to start one. */
  expect(): LocalCluster {
    const cluster = this.read();
    if (cluster !== undefined) return cluster;
    throw new Error(
      `There is no local cluster in ${this.directory}. Start one there with \`tributary local up\`, or name its folder with --data-dir.`,
    );
  }

  /** Atomically: whoever reads sees the one or the other. */
  write({ etcd, settings, parts }: LocalCluster): void {
    const file = path.join(this.directory, stateFile);
    const text = JSON.stringify({ format: formatName, version: formatVersion, etcd, settings, parts }, null, 2);
    const beside = `${file}.new`;
    fs.writeFileSync(beside, `${text}\n`, { flush: true });
    fs.renameSync(beside, file);
  }

  /** Makes the folder where there is none. @throws Error where something else is. */
  prepare(): void {
    try {
      fs.mkdirSync(this.directory, { recursive: true });
    } catch (thrown) {
      throw new Error(`The folder ${this.directory} cannot be made (${reasonOf(thrown)}).`, { cause: thrown });
    }
    if (this.read() !== undefined) return;
    const others = fs.readdirSync(this.directory).filter((name) => !name.startsWith('local.'));
    if (others.length > 0) {
      const shown = others.slice(0, namesShown).join(', ');
      throw new Error(
        `${this.directory} holds other things than a local cluster (${shown}${others.length > namesShown ? ' …' : ''}): name an empty folder or a new one with --data-dir.`,
      );
    }
  }

  /** Until it is disposed of no other command changes anything here. @throws Error naming the process that does. */
  async lock(): Promise<AsyncDisposable> {
    // Loaded here and not above: reading needs none of it.
    const { nodeFileSystem } = await import('@tributary/runtime');
    const deadlineMs = performance.now() + lockMs;
    for (;;) {
      try {
        return await nodeFileSystem.lock(path.join(this.directory, lockName));
      } catch (thrown) {
        if (!(thrown instanceof FileError) || thrown.reason !== 'locked') throw thrown;
        if (performance.now() >= deadlineMs)
          throw new Error(
            `Another command has been changing this cluster for ${lockMs / 1000} s: ${thrown.message} Try again once it has ended.`,
            { cause: thrown },
          );
      }
      await sleep(lockAgainMs);
    }
  }

  /** What was made here, and the folder if nothing else is in it. Nothing may run any more. */
  remove({ parts }: Pick<LocalCluster, 'parts'>): void {
    const own = [...parts.map(({ name }) => name), 'logs', `${stateFile}.new`, lockName, stateFile];
    for (const name of own) fs.rmSync(path.join(this.directory, name), { recursive: true, force: true });
    try {
      fs.rmdirSync(this.directory);
    } catch {
      // Something else is in it, or it is where a disk is mounted.
    }
  }
}

function clusterFrom(file: string, text: string): LocalCluster {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (thrown) {
    throw new Error(`${file} is damaged (${reasonOf(thrown)}): \`tributary local\` cannot tell what runs there.`, {
      cause: thrown,
    });
  }
  if (!isObject(found) || found['format'] !== formatName)
    throw new Error(`${file} is not a file of \`tributary local\`: name another folder with --data-dir.`);
  const { version, etcd, settings, parts } = found;
  if (version !== formatVersion)
    throw new Error(
      `${file} was written by another version of this command (format ${String(version)}, known here: ${formatVersion}).`,
    );
  if (typeof etcd === 'string' && isObject(settings) && Array.isArray(parts) && parts.every(isPart))
    return { etcd, settings: textsOf(settings), parts };
  throw new Error(`${file} is damaged: something that belongs in it is missing or of another kind.`);
}

function isPart(value: unknown): value is Part {
  if (!isObject(value)) return false;
  const { name, role, id, ports, process, asked } = value;
  const isIdentity = isObject(process) && typeof process['pid'] === 'number' && typeof process['started'] === 'string';
  return (
    typeof name === 'string' &&
    roles.some((known) => known === role) &&
    (id === null || typeof id === 'number') &&
    isObject(ports) &&
    Object.values(ports).every((port) => typeof port === 'number') &&
    (process === null || isIdentity) &&
    (asked === null || asked === 'stop' || asked === 'kill')
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textsOf = (found: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(Object.entries(found).map(([key, value]) => [key, String(value)]));

const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
