import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { actOnEach } from '../src/act-on-each.ts';

async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 1; i <= count; i++) yield i;
}

test('what one image asks for is done while that of the one before is not, up to the bound, and all of it before the end', async () => {
  const slow = Promise.withResolvers<void>();
  const [begun, done]: [number[], number[]] = [[], []];
  let isOver = false;
  const over = actOnEach(upTo(5), 2, async (item) => {
    begun.push(item);
    if (item === 1 || item === 5) await slow.promise;
    done.push(item);
  }).then(() => (isOver = true));
  await turn();
  assert.deepEqual(begun, [1, 2, 3, 4, 5]);
  assert.deepEqual(done, [2, 3, 4]);
  assert.equal(isOver, false);
  slow.resolve();
  await over;
  assert.deepEqual(done, [2, 3, 4, 1, 5]);

  const never = Promise.withResolvers<void>();
  const bounded: number[] = [];
  void actOnEach(upTo(5), 2, async (item) => {
    bounded.push(item);
    await never.promise;
  });
  await turn();
  assert.deepEqual(bounded, [1, 2]);
});
