import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '@tributary/model';
import { crashExitCode } from '../src/index.ts';
import { Program } from './programs.ts';

const closed = ['second closed', 'first closed'];

describe('a program', () => {
  it('that returns closes what it opened in the reverse order, and ends with 0', async () => {
    await using program = new Program('run', 'return');
    assert.deepEqual(await program.lines(), closed);
    assert.equal((await program.ended()).code, 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`asked by ${signal} stops, closes and ends with 0`, async () => {
      await using program = new Program('run', 'serve');
      assert.equal(await program.line(), 'serving');
      program.process.kill(signal);
      assert.deepEqual(await program.lines(), ['stopping', ...closed]);
      // It forgot a timer, which does not keep it.
      assert.deepEqual(await program.ended(), { code: 0, signal: null, errors: '' });
    });
  }

  it('that does not stop ends at the second signal', async () => {
    await using program = new Program('run', 'hang');
    assert.equal(await program.line(), 'serving');
    program.process.kill('SIGTERM');
    await sleep(200);
    assert.equal(program.process.exitCode, null);
    program.process.kill('SIGTERM');
    assert.equal((await program.ended()).code, 128 + 15);
  });

  it('that meets an operating error says it in one line and ends with 1, closed', async () => {
    await using program = new Program('run', 'refuse');
    assert.deepEqual(await program.lines(), closed);
    assert.deepEqual(await program.ended(), { code: 1, signal: null, errors: 'program: Port 1 is taken.\n' });
  });

  it('whose invariant broke says so and where, and ends with 70', async () => {
    await using program = new Program('run', 'break');
    await program.lines();
    const { code, errors } = await program.ended();
    assert.equal(code, crashExitCode);
    assert.match(errors, /^program: an invariant broke, this is a bug: AssertionFailure: offsets are dense\n {4}at /);
  });

  it('with an error that nobody waits for ends with 70 instead of going on', async () => {
    await using program = new Program('run', 'float');
    await program.lines();
    const { code, errors } = await program.ended();
    assert.equal(code, crashExitCode);
    assert.match(errors, /^program: unexpected error: Error: nobody waits for me\n/);
  });

  it('whose reader closes its standard output says so in one line and ends with 1', async () => {
    await using program = new Program('run', 'talk');
    await program.line();
    program.process.stdout.destroy();
    const { code, errors } = await program.ended();
    assert.equal(code, 1);
    assert.match(errors, /^program: standard output was closed \(EPIPE\)\.\n$/);
  });

  it('has the threads to sync many files at once', { skip: process.platform !== 'linux' }, async () => {
    await using program = new Program('run', 'threads');
    // Node's own threads come and go meanwhile; without the setting there are four.
    const threads = Number((await program.line())?.split(' ')[0]);
    assert.ok(threads >= limits.syncsInFlight, `${threads} threads`);
  });
});
