// Who may import whom, and who may touch time and chance: one table, read by oxlint.config.ts and by scripts/rules.ts.
//
// Whatever decides or waits must run unchanged in the simulator, so outside the few folders that own the real world
// there are no timers, clocks, random numbers, files or sockets: they come through the ports.

import { existsSync, readdirSync, readFileSync, type Dirent } from 'node:fs';
import path from 'node:path';

/** Every workspace package, as imported. A folder of packages/ or services/ that is not named here fails the check. */
export const PACKAGES = ['model', 'ports', 'record', 'metadata', 'wire', 'client', 'runtime', 'cli'];
export const SERVICES = ['broker', 'controller', 'coordinator', 'mirror'];

const LAYERS = ['model', 'ports', 'record', 'metadata', 'wire'];
/** Bytes in and out, with no handle on anything outside the process. */
const NODE_BYTES = ['buffer', 'zlib'];
/** Native codecs are loaded when the first batch needs them. */
const NODE_NATIVE = ['module'];

export interface Zone {
  /** What the zone covers; a later zone replaces an earlier one for the files that both cover. */
  readonly files: readonly string[];
  /** The workspace packages that it may import, and entries of theirs beside the root. */
  readonly may: readonly string[];
  /** Which of Node's own modules it may import. */
  readonly node: readonly string[] | 'any';
  readonly grpc: boolean;
  /** Whether it may use timers, clocks, chance and the process. */
  readonly ambient: boolean;
}

export const ZONES: readonly Zone[] = [
  { files: ['packages/model/src/**'], may: [], node: [], grpc: false, ambient: false },
  { files: ['packages/ports/src/**'], may: ['model'], node: [], grpc: false, ambient: false },
  {
    files: ['packages/record/src/**'],
    may: ['model'],
    node: [...NODE_BYTES, ...NODE_NATIVE],
    grpc: false,
    ambient: false,
  },
  { files: ['packages/wire/src/**'], may: ['model', 'ports'], node: ['buffer'], grpc: false, ambient: false },
  {
    files: ['packages/metadata/src/**'],
    may: ['model', 'ports', 'record', 'wire'],
    node: ['buffer'],
    grpc: false,
    ambient: false,
  },
  { files: ['packages/client/src/**'], may: LAYERS, node: ['buffer'], grpc: false, ambient: false },
  {
    files: ['packages/client/src/index.ts'],
    may: [...LAYERS, 'runtime'],
    node: ['buffer'],
    grpc: false,
    ambient: false,
  },
  { files: ['packages/runtime/src/**'], may: LAYERS, node: 'any', grpc: true, ambient: true },
  {
    files: ['packages/cli/src/**'],
    may: [...LAYERS, 'client', 'runtime', ...SERVICES],
    node: 'any',
    grpc: true,
    ambient: true,
  },
  { files: ['services/*/src/**'], may: LAYERS, node: ['buffer'], grpc: false, ambient: false },
  { files: ['services/*/src/metrics.ts'], may: [...LAYERS, 'runtime'], node: 'any', grpc: true, ambient: false },
  {
    files: ['services/*/src/main.ts'],
    may: [...LAYERS, 'runtime', 'runtime/part'],
    node: 'any',
    grpc: true,
    ambient: true,
  },
  // Its journal is a topic: it writes and reads it as any client does.
  {
    files: ['services/coordinator/src/**'],
    may: [...LAYERS, 'client'],
    node: ['buffer'],
    grpc: false,
    ambient: false,
  },
  {
    files: ['services/coordinator/src/metrics.ts'],
    may: [...LAYERS, 'client', 'runtime'],
    node: 'any',
    grpc: true,
    ambient: false,
  },
  {
    files: ['services/coordinator/src/main.ts'],
    may: [...LAYERS, 'client', 'runtime', 'runtime/part'],
    node: 'any',
    grpc: true,
    ambient: true,
  },
  {
    files: ['services/mirror/src/**'],
    may: [...LAYERS, 'client', 'runtime'],
    node: ['buffer'],
    grpc: false,
    ambient: false,
  },
];

/**
 * A file whose first line is `// pure` imports only these, and other pure files: reading it tells all that it depends on.
 * Types are let in where they are data (the cluster image, messages), not where they are handles on the world (ports).
 */
export const PURE_MAY = ['model', 'record'];
export const PURE_MAY_TYPES = ['metadata', 'wire'];
export const PURE_MARK = '// pure';

const SOURCE_FOLDERS = ['packages', 'services', 'tests', 'benchmarks', 'scripts'];

export function workspaceNames(names: readonly string[]): string[] {
  return names.map((name) => `@tributary/${name}`);
}

/** Every hand-written source file below root, relative to it, in a fixed order. */
export function sourceFiles(root: string): string[] {
  const found: string[] = [];
  const visit = (folder: string) => {
    for (const entry of entriesOf(path.join(root, folder))) {
      const name = path.posix.join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!['node_modules', 'dist', 'gen'].includes(entry.name)) visit(name);
      } else if (/\.(ts|mjs)$/.test(entry.name)) {
        found.push(name);
      }
    }
  };
  for (const folder of SOURCE_FOLDERS) visit(folder);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

export function isPure(text: string): boolean {
  return text.split('\n', 1)[0]?.trim() === PURE_MARK;
}

export function pureFiles(root: string): string[] {
  return sourceFiles(root).filter((file) => isPure(readFileSync(path.join(root, file), 'utf8')));
}

function entriesOf(folder: string): Dirent[] {
  return existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
}
