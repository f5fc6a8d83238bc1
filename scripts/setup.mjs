// What a fresh clone lacks is put in place here, before any command of the project runs: dependencies, generated code,
// and a Node new enough to run TypeScript as it stands. It runs on Node 20 with nothing installed, so it imports only
// Node's own modules; it says what it does on standard error; and it costs a few milliseconds when all is in place.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as osConstants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedIsCurrent } from './generate.mjs';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const bundledNode = path.join(modules, 'node', 'bin', 'node');

/** The oldest Node that runs the sources: it strips types, and knows `using` (see `engines` of the packages). */
const NODE_MAJOR_MIN = 24;

export function say(message) {
  process.stderr.write(`tributary: ${message}\n`);
}

/** Puts in place whatever is missing, then returns the path of the Node that runs the project's TypeScript. */
export async function ready() {
  if (!dependenciesAreCurrent() || !canRunSources() || !generatedIsCurrent(root)) {
    await withLock(() => {
      if (!dependenciesAreCurrent()) installDependencies();
      if (!canRunSources()) installNode();
      if (!generatedIsCurrent(root)) generate();
    });
  }
  return nodeBinary();
}

/** Compares what npm says it installed with the lock file, package by package; npm writes its own record last of all. */
function dependenciesAreCurrent() {
  const installed = packagesOf(path.join(modules, '.package-lock.json'));
  if (installed === undefined) return false;
  const wanted = packagesOf(path.join(root, 'package-lock.json'));
  if (wanted === undefined)
    throw new Error('package-lock.json is missing: restore it with `git checkout package-lock.json`');
  for (const [name, entry] of Object.entries(wanted)) {
    // Workspaces are the tree itself; an optional package may be meant for another platform.
    if (!name.startsWith('node_modules/') || entry.optional || entry.devOptional) continue;
    if (installed[name]?.version !== entry.version || installed[name]?.link !== entry.link) return false;
  }
  return true;
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw new Error(`${file} cannot be read (${error.message}): delete it and try again`);
  }
}

function installDependencies() {
  run('installing dependencies (npm ci)', 'npm', ['ci', '--include=dev', '--include=optional', '--loglevel=error']);
}

function canRunSources() {
  return isExecutable(bundledNode) || Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN;
}

function nodeBinary() {
  return isExecutable(bundledNode) ? bundledNode : process.execPath;
}

/** The npm package `node` fetches its binary in an install script; where npm is told to skip those, we run it here. */
function installNode() {
  const { version } = createRequire(import.meta.url)(path.join(modules, 'node', 'package.json'));
  const options = { cwd: path.join(modules, 'node') };
  try {
    run(
      `installing Node ${version} for ${process.platform}-${process.arch}`,
      systemNode(),
      ['installArchSpecificPackage.js'],
      options,
    );
  } catch (error) {
    throw new Error(
      `Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}, and the npm package "node" could not fetch one ` +
        `(${error.message}). Allow its install script (npm config set ignore-scripts false) or install a newer Node.`,
    );
  }
}

function generate() {
  run('generating code from proto/', systemNode(), [path.join(root, 'scripts', 'generate.mjs')]);
}

/** `npm run` puts node_modules/.bin first; npm itself must not run on the Node that it is about to replace. */
function outsidePath() {
  const parts = (process.env['PATH'] ?? '').split(path.delimiter);
  const inside = (part) => part.startsWith(modules) || part.endsWith(path.join('node_modules', '.bin'));
  return parts.filter((part) => !inside(part)).join(path.delimiter);
}

function systemNode() {
  return process.execPath === bundledNode ? 'node' : process.execPath;
}

function run(what, command, args, options = {}) {
  const begin = Date.now();
  say(`${what} …`);
  const env = { ...process.env, PATH: outsidePath() };
  // Standard output belongs to the command that the user asked for, so set-up talks on standard error only.
  const result = spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 2, 2], ...options });
  if (result.error) throw new Error(`${command} could not be run: ${result.error.message}`);
  if (result.status !== 0)
    throw new Error(`${[command, ...args].join(' ')} failed (${result.signal ?? `exit code ${result.status}`})`);
  say(`${what}: done in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
}

/** Two commands started at once on a fresh clone must not both install. */
async function withLock(action) {
  const lock = path.join(root, '.setup-lock');
  let told = false;
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const owner = ownerOf(lock);
      if (owner !== undefined && !isAlive(owner)) {
        rmSync(lock, { recursive: true, force: true });
        continue;
      }
      if (!told) say(`waiting for the set-up that process ${owner ?? '?'} is doing (remove ${lock} if there is none)`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    writeFileSync(path.join(lock, 'pid'), String(process.pid));
    await action();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function ownerOf(lock) {
  try {
    return Number(readFileSync(path.join(lock, 'pid'), 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The script behind a command of node_modules/.bin, for Node to run. */
export function tool(name) {
  return path.join(modules, '.bin', name);
}

/**
 * The environment of whatever runs next. Compiled and stripped sources are kept between runs, which shortens the start;
 * and the Node that runs the project comes first on the path, for tools that start others.
 */
export function environment() {
  const cache = path.join(modules, '.cache', 'node-compile');
  const search = [path.dirname(nodeBinary()), path.join(modules, '.bin'), outsidePath()].join(path.delimiter);
  return { NODE_COMPILE_CACHE: cache, ...process.env, PATH: search };
}

/** Becomes the given command: replaces this process where Node can, else passes on signals and the way it ended. */
export function become(command, args, env = environment()) {
  if (typeof process.execve === 'function') {
    try {
      process.execve(command, [command, ...args], env);
    } catch {
      // Not on this platform: fall through to a child process.
    }
  }
  const child = spawn(command, args, { stdio: 'inherit', env });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
  // The terminal sends Ctrl-C to the whole group, the child included: only a signal meant for us alone is passed on.
  for (const signal of signals)
    process.on(signal, () => (signal !== 'SIGINT' || !process.stdin.isTTY ? child.kill(signal) : undefined));
  child.on('error', (error) => {
    say(`${command} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
    process.exitCode = 128 + (osConstants.signals[signal] ?? 0);
  });
}

/** Runs a command's main function; what goes wrong is one line, not a stack. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    say(error.message);
    process.exit(1);
  }
}
