// The tarballs of @tributary/client and @tributary/cli, installed into an empty folder as a stranger would, run the
// example of the README, and TypeScript accepts it against the declarations in the tarball.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requires } from '../requirements.ts';

const root = path.resolve(import.meta.dirname, '..', '..');
const tool = (name: string) => path.join(root, 'node_modules', '.bin', name);
/** What the example says that it talks to; `tributary dev` listens there unless told otherwise. */
const DEFAULT_PORT = 9095;
const HTTP_PORT_OFFSET = 100;
const START_MS_MAX = 20_000;
const NO_REGISTRY = /ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|ENETUNREACH/;

describe('the packed client and command serve a stranger', { timeout: 180_000 }, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tributary-pack-'));
  let offline: string | undefined;

  before(() => {
    const dist = path.join(folder, 'dist');
    run(process.execPath, [path.join(root, 'scripts', 'pack.ts'), dist], root);
    const tarballs = readdirSync(dist).filter((name) => name.endsWith('.tgz'));
    assert.equal(tarballs.length, 2, tarballs.join(' '));
    writeFileSync(path.join(folder, 'package.json'), '{ "type": "module", "private": true }');
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
    const result = spawnSync('npm', [...install, ...tarballs.map((name) => `./${path.join('dist', name)}`)], {
      cwd: folder,
      env: environment(),
      encoding: 'utf8',
    });
    if (result.status === 0) return;
    const said = `${result.stdout}${result.stderr}`;
    assert.ok(process.env['REQUIRE_ALL'] !== '1' && NO_REGISTRY.test(said), `npm install failed:\n${said}`);
    offline = 'needs an npm registry, which cannot be reached';
  });
  after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

  test('nothing of the tree is needed: only JavaScript and declarations are inside', (t) => {
    if (offline !== undefined) return t.skip(offline);
    const installed = path.join(folder, 'node_modules', '@tributary');
    assert.deepEqual(
      readdirSync(installed).sort((a, b) => (a < b ? -1 : 1)),
      ['cli', 'client'],
    );
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts')),
      [],
    );
  });

  test("TypeScript accepts the README's example against the packed declarations", (t) => {
    if (offline !== undefined) return t.skip(offline);
    writeFileSync(path.join(folder, 'example.ts'), example());
    for (const name of ['@types/node', 'undici-types']) {
      cpSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name), { recursive: true });
    }
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025', '--types', 'node'];
    run(process.execPath, [tool('tsc'), '--ignoreConfig', ...options, 'example.ts'], folder);
  });

  test('what is loaded only when it is needed is installed with the client: Avro', (t) => {
    if (offline !== undefined) return t.skip(offline);
    const program = `const { avro } = await import('@tributary/client'); const longs = await avro('long');
      console.log(String(longs.deserialize(longs.serialize(2n ** 62n, 't'), 't')));`;
    assert.equal(run(process.execPath, ['--input-type=module', '-e', program], folder).trim(), '4611686018427387904');
  });

  test("the README's example runs against the packed `tributary dev`", async (t) => {
    if (offline !== undefined) return t.skip(offline);
    const port = await freePort();
    const command = path.join(folder, 'node_modules', '@tributary', 'cli', 'tributary.js');
    const dev = spawn(
      process.execPath,
      [command, 'dev', '--data-dir', path.join(folder, 'data'), '--port', String(port)],
      {
        cwd: folder,
        env: environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let said = '';
    dev.stdout.on('data', (chunk) => (said += chunk));
    dev.stderr.on('data', (chunk) => (said += chunk));
    const ended = new Promise<void>((resolve) => dev.on('exit', () => resolve()));
    try {
      await listening(port, () => `tributary dev does not listen on ${port}; it said:\n${said}`);
      const text = example().replaceAll(`:${DEFAULT_PORT}`, `:${port}`);
      assert.ok(
        text.includes(`:${port}`),
        `the example names localhost:${DEFAULT_PORT}, so that this test can redirect it`,
      );
      writeFileSync(path.join(folder, 'example.ts'), text);
      assert.notEqual(run(process.execPath, ['example.ts'], folder), '', 'the example prints what it read');
    } finally {
      dev.kill('SIGTERM');
      await ended;
    }
  });

  test('the packed `tributary local` starts a cluster of processes, and ends it', {
    skip: requires('etcd'),
  }, async (t) => {
    if (offline !== undefined) return t.skip(offline);
    const command = path.join(folder, 'node_modules', '@tributary', 'cli', 'tributary.js');
    const where = ['--data-dir', path.join(folder, 'cluster'), '--output', 'json'];
    const local = (...args: string[]) =>
      JSON.parse(run(process.execPath, [command, 'local', ...args, ...where], folder));
    try {
      const small = ['--brokers', '1', '--controllers', '1', '--coordinators', '1', '--port', String(await freePort())];
      const { parts } = local('up', ...small, '--set', 'broker.session.timeout.ms=5000');
      assert.deepEqual(
        parts.map(({ name, state }: { name: string; state: string }) => `${name} ${state}`),
        ['etcd running', 'controller-1 running', 'broker-1 running', 'coordinator-1 running'],
      );
    } finally {
      assert.deepEqual(local('down', '--remove-data').removed, true);
    }
  });
});

/** The first TypeScript block of the README. */
function example(): string {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  const block = /^```ts\n(.*?)^```$/ms.exec(readme)?.[1];
  assert.ok(block !== undefined, 'README.md has a ```ts block');
  return block;
}

/** As outside `npm test`: nothing of this run's npm settings or of the tree's commands. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|INIT_CWD)/.test(name));
  return Object.fromEntries(kept);
}

function run(command: string, args: string[], cwd: string): string {
  const result = spawnSync(command, args, { cwd, env: environment(), encoding: 'utf8', timeout: 120_000 });
  if (result.error !== undefined) throw result.error;
  assert.equal(result.status, 0, `${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = await portOf(0);
    if (port + HTTP_PORT_OFFSET < 65_536 && (await portOf(port + HTTP_PORT_OFFSET)) !== 0) return port;
  }
}

/** The port that a listener gets when it asks for this one; 0 when it is taken. */
function portOf(wanted: number): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(0));
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      const port = address === null || typeof address === 'string' ? 0 : address.port;
      server.close(() => resolve(port));
    });
  });
}

async function listening(port: number, why: () => string): Promise<void> {
  const deadline = Date.now() + START_MS_MAX;
  while (!(await accepts(port))) {
    assert.ok(Date.now() < deadline, why());
    await sleep(50);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(socket.destroy() !== undefined));
    socket.on('error', () => resolve(false));
  });
}
