import { spawnSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import type { Host } from '@tributary/ports';

/** How a process ends whose own state can no longer be trusted (sysexits: internal software error). */
export const crashExitCode = 70;

/** Rounds a computed boot time so that clock adjustments since do not change it. */
const bootTimeGrainMs = 60_000;

/** @param service named in the last line on standard error. */
export function nodeHost(service = 'tributary'): Host {
  return {
    bootId: readBootId(),
    openFilesMax: readOpenFilesMax(),
    crash: (reason) => {
      lastWords(`${service}: stopping at once: ${reason}\n`);
      // Exit handlers could write to a disk or a peer on behalf of a state that is known to be wrong.
      process.removeAllListeners('exit');
      process.exit(crashExitCode);
    },
  };
}

/** Synchronous, because nothing runs after it; a closed or full standard error must not keep the process alive. */
function lastWords(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // There is nobody left to tell.
  }
}

/** A wrong "it has changed" costs a slower recovery, a wrong "it has not" would cost data (L1): fallbacks err to the former. */
function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return darwinBootId() ?? `boot-${Math.round((Date.now() - os.uptime() * 1000) / bootTimeGrainMs)}`;
  }
}

/** As the process has it now: Node raises what a shell sets to what the system allows. */
function readOpenFilesMax(): number | undefined {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return found?.[1] === undefined ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

function darwinBootId(): string | undefined {
  if (process.platform !== 'darwin') return undefined;
  const id = spawnSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' });
  return id.status === 0 ? id.stdout.trim() : undefined;
}
