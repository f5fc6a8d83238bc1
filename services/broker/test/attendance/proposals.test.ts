import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  brokerEpoch,
  errorTable,
  leaderEpoch,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
  TributaryError,
} from '@tributary/model';
import { OutstandingProposals, type ProposalOutcome, type ProposedIsr } from '../../src/attendance/proposals.ts';

const proposalOf = (partition: number): ProposedIsr => ({
  topicId: topicId('t'),
  partition: partitionIndex(partition),
  leaderEpoch: leaderEpoch(3),
  partitionEpoch: partitionEpoch(7),
  isr: [{ nodeId: nodeId(1), brokerEpoch: brokerEpoch(11n) }],
});

function three(): { readonly proposals: OutstandingProposals; readonly outcomes: Map<number, ProposalOutcome> } {
  const proposals = new OutstandingProposals();
  const outcomes = new Map<number, ProposalOutcome>();
  for (const each of [0, 1, 2]) proposals.add(proposalOf(each), (outcome) => outcomes.set(each, outcome));
  return { proposals, outcomes };
}

const partitionsIn = (proposals: OutstandingProposals, most = 100): number[] =>
  proposals.take(most).map(({ proposal }) => proposal.partition);

test('M4: a stream carries each proposal once, the oldest first; the next stream carries again, identical, what is not answered', () => {
  const { proposals } = three();
  const first = proposals.take(2);
  assert.deepEqual([...first.map(({ proposal }) => proposal.partition), ...partitionsIn(proposals)], [0, 1, 2]);
  assert.deepEqual(partitionsIn(proposals), []);
  proposals.answer(2n, 0, '');
  proposals.beginStream();
  const again = proposals.take(100);
  assert.deepEqual(again[0], first[0]);
  assert.deepEqual(
    again.map(({ proposalId }) => proposalId),
    [1n, 3n],
  );
});

test('M4: an answer settles its proposal, once; a refusal carries its error and is final', () => {
  const { proposals, outcomes } = three();
  partitionsIn(proposals);
  assert.equal(proposals.answer(1n, 0, ''), true);
  assert.equal(proposals.answer(2n, errorTable.INVALID_UPDATE_VERSION.code, 'partition epoch 7 is old'), true);
  assert.equal(proposals.answer(1n, errorTable.INELIGIBLE_REPLICA.code, 'late'), false);
  assert.equal(outcomes.get(0), 'decided');
  const refusal = outcomes.get(1);
  assert.ok(refusal instanceof TributaryError);
  assert.equal(refusal.error, 'INVALID_UPDATE_VERSION');
  assert.equal(refusal.message, 'partition epoch 7 is old');
  assert.equal(outcomes.has(2), false);
  proposals.beginStream();
  assert.deepEqual(partitionsIn(proposals), [2]);
});

test('M4: what nobody waits for any more is not sent, and its answer settles nothing', () => {
  const { proposals, outcomes } = three();
  partitionsIn(proposals, 1);
  proposals.forget(1n);
  proposals.forget(2n);
  assert.deepEqual(partitionsIn(proposals), [2]);
  proposals.beginStream();
  assert.deepEqual(partitionsIn(proposals), [2]);
  assert.equal(proposals.answer(1n, 0, ''), false);
  assert.equal(outcomes.size, 0);
  assert.equal(proposals.count, 1);
});

test('ids rise over the life of the process, also past what was forgotten', () => {
  const { proposals } = three();
  proposals.forget(3n);
  assert.equal(
    proposals.add(proposalOf(3), () => undefined),
    4n,
  );
});
