import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leaderEpoch, type Offset, offset } from '@tributary/model';
import fc from 'fast-check';
import { EpochHistory } from '../../src/log/epochs.ts';

const at = (value: number): Offset => offset(BigInt(value));

describe('the history of leader epochs', () => {
  test('forgets an epoch that wrote nothing when the next one begins', () => {
    const history = new EpochHistory();
    history.begin(leaderEpoch(1), at(0));
    history.begin(leaderEpoch(2), at(10));
    history.begin(leaderEpoch(5), at(10));
    assert.deepEqual(
      history.entries.map(({ epoch, start }) => [epoch, start]),
      [
        [1, 0n],
        [5, 10n],
      ],
    );
  });

  test('does not go back', () => {
    const history = new EpochHistory();
    assert.equal(history.begin(leaderEpoch(4), at(0)), true);
    assert.equal(history.begin(leaderEpoch(4), at(5)), false);
    assert.equal(history.begin(leaderEpoch(3), at(5)), false);
    assert.equal(history.latest, 4);
  });

  test('names for any epoch the newest one not above it, and where its batches end', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ jump: fc.integer({ min: 1, max: 3 }), batches: fc.integer({ min: 0, max: 4 }) }), {
          maxLength: 12,
        }),
        (eras) => {
          const history = new EpochHistory();
          /** Epoch of each offset. */
          const owners: number[] = [];
          let epoch = 0;
          for (const { jump, batches } of eras) {
            epoch += jump;
            history.begin(leaderEpoch(epoch), at(owners.length));
            for (let count = 0; count < batches; count++) owners.push(epoch);
          }
          for (let asked = 0; asked <= epoch + 1; asked++) {
            const answer = history.endOffsetFor(leaderEpoch(asked), at(owners.length));
            if (eras.length === 0 || asked > epoch) assert.equal(answer, undefined);
            else assert.equal(answer?.end, BigInt(owners.filter((owner) => owner <= asked).length));
          }
        },
      ),
    );
  });

  test('after a cut at either end speaks only of what is left', () => {
    const history = new EpochHistory();
    for (const [epoch, start] of [
      [1, 0],
      [2, 10],
      [4, 20],
      [7, 30],
    ] as const) {
      history.begin(leaderEpoch(epoch), at(start));
    }
    history.cutEnd(at(30));
    assert.equal(history.latest, 4);
    history.cutStart(at(15));
    assert.deepEqual(history.entries, [
      { epoch: 2, start: 15n },
      { epoch: 4, start: 20n },
    ]);
    assert.deepEqual(history.endOffsetFor(leaderEpoch(1), at(30)), { epoch: 1, end: 15n });
  });
});
