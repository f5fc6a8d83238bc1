// The scripts of `tributary completion`, in the shells that they are for.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { requires } from '../requirements.ts';
import { DevProcess, freePort, main, tributary } from './dev-process.ts';
import { onTerminal } from './terminal.ts';

describe('completion', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tributary-completion-'));
  const script = (shell: string) => path.join(folder, `completion.${shell}`);
  let dev: DevProcess;

  before(async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout, stderr } = await tributary(['completion', shell]);
      assert.equal(code, 0, stderr);
      writeFileSync(script(shell), stdout);
    }
    const command = path.join(folder, 'tributary');
    writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(command, 0o755);
    mkdirSync(path.join(folder, 'work', 'schemas'), { recursive: true });
    writeFileSync(path.join(folder, 'work', 'user.avsc'), '"long"');
    dev = await DevProcess.begin();
    for (const topic of ['orders', 'orders-eu', 'payments']) await dev.ok(['topic', 'create', topic]);
    for (const group of ['billing', 'audit']) await dev.ok(['consume', 'orders', '--group', group, '--exit-at-end']);
  });
  after(async () => {
    await dev[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const environment = (bootstrap = dev.bootstrap, completionMs = '5000'): NodeJS.ProcessEnv => ({
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    HOME: folder,
    TRIBUTARY_BOOTSTRAP: bootstrap,
    // The names are what is tested, not how busy this machine is.
    TRIBUTARY_COMPLETION_MS: completionMs,
  });

  /** What bash offers after the line, sorted. */
  const inBash = (line: string, bootstrap?: string, completionMs?: string): readonly string[] => {
    const program = `source '${script('bash')}'; COMP_LINE=$1; COMP_POINT=\${#1}; _tributary; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['--norc', '-c', program, 'bash', line], {
      cwd: path.join(folder, 'work'),
      env: environment(bootstrap, completionMs),
      encoding: 'utf8',
    })
      .split('\n')
      .filter((word) => word !== '')
      .toSorted((a, b) => (a < b ? -1 : 1));
  };

  const expected: readonly (readonly [string, readonly string[]])[] = [
    ['tributary to', ['topic']],
    ['tributary topic d', ['delete', 'describe']],
    ['tributary topic create x --part', ['--partitions']],
    ['tributary produce orders --compression z', ['zstd']],
    ['tributary produce --compression zstd --acks 1 --val', ['--value-format', '--value-schema']],
    ['tributary log dump --output ', ['json', 'text']],
    ['tributary completion f', ['fish']],
    ['tributary produce x --value-schema u', ['user.avsc']],
    ['tributary dev --data-dir s', ['schemas']],
    ['tributary topic create ', []],
    ['tributary local kill --data-dir x br', ['broker-1', 'broker-2', 'broker-3']],
    ['tributary local pause controller-1 et', ['etcd']],
    ['tributary cluster h', ['health']],
  ];

  test('bash completes commands, options, values, files and folders', { skip: requires('bash') }, () => {
    for (const [line, words] of expected) assert.deepEqual(inBash(line), words, line);
    assert.deepEqual(inBash('tributary consume --output=j'), ['json'], 'what follows an = too');
    assert.ok(inBash('tributary ').includes('doctor'));
    assert.ok(!inBash('tributary ').some((word) => word.startsWith('__')), 'what only scripts ask is not offered');
  });

  test('bash completes topic names from the cluster that the line names, and is not held up by one that is absent', {
    skip: requires('bash'),
  }, async () => {
    assert.deepEqual(inBash('tributary topic describe '), ['orders', 'orders-eu', 'payments']);
    assert.deepEqual(inBash('tributary consume --from-beginning ord'), ['orders', 'orders-eu']);
    const nobody = `127.0.0.1:${await freePort()}`;
    assert.deepEqual(inBash(`tributary consume --bootstrap ${dev.bootstrap} pay`, nobody), ['payments']);
    assert.deepEqual(inBash('tributary bench produce --topic pay'), ['payments']);
    assert.deepEqual(inBash('tributary group describe '), ['audit', 'billing']);
    assert.deepEqual(inBash('tributary consume orders --group b'), ['billing']);
    const timed = (bootstrap: string): number => {
      const began = performance.now();
      assert.deepEqual(inBash('tributary consume ', bootstrap, ''), []);
      return performance.now() - began;
    };
    // What the shell and the start of the process take while this machine does other things, too: nobody listens there.
    const refused = timed(nobody);
    const silent = timed('10.255.255.1:9095');
    assert.ok(silent < 3 * refused + 1_000, `${silent} ms, and ${refused} ms where it is refused at once`);
  });

  test('fish completes commands, options, values, files and topics', { skip: requires('fish') }, () => {
    const inFish = (line: string): readonly string[] =>
      execFileSync('fish', ['--no-config', '-c', `source '${script('fish')}'; complete -C "${line}"`], {
        cwd: path.join(folder, 'work'),
        env: environment(),
        encoding: 'utf8',
      })
        .split('\n')
        .map((each) => each.split('\t')[0]?.replace(/\/$/, '') ?? '')
        .filter((word) => word !== '')
        .toSorted((a, b) => (a < b ? -1 : 1));
    for (const [line, words] of expected) assert.deepEqual(inFish(line), words, line);
    assert.deepEqual(inFish('tributary consume ord'), ['orders', 'orders-eu']);
    assert.deepEqual(inFish('tributary group delete b'), ['billing']);
  });

  test('zsh completes commands, options, values and topics', { skip: requires('zsh', 'python3') }, async () => {
    const inZsh = async (line: string): Promise<string> => {
      const setUp = `bindkey -e; cd '${path.join(folder, 'work')}'; autoload -Uz compinit; compinit -u -d '${folder}/zcompdump'; source '${script('zsh')}'; PS1=; clear\n`;
      const { shown } = await onTerminal(['zsh', '-f', '-i'], {
        env: environment() as Record<string, string>,
        type: [
          [200, setUp],
          [800, `${line}\t`],
          [1_500, '\u0001echo "[\u0005]"\n'],
          [300, 'exit\n'],
        ],
        seconds: 10,
      });
      return [...shown.matchAll(/^\[(.*)\]\r?$/gm)].at(-1)?.[1] ?? `not shown:\n${shown}`;
    };
    assert.equal((await inZsh('tributary to')).trim(), 'tributary topic');
    assert.equal((await inZsh('tributary topic create x --part')).trim(), 'tributary topic create x --partitions');
    assert.equal((await inZsh('tributary produce x --compression z')).trim(), 'tributary produce x --compression zstd');
    assert.equal((await inZsh('tributary topic describe pay')).trim(), 'tributary topic describe payments');
  });

  test('a shell that is not known is refused with those that are', async () => {
    const { code, stderr } = await tributary(['completion', 'tcsh']);
    assert.equal(code, 2);
    assert.match(stderr, /Allowed choices are bash, zsh, fish/);
  });
});
