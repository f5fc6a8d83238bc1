import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offerable } from '../src/commands/topic-names.ts';

test('a shell that completes is offered no word from a broker that it would run, expand or split', () => {
  const hostile = ['$(touch taken)', '`touch taken`', '~root', 'a b', 'a\nb', '${HOME}', '{a,b}', 'a;b', ''];
  assert.deepEqual(offerable(['orders', ...hostile, 'Orders_2.eu-west']), ['orders', 'Orders_2.eu-west']);
});
