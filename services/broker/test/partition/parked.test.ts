import assert from 'node:assert/strict';
import { test } from 'node:test';
import { millis, offset } from '@tributary/model';
import fc from 'fast-check';
import { ParkedAnswers } from '../../src/partition/parked.ts';

const park = (parked: ParkedAnswers<number>, last: number, deadline = 100, answer = last): void =>
  parked.park({ lastOffset: offset(BigInt(last)), deadline: millis(deadline), answer });

test('answers leave in offset order once their last offset is below the end, whatever order they came in', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.nat(60), (lasts, end) => {
      const parked = new ParkedAnswers<number>();
      for (const last of lasts) park(parked, last);
      const taken: number[] = [];
      for (
        let next = parked.takeBelow(offset(BigInt(end)));
        next !== undefined;
        next = parked.takeBelow(offset(BigInt(end)))
      )
        taken.push(next.answer);
      assert.deepEqual(
        taken,
        lasts.filter((last) => last < end).sort((a, b) => a - b),
      );
      assert.equal(parked.size, lasts.length - taken.length);
    }),
  );
});

test('a duplicate is answered after its original, which waits for the same offset', () => {
  const parked = new ParkedAnswers<number>();
  park(parked, 5, 100, 1);
  park(parked, 9, 100, 2);
  park(parked, 5, 100, 3);
  assert.deepEqual(
    [1, 2, 3].map(() => parked.takeBelow(offset(10n))?.answer),
    [1, 3, 2],
  );
});

test('expired answers are taken whatever their offset, the others stay', () => {
  const parked = new ParkedAnswers<number>();
  park(parked, 1, 50);
  park(parked, 2, 10);
  park(parked, 3, 50);
  assert.deepEqual(
    parked.takeExpired(millis(20)).map((each) => each.answer),
    [2],
  );
  assert.equal(parked.size, 2);
});

test('after a cut every answer at or above it is taken', () => {
  const parked = new ParkedAnswers<number>();
  for (let last = 0; last < 3_000; last++) park(parked, last);
  for (let i = 0; i < 2_000; i++) parked.takeBelow(offset(3_000n));
  assert.equal(parked.takeFrom(offset(2_500n)).length, 500);
  assert.equal(parked.size, 500);
});
