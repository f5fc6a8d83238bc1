import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ParkedAnswers } from '../../src/shard/parked.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const always = (): boolean => true;

function parked(after: number, settle: () => void, isFresh = false) {
  return { after, isFresh, settle, refuse: () => undefined };
}

test('answers are settled in the order of the decisions, none before what it rests on, and none twice', () => {
  const answers = new ParkedAnswers();
  const settled: number[] = [];
  for (let number = 1; number <= 1_000; number++) {
    answers.add(parked(number, () => settled.push(number)));
    // One is always under way.
    answers.release(number - 1, always);
    assert.equal(settled.length, number - 1);
    assert.equal(answers.count, 1);
  }
  answers.release(1_000, always);
  assert.deepEqual(
    settled,
    Array.from({ length: 1_000 }, (_, index) => index + 1),
  );
});

test('whoever waits for a recent write holds back those behind', () => {
  const answers = new ParkedAnswers();
  const settled: number[] = [];
  answers.add(parked(0, () => settled.push(1), true));
  answers.add(parked(0, () => settled.push(2)));
  assert.equal(
    answers.release(0, () => false),
    true,
  );
  assert.deepEqual(settled, []);
  assert.equal(answers.release(0, always), false);
  assert.deepEqual(settled, [1, 2]);
});

test('a shard that is never idle keeps no answer that it has given', async () => {
  const answers = new ParkedAnswers();
  const given: WeakRef<object>[] = [];
  for (let number = 1; number <= 1_000; number++) {
    const answer = {};
    given.push(new WeakRef(answer));
    answers.add(parked(number, () => void answer));
    answers.release(number - 1, always);
  }
  await setImmediate();
  collect();
  const kept = given.filter((each) => each.deref() !== undefined).length;
  assert.ok(kept < 10, `${kept} of 1000 are kept`);
  assert.equal(answers.count, 1);
});
