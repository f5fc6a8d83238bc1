import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isUnfenced } from '@tributary/metadata';
import { type TopicId, directoryId, limits, nodeId, partitionIndex } from '@tributary/model';
import { decide } from '../src/decide.ts';
import { leaderlessReason } from '../src/leaderless.ts';
import type { Step } from '../src/step.ts';
import { PureCluster, leadership } from './pure-cluster.ts';

const commit3 = { partitions: 1, replicationFactor: 3, minInsyncReplicas: 2 };

/** Brokers 1, 2, 3 and a topic on them with min ISR 2; the preferred leader is 1. */
function threeBrokers(configs: Readonly<Record<string, string>> = {}): {
  readonly cluster: PureCluster;
  readonly id: TopicId;
  show(): string;
  reason(): string;
} {
  const cluster = new PureCluster(commit3);
  for (const id of [1, 2, 3]) cluster.join(id);
  const id = cluster.create('orders', { configs });
  return {
    cluster,
    id,
    show: () => leadership(cluster.partition(id)),
    reason: () => leaderlessReason(cluster.image, cluster.partition(id)),
  };
}

function oneBroker(configs: Readonly<Record<string, string>> = {}): ReturnType<typeof threeBrokers> {
  const cluster = new PureCluster();
  cluster.join(1);
  const id = cluster.create('orders', { configs });
  return {
    cluster,
    id,
    show: () => leadership(cluster.partition(id)),
    reason: () => leaderlessReason(cluster.image, cluster.partition(id)),
  };
}

const unfences = ({ transaction }: Step): boolean =>
  transaction.put.some((value) => value.kind === 'broker-status' && !value.value.fenced);

describe('a broker that registers (R6)', () => {
  test('for the first time is let in, in its epoch', () => {
    const cluster = new PureCluster();
    cluster.join(7);
    const { registration, status } = cluster.broker(7);
    assert.equal(status?.brokerEpoch, registration?.createRevision);
    assert.equal(status?.incarnationId, 'incarnation-7');
    assert.ok(isUnfenced(cluster.broker(7)));
  });

  test('leads only in epochs decided after its registration, also as the sole replica, and is let in last', () => {
    const cluster = new PureCluster();
    cluster.join(1);
    const id = cluster.create('wide', { partitions: 300 });
    const steps = cluster.join(1);
    assert.equal(steps.length, 5);
    assert.deepEqual(steps.map(unfences), [false, false, false, false, true]);
    for (let i = 0; i < 300; i++) assert.equal(leadership(cluster.partition(id, i)), 'leader 1 epoch 1 isr 1');
  });

  test('is let in after the rest of it whichever transaction its controller died at', () => {
    for (let done = 0; done <= 5; done++) {
      const cluster = new PureCluster();
      cluster.join(1);
      const id = cluster.create('wide', { partitions: 300 });
      cluster.register(1);
      const before = cluster.image.revision;
      const { registration } = cluster.broker(1);
      for (const step of decide(cluster.image, cluster.reconcileEvent()).slice(0, done))
        cluster.commit(step.transaction);
      assert.equal(isUnfenced(cluster.broker(1)), done === 5);
      cluster.settle();
      for (let i = 0; i < 300; i++) {
        const partition = cluster.partition(id, i);
        assert.ok(partition.leaderEpoch >= 1 && partition.modRevision > before);
      }
      assert.equal(cluster.broker(1).status?.brokerEpoch, registration?.createRevision);
    }
  });

  test('while it was leading hands over to a member that is in already', () => {
    const { cluster, show } = threeBrokers();
    cluster.join(1);
    assert.equal(show(), 'leader 2 epoch 1 isr 1,2,3');
  });

  test('as a follower keeps its place, and nobody gets a new epoch', () => {
    const { cluster, show } = threeBrokers();
    cluster.join(2);
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2,3');
  });

  test('with a suspect replica leaves ISR and ELR before it is let in', () => {
    const { cluster, id, show } = threeBrokers();
    const steps = cluster.join(2, { suspects: [{ topicId: id, partition: partitionIndex(0) }] });
    assert.equal(show(), 'leader 1 epoch 0 isr 1,3');
    assert.deepEqual(steps.map(unfences), [false, true]);
    cluster.join(1, { suspects: [{ topicId: id, partition: partitionIndex(0) }] });
    assert.equal(show(), 'leader 3 epoch 1 isr 3');
  });

  test('with a suspect replica that is the last one leads on: nobody else has the data (L3)', () => {
    const { cluster, id, show } = oneBroker();
    cluster.join(1, { suspects: [{ topicId: id, partition: partitionIndex(0) }] });
    assert.equal(show(), 'leader 1 epoch 1 isr 1');
    assert.equal(cluster.partition(id).uncleanEpoch, undefined);
  });

  test('with another data directory has none of the data: it starts empty where others have it', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.join(1, { directoryId: directoryId('new disk') });
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
    assert.equal(cluster.partition(id).replicas[0]?.directoryId, 'new disk');
  });

  test('with another data directory than the only copy leaves the partition waiting for that one, which leads again cleanly', () => {
    const { cluster, id, show, reason } = oneBroker();
    cluster.join(1, { directoryId: directoryId('new disk') });
    assert.equal(show(), 'leader none epoch 1 isr ');
    assert.match(reason(), /broker 1 \(running with data directory new disk; the data is in directory-1\)/);
    assert.ok(isUnfenced(cluster.broker(1)), 'it serves everything else');
    cluster.join(1);
    assert.equal(show(), 'leader 1 epoch 2 isr 1');
    assert.equal(cluster.partition(id).uncleanEpoch, undefined);
    assert.equal(reason(), '');
  });

  test('after a lossy stop keeps its place in commit partitions and leaves async ones', () => {
    const { cluster, show } = threeBrokers();
    cluster.join(2, { lossy: true });
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2,3');
    const other = threeBrokers({ 'flush.policy': 'async' });
    other.cluster.join(2, { lossy: true });
    assert.equal(other.show(), 'leader 1 epoch 0 isr 1,3');
  });

  test('after a lossy stop as the last of an async partition leads by a recorded unclean election (R7)', () => {
    const { cluster, id, show } = oneBroker({ 'flush.policy': 'async' });
    cluster.join(1, { lossy: true });
    assert.equal(show(), 'leader 1 epoch 1 isr 1');
    assert.deepEqual([cluster.partition(id).uncleanEpoch, cluster.partition(id).possibleLoss], [1, true]);
    cluster.join(1);
    assert.deepEqual([cluster.partition(id).uncleanEpoch, cluster.partition(id).leaderEpoch], [1, 2]);
  });

  test('after a lossy stop as one of several that lost an async partition does not lead before all are heard (R7)', () => {
    const { cluster, id, show, reason } = threeBrokers({ 'flush.policy': 'async' });
    for (const node of [1, 2, 3]) cluster.lose(node);
    cluster.settle();
    for (const node of [3, 1, 2]) cluster.join(node, { lossy: true });
    assert.match(show(), /^leader none/);
    assert.deepEqual(
      [...cluster.partition(id).lastMembers].sort((a, b) => a - b),
      [1, 2, 3],
    );
    assert.match(reason(), /waits for all of them/);
  });

  test('with a version range outside the cluster stays out (M7)', () => {
    const { cluster, show } = oneBroker();
    cluster.join(1, { versionMin: 2, versionMax: 3 });
    assert.ok(!isUnfenced(cluster.broker(1)));
    assert.equal(show(), 'leader none epoch 1 isr 1');
    assert.deepEqual(cluster.settle(), []);
    cluster.join(1);
    assert.equal(show(), 'leader 1 epoch 2 isr 1');
  });

  test('with a version range outside the cluster leads no more what its previous incarnation led (R6)', () => {
    const { cluster, show } = threeBrokers();
    cluster.join(1, { versionMin: 2, versionMax: 3 });
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
  });

  test('and goes before it is let in leads nothing for ever, whichever transaction its controller had come to', () => {
    for (let done = 0; done <= 3; done++) {
      const { cluster, show } = threeBrokers();
      for (const node of [3, 2, 1]) {
        cluster.lose(node);
        cluster.settle();
      }
      assert.equal(show(), 'leader none epoch 1 isr 1 elr 2');
      cluster.register(1);
      for (let i = 0; i < done; i++) {
        const [step] = decide(cluster.image, cluster.reconcileEvent());
        if (step !== undefined) cluster.commit(step.transaction);
      }
      cluster.lose(1);
      cluster.settle();
      assert.match(show(), /^leader none .* isr 1 elr 2$/, `after ${done} transactions`);
      cluster.join(2);
      assert.match(show(), /^leader 2 /, `after ${done} transactions`);
    }
  });
});

describe('a broker that is gone', () => {
  test('hands its leaderships to members of the ISR, and leaves it', () => {
    const { cluster, show } = threeBrokers();
    cluster.lose(1);
    const steps = cluster.settle();
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
    assert.equal(cluster.broker(1).status?.fenced, true);
    assert.ok(steps.at(-1)?.transaction.put.some((value) => value.kind === 'broker-status'));
  });

  test('hands over to more brokers than a transaction holds', () => {
    const cluster = new PureCluster({ partitions: 1, replicationFactor: 2, minInsyncReplicas: 1 });
    const many = limits.transactionOperations + 10;
    for (let node = 1; node <= many; node++) cluster.join(node);
    const id = cluster.create('wide', { partitions: many });
    for (const partition of cluster.image.partitionsOf(id)) {
      assert.ok(partition !== undefined);
      const isr = [1, 2 + (partition.partition % (many - 1))].map(nodeId);
      const replicas = isr.map((node) => ({ nodeId: node, directoryId: directoryId(`directory-${node}`) }));
      const { createRevision: _created, modRevision: _modified, ...info } = partition;
      const value = { ...info, leader: nodeId(1), replicas, isr };
      cluster.commit({ expect: [], put: [{ kind: 'partition', value }], delete: [] });
    }
    cluster.lose(1);
    cluster.settle();
    const leaders = new Set([...cluster.image.partitions()].map(({ leader }) => leader));
    assert.equal(leaders.size, many - 1);
  });

  test('as a follower leaves the ISR without a new leader epoch', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.lose(3);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2');
    assert.equal(cluster.partition(id).partitionEpoch, 1);
  });

  test('as the only member leaves no leader, a reason, and its place, so that it leads when it is back', () => {
    const { cluster, show, reason } = oneBroker();
    cluster.lose(1);
    cluster.settle();
    assert.equal(show(), 'leader none epoch 1 isr 1');
    assert.match(reason(), /waits for broker 1 \(not running\)/);
    cluster.join(1);
    assert.equal(show(), 'leader 1 epoch 2 isr 1');
  });

  test('below the effective min ISR becomes eligible still, and leads when the rest goes too (R5)', () => {
    const { cluster, show } = threeBrokers();
    cluster.lose(3);
    cluster.settle();
    cluster.lose(2);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1 elr 2');
    cluster.lose(1);
    cluster.settle();
    assert.equal(show(), 'leader none epoch 1 isr 1 elr 2');
    cluster.join(3);
    assert.equal(show(), 'leader none epoch 1 isr 1 elr 2');
    cluster.join(2);
    assert.equal(show(), 'leader 2 epoch 2 isr 2 elr 1');
  });

  test('together with all others leaves every member a candidate: whoever is back first leads', () => {
    const { cluster, show, reason } = threeBrokers();
    for (const node of [1, 2, 3]) cluster.lose(node);
    cluster.settle();
    assert.match(show(), /^leader none/);
    assert.match(reason(), /broker 1 \(not running\) or broker 2 \(not running\)/);
    cluster.join(3);
    assert.match(show(), /^leader 3 .* isr 3 elr/);
  });

  test('is not taken for dead before the shell says so, nor are its places given away (M5)', () => {
    const { cluster, show } = threeBrokers();
    cluster.commit({ expect: [], put: [], delete: [{ kind: 'registration', nodeId: cluster.broker(1).nodeId }] });
    assert.deepEqual(cluster.settle(), []);
    cluster.join(2);
    assert.equal(show(), 'leader 1 epoch 0 isr 1,2,3');
  });

  test('leaves partitions of a topic that is being deleted alone', () => {
    const { cluster, id, show } = oneBroker();
    cluster.handle({ kind: 'delete-topic', topicId: id });
    cluster.register(1);
    cluster.handle(cluster.reconcileEvent());
    assert.equal(show(), 'leader 1 epoch 0 isr 1');
  });
});
