// npm start and npm test become the program that they launch: its exit code, its signals, its output, and nothing else.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, test } from 'node:test';

const setup = path.resolve(import.meta.dirname, '..', '..', 'scripts', 'setup.mjs');

/** A Node without process.execve, as 20 is, keeps a child process and passes things on. */
const kinds = [
  { kind: 'by replacing itself', before: '' },
  { kind: 'through a child process', before: 'delete process.execve; process.execve = undefined;' },
];

for (const { kind, before } of kinds) {
  describe(`a launcher that becomes its program ${kind}`, () => {
    test('ends with its exit code', async () => {
      const { code, output } = await launch(before, 'console.log("ready"); process.exitCode = 7');
      assert.deepEqual({ code, output }, { code: 7, output: 'ready\n' });
    });

    test('passes SIGTERM on, so that it can stop cleanly', async () => {
      const program =
        'setInterval(() => 1, 1000); process.on("SIGTERM", () => { console.log("bye"); process.exit(3); }); console.log("ready")';
      const { code, output } = await launch(before, program, 'SIGTERM');
      assert.deepEqual({ code, output }, { code: 3, output: 'ready\nbye\n' });
    });

    test('dies of the signal that it died of', async () => {
      const { code, signal } = await launch(before, 'setInterval(() => 1, 1000); console.log("ready")', 'SIGINT');
      assert.deepEqual({ code, signal }, { code: null, signal: 'SIGINT' });
    });
  });
}

async function launch(before: string, program: string, kill?: NodeJS.Signals) {
  const launcher = `${before} const { become } = await import(${JSON.stringify(setup)}); become(process.execPath, ['-e', ${JSON.stringify(program)}]);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', launcher], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
    if (kill !== undefined && output === 'ready\n') child.kill(kill);
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, output };
}
