import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Edit, type Mutation, mutations } from './list.ts';

/** A planted bug that so many seeds do not find is not covered. */
const SEEDS_MAX = 500;
/** The rest of the tree is not needed to run the simulator. */
const COPIED = ['packages', 'services', 'tests/simulator', 'package.json', 'tsconfig.json', 'tsconfig.base.json'];

const root = path.resolve(import.meta.dirname, '../../..');

/** Plants each bug in a copy of the tree and looks for it. @param only one of them by name. @returns whether all were found. */
export function runMutations(only: string | undefined): boolean {
  const chosen = mutations.filter(({ name }) => only === undefined || name === only);
  if (chosen.length === 0)
    throw new Error(`no mutation is called ${only}; there are: ${mutations.map(({ name }) => name).join(', ')}`);
  let found = 0;
  for (const mutation of chosen) {
    const outcome = tryOne(mutation);
    if (outcome !== undefined) found += 1;
    process.stdout.write(
      `${outcome === undefined ? 'NOT FOUND' : 'found    '} ${mutation.name} (${mutation.rule})${outcome === undefined ? '' : `: ${outcome}`}\n`,
    );
  }
  process.stdout.write(`${found} of ${chosen.length} planted bugs found within ${SEEDS_MAX} seeds\n`);
  return found === chosen.length;
}

/** @returns what the simulator said about it; undefined: it did not notice. */
export function tryOne(mutation: Mutation): string | undefined {
  const tree = mkdtempSync(path.join(tmpdir(), 'tributary-mutation-'));
  try {
    for (const name of COPIED) cpSync(path.join(root, name), path.join(tree, name), { recursive: true });
    linkModules(tree);
    plant(tree, mutation);
    const args = ['tests/simulator/main.ts', '--story', mutation.story ?? 'one-broker', '--seeds', String(SEEDS_MAX)];
    const { stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: tree,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    const told = /^seed (\d+) broke a rule\. (.*)$/m.exec(stdout);
    if (told === null && !/ seeds of \S+ held/.test(stdout)) throw new Error(`the simulator did not run:\n${stderr}`);
    return told === null ? undefined : `seed ${told[1]}: ${told[2]?.slice(0, 200)}`;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function plant(tree: string, mutation: Mutation): void {
  for (const edit of [mutation, ...(mutation.also ?? [])]) plantOne(tree, mutation.name, edit);
}

function plantOne(tree: string, name: string, { file, find, replace }: Edit): void {
  const target = path.join(tree, file);
  const text = readFileSync(target, 'utf8');
  const times = text.split(find).length - 1;
  if (times !== 1)
    throw new Error(`mutation "${name}": its text occurs ${times} times in ${file}; it must occur exactly once`);
  writeFileSync(
    target,
    text.replace(find, () => replace),
  );
}

/** Packages of others as they are; the workspace's own as they are in the copy. */
function linkModules(tree: string): void {
  const modules = path.join(root, 'node_modules');
  mkdirSync(path.join(tree, 'node_modules', '@tributary'), { recursive: true });
  for (const name of readdirSync(modules)) {
    if (name !== '@tributary' && name !== '.cache')
      symlinkSync(path.join(modules, name), path.join(tree, 'node_modules', name));
  }
  for (const group of ['packages', 'services']) {
    for (const name of readdirSync(path.join(tree, group))) {
      symlinkSync(path.join(tree, group, name), path.join(tree, 'node_modules', '@tributary', name));
    }
  }
}
