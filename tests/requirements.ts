// What a test needs beyond Node and npm: named, so that a run says what it left out, and counted by the runner as skipped.
// REQUIRE_ALL=1 (set where everything is installed, as in .ci/run) turns a skip into a failure.
//
//   test('etcd keeps the promise too', { skip: requires('etcd') }, async () => { … });

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { mayMakeNetworks } from './chaos/network.ts';

/** Tools whose presence is not a matter of a command on the path alone. */
const PROBES: Readonly<Record<string, () => boolean>> = {
  // A package of its own in Debian, without which python3 makes no virtual environment.
  'python3-venv': () => spawnSync('python3', ['-c', 'import ensurepip, venv'], { stdio: 'ignore' }).status === 0,
  // Root's right, and iproute2.
  'network namespaces (root, iproute2)': () => onPath('ip') && mayMakeNetworks(),
  'a running Docker engine': () => onPath('docker') && spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0,
};

/** Which of these tools are missing, as the reason to skip; false when the test can run. Throws under REQUIRE_ALL=1. */
export function requires(...tools: string[]): string | false {
  const missing = tools.filter((tool) => !isPresent(tool));
  if (missing.length === 0) return false;
  const reason = `needs ${missing.join(', ')}, not found on this machine`;
  if (process.env['REQUIRE_ALL'] === '1') throw new Error(`${reason}, and REQUIRE_ALL=1 allows no skip`);
  return reason;
}

function isPresent(tool: string): boolean {
  const probe = PROBES[tool];
  return probe === undefined ? onPath(tool) : probe();
}

function onPath(command: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.some((folder) => {
    const file = path.join(folder, command);
    if (!existsSync(file)) return false;
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
