// npm test: every test of the tree under Node's own test runner.
//   npm test                            everything
//   npm test -- packages/record         what lies below a folder; also a file, or any part of a path
//   npm test -- tests/simulator/mutations   what takes too long for every run is run when it is named
//   npm test -- --test-name-pattern=X   options go to node as they are

import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { become, environment, main, ready, root } from './setup.mjs';

const FOLDERS = [
  ...below('packages', 'test'),
  ...below('services', 'test'),
  ...['contract', 'simulator', 'end-to-end', 'conformance', 'fuzz', 'tooling', 'integration', 'chaos'].map((name) =>
    path.join('tests', name),
  ),
];
const ON_DEMAND = [path.join('tests', 'simulator', 'mutations')];
/** No single test takes longer; one that hangs is reported by name instead of stopping the run. */
const TEST_TIMEOUT_MS = 300_000;
const FILES_AT_ONCE_MIN = 2;

await main(async () => {
  const node = await ready();
  const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
  const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
  const all = FOLDERS.flatMap(testFiles);
  const everyRun = all.filter((file) => !ON_DEMAND.some((folder) => file.startsWith(folder + path.sep)));
  const files = wanted.length === 0 ? everyRun : wanted.flatMap((part) => matching(part, everyRun, all));
  if (files.length === 0) throw new Error('there is no test yet');
  process.chdir(root);
  become(
    node,
    [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${Math.max(FILES_AT_ONCE_MIN, availableParallelism())}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      ...options,
      ...new Set(files),
    ],
    environment(),
  );
});

function below(group, name) {
  return entries(group).map((entry) => path.join(group, entry.name, name));
}

function testFiles(folder) {
  return entries(folder).flatMap((entry) => {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : testFiles(name);
    return entry.name.endsWith('.test.ts') ? [name] : [];
  });
}

function entries(folder) {
  try {
    return readdirSync(path.join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  }
}

/** What a part of a path means: a file or folder before any likeness, and what every run has before what is on demand. */
function matching(part, ...selections) {
  const wanted = path.normalize(part).replace(/[\\/]$/, '');
  const isBelow = (file) => file === wanted || file.startsWith(wanted + path.sep);
  const isLike = (file) => file.includes(wanted);
  for (const matches of [isBelow, isLike]) {
    const found = selections.map((files) => files.filter(matches)).find((files) => files.length > 0);
    if (found !== undefined) return found;
  }
  throw new Error(`no test matches "${part}": give a folder, a file or a part of a path`);
}
