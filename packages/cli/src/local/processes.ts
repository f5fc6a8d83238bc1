/**
 * Processes that outlive the command that started them. A number alone does not tell whose a process is, for the system gives numbers out again:
 * each is known by its number together with when it was started, and gets no signal unless both are right.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Which boot of the machine, and when in it; the text means nothing beyond being the same. */
  readonly started: string;
}

export type Life = 'running' | 'paused' | 'gone';

interface Facts {
  readonly started: string;
  readonly life: Life;
}

/** How often a process is looked at that is to end or to stand still, ms: a look costs about 20 µs. */
const lookMs = 10;
/** Of /proc/PID/stat behind the name: the state is the first field, the start time, in clock ticks since boot, the twentieth. */
const startTimeField = 19;

/** @returns undefined: there is no such process, or it has ended. */
export function identify(pid: number): ProcessIdentity | undefined {
  const facts = factsOf(pid);
  return facts === undefined || facts.life === 'gone' ? undefined : { pid, started: facts.started };
}

export function lifeOf({ pid, started }: ProcessIdentity): Life {
  const facts = factsOf(pid);
  return facts?.started === started ? facts.life : 'gone';
}

/** @returns false: it has gone, and nobody got the signal. */
export function sendSignal(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (lifeOf(identity) === 'gone') return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ESRCH') return false;
    throw thrown;
  }
}

/** @returns whether it has gone within the time. */
export async function untilGone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  return await until(() => lifeOf(identity) === 'gone', withinMs);
}

/** Between SIGSTOP and the moment at which the last of its threads stands still, a process goes on. @returns whether it does within the time. */
export async function untilStill(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  return await until(() => lifeOf(identity) !== 'running' && allThreadsStill(identity.pid), withinMs);
}

/**
 * Of processes that run exactly this command in this folder, the first one; undefined where there is none, or the system does not tell. Finds what a command has
 * started that was itself ended before it could write that down.
 */
export function findRunning(
  command: string,
  args: readonly string[],
  workingDirectory: string,
): ProcessIdentity | undefined {
  if (process.platform !== 'linux') return undefined;
  const wanted = [command, ...args, ''].join('\0');
  const pid = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((name) => commandLine(name) === wanted && directoryOf(name) === workingDirectory);
  return pid === undefined ? undefined : identify(Number(pid));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function directoryOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

async function until(condition: () => boolean, withinMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    if (condition()) return true;
    if (performance.now() >= deadlineMs) return false;
    await sleep(lookMs);
  }
}

function factsOf(pid: number): Facts | undefined {
  return process.platform === 'linux' ? factsOnLinux(pid) : factsFromPs(pid);
}

function factsOnLinux(pid: number): Facts | undefined {
  const fields = statFields(`/proc/${pid}/stat`);
  const [state, started] = [fields?.[0], fields?.[startTimeField]];
  if (state === undefined || started === undefined) return undefined;
  return { started: `${bootId()}/${started}`, life: lifeIn(state) };
}

/** The fields behind the name, which is in brackets and may hold anything. */
function statFields(file: string): readonly string[] | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    return text
      .slice(text.lastIndexOf(')') + 1)
      .trim()
      .split(' ');
  } catch {
    return undefined;
  }
}

/** T: stopped by a signal, t: by a debugger; Z and X: ended, and only its parent has not asked how. */
function lifeIn(state: string): Life {
  if (/^[ZXx]/.test(state)) return 'gone';
  return /^[Tt]/.test(state) ? 'paused' : 'running';
}

let knownBootId: string | undefined;

function bootId(): string {
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return knownBootId;
}

/** As on macOS and the BSDs: `S+   Mon 23 Nov 18:42:23 2026`. */
function factsFromPs(pid: number): Facts | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state, ...started] = line.split(/\s+/);
    return state === undefined || started.length === 0
      ? undefined
      : { started: started.join(' '), life: lifeIn(state) };
  } catch {
    return undefined;
  }
}

function allThreadsStill(pid: number): boolean {
  if (process.platform !== 'linux') return true;
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const state = statFields(`/proc/${pid}/task/${thread}/stat`)?.[0];
      return state === undefined || lifeIn(state) !== 'running';
    });
  } catch {
    return true;
  }
}
