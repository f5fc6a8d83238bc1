// JavaScript of a program or library of this tree, with the packages of the tree inside; what comes from npm stays outside.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string>>;
}

export const root = path.dirname(import.meta.dirname);
/** The folder of each package of the tree, by its name. */
export const workspaces: ReadonlyMap<string, string> = workspaceFolders();

/**
 * Bundles entries and the packages of the tree that they reach, as modules that share what they have in common.
 * @param entries the name of each module made, and its source in the tree.
 * @returns the packages of npm that the result imports, sorted.
 */
export async function bundle(entries: Readonly<Record<string, string>>, target: string): Promise<string[]> {
  const outside = [...workspaces.values()].flatMap((folder) => Object.keys(manifestOf(folder).dependencies ?? {}));
  const external = outside.filter((name) => !workspaces.has(name));
  const result = await build({
    absWorkingDir: root,
    entryPoints: { ...entries },
    outdir: target,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: external.flatMap((name) => [name, `${name}/*`]),
    metafile: true,
    logLevel: 'warning',
  });
  const imported = Object.values(result.metafile.outputs).flatMap((output) => output.imports);
  const names = imported
    .filter((each) => each.external && !each.path.startsWith('node:'))
    .map((each) => packageOf(each.path));
  // What is loaded only when it is needed is required by name, which the bundler does not follow.
  const bundled = readdirSync(target)
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(path.join(target, name), 'utf8'));
  const required = external.filter((name) =>
    bundled.some((text) => new RegExp(`require\\d*\\("${name}"\\)`).test(text)),
  );
  return sorted([...names, ...required]);
}

/** Each once, in order. */
export function sorted(names: Iterable<string>): string[] {
  return [...new Set(names)].sort((a, b) => (a < b ? -1 : 1));
}

/** The package of an import: `@grpc/grpc-js/build` is of `@grpc/grpc-js`. */
export function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

export function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8'));
}

function workspaceFolders(): Map<string, string> {
  const folders = ['packages', 'services'].flatMap((group) =>
    readdirSync(path.join(root, group)).map((name) => `${group}/${name}`),
  );
  const real = folders.filter((folder) => existsSync(path.join(root, folder, 'package.json')));
  return new Map(real.map((folder) => [manifestOf(folder).name, folder]));
}
