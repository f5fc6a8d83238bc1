// What people see at a terminal, and programs in a pipe.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { requires } from '../requirements.ts';
import { DevProcess, main } from './dev-process.ts';
import { onTerminal, type TerminalOptions } from './terminal.ts';

const escape = String.fromCodePoint(0x1b);
const escapes = new RegExp(`${escape}\\[[0-9;]*m`);
const boxes = /[│─┌┐└┘├┤┬┴┼]/;

describe('at a terminal', { skip: requires('python3') }, () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'a-topic-with-quite-a-long-name', '--partitions', '2']);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const run = async (args: readonly string[], options: TerminalOptions = {}) => {
    const env = { TRIBUTARY_BOOTSTRAP: dev.bootstrap, ...options.env };
    return await onTerminal([process.execPath, main, ...args], { ...options, env });
  };
  const lines = (shown: string): readonly string[] => shown.replaceAll(new RegExp(escapes, 'g'), '').split(/\r?\n/);

  test('a table has lines and a coloured head at a terminal, neither in a pipe', async () => {
    const { shown } = await run(['topic', 'list']);
    assert.match(shown, boxes);
    assert.ok(shown.includes('\u001b[36mtopic\u001b[39m'), shown);
    const piped = (await dev.ok(['topic', 'list'])).toString();
    assert.doesNotMatch(piped, boxes);
    assert.doesNotMatch(piped, escapes);
    assert.match(piped, /^topic +partitions/);
  });

  test('NO_COLOR takes the colours away and leaves the lines; FORCE_COLOR gives colours even to a pipe', async () => {
    const { shown } = await run(['topic', 'list'], { env: { NO_COLOR: '1' } });
    assert.match(shown, boxes);
    assert.doesNotMatch(shown, escapes);
    assert.match((await run(['topic', 'list'], { env: { NO_COLOR: '' } })).shown, escapes);
    const forced = (await dev.ok(['topic', 'list'], { env: { FORCE_COLOR: '1' } })).toString();
    assert.match(forced, escapes);
    assert.doesNotMatch(forced, boxes);
    assert.doesNotMatch((await run(['topic', 'list'], { env: { TERM: 'dumb' } })).shown, escapes);
  });

  test('no line of a table or of help is wider than the terminal, and nothing is left out', async () => {
    for (const columns of [70, 90, 140]) {
      for (const args of [
        ['topic', 'describe', 'a-topic-with-quite-a-long-name'],
        ['topic', 'list'],
      ]) {
        const { shown } = await run(args, { columns });
        for (const line of lines(shown).filter((each) => boxes.test(each)))
          assert.ok(Array.from(line).length <= columns, `${Array.from(line).length} > ${columns}: ${line}`);
        assert.doesNotMatch(shown, /…│/, 'cells are wrapped, not cut');
      }
      for (const command of [['produce'], ['doctor'], ['log', 'dump']]) {
        const { shown } = await run([...command, '--help'], { columns });
        // Command lines are not broken: they are to be copied.
        const text = lines(shown).filter((line) => !line.startsWith('  $ '));
        for (const line of text) assert.ok(Array.from(line).length <= columns, line);
      }
    }
    const wide = (await dev.ok(['topic', 'describe', 'a-topic-with-quite-a-long-name'])).toString();
    const narrow = (await run(['topic', 'describe', 'a-topic-with-quite-a-long-name'], { columns: 90 })).shown;
    for (const name of ['retention.ms', 'min.insync.replicas', 'message.timestamp.type']) {
      assert.ok(wide.includes(name), name);
      assert.ok(lines(narrow).join('').replaceAll(/[│\s]/g, '').includes(name.slice(0, 6)), name);
    }
  });

  test('progress is drawn at a terminal only, on standard error only, and is gone at the end', async () => {
    writeFileSync(dev.file('big'), `${'x'.repeat(100)}\n`.repeat(300_000));
    const args = ['produce', 'a-topic-with-quite-a-long-name', '--file', dev.file('big')];
    const both = await run(args, { aside: 'stdout' });
    assert.match(both.shown, /[█░] +\d+ % /);
    assert.ok(both.shown.endsWith('\r\u001b[K'), JSON.stringify(both.shown.slice(-40)));
    assert.match(both.aside, /^300,000 records, .*\n$/);
    assert.ok(!both.aside.includes('\u001b') && !both.aside.includes('\r'), both.aside);
    const piped = await run(args, { aside: 'stderr' });
    assert.equal(piped.aside, '');
    assert.match(piped.shown, /^300,000 records, .*\r\n$/);
    assert.ok(!piped.shown.includes('\u001b'), piped.shown);
  });

  test('findings are coloured at a terminal and plain in a pipe', async () => {
    const args = ['doctor', '--bootstrap', '127.0.0.1:1'];
    assert.ok((await run(args)).shown.includes('\u001b[31mFAILED'));
    assert.doesNotMatch((await dev.run(args)).stdout.toString(), escapes);
  });
});
