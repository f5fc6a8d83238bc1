import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GroupJudge } from '../groups/group-judge.ts';

function judged(isStrict: boolean, tell: (judge: GroupJudge) => void): readonly string[] {
  const broken: string[] = [];
  const judge = new GroupJudge(
    { groupId: 'readers', isStrict },
    (rule) => broken.push(rule),
    () => {},
  );
  judge.assigned('one', 'orders-0');
  judge.handedOut('one', 'orders-0', [0n, 1n, 2n]);
  judge.committed('one', 'orders-0', 3n);
  judge.gone('one');
  // What it was given may have been given to the first one since, without its having heard of that.
  judge.assigned('two', 'orders-0');
  judge.handedOut('two', 'orders-0', [0n, 1n]);
  tell(judge);
  return broken;
}

describe('the judge of groups (G4)', () => {
  test('one that begins below what was committed breaks it once it may commit', () => {
    assert.deepEqual(
      judged(false, (judge) => judge.committed('two', 'orders-0', 2n)),
      ['G4'],
    );
  });

  test('one that begins below what was committed breaks it if it has the partition to the end', () => {
    assert.deepEqual(
      judged(false, (judge) => judge.end()),
      ['G4'],
    );
  });

  test('one that hears that it was overtaken while it stood still breaks nothing', () => {
    const tell = (judge: GroupJudge): void => {
      judge.relinquished('two', 'orders-0');
      judge.end();
    };
    assert.deepEqual(judged(false, tell), []);
  });

  test('with strict ownership it hands out nothing by then', () => {
    assert.deepEqual(
      judged(true, () => {}),
      ['G4'],
    );
  });
});
