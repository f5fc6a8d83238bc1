// `tributary local` in a folder of its own, on ports of its own. What it has started is found by the folder that it works in, and is ended by
// its ids, whatever became of the commands.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CommandOptions, type Ended, freePort, start, tributary } from './dev-process.ts';

/** As `local ps --output json` has it. */
export interface ListedPart {
  readonly name: string;
  readonly role: 'etcd' | 'controller' | 'broker' | 'coordinator';
  readonly id: number | null;
  readonly pid: number | null;
  readonly ports: Readonly<Record<string, number>>;
  readonly dataDir: string;
  readonly state: 'running' | 'paused' | 'stopped' | 'killed';
  readonly log: string;
}

export class LocalProcesses implements AsyncDisposable {
  readonly parent = mkdtempSync(path.join(tmpdir(), 'tributary-local-'));
  readonly folder = path.join(this.parent, 'cluster');

  constructor() {
    // A run of the tests that is cut short leaves nothing behind.
    process.once('exit', this.#end);
  }

  /** Runs `tributary local …` on the folder. */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    return await tributary(['local', ...args, '--data-dir', this.folder], options);
  }

  /** As `run`, and @throws when it fails. @returns standard output. */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    assert.equal(code, 0, `tributary local ${args.join(' ')}: ${stderr}`);
    return stdout.toString();
  }

  /** As `run`, and @throws unless it fails with one line. @returns that line. */
  async refused(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    assert.notEqual(code, 0, `tributary local ${args.join(' ')} was to fail; it said ${stdout.toString()}`);
    assert.match(stderr, /^tributary: [^\n]+\n$/);
    return stderr;
  }

  begin(args: readonly string[]) {
    return start(['local', ...args, '--data-dir', this.folder]);
  }

  async ps(): Promise<readonly ListedPart[]> {
    return JSON.parse(await this.ok('ps', '--output', 'json'));
  }

  async part(name: string): Promise<ListedPart> {
    const found = (await this.ps()).find((part) => part.name === name);
    assert.ok(found !== undefined, `${name} is listed`);
    return found;
  }

  /** `etcd running, broker-1 killed …` */
  async states(): Promise<string> {
    return (await this.ps()).map(({ name, state }) => `${name} ${state}`).join(', ');
  }

  /** Of all processes that work in the folder. Linux only. */
  pids(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => workingDirectory(pid).startsWith(this.folder));
  }

  readonly #end = (): void => {
    for (const pid of this.pids()) process.kill(pid, 'SIGKILL');
  };

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#end);
    this.#end();
    while (this.pids().length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    rmSync(this.parent, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Of a zombie: empty. */
function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

/** A port from which on a cluster finds its own. */
export const firstPort = async (): Promise<string> => String(await freePort());
