// Folders of a run, and in one of them a disk that can be filled: in memory, a mount of the run's own.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Many times what a run writes to it. */
const mib = 256;

/** The folder of a run, with a small disk at one path in it. Disposing of it removes both. */
export class SmallDisk implements Disposable {
  readonly folder: string;
  readonly #mountPoint: string;
  readonly #owner: string;

  /** @param owner what mount and folder are found by when a run has ended without removing them. @param inside path of the disk in the folder. */
  constructor(owner: string, inside: string) {
    this.#owner = owner;
    this.folder = mkdtempSync(path.join(os.tmpdir(), `${owner}-`));
    this.#mountPoint = path.join(this.folder, inside);
    mkdirSync(this.#mountPoint);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, owner, this.#mountPoint], { stdio: 'pipe' });
  }

  /** Takes all that is free. */
  fill(): void {
    const file = path.join(this.#mountPoint, 'filler');
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=64k'], { stdio: 'pipe' });
    } catch {
      // It ends when there is no space left.
    }
  }

  free(): void {
    rmSync(path.join(this.#mountPoint, 'filler'), { force: true });
  }

  [Symbol.dispose](): void {
    releaseDisks(this.#owner);
  }
}

/** Unmounts and removes what an owner has. */
export function releaseDisks(owner: string): void {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  for (const line of mounts) {
    const [source, mountPoint] = line.split(' ');
    if (source === owner && mountPoint !== undefined) execFileSync('umount', ['--lazy', mountPoint], { stdio: 'pipe' });
  }
  for (const name of readdirSync(os.tmpdir()))
    if (name.startsWith(`${owner}-`)) rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
}
