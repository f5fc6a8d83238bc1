import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import { Turns } from '../src/turns.ts';

test('all that have work take turns, and after so much of it the event loop goes on', async () => {
  const order: string[] = [];
  const clock: Clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    sleep: async () => void order.push('loop'),
  };
  const turns = new Turns(clock);
  const half = limits.subscribeChunk / 2;
  const worker = async (name: string): Promise<void> => {
    for (let piece = 0; piece < 3; piece++) {
      await turns.run(() => {
        order.push(name);
        return half;
      });
    }
  };
  await Promise.all([worker('a'), worker('b')]);
  assert.deepEqual(order.slice(0, 8), ['a', 'b', 'loop', 'a', 'b', 'loop', 'a', 'b']);
});

test('what one piece of work throws is its own', async () => {
  const turns = new Turns({ monotonicMs: () => 0, wallMs: () => 0, sleep: async () => undefined });
  const failed = turns.run(() => {
    throw new Error('mine');
  });
  let done = false;
  await Promise.all([
    assert.rejects(failed, /mine/),
    turns.run(() => {
      done = true;
      return 1;
    }),
  ]);
  assert.ok(done);
});
