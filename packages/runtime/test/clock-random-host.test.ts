import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crashExitCode, nodeClock, nodeHost, nodeRandom } from '../src/index.ts';
import { Program } from './programs.ts';

describe('the clock', () => {
  it('sleeps as long as it is told', async () => {
    const begin = nodeClock.monotonicMs();
    await nodeClock.sleep(30, new AbortController().signal);
    assert.ok(nodeClock.monotonicMs() - begin >= 29);
  });

  it('sleeps on where a timer of Node would overflow and fire at once', async () => {
    const controller = new AbortController();
    let isAwake = false;
    const sleeping = nodeClock.sleep(Number.MAX_SAFE_INTEGER, controller.signal).then(
      () => void (isAwake = true),
      () => undefined,
    );
    await nodeClock.sleep(30, new AbortController().signal);
    assert.equal(isAwake, false);
    controller.abort();
    await sleeping;
  });

  it('gives way without waiting when it is told to sleep for nothing, and hears of an abort', async () => {
    const controller = new AbortController();
    const order: string[] = [];
    setImmediate(() => order.push('another'));
    await nodeClock.sleep(0, controller.signal);
    order.push('awake');
    assert.deepEqual(order, ['another', 'awake']);
    const sleeping = nodeClock.sleep(0, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(sleeping, /enough/);
  });

  it("wakes with the signal's reason, before or during sleep", async () => {
    const reason = new Error('wake up');
    await assert.rejects(nodeClock.sleep(1_000_000, AbortSignal.abort(reason)), reason);
    const controller = new AbortController();
    const sleeping = nodeClock.sleep(1_000_000, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleeping, reason);
  });

  it('knows the time of day', () => {
    assert.ok(Math.abs(nodeClock.wallMs() - Date.now()) < 1_000);
  });
});

describe('chance', () => {
  it('draws 32 bits evenly, across the blocks that it is fetched in', () => {
    const draws = Array.from({ length: 10_000 }, () => nodeRandom.nextU32());
    assert.ok(draws.every((draw) => Number.isInteger(draw) && draw >= 0 && draw < 2 ** 32));
    assert.ok(new Set(draws).size > 9_990);
    for (let bit = 0; bit < 32; bit++) {
      const ones = draws.filter((draw) => (draw >>> bit) & 1).length;
      assert.ok(ones > 4_600 && ones < 5_400, `bit ${bit}: ${ones}`);
    }
  });
});

describe('the host', () => {
  it('has a boot id that stays while the machine runs', () => {
    assert.match(nodeHost().bootId, /^\S{8,}$/);
    assert.equal(nodeHost().bootId, nodeHost().bootId);
  });

  it('crashes at once: one line, its exit code, and nothing else runs', async () => {
    await using program = new Program('crash');
    const lines = await program.lines();
    const { code, errors } = await program.ended();
    assert.equal(code, crashExitCode);
    assert.equal(errors, 'broker: stopping at once: fdatasync of segment 7 failed\n');
    assert.deepEqual(lines, []);
  });
});
