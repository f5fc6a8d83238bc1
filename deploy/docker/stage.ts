// node deploy/docker/stage.ts FOLDER: what goes into the image, laid out as it will be there.
//
//   FOLDER/app/           the four programs in JavaScript, with the packages of the tree inside
//   FOLDER/node_modules/  what they need of npm, as it is installed here: the versions of the lock file, and nothing of development
//   FOLDER/bin/           the commands
//   FOLDER/data/          empty: what the volume begins with
//
// Native modules are those of this machine, so the image is for its system and processor.

import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { bundle, manifestOf, root } from '../../scripts/bundle.ts';

const PROGRAMS: Readonly<Record<string, string>> = {
  tributary: 'packages/cli/src/main.ts',
  'tributary-broker': 'services/broker/src/main.ts',
  'tributary-controller': 'services/controller/src/main.ts',
  'tributary-coordinator': 'services/coordinator/src/main.ts',
};
/** As `tributary local` starts them (packages/cli/src/local/launch.ts says why). */
const NODE_FLAGS: Readonly<Record<string, string>> = { 'tributary-broker': '--max-semi-space-size=1' };
/** Nothing that runs reads these. */
const NEEDLESS = /(\.[cm]?ts|\.map|\.md|\.markdown)$|\/(test|tests|docs|examples?|benchmarks?)$/;
/** Where the programs lie in the image; see the Dockerfile. */
const HOME = '/opt/tributary';

/** What of a package's manifest tells what it needs. */
interface Needs {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('which folder? node deploy/docker/stage.ts FOLDER');
if (process.platform !== 'linux')
  throw new Error(`the image is made on Linux, whose native modules it takes over; this is ${process.platform}`);
await stage(path.resolve(target));

async function stage(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const app = path.join(folder, 'app');
  mkdirSync(app, { recursive: true });
  const needed = await bundle(PROGRAMS, app);
  const { version, license } = manifestOf('.');
  writeFileSync(path.join(app, 'package.json'), `${JSON.stringify({ version, license, type: 'module' })}\n`);
  cpSync(path.join(root, 'LICENSE'), path.join(app, 'LICENSE'));
  copyPackages(needed, folder);
  mkdirSync(path.join(folder, 'bin'));
  for (const name of Object.keys(PROGRAMS)) {
    const script = path.join(app, `${name}.js`);
    const code = readFileSync(script, 'utf8');
    writeFileSync(script, code.startsWith('#!') ? code : `#!/usr/bin/env node\n${code}`);
    chmodSync(script, 0o755);
    const flags = NODE_FLAGS[name];
    const program = path.join(folder, 'bin', name);
    if (flags === undefined) symlinkSync(`${HOME}/app/${name}.js`, program);
    // The shell gives its place to Node: the part is process 1 all the same.
    else writeFileSync(program, `#!/bin/sh\nexec node ${flags} ${HOME}/app/${name}.js "$@"\n`, { mode: 0o755 });
  }
  mkdirSync(path.join(folder, 'data'));
}

/** These packages of npm and whatever they need, at the places where they are here. */
function copyPackages(names: readonly string[], folder: string): void {
  const wanted = names.map((name) => ({ name, from: root }));
  const copied = new Set<string>();
  for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
    const installed = find(next.name, next.from);
    // A native module for another platform, or a companion that nobody installed.
    if (installed === undefined || copied.has(installed)) continue;
    copied.add(installed);
    copyPackage(installed, path.join(folder, path.relative(root, installed)));
    const needs: Needs = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'));
    const all = { ...needs.dependencies, ...needs.optionalDependencies, ...needs.peerDependencies };
    wanted.push(...Object.keys(all).map((name) => ({ name, from: installed })));
  }
  for (const name of names)
    if (find(name, root) === undefined)
      throw new Error(`${name} is not installed: run any npm command of this project`);
}

function copyPackage(installed: string, to: string): void {
  cpSync(installed, to, {
    recursive: true,
    filter: (source) =>
      path.basename(source) !== 'node_modules' &&
      !NEEDLESS.test(source.slice(installed.length)) &&
      !lstatSync(source).isSymbolicLink(),
  });
}

/** As Node finds it: beside whoever asks, or in any node_modules above. */
function find(name: string, from: string): string | undefined {
  for (let folder = from; folder.startsWith(root); folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
  }
  return undefined;
}
