/** A place in a group, in a namespace of its own: one process after the other sits there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Place } from '../../end-to-end/cluster-processes.ts';
import { type Line, type MemberPlan, nowMs } from './line.ts';

const program = path.join(import.meta.dirname, 'member.ts');
const endMs = 15_000;
/** A run that is cut short leaves nothing behind. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A line of a member, or what became of its process. */
export type Told =
  | (Line & { readonly member: string })
  | { readonly kind: 'stopped' | 'resumed' | 'ended'; readonly at: number; readonly member: string };

/** A commit, from the process's asking to its answer. */
export interface Commit {
  readonly begunAt: number;
  /** undefined: it has no answer. */
  endedAt?: number;
}

export class Seat {
  readonly name: string;
  readonly #place: Place;
  readonly #plan: MemberPlan;
  readonly #hear: (told: Told) => void;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #lives = 0;
  #said = '';
  readonly #own = new Set<number>();
  #commits = new Map<number, Commit>();
  readonly #allCommits: Commit[] = [];

  constructor(name: string, place: Place, plan: MemberPlan, hear: (told: Told) => void) {
    this.name = name;
    this.#place = place;
    this.#plan = plan;
    this.#hear = hear;
  }

  get runs(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Partitions that the process takes for its own, as far as it has said so. */
  get assignment(): readonly number[] {
    return [...this.#own];
  }

  /** All that any of its processes asked for. */
  get commits(): readonly Commit[] {
    return this.#allCommits;
  }

  /** What went wrong, for people. */
  get said(): string {
    return this.#said;
  }

  start(): void {
    const member = `${this.name} life ${++this.#lives}`;
    const args = [program, JSON.stringify({ ...this.#plan, clientId: this.name })];
    const [command = process.execPath, ...rest] = [...this.#place.within, process.execPath, ...args];
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#commits = new Map();
    child.stderr.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
    running.add(child);
    const read = once(
      createInterface({ input: child.stdout }).on('line', (text) => this.#line(member, text)),
      'close',
    );
    this.#ended = Promise.all([once(child, 'exit'), read]).then(() => {
      running.delete(child);
      this.#own.clear();
      this.#hear({ kind: 'ended', at: nowMs(), member });
    });
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  /** It leaves in order; where it cannot, it is killed. */
  async leave(withinMs = endMs): Promise<void> {
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), withinMs);
    await this.#ended;
    clearTimeout(timer);
  }

  async gone(): Promise<void> {
    await this.#ended;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
    this.#hear({ kind: 'stopped', at: nowMs(), member: `${this.name} life ${this.#lives}` });
  }

  resume(): void {
    this.#hear({ kind: 'resumed', at: nowMs(), member: `${this.name} life ${this.#lives}` });
    this.#child?.kill('SIGCONT');
  }

  #line(member: string, text: string): void {
    // A kill may come in the middle of a line.
    if (!text.endsWith('}')) return;
    const line: Line = JSON.parse(text);
    switch (line.kind) {
      case 'assigned':
        for (const partition of line.partitions) this.#own.add(partition);
        break;
      case 'relinquished':
        for (const partition of line.partitions) this.#own.delete(partition);
        break;
      case 'committing': {
        const commit: Commit = { begunAt: line.at };
        this.#commits.set(line.commit, commit);
        this.#allCommits.push(commit);
        break;
      }
      case 'committed':
      case 'refused': {
        const commit = this.#commits.get(line.commit);
        if (commit !== undefined) commit.endedAt = line.at;
        break;
      }
      case 'handed':
      case 'failed':
        break;
      default:
        line satisfies never;
    }
    this.#hear({ ...line, member });
  }
}
