// npm run pack: @tributary/client and @tributary/cli as tarballs in dist/ (or a given folder), in JavaScript and
// declarations.
//
// The packages of this tree are private to it and are bundled in; what comes from npm stays a dependency, at the versions
// that the tree itself declares. Declarations are TypeScript's own, only those that the entry reaches, with the names of
// bundled packages turned into paths.

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { bundle, type Manifest, manifestOf, packageOf, root, sorted, workspaces } from './bundle.ts';

/** A package that is published: where its entry lies, and the command that it installs, if any. */
interface Published {
  readonly folder: string;
  readonly entries: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly description: string;
}

const PUBLISHED: readonly Published[] = [
  {
    folder: 'packages/client',
    entries: { index: 'src/index.ts' },
    description: 'Producer, consumer and admin for Tributary, a distributed commit log',
  },
  {
    folder: 'packages/cli',
    entries: {
      tributary: 'src/main.ts',
      // What `tributary local` starts, each as a process of its own.
      broker: '../../services/broker/src/main.ts',
      controller: '../../services/controller/src/main.ts',
      coordinator: '../../services/coordinator/src/main.ts',
    },
    bin: { tributary: './tributary.js' },
    description: 'The tributary command: a distributed commit log, and all that talks to it',
  },
];
const NODE_MIN = '>=24';

const out = path.resolve(process.argv[2] ?? path.join(root, 'dist'));
const declarations = path.join(out, 'declarations');

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
emitDeclarations();
for (const published of PUBLISHED) {
  const manifest = manifestOf(published.folder);
  const target = path.join(out, path.basename(published.folder));
  const entries = Object.entries(published.entries).map(([name, file]) => [name, path.join(published.folder, file)]);
  const needs = new Set(await bundle(Object.fromEntries(entries), target));
  const types = published.bin === undefined ? copyDeclarations(published, target, needs) : undefined;
  writeManifest(published, manifest, target, sorted(needs), types);
  copyFileSync(path.join(root, 'LICENSE'), path.join(target, 'LICENSE'));
  if (existsSync(path.join(root, published.folder, 'README.md'))) {
    copyFileSync(path.join(root, published.folder, 'README.md'), path.join(target, 'README.md'));
  }
  console.log(pack(target));
}
rmSync(declarations, { recursive: true });

function emitDeclarations(): void {
  const compilerOptions = {
    noEmit: false,
    // npm run check judges the types; here they are only written down.
    noCheck: true,
    typeRoots: [path.join(root, 'node_modules', '@types')],
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: root,
    outDir: declarations,
  };
  const project = path.join(out, 'tsconfig.json');
  writeFileSync(
    project,
    JSON.stringify({
      extends: path.join(root, 'tsconfig.base.json'),
      compilerOptions,
      include: [path.join(root, 'packages', '*', 'src')],
    }),
  );
  run(process.execPath, [path.join(root, 'node_modules', '.bin', 'tsc'), '--project', project], root);
  rmSync(project);
}

/** Copies what the entry's declarations reach, adds the packages of npm that they name, and returns the path of the entry's own. */
function copyDeclarations(published: Published, target: string, needs: Set<string>): string {
  const [entry = ''] = Object.values(published.entries);
  const start = path.posix.join(published.folder, entry);
  const copied = new Set<string>();
  const copy = (source: string): void => {
    if (copied.has(source)) return;
    copied.add(source);
    const text = readFileSync(path.join(declarations, source.replace(/\.ts$/, '.d.ts')), 'utf8');
    const destination = path.join(target, typesPath(source));
    mkdirSync(path.dirname(destination), { recursive: true });
    writeFileSync(
      destination,
      text.replace(/((?:from|import)\s*\(?\s*)(['"])([^'"]+)\2/g, (whole, before, quote, specifier) => {
        const reached = sourceOf(source, specifier);
        if (reached === undefined) {
          if (!specifier.startsWith('node:')) needs.add(packageOf(specifier));
          return whole;
        }
        copy(reached);
        return `${before}${quote}${relative(typesPath(source), typesPath(reached)).replace(/\.d\.ts$/, '.js')}${quote}`;
      }),
    );
  };
  copy(start);
  return `./${typesPath(start)}`;
}

/** The source file that a specifier means, or undefined when it comes from outside the tree. */
function sourceOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(from), specifier);
  const folder = workspaces.get(packageOf(specifier));
  if (folder === undefined) return undefined;
  const key = `.${specifier.slice(packageOf(specifier).length)}`;
  const entry = manifestOf(folder).exports?.[key];
  if (entry === undefined) throw new Error(`${from}: ${specifier} is not exported by ${folder}`);
  return path.posix.join(folder, entry);
}

/** packages/model/src/ids.ts → types/model/ids.d.ts */
function typesPath(source: string): string {
  return path.posix.join(
    'types',
    source
      .replace(/^(packages|services)\//, '')
      .replace('/src/', '/')
      .replace(/\.ts$/, '.d.ts'),
  );
}

function relative(from: string, to: string): string {
  const way = path.posix.relative(path.posix.dirname(from), to);
  return way.startsWith('.') ? way : `./${way}`;
}

function writeManifest(
  published: Published,
  manifest: Manifest,
  target: string,
  external: readonly string[],
  types?: string,
): void {
  const { version, license } = manifestOf('.');
  const text = {
    name: manifest.name,
    version,
    description: published.description,
    license,
    type: 'module',
    engines: { node: NODE_MIN },
    ...(published.bin === undefined
      ? { exports: { '.': { types, default: './index.js' } }, types }
      : { bin: published.bin }),
    dependencies: Object.fromEntries(external.map((name) => [name, versionOf(name)])),
  };
  writeFileSync(path.join(target, 'package.json'), `${JSON.stringify(text, null, 2)}\n`);
  for (const file of Object.values(published.bin ?? {})) {
    const script = path.join(target, file);
    const code = readFileSync(script, 'utf8');
    if (!code.startsWith('#!')) writeFileSync(script, `#!/usr/bin/env node\n${code}`);
    chmodSync(script, 0o755);
  }
}

function versionOf(name: string): string {
  const ranges = [...workspaces.values()].map((folder) => manifestOf(folder).dependencies?.[name]);
  const range = ranges.find((each) => each !== undefined);
  if (range === undefined) throw new Error(`${name} is imported, but no package of the tree declares it`);
  return range;
}

function pack(folder: string): string {
  const name = run('npm', ['pack', '--silent', '--pack-destination', out], folder).trim();
  return path.relative(root, path.join(out, name));
}

function run(command: string, args: string[], cwd: string): string {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${result.stdout}`);
  return result.stdout;
}
