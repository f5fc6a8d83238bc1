import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaderEpoch, millis, nodeId, offset, topicConfig } from '@tributary/model';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { header } from '../partition/batches.ts';
import { termOf } from './leaderships.ts';

const follow = (state: PartitionState, epoch: number, uncleanEpoch?: number): void => {
  state.wait('another leader');
  state.follow({
    epoch: leaderEpoch(epoch),
    leader: nodeId(2),
    uncleanEpoch: uncleanEpoch === undefined ? undefined : leaderEpoch(uncleanEpoch),
  });
};

/** Follows in epoch 5, has ten records, of which six are committed. */
function following(): PartitionState {
  const config = topicConfig({ 'flush.policy': 'async' });
  const state = new PartitionState(
    nodeId(1),
    'orders-0',
    config,
    new ProducerState(),
    offset(0n),
    offset(0n),
    0,
    undefined,
  );
  follow(state, 5);
  state.applyAppend(header({ at: 0n, count: 6 }));
  state.applyAppend(header({ at: 6n, count: 4 }));
  state.applyWritten(offset(10n));
  assert.equal(state.followHighWatermark(offset(6n)), true);
  return state;
}

test('R3: a follower’s high watermark is the leader’s as far as its own log is written, and never goes back', () => {
  const state = following();
  assert.equal(state.followHighWatermark(offset(3n)), false);
  assert.equal(state.highWatermark, 6n);
  assert.equal(state.followHighWatermark(offset(90n)), true);
  assert.equal(state.highWatermark, 10n);
});

test('R2: what is known to be committed is cut for no leader but one of a later unclean election', () => {
  for (const [uncleanEpoch, allowed] of [
    [undefined, false],
    [4, false],
    [5, false],
    [6, true],
    [7, true],
  ] as const) {
    const state = following();
    follow(state, 7, uncleanEpoch);
    assert.equal(state.mayCut(offset(6n)), true);
    assert.equal(state.mayCut(offset(5n)), allowed, `unclean epoch ${uncleanEpoch}`);
  }
});

test('R2: a leader that says less than is known to be committed makes nothing of that known in its own epoch', () => {
  const state = following();
  follow(state, 7, 7);
  // A sync that ends now looks at the high watermark too.
  state.followHighWatermark(offset(0n));
  assert.equal(state.mayCut(offset(5n)), true);
  // As much or more: what is there is committed in this epoch too.
  state.followHighWatermark(offset(6n));
  assert.equal(state.mayCut(offset(5n)), false);
});

test('R2: a leader’s log is cut below its high watermark by nothing at all', () => {
  const state = following();
  state.wait('it is elected');
  state.lead(termOf({ isr: [1], replicas: [1], minIsr: 1, epoch: 8 }), millis(0));
  assert.equal(state.mayCut(offset(5n)), false);
  assert.throws(() => state.applyCut(offset(5n)), /below the high watermark/);
});

test('R1: a follower takes gaps, a leader makes none', () => {
  const state = following();
  state.applyAppend(header({ at: 15n }));
  assert.equal(state.staged, 16n);
  assert.throws(() => state.applyAppend(header({ at: 12n })), /L6/);
  state.wait('it is elected');
  state.lead(termOf({ isr: [1], replicas: [1], minIsr: 1, epoch: 8 }), millis(0));
  assert.throws(() => state.applyAppend(header({ at: 17n })), /L6/);
});

test('a partition follows only after it has stopped whatever it did before', () => {
  const state = following();
  assert.throws(
    () => state.follow({ epoch: leaderEpoch(6), leader: nodeId(3), uncleanEpoch: undefined }),
    /waits before it follows/,
  );
});
