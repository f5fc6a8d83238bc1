import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PartitionHistory, type ReadRecord, type SentRecord } from '../history.ts';

/** A history, told by `story`; the rules that it finds broken. */
function broken(story: (history: PartitionHistory) => void, flushPolicy: 'commit' | 'async' = 'commit'): string[] {
  const rules: string[] = [];
  story(new PartitionHistory({ name: 't-0', flushPolicy, hasRetention: false }, (rule) => rules.push(rule)));
  return rules;
}

const record = (id: string, order = 0, more: Partial<SentRecord> = {}): SentRecord => ({
  id,
  producer: 'p',
  order,
  value: `${id} padding`,
  acks: 'all',
  idempotent: true,
  ...more,
});
const at = (offset: bigint, id: string): ReadRecord => ({ offset, value: `${id} padding` });

describe('the judge of histories', () => {
  test('has nothing to say about a history that keeps every promise', () => {
    const rules = broken((history) => {
      for (const [order, id] of ['a', 'b', 'c'].entries()) history.sending(record(id, order));
      history.acknowledgedAt('a', 0n);
      history.acknowledgedAt('b', 1n);
      history.read('r', [at(0n, 'a'), at(1n, 'b')], 2n, 0n, 0);
      history.sending(record('c', 2));
      history.read('r', [at(2n, 'c')], 3n, 0n, 0);
      history.finish([at(0n, 'a'), at(1n, 'b'), at(2n, 'c')], 0n, 3n);
    });
    assert.deepEqual(rules, []);
  });

  test('lets go of what somebody asked to delete, and of an answer that was on its way before', () => {
    const rules = broken((history) => {
      for (const [order, id] of ['a', 'b', 'c'].entries()) history.sending(record(id, order));
      for (const [offset, id] of ['a', 'b', 'c'].entries()) history.acknowledgedAt(id, BigInt(offset));
      history.positioned('early', 0n);
      history.deleting(2n);
      history.deletedBelow(2n);
      history.read('early', [at(0n, 'a')], 3n, 0n, 0);
      history.positioned('late', 2n);
      history.read('late', [at(2n, 'c')], 3n, 2n, 0);
      history.handedOut('library', [at(0n, 'a'), at(2n, 'c')]);
      history.finish([at(2n, 'c')], 2n, 3n);
    });
    assert.deepEqual(rules, []);
  });

  const violations: readonly (readonly [promise: string, rule: string, story: (history: PartitionHistory) => void])[] =
    [
      [
        'an acknowledged record that is gone',
        'durability',
        (history) => {
          history.sending(record('a'));
          history.acknowledgedAt('a', 0n);
          history.finish([], 0n, 0n);
        },
      ],
      [
        'an acknowledged record with other bytes',
        'durability',
        (history) => {
          history.sending(record('a'));
          history.sending(record('b', 1));
          history.acknowledgedAt('a', 0n);
          history.finish([at(0n, 'b')], 0n, 1n);
        },
      ],
      [
        'a retry that was written twice',
        'P1',
        (history) => {
          history.sending(record('a'));
          history.sending(record('a'));
          history.finish([at(0n, 'a'), at(1n, 'a')], 0n, 2n);
        },
      ],
      [
        'records of one producer in another order',
        'P1',
        (history) => {
          history.sending(record('a', 0));
          history.sending(record('b', 1));
          history.finish([at(0n, 'b'), at(1n, 'a')], 0n, 2n);
        },
      ],
      [
        'an offset that changed its record',
        'L6',
        (history) => {
          history.sending(record('a'));
          history.sending(record('b', 1));
          history.read('r', [at(0n, 'a')], 1n, 0n, 0);
          history.read('q', [at(0n, 'b')], 1n, 0n, 0);
        },
      ],
      [
        'an offset acknowledged twice',
        'L6',
        (history) => {
          history.sending(record('a'));
          history.sending(record('b', 1));
          history.acknowledgedAt('a', 0n);
          history.acknowledgedAt('b', 0n);
        },
      ],
      [
        'a high watermark that went back',
        'R3',
        (history) => [5n, 4n].forEach((mark) => history.read('r', [], mark, 0n, 0)),
      ],
      [
        'a record read above the high watermark',
        'R3',
        (history) => {
          history.sending(record('a'));
          history.read('r', [at(0n, 'a')], 0n, 0n, 0);
        },
      ],
      [
        'a gap in what a reader is given',
        'E1',
        (history) => {
          history.sending(record('a'));
          history.positioned('r', 3n);
          history.read('r', [at(4n, 'a')], 5n, 0n, 0);
        },
      ],
      [
        'a gap in the log',
        'L6',
        (history) => {
          history.sending(record('a'));
          history.sending(record('b', 1));
          history.finish([at(0n, 'a'), at(2n, 'b')], 0n, 3n);
        },
      ],
      ['a record that nobody sent', 'judge', (history) => history.read('r', [at(0n, 'x')], 1n, 0n, 0)],
      [
        'a refused record that is there',
        'durability',
        (history) => {
          history.sending(record('a'));
          history.refused('a');
          history.finish([at(0n, 'a')], 0n, 1n);
        },
      ],
      [
        'a log start that went back',
        'L4',
        (history) => {
          history.deleting(7n);
          for (const start of [7n, 6n]) history.read('r', [], 9n, start, 0);
        },
      ],
      [
        'a deletion that was taken back after it was acknowledged',
        'L4',
        (history) => {
          history.deleting(7n);
          history.deletedBelow(7n);
          history.positioned('r', 6n);
          history.read('r', [], 9n, 6n, 0);
        },
      ],
      [
        'records that went although nobody asked for it',
        'L4',
        (history) => {
          history.deleting(3n);
          history.read('r', [], 9n, 4n, 0);
        },
      ],
      [
        'a deletion acknowledged beyond what was asked for',
        'L4',
        (history) => {
          history.deleting(3n);
          history.deletedBelow(4n);
        },
      ],
      [
        'a gap in what a consumer hands out beyond what was deleted',
        'E1',
        (history) => {
          for (const [order, id] of ['a', 'b'].entries()) history.sending(record(id, order));
          history.deleting(2n);
          history.handedOut('r', [at(0n, 'a'), at(3n, 'b')]);
        },
      ],
    ];
  for (const [what, rule, story] of violations) {
    test(`finds ${what}`, () => assert.deepEqual(broken(story), [rule]));
  }

  test('lets an unknown outcome occur, or not', () => {
    assert.deepEqual(
      broken((history) => (history.sending(record('a')), history.finish([], 0n, 0n))),
      [],
    );
    assert.deepEqual(
      broken((history) => (history.sending(record('a')), history.finish([at(0n, 'a')], 0n, 1n))),
      [],
    );
  });

  test('does not ask for what retention removed', () => {
    const rules = broken((history) => {
      history.sending(record('a'));
      history.sending(record('b', 1));
      history.acknowledgedAt('a', 0n);
      history.acknowledgedAt('b', 1n);
      history.finish([at(1n, 'b')], 1n, 2n);
    });
    assert.deepEqual(rules, []);
  });

  test('forgives the lost end of an async log after a lossy stop, and of no other', () => {
    const story = (history: PartitionHistory): void => {
      history.sending(record('a'));
      history.acknowledgedAt('a', 0n);
      history.read('r', [at(0n, 'a')], 1n, 0n, 0);
      history.lossyStop();
      history.read('r', [], 0n, 0n, 0);
      history.finish([], 0n, 0n);
    };
    assert.deepEqual(broken(story, 'async'), []);
    assert.deepEqual(broken(story, 'commit'), ['R3', 'durability']);
  });
});
