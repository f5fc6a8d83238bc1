import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TopicId } from '@tributary/model';
import { nodeId } from '@tributary/model';
import { leavingShare } from '../src/brokers.ts';
import { decide } from '../src/decide.ts';
import { PureCluster, leadership } from './pure-cluster.ts';

function threeBrokers(partitions = 1): {
  readonly cluster: PureCluster;
  readonly id: TopicId;
  show(): string;
  share(node: number): readonly number[];
} {
  const cluster = new PureCluster({ partitions, replicationFactor: 3, minInsyncReplicas: 2 });
  for (const id of [1, 2, 3]) cluster.join(id);
  const id = cluster.create('orders');
  const share = (node: number): readonly number[] => {
    const { toMove, withoutSuccessor } = leavingShare(cluster.image, nodeId(node), cluster.losses, cluster.defaults);
    return [toMove, withoutSuccessor];
  };
  return { cluster, id, show: () => leadership(cluster.partition(id)), share };
}

describe('a broker that is leaving', () => {
  test('hands over what it leads to an in-sync replica in a new epoch, and leaves the ISR where that is large enough', () => {
    const { cluster, show, share } = threeBrokers();
    cluster.leave(1);
    assert.deepEqual(share(1), [1, 0]);
    cluster.settle();
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
    assert.deepEqual(share(1), [0, 0]);
  });

  test('stays in an ISR that would be too small without it', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.propose(1, id, [1, 2]);
    cluster.leave(1);
    cluster.settle();
    assert.equal(show(), 'leader 2 epoch 1 isr 1,2');
    cluster.lose(1);
    cluster.settle();
    assert.equal(show(), 'leader 2 epoch 1 isr 2 elr 1');
  });

  test('leads on where nobody else may, and says so', () => {
    const { cluster, id, show, share } = threeBrokers();
    cluster.propose(1, id, [1]);
    cluster.leave(1);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1 elr 2,3');
    assert.deepEqual(share(1), [0, 1]);
  });

  test('together with another hands over to neither, and nobody loses what was acknowledged', () => {
    const { cluster, id, show, share } = threeBrokers();
    cluster.leave(1);
    cluster.leave(2);
    cluster.settle();
    assert.equal(show(), 'leader 3 epoch 1 isr 2,3');
    cluster.leave(3);
    cluster.settle();
    assert.deepEqual(share(3), [0, 1]);
    for (const each of [1, 2, 3]) cluster.lose(each);
    cluster.settle();
    assert.deepEqual(
      [...cluster.partition(id).isr, ...cluster.partition(id).eligibleLeaderReplicas].sort((a, b) => a - b),
      [2, 3],
    );
    cluster.join(1);
    assert.equal(cluster.partition(id).leader, undefined);
    cluster.join(2);
    assert.equal(cluster.partition(id).leader, 2);
  });

  test('gets no new replica, and is as any other once it has registered anew', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.leave(1);
    cluster.settle();
    assert.throws(() => cluster.create('more'), /needs as many brokers; running are 2, 3/);
    cluster.join(1);
    assert.equal(cluster.broker(1).status?.leaving, false);
    assert.equal(cluster.propose(2, id, [1, 2, 3]), 'accepted');
    assert.equal(show(), 'leader 2 epoch 1 isr 1,2,3');
  });

  test('is seen through by a successor whichever transaction its controller died at', () => {
    const ends = new Set<string>();
    for (let done = 0; done <= 8; done++) {
      const { cluster, id } = threeBrokers(600);
      cluster.leave(1);
      for (const step of decide(cluster.image, cluster.reconcileEvent()).slice(0, done))
        cluster.commit(step.transaction);
      cluster.settle();
      const partitions = Array.from({ length: 600 }, (_, i) => leadership(cluster.partition(id, i)));
      assert.ok(partitions.every((each) => !each.includes('leader 1')));
      ends.add(partitions.join('; '));
    }
    assert.equal(ends.size, 1);
  });
});

describe('a broker taken to be dead while its registration lives (R10)', () => {
  test('loses what it leads first, then its places, then its registration together with its standing', () => {
    const { cluster, id, show } = threeBrokers(600);
    cluster.declareDead(1);
    const steps = cluster.settle();
    const elections = steps.map(({ facts }) => facts?.elections ?? 0);
    assert.equal(
      elections.reduce((sum, each) => sum + each, 0),
      200,
    );
    assert.ok(
      elections.slice(0, 2).every((each) => each > 90),
      elections.join(),
    );
    assert.deepEqual(steps.at(-1)?.transaction.delete, [{ kind: 'registration', nodeId: 1 }]);
    assert.equal(cluster.broker(1).status?.fenced, true);
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
    assert.equal(cluster.partition(id, 1).isr.includes(nodeId(1)), false);
  });

  test('comes back with a new registration', () => {
    const { cluster, id } = threeBrokers();
    cluster.declareDead(1);
    cluster.settle();
    cluster.join(1);
    assert.equal(cluster.propose(2, id, [1, 2, 3]), 'accepted');
  });

  test('that has registered anew meanwhile is not fenced for its former life', () => {
    const { cluster, show } = threeBrokers();
    cluster.declareDead(2);
    const late = decide(cluster.image, cluster.reconcileEvent());
    cluster.register(2);
    for (const { transaction } of late) assert.throws(() => cluster.commit(transaction), /registration/);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2,3');
  });

  test('together with another: neither is elected in the place of the other', () => {
    const { cluster, show } = threeBrokers();
    cluster.declareDead(1);
    cluster.declareDead(2);
    cluster.settle();
    assert.equal(show(), 'leader 3 epoch 1 isr 3 elr 2');
  });

  test('is seen out by a successor whichever transaction its controller died at', () => {
    for (let done = 0; done <= 8; done++) {
      const { cluster, id } = threeBrokers(600);
      cluster.declareDead(1);
      for (const step of decide(cluster.image, cluster.reconcileEvent()).slice(0, done))
        cluster.commit(step.transaction);
      cluster.settle();
      assert.equal(cluster.broker(1).registration, undefined);
      for (let i = 0; i < 600; i++) {
        const { leader, isr } = cluster.partition(id, i);
        assert.ok(leader !== 1 && leader !== undefined && !isr.includes(nodeId(1)));
      }
    }
  });
});
