// Plants one violation of each rule in a copy of the tree's skeleton and sees it caught; and the allowed twin of each,
// which must pass, so that a rule that forbids everything is no better than one that forbids nothing.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

const root = path.resolve(import.meta.dirname, '..', '..');

interface Plant {
  readonly rule: string;
  readonly file: string;
  readonly text: string;
  /** What the report says about it; undefined when it is allowed. */
  readonly caught: RegExp | undefined;
}

const restrictedImport = /no-restricted-imports/;
const restrictedGlobal = /no-restricted-globals/;
const restrictedProperty = /no-restricted-properties/;

const plants: Plant[] = [
  // Layers
  plant(
    'model imports no package',
    'packages/model/src/a1.ts',
    "import { x } from '@tributary/record';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'ports imports model only',
    'packages/ports/src/a1.ts',
    "import { x } from '@tributary/metadata';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'ports may import model',
    'packages/ports/src/a2.ts',
    "import { x } from '@tributary/model';\nexport const y = x;",
  ),
  plant(
    'record does not import ports',
    'packages/record/src/a1.ts',
    "import { x } from '@tributary/ports';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'record does not import metadata, not even its types',
    'packages/record/src/a2.ts',
    "import type { X } from '@tributary/metadata';\nexport type Y = X;",
    restrictedImport,
  ),
  plant(
    'record may use zlib',
    'packages/record/src/a3.ts',
    "import { gunzipSync } from 'node:zlib';\nexport const y = gunzipSync;",
  ),
  plant(
    'wire imports model and ports only',
    'packages/wire/src/a1.ts',
    "import { x } from '@tributary/record';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'metadata does not import client',
    'packages/metadata/src/a1.ts',
    "import { x } from '@tributary/client';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'metadata does not import runtime',
    'packages/metadata/src/a2.ts',
    "import { x } from '@tributary/runtime';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'metadata may import record',
    'packages/metadata/src/a3.ts',
    "import { x } from '@tributary/record';\nexport const y = x;",
  ),
  plant(
    'client imports runtime in its root entry only',
    'packages/client/src/a1.ts',
    "import { x } from '@tributary/runtime';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    "client's root entry may import runtime",
    'packages/client/src/index.ts',
    "import { x } from '@tributary/runtime';\nexport const y = x;",
  ),
  plant(
    'client does not import a service',
    'packages/client/src/a2.ts',
    "import { x } from '@tributary/broker';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'runtime does not import client',
    'packages/runtime/src/a1.ts',
    "import { x } from '@tributary/client';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'runtime may import Node and gRPC',
    'packages/runtime/src/a2.ts',
    "import { x } from '@grpc/grpc-js';\nimport { open } from 'node:fs/promises';\nexport const y = [x, open];",
  ),
  plant(
    'cli may assemble services',
    'packages/cli/src/a1.ts',
    "import { x } from '@tributary/broker';\nexport const y = x;",
  ),
  // Services
  plant(
    'a service does not import a service',
    'services/broker/src/a1.ts',
    "import { x } from '@tributary/controller';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'not even in main.ts',
    'services/controller/src/main.ts',
    "import { x } from '@tributary/broker';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'a service does not import client',
    'services/broker/src/a2.ts',
    "import { x } from '@tributary/client';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'a service imports runtime in main.ts and metrics.ts only',
    'services/broker/src/a3.ts',
    "import { x } from '@tributary/runtime';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'a service imports no node:fs',
    'services/broker/src/a4.ts',
    "import { openSync } from 'node:fs';\nexport const y = openSync;",
    restrictedImport,
  ),
  plant(
    'nor node:fs/promises',
    'services/broker/src/log/a5.ts',
    "import { open } from 'node:fs/promises';\nexport const y = open;",
    restrictedImport,
  ),
  plant(
    'nor by its bare name',
    'services/broker/src/a6.ts',
    "import { open } from 'fs/promises';\nexport const y = open;",
    restrictedImport,
  ),
  plant(
    'nor by a dynamic import',
    'services/broker/src/a7.ts',
    "export const y = import('node:net');",
    restrictedImport,
  ),
  plant('nor by exporting it on', 'services/broker/src/a8.ts', "export { connect } from 'node:net';", restrictedImport),
  plant(
    'a service imports no gRPC',
    'services/broker/src/a9.ts',
    "import { x } from '@grpc/grpc-js';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'main.ts may import runtime and Node',
    'services/broker/src/main.ts',
    "import { x } from '@tributary/runtime';\nimport { runPart } from '@tributary/runtime/part';\nimport { open } from 'node:fs/promises';\nsetTimeout(() => open, 1);\nexport const y = [x, runPart];",
  ),
  plant(
    'but no other entry of runtime than what runs a part',
    'services/coordinator/src/main.ts',
    "import { x } from '@tributary/runtime/etcd-store';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'which nobody else imports',
    'packages/cli/src/a9.ts',
    "import { runPart } from '@tributary/runtime/part';\nexport const y = runPart;",
    restrictedImport,
  ),
  plant(
    'metrics.ts may import runtime',
    'services/broker/src/metrics.ts',
    "import { x } from '@tributary/runtime';\nexport const y = x;",
  ),
  // Ways round a package's exports
  plant(
    'no relative path into another package',
    'tests/end-to-end/a1.ts',
    "import { x } from '../../packages/record/src/crc32c.ts';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    'no relative path from package to package',
    'packages/client/src/a3.ts',
    "import { x } from '../../record/src/crc32c.ts';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    "no path below a package's root",
    'packages/cli/src/a2.ts',
    "import { x } from '@tributary/record/src/crc32c.ts';\nexport const y = x;",
    restrictedImport,
  ),
  plant(
    "a package's tests may reach into its own sources",
    'packages/record/test/a1.ts',
    "import { x } from '../src/crc32c.ts';\nexport const y = x;",
  ),
  // Time and chance
  ...[
    'setTimeout(() => 1, 1)',
    'setInterval(() => 1, 1)',
    'setImmediate(() => 1)',
    'performance.now()',
    'crypto.randomUUID()',
    'globalThis.setTimeout(() => 1, 1)',
    'process.hrtime()',
  ].map((call, at) =>
    plant(`no ${call} in a service`, `services/broker/src/t${at}.ts`, `export const y = ${call};`, restrictedGlobal),
  ),
  ...['Date.now()', 'Math.random()', 'AbortSignal.timeout(5)'].map((call, at) =>
    plant(`no ${call} in the client`, `packages/client/src/t${at}.ts`, `export const y = ${call};`, restrictedProperty),
  ),
  plant(
    'no new Date() in a service',
    'services/controller/src/t1.ts',
    'export const y = new Date();',
    /time: reads the clock/,
  ),
  plant(
    'a given time may be formatted',
    'services/controller/src/t2.ts',
    'export const y = (ms: number) => new Date(ms).toISOString();',
  ),
  plant(
    "timers are the runtime's to use",
    'packages/runtime/src/t1.ts',
    'export const y = setTimeout(() => Date.now() + Math.random(), 1);',
  ),
  plant(
    "and the tests'",
    'tests/end-to-end/t1.ts',
    'export const y = setTimeout(() => Date.now() + Math.random(), 1);',
  ),
  // Pure files
  plant(
    'a pure file imports no ports',
    'services/broker/src/p1.ts',
    "// pure\nimport type { Clock } from '@tributary/ports';\nexport type Y = Clock;",
    /pure: a pure file may not import @tributary\/ports/,
  ),
  plant(
    'a pure file imports no values of metadata',
    'services/broker/src/p2.ts',
    "// pure\nimport { x } from '@tributary/metadata';\nexport const y = x;",
    /pure: a pure file may not import @tributary\/metadata/,
  ),
  plant(
    'a pure file imports no library',
    'services/broker/src/p3.ts',
    "// pure\nimport { z } from 'zod';\nexport const y = z;",
    /pure: a pure file may not import zod/,
  ),
  plant(
    'a pure file imports no file that is not pure',
    'services/broker/src/p4.ts',
    "// pure\nimport { x } from './plain.ts';\nexport const y = x;",
    /pure: services\/broker\/src\/plain\.ts is not marked/,
  ),
  plant(
    'nor dynamically',
    'services/broker/src/p5.ts',
    "// pure\nexport const y = import('./plain.ts');",
    /pure: services\/broker\/src\/plain\.ts is not marked/,
  ),
  plant(
    'a pure file does not format dates',
    'services/broker/src/p6.ts',
    '// pure\nexport const y = (ms: number) => new Date(ms).toISOString();',
    restrictedGlobal,
  ),
  plant(
    'a pure file does not log',
    'services/broker/src/p7.ts',
    "// pure\nconsole.log('x');\nexport const y = 1;",
    restrictedGlobal,
  ),
  plant('pure, without an import', 'services/broker/src/p8.ts', '// pure\nexport const x = 1;'),
  plant(
    'a pure file may import its like, model, record and types of metadata',
    'services/broker/src/p9.ts',
    "// pure\nimport type { M } from '@tributary/metadata';\nimport { a } from '@tributary/model';\nimport { b } from '@tributary/record';\nimport { x } from './p8.ts';\nexport type Y = M;\nexport const y = [a, b, x];",
  ),
  plant('not pure', 'services/broker/src/plain.ts', 'export const x = 1;'),
  // Habits
  plant('no any', 'packages/model/src/h1.ts', 'export const y: any = 1;', /no-explicit-any/),
  plant('no default export', 'packages/model/src/h2.ts', 'export default 1;', /no-default-export/),
  plant('no enum', 'packages/model/src/h3.ts', 'export enum Y { A }', /TS1294/),
  plant('no namespace', 'packages/model/src/h4.ts', 'export namespace Y { export const a = 1; }', /no-namespace/),
  plant(
    'no parameter property',
    'packages/model/src/h5.ts',
    'export class Y { constructor(readonly a: number) {} }',
    /parameter-properties/,
  ),
  plant(
    'no floating promise',
    'packages/model/src/h6.ts',
    'async function f(): Promise<void> { await f(); }\nexport function y(): void { f(); }',
    /no-floating-promises/,
  ),
  plant('no cycle', 'packages/model/src/h7.ts', "import { b } from './h8.ts';\nexport const a = () => b;", /no-cycle/),
  plant(
    'no cycle, the other half',
    'packages/model/src/h8.ts',
    "import { a } from './h7.ts';\nexport const b = () => a;",
    /no-cycle/,
  ),
  plant(
    'every state is handled',
    'packages/model/src/h9.ts',
    "export function y(x: 'a' | 'b'): number { switch (x) { case 'a': return 1; } return 2; }",
    /switch-exhaustiveness-check/,
  ),
  plant('no barrel below the root', 'packages/model/src/inner/index.ts', "export * from '../limits.ts';", /barrel: /),
  plant(
    'no file of more than 500 lines',
    'packages/model/src/h10.ts',
    `${'// x\n'.repeat(500)}export const y = 1;`,
    /length: 501 lines/,
  ),
  plant('every package has a zone', 'packages/extra/package.json', '{}', /zone: not in the table/),
];

function plant(rule: string, file: string, text: string, caught?: RegExp): Plant {
  return { rule, file, text: `${text}\n`, caught };
}

describe('each rule of the tree catches its planted violation and lets its allowed twin pass', () => {
  const copy = mkdtempSync(path.join(tmpdir(), 'tributary-rules-'));
  let report: string[] = [];

  before(() => {
    for (const name of ['oxlint.config.ts', 'tsconfig.json', 'tsconfig.base.json', 'package.json', 'scripts']) {
      cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
    for (const { file, text } of plants) {
      mkdirSync(path.join(copy, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(copy, file), text);
    }
    const bin = (name: string) => path.join(root, 'node_modules', '.bin', name);
    report = [
      ...linesOf(copy, [bin('oxlint'), '--format=unix']),
      ...linesOf(copy, [bin('tsc'), '--project', 'tsconfig.json']),
      ...linesOf(copy, [path.join(copy, 'scripts', 'rules.ts'), copy]),
    ];
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  for (const { rule, file, caught } of plants) {
    const promise = caught === undefined ? `allowed: ${rule}` : rule;
    test(promise, () => {
      const about = report.filter((line) => line.startsWith(`${file}:`) || line.startsWith(`${file}(`));
      if (caught !== undefined) {
        assert.ok(
          about.some((line) => caught.test(line)),
          `${file} was not reported; said of it: ${about.join('\n') || 'nothing'}`,
        );
      } else {
        // The planted names do not exist, which TypeScript may say.
        assert.deepEqual(
          about.filter((line) => !/error TS2305|error TS2307|error TS2306|error TS2792/.test(line)),
          [],
        );
      }
    });
  }
});

function linesOf(cwd: string, args: string[]): string[] {
  const { stdout, stderr, error } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  assert.equal(stderr, '');
  return stdout.split('\n');
}
