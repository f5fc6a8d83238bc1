import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerEpoch, millis, nodeId, offset, topicConfig } from '@tributary/model';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { header, term } from './batches.ts';

function partition(configs: Record<string, string> = {}, end = 0n, committed = end): PartitionState {
  return new PartitionState(
    nodeId(1),
    'orders-0',
    topicConfig(configs),
    new ProducerState(),
    offset(end),
    offset(committed),
    0,
    undefined,
  );
}

function leading(configs: Record<string, string> = {}, minIsr = 1): PartitionState {
  const state = partition(configs);
  state.lead(term(3, [nodeId(1)], minIsr), millis(0));
  return state;
}

const refused = (state: PartitionState, epoch = 3, acks: 'leader' | 'all' = 'all', nowMs = 1_000): string => {
  const decision = state.decideAppend(header({ timestamp: 1_000 }), epoch, acks, nowMs);
  return decision.kind === 'refuse' ? decision.error.error : decision.kind;
};

test('R6: nothing is appended before the controller has decided an epoch for this incarnation', () => {
  assert.equal(refused(partition()), 'NOT_LEADER_OR_FOLLOWER');
});

test('F2: a request of an older or a newer leader epoch is refused, and told which it is', () => {
  assert.equal(refused(leading(), 2), 'FENCED_LEADER_EPOCH');
  assert.equal(refused(leading(), 4), 'UNKNOWN_LEADER_EPOCH');
  assert.equal(refused(leading(), 3), 'append');
});

test('P5: acks=all needs the effective min ISR; acks=1 does not', () => {
  assert.equal(refused(leading({}, 2), 3, 'all'), 'NOT_ENOUGH_REPLICAS');
  assert.equal(refused(leading({}, 2), 3, 'leader'), 'append');
});

test('a batch above max.message.bytes is refused with both sizes', () => {
  const decision = leading({ 'max.message.bytes': '70' }).decideAppend(
    header({ value: 'x'.repeat(50) }),
    3,
    'all',
    1_000,
  );
  assert.equal(decision.kind, 'refuse');
  assert.match(decision.kind === 'refuse' ? decision.error.message : '', /of 1\d\d bytes .* max\.message\.bytes is 70/);
});

test('P2: a repetition is answered as the original was, whatever the settings have become since', () => {
  const state = leading();
  const original = header({ id: 7n, value: 'x'.repeat(50) });
  assert.equal(state.decideAppend(original, 3, 'all', 1_000).kind, 'append');
  state.applyAppend(original);
  state.config = topicConfig({ 'max.message.bytes': '70' });
  assert.equal(state.decideAppend(original, 3, 'all', 1_000).kind, 'duplicate');
});

test('P3: a timestamp too far ahead is refused, unless the broker stamps its own', () => {
  const configs = { 'message.timestamp.after.max.ms': '10' };
  assert.equal(refused(leading(configs), 3, 'all', 989), 'INVALID_TIMESTAMP');
  assert.equal(refused(leading(configs), 3, 'all', 990), 'append');
  assert.equal(refused(leading({ ...configs, 'message.timestamp.type': 'LogAppendTime' }), 3, 'all', 0), 'append');
});

test('L2: under commit the high watermark follows what is flushed, under async what is written', () => {
  for (const [policy, expected] of [
    ['commit', 0n],
    ['async', 2n],
  ] as const) {
    const state = leading({ 'flush.policy': policy });
    state.applyAppend(header({ count: 2 }));
    state.applyWritten(offset(2n));
    state.advanceHighWatermark();
    assert.equal(state.highWatermark, expected, policy);
    state.applyFlushed(offset(2n));
    state.advanceHighWatermark();
    assert.equal(state.highWatermark, 2n);
  }
});

test('R3: the high watermark is held while the ISR is below the effective min ISR, and never goes back', () => {
  const state = leading({ 'flush.policy': 'async' }, 2);
  state.applyAppend(header({}));
  state.applyWritten(offset(1n));
  assert.equal(state.advanceHighWatermark(), false);
  state.lead(term(4, [nodeId(1), nodeId(2)], 2), millis(0));
  assert.equal(state.advanceHighWatermark(), false);
  state.leadership?.attach({ node: nodeId(2), brokerEpoch: brokerEpoch(7n), attachment: 1 });
  state.leadership?.acknowledge(nodeId(2), 1, offset(1n), offset(0n), offset(1n), millis(0));
  assert.equal(state.advanceHighWatermark(), true);
  state.config = topicConfig({ 'flush.policy': 'commit' });
  assert.equal(state.advanceHighWatermark(), false);
  assert.equal(state.highWatermark, 1n);
});

test('L6: a cut goes back to what is written, and below the high watermark it is a bug', () => {
  const state = leading({ 'flush.policy': 'async' });
  state.applyAppend(header({}));
  state.applyWritten(offset(1n));
  state.advanceHighWatermark();
  state.applyAppend(header({ at: 1n }));
  state.applyCut(offset(1n));
  assert.equal(state.staged, 1n);
  assert.throws(() => state.applyCut(offset(0n)), /L6/);
});

test('R6: a leader epoch never goes back', () => {
  assert.throws(() => leading().lead(term(2, [nodeId(1)], 1), millis(0)), /epoch went back/);
});

test('after a restart the high watermark is the checkpointed one until the new epoch has committed (R8)', () => {
  const state = partition({}, 10n, 4n);
  assert.equal(state.highWatermark, 4n);
  state.lead(term(5, [nodeId(1)], 1), millis(0));
  state.advanceHighWatermark();
  assert.equal(state.highWatermark, 10n);
});

test('R8: an epoch that began in what a full disk then refused begins where the log ends', () => {
  const state = leading();
  state.applyAppend(header({ at: 0n, count: 3 }));
  state.lead(term(4, [nodeId(1)], 1), millis(0));
  assert.equal(state.leadership?.startOffset, 3n);
  state.applyCut(offset(0n));
  assert.equal(state.leadership?.startOffset, 0n);
});
