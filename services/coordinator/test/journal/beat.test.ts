import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '@tributary/model';
import { Beat } from '../../src/journal/beat.ts';

const never = new AbortController().signal;

/** A clock that stands until it is moved, and a beat on it. */
function scene() {
  let nowMs = 1_000;
  const sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  const clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    sleep: (ms: number) => new Promise<void>((wake) => sleepers.push({ atMs: nowMs + ms, wake })),
  };
  const beat = new Beat(clock, never);
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
    for (const sleeper of sleepers.splice(0)) {
      if (sleeper.atMs <= nowMs) sleeper.wake();
      else sleepers.push(sleeper);
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { beat, pass, sleepers };
}

describe('the beat of journals', () => {
  test('lets nobody wait while little is written', async () => {
    const { beat, pass } = scene();
    for (let write = 0; write < 20; write++) {
      assert.equal(beat.turn(), undefined);
      await pass(limits.journalBeatMs / limits.journalBeatWrites + 0.1);
    }
  });

  test('lets one who writes alone, one after the other, wait at most once in a beat', async () => {
    const { beat, pass } = scene();
    for (let write = 0; write <= limits.journalBeatWrites; write++) void beat.turn();
    await pass(limits.journalBeatMs);
    for (let write = 1; write < limits.journalBeatWrites; write++) assert.equal(beat.turn(), undefined);
  });

  test('lets what is more in a beat wait for its end, all together, by one timer', async () => {
    const { beat, pass, sleepers } = scene();
    for (let write = 0; write < limits.journalBeatWrites; write++) assert.equal(beat.turn(), undefined);
    let begun = 0;
    for (let write = 0; write < 10; write++) void beat.turn()?.then(() => begun++);
    assert.equal(sleepers.length, 1);
    await pass(limits.journalBeatMs - 0.5);
    assert.equal(begun, 0);
    await pass(0.5);
    assert.equal(begun, 10);
  });

  test('counts those who waited into the beat that begins with them, and then is free again', async () => {
    const { beat, pass } = scene();
    for (let write = 0; write < 2 * limits.journalBeatWrites; write++) void beat.turn();
    await pass(limits.journalBeatMs);
    assert.ok(beat.turn() instanceof Promise, 'the next beat has had its writes');
    await pass(limits.journalBeatMs);
    await pass(limits.journalBeatMs);
    assert.equal(beat.turn(), undefined);
  });
});
