import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ReadBuffers } from '../../src/log/read-buffers.ts';

it('a buffer in use is never handed out again; one given back is', () => {
  const buffers = new ReadBuffers(100, 1_000);
  const [first, second] = [buffers.take(100), buffers.take(50)];
  assert.notEqual(first.buffer, second.buffer);
  buffers.give(second);
  const third = buffers.take(70);
  assert.equal(third.buffer, second.buffer);
  assert.equal(third.length, 70);
  assert.notEqual(buffers.take(1).buffer, third.buffer);
});

it('no more than the budget is kept idle, and nothing of another size', () => {
  const buffers = new ReadBuffers(100, 200);
  const taken = [1, 2, 3, 101].map((length) => buffers.take(length));
  for (const buffer of taken.toReversed()) buffers.give(buffer);
  const again = [buffers.take(100), buffers.take(100), buffers.take(100)];
  const reused = again.filter((buffer) => taken.some((before) => before.buffer === buffer.buffer));
  assert.equal(reused.length, 2);
  assert.deepEqual(
    again.map((buffer) => buffer.length),
    [100, 100, 100],
  );
});
