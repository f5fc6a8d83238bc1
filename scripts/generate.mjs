// proto/ → packages/wire/src/gen/, by buf and ts-proto. Nothing happens when nothing changed; files are replaced one by
// one and only when they differ, so that a process reading the tree meanwhile never finds it half empty.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const target = path.join('packages', 'wire', 'src', 'gen');
const stampName = '.stamp';

export function generatedIsCurrent(root) {
  return readOrEmpty(path.join(root, target, stampName)) === inputsHash(root);
}

export function generate(root) {
  const stamp = inputsHash(root);
  const scratch = mkdtempSync(path.join(ensured(path.join(root, 'node_modules', '.cache')), 'generate-'));
  try {
    const bin = path.join(root, 'node_modules', '.bin');
    const env = {
      ...process.env,
      PATH: `${path.dirname(process.execPath)}${path.delimiter}${bin}${path.delimiter}${process.env.PATH}`,
    };
    const result = spawnSync(process.execPath, [path.join(bin, 'buf'), 'generate', '--output', scratch], {
      cwd: root,
      env,
      stdio: ['ignore', 2, 2],
    });
    if (result.status !== 0) throw new Error('buf generate failed: see above');
    writeFileSync(path.join(scratch, 'descriptor-set.ts'), descriptorSet(bin, root, env));
    replaceTree(scratch, path.join(root, target));
    writeAtomically(path.join(root, target, stampName), stamp);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** All of proto/ as a google.protobuf.FileDescriptorSet, which server reflection answers from. A source file: bundles then hold it too. */
function descriptorSet(bin, root, env) {
  const args = [path.join(bin, 'buf'), 'build', '--as-file-descriptor-set', '--exclude-source-info', '--output', '-'];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 2] });
  if (status !== 0) throw new Error('buf build failed: see above');
  return `export const descriptorSet =\n  '${stdout.toString('base64')}';\n`;
}

/** Everything that decides what comes out: the sources, the options, and the versions of the two generators. */
function inputsHash(root) {
  const hash = createHash('sha256');
  const sources = filesBelow(path.join(root, 'proto')).filter((file) => file.endsWith('.proto'));
  const inputs = [
    ...sources.map((file) => path.join('proto', file)),
    'buf.yaml',
    'buf.gen.yaml',
    path.join('scripts', 'generate.mjs'),
    path.join('node_modules', 'ts-proto', 'package.json'),
    path.join('node_modules', '@bufbuild', 'buf', 'package.json'),
  ];
  for (const file of inputs)
    hash
      .update(`${file}\0`)
      .update(readOrEmpty(path.join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function replaceTree(from, to) {
  const files = filesBelow(from);
  for (const file of files) {
    const text = readFileSync(path.join(from, file), 'utf8');
    if (readOrEmpty(path.join(to, file)) !== text) writeAtomically(path.join(to, file), text);
  }
  for (const file of filesBelow(to)) {
    if (!files.includes(file) && file !== stampName) rmSync(path.join(to, file));
  }
}

function writeAtomically(file, text) {
  ensured(path.dirname(file));
  const scratch = `${file}.${process.pid}.tmp`;
  writeFileSync(scratch, text);
  renameSync(scratch, file);
}

function ensured(folder) {
  mkdirSync(folder, { recursive: true });
  return folder;
}

function filesBelow(folder) {
  const found = [];
  const visit = (below) => {
    for (const entry of readdirSync(path.join(folder, below), { withFileTypes: true })) {
      const name = path.join(below, entry.name);
      if (entry.isDirectory()) visit(name);
      else found.push(name);
    }
  };
  try {
    visit('');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  return found.sort((a, b) => (a < b ? -1 : 1));
}

function readOrEmpty(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    generate(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
  } catch (error) {
    process.stderr.write(`tributary: ${error.message}\n`);
    process.exit(1);
  }
}
