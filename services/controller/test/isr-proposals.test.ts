import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type TopicId, brokerEpoch, leaderEpoch, nodeId, partitionEpoch, partitionIndex } from '@tributary/model';
import { judgeProposals } from '../src/isr-proposals.ts';
import { PureCluster, leadership } from './pure-cluster.ts';

/** Brokers 1, 2, 3 and a topic on them with min ISR 2, led by 1. */
function threeBrokers(partitions = 1): { readonly cluster: PureCluster; readonly id: TopicId; show(): string } {
  const cluster = new PureCluster({ partitions, replicationFactor: 3, minInsyncReplicas: 2 });
  for (const id of [1, 2, 3]) cluster.join(id);
  const id = cluster.create('orders');
  return { cluster, id, show: () => leadership(cluster.partition(id)) };
}

describe('an ISR proposal (M4)', () => {
  test('takes a member out and lets it in again, each in a new partition epoch', () => {
    const { cluster, id, show } = threeBrokers();
    assert.equal(cluster.propose(1, id, [1, 2]), 'accepted');
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2');
    assert.equal(cluster.partition(id).partitionEpoch, 1);
    assert.equal(cluster.propose(1, id, [1, 2, 3]), 'accepted');
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2,3');
    assert.equal(cluster.partition(id).partitionEpoch, 2);
  });

  test('that leaves fewer than the effective min ISR puts who goes into the ELR, which empties when there are enough again (R5)', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.propose(1, id, [1]);
    assert.equal(show(), 'leader 1 epoch 0 isr 1 elr 2,3');
    cluster.propose(1, id, [1, 3]);
    assert.equal(show(), 'leader 1 epoch 0 isr 1,3');
  });

  test('sent again after its answer was lost counts as decided while the state shows exactly it, and as old afterwards', () => {
    const { cluster, id } = threeBrokers();
    const same = { partitionEpoch: partitionEpoch(0) };
    assert.equal(cluster.propose(1, id, [1, 2]), 'accepted');
    const { revision } = cluster.image;
    assert.equal(cluster.propose(1, id, [2, 1], same), 'shown');
    assert.equal(cluster.image.revision, revision);
    assert.equal(cluster.propose(1, id, [1, 3], same), 'INVALID_UPDATE_VERSION');
    cluster.propose(1, id, [1, 2, 3]);
    assert.equal(cluster.propose(1, id, [1, 2], same), 'INVALID_UPDATE_VERSION');
  });

  test('of who does not lead, or not in that epoch, is refused', () => {
    const { cluster, id } = threeBrokers();
    assert.equal(cluster.propose(2, id, [1, 2]), 'FENCED_LEADER_EPOCH');
    assert.equal(cluster.propose(1, id, [1, 2], { leaderEpoch: leaderEpoch(1) }), 'FENCED_LEADER_EPOCH');
    cluster.join(1);
    assert.equal(cluster.propose(1, id, [1, 2]), 'FENCED_LEADER_EPOCH');
  });

  test('lets nobody in who is fenced, leaving, registered anew or with another directory (R6)', () => {
    const { cluster, id } = threeBrokers();
    cluster.propose(1, id, [1, 2]);
    const member = (node: number, epoch: bigint) => ({ nodeId: nodeId(node), brokerEpoch: brokerEpoch(epoch) });
    const isr = [member(1, cluster.epoch(1)), member(2, cluster.epoch(2)), member(3, cluster.epoch(3))];
    cluster.register(3);
    assert.equal(cluster.propose(1, id, [1, 2, 3]), 'INELIGIBLE_REPLICA');
    cluster.settle();
    assert.equal(cluster.propose(1, id, [], { isr }), 'INELIGIBLE_REPLICA');
    cluster.leave(3);
    assert.equal(cluster.propose(1, id, [1, 2, 3]), 'INELIGIBLE_REPLICA');
    cluster.lose(3);
    assert.equal(cluster.propose(1, id, [1, 2, 3]), 'INELIGIBLE_REPLICA');
    cluster.settle();
    cluster.join(3);
    assert.equal(cluster.propose(1, id, [1, 2, 3]), 'accepted');
  });

  test('of a leader that is leaving still lets others in: it needs a successor', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.propose(1, id, [1]);
    cluster.leave(1);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1 elr 2,3');
    assert.equal(cluster.propose(1, id, [1, 2]), 'accepted');
    cluster.settle();
    assert.equal(show(), 'leader 2 epoch 1 isr 1,2');
  });

  test('never leaves the leader out, names a stranger, or changes nothing', () => {
    const { cluster, id } = threeBrokers();
    cluster.join(4);
    for (const isr of [[], [2, 3], [1, 4], [1, 1], [1, 2, 3]])
      assert.equal(cluster.propose(1, id, isr), 'INVALID_REQUEST', isr.join());
    assert.equal(cluster.propose(1, id, [1], { partition: partitionIndex(7) }), 'UNKNOWN_TOPIC_ID');
    cluster.handle({ kind: 'delete-topic', topicId: id });
    assert.equal(cluster.propose(1, id, [1, 2]), 'UNKNOWN_TOPIC_ID');
  });

  for (const [what, happens, compared] of [
    ['registers anew', (cluster: PureCluster) => cluster.register(3), /registration/],
    ['begins to leave', (cluster: PureCluster) => cluster.leave(3), /broker-status/],
  ] as const)
    test(`is not decided when a member that it adds ${what} before it is committed`, () => {
      const { cluster, id } = threeBrokers();
      cluster.propose(1, id, [1, 2]);
      const proposer = { nodeId: nodeId(1), brokerEpoch: cluster.epoch(1) };
      const isr = [1, 2, 3].map((each) => ({ nodeId: nodeId(each), brokerEpoch: cluster.epoch(each) }));
      const name = { topicId: id, partition: partitionIndex(0) };
      const proposal = { ...name, leaderEpoch: leaderEpoch(0), partitionEpoch: partitionEpoch(1), isr };
      const judged = judgeProposals(cluster.image, proposer, [proposal]);
      assert.deepEqual(judged.verdicts, [{ kind: 'accepted' }]);
      happens(cluster);
      assert.throws(() => cluster.handle({ kind: 'change-isr', judged }), compared);
    });

  test('of one of 2,000 partitions that shrink at once takes a share of some twenty transactions', () => {
    const { cluster, id } = threeBrokers(6_000);
    const led = cluster.image.partitionsOf(id).filter((each) => each?.leader === nodeId(1));
    assert.equal(led.length, 2_000);
    const proposals = led.flatMap((each) => {
      if (each === undefined) return [];
      const isr = [1, 2].map((node) => ({ nodeId: nodeId(node), brokerEpoch: cluster.epoch(node) }));
      return [{ ...each, isr }];
    });
    const proposer = { nodeId: nodeId(1), brokerEpoch: cluster.epoch(1) };
    const judged = judgeProposals(cluster.image, proposer, proposals);
    const steps = cluster.handle({ kind: 'change-isr', judged });
    assert.ok(steps.length <= 21, `${steps.length} transactions`);
    assert.ok(led.every((each) => each !== undefined && cluster.partition(id, each.partition).isr.length === 2));
    assert.equal(
      steps.reduce((sum, { facts }) => sum + (facts?.isrShrinks ?? 0), 0),
      2_000,
    );
  });
});
