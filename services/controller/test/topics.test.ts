import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError, brokerEpoch, directoryId, limits, nodeId, topicId } from '@tributary/model';
import { decide } from '../src/decide.ts';
import { describeTopicConfigs, listTopics } from '../src/describe.ts';
import type { NewTopic } from '../src/topics.ts';
import { PureCluster, defaults, leadership } from './pure-cluster.ts';

function withBrokers(count: number): PureCluster {
  const cluster = new PureCluster();
  for (let id = 1; id <= count; id++) cluster.join(id);
  return cluster;
}

const refused =
  (error: string, sentence: RegExp) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    assert.equal(thrown.error, error);
    assert.match(thrown.message, sentence);
    return true;
  };

describe('a new cluster', () => {
  test('gets its id once', () => {
    const cluster = new PureCluster();
    cluster.settle();
    assert.equal(cluster.image.cluster?.clusterId, 'cluster-1');
    assert.deepEqual(cluster.settle(), []);
    assert.equal(cluster.committed.length, 1);
  });
});

describe('creating a topic', () => {
  test('of ordinary size takes one transaction, after which it can be used', () => {
    const cluster = withBrokers(1);
    const before = cluster.committed.length;
    const id = cluster.create('orders', { partitions: 6, configs: { 'retention.ms': '1' } });
    assert.equal(cluster.committed.length, before + 1);
    assert.deepEqual(listTopics(cluster.image), [
      { name: 'orders', topicId: id, partitions: 6, replicationFactor: 1, internal: false },
    ]);
    for (let i = 0; i < 6; i++) assert.equal(leadership(cluster.partition(id, i)), 'leader 1 epoch 0 isr 1');
    assert.deepEqual(cluster.topic(id).configs, { 'retention.ms': '1' });
  });

  test('of 10,000 partitions takes many, and is not shown before the last', () => {
    const cluster = withBrokers(3);
    const topic: NewTopic = {
      topicId: topicId('T'),
      name: 'wide',
      partitions: 10_000,
      replicationFactor: 3,
      configs: {},
    };
    cluster.handle({ kind: 'create-topic', topic, defaults });
    assert.equal(cluster.topic(topic.topicId).phase, 'creating');
    const steps = decide(cluster.image, cluster.reconcileEvent());
    assert.ok(steps.length > 100);
    for (const step of steps) {
      assert.deepEqual(listTopics(cluster.image), []);
      cluster.commit(step.transaction);
    }
    assert.equal(listTopics(cluster.image).length, 1);
    assert.equal(cluster.image.partitionCount, 10_000);
    assert.deepEqual(cluster.settle(), []);
  });

  test('compares that each of those who are to lead is registered as it was, with the first partitions and with the rest', () => {
    const cluster = withBrokers(3);
    const compared = (steps: ReturnType<typeof decide>) =>
      steps.map(({ transaction: { expect, put } }) => {
        const registrations = expect.flatMap(({ place }) => (place.kind === 'registration' ? [place.nodeId] : []));
        const led = put.flatMap((each) => (each.kind === 'partition' ? [each.value.leader] : []));
        // With the election's key.
        assert.ok(expect.length < limits.transactionOperations && put.length <= limits.transactionOperations);
        assert.deepEqual(new Set(registrations), new Set(led));
        assert.equal(new Set(registrations).size, registrations.length);
        return registrations.length;
      });
    const topic: NewTopic = { topicId: topicId('T'), name: 't', partitions: 6, replicationFactor: 2, configs: {} };
    assert.deepEqual(compared(decide(cluster.image, { kind: 'create-topic', topic, defaults })), [3]);
    cluster.handle({ kind: 'create-topic', topic, defaults });
    const event = { kind: 'create-partitions', topicId: topic.topicId, total: 300, defaults } as const;
    assert.deepEqual(compared(decide(cluster.image, event)), [3]);
    cluster.handle(event);
    assert.deepEqual(compared(decide(cluster.image, cluster.reconcileEvent())), [3, 3, 3]);
  });

  test('is taken up after any of its transactions, and ends the same', () => {
    const topic: NewTopic = { topicId: topicId('T'), name: 'wide', partitions: 250, replicationFactor: 2, configs: {} };
    for (let done = 0; done <= 4; done++) {
      const cluster = withBrokers(3);
      cluster.handle({ kind: 'create-topic', topic, defaults });
      for (const step of decide(cluster.image, cluster.reconcileEvent()).slice(0, done))
        cluster.commit(step.transaction);
      cluster.settle();
      assert.equal(cluster.topic(topic.topicId).phase, 'ready');
      assert.equal(cluster.image.partitionCount, 250);
      const led = [1, 2, 3].map(
        (id) => [...cluster.image.partitions()].filter((each) => each.leader === nodeId(id)).length,
      );
      assert.ok(Math.max(...led) - Math.min(...led) <= 1, led.join(' '));
    }
  });

  test('waits for the brokers that it lacks when some have gone in the middle', () => {
    const cluster = withBrokers(2);
    const topic: NewTopic = { topicId: topicId('T'), name: 'wide', partitions: 200, replicationFactor: 2, configs: {} };
    cluster.handle({ kind: 'create-topic', topic, defaults });
    cluster.lose(2);
    cluster.settle();
    assert.equal(cluster.topic(topic.topicId).phase, 'creating');
    cluster.join(2);
    assert.equal(cluster.topic(topic.topicId).phase, 'ready');
  });

  test('asked for again with the same id begins nothing anew', () => {
    const cluster = withBrokers(1);
    const topic: NewTopic = { topicId: topicId('T'), name: 'orders', partitions: 1, replicationFactor: 1, configs: {} };
    assert.equal(cluster.handle({ kind: 'create-topic', topic, defaults }).length, 1);
    cluster.lose(1);
    assert.equal(cluster.handle({ kind: 'create-topic', topic, defaults }).length, 0);
  });

  test('is refused with a sentence that says what is wrong and what is possible', () => {
    const cluster = withBrokers(2);
    cluster.create('orders');
    const wish: NewTopic = { topicId: topicId('new'), name: 'new', partitions: 1, replicationFactor: 1, configs: {} };
    const before = cluster.image.revision;
    const cases: readonly (readonly [Partial<NewTopic>, string, RegExp])[] = [
      [{ name: 'orders' }, 'TOPIC_ALREADY_EXISTS', /"orders" exists already/],
      [{ name: '' }, 'INVALID_TOPIC_EXCEPTION', /empty/],
      [{ name: 'a/b' }, 'INVALID_TOPIC_EXCEPTION', /letters/],
      [{ partitions: -1 }, 'INVALID_PARTITIONS', /-1 partitions: 1 to 10000/],
      [{ partitions: limits.partitionsPerTopic + 1 }, 'INVALID_PARTITIONS', /10001/],
      [{ replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR', /factor 3.*running are 1, 2/],
      [{ replicationFactor: -1 }, 'INVALID_REPLICATION_FACTOR', /at least 1/],
      [{ configs: { 'retention.msec': '1' } }, 'INVALID_CONFIG', /"retention.msec".*"retention.ms"/],
      [{ configs: { 'retention.ms': 'week' } }, 'INVALID_CONFIG', /"week".*retention.ms/],
    ];
    for (const [change, error, sentence] of cases) {
      assert.throws(
        () => cluster.handle({ kind: 'create-topic', topic: { ...wish, ...change }, defaults }),
        refused(error, sentence),
      );
    }
    cluster.lose(1);
    cluster.lose(2);
    cluster.settle();
    assert.throws(
      () => cluster.handle({ kind: 'create-topic', topic: wish, defaults }),
      refused('INVALID_REPLICATION_FACTOR', /none is running/),
    );
    assert.ok(cluster.image.topicNamed('new') === undefined && cluster.image.revision > before);
  });

  test('takes what is not said from the cluster, and caps min ISR at the replicas', () => {
    const cluster = new PureCluster({ partitions: 4, replicationFactor: 2, minInsyncReplicas: 2 });
    for (const id of [1, 2, 3]) cluster.join(id);
    const usual = cluster.create('usual');
    assert.deepEqual([cluster.topic(usual).partitions, cluster.topic(usual).replicationFactor], [4, 2]);
    assert.equal(cluster.partition(usual).effectiveMinIsr, 2);
    assert.equal(cluster.partition(cluster.create('single', { replicationFactor: 1 })).effectiveMinIsr, 1);
    const set = cluster.create('set', { configs: { 'min.insync.replicas': '1', 'flush.policy': 'async' } });
    assert.deepEqual(
      [cluster.partition(set).effectiveMinIsr, cluster.partition(set).effectiveFlushPolicy],
      [1, 'async'],
    );
  });

  test('its configs are described with value, default and source', () => {
    const cluster = new PureCluster({ partitions: 1, replicationFactor: 1, minInsyncReplicas: 2 });
    cluster.join(1);
    const id = cluster.create('orders', { configs: { 'retention.ms': '5' } });
    const byName = new Map(
      describeTopicConfigs(cluster.image, cluster.topic(id), cluster.defaults).map((each) => [each.name, each]),
    );
    const of = (name: string): unknown[] => [
      byName.get(name)?.value,
      byName.get(name)?.defaultValue,
      byName.get(name)?.source,
    ];
    assert.deepEqual(of('retention.ms'), ['5', '604800000', 3]);
    assert.deepEqual(of('min.insync.replicas'), ['2', '2', 2]);
    assert.deepEqual(of('segment.bytes'), ['1073741824', '1073741824', 1]);
    assert.ok([...byName.values()].every((each) => each.documentation !== ''));
  });
});

describe('deleting a topic', () => {
  test('frees its name at once, then its partitions go, and its id when every replica has confirmed', () => {
    const cluster = withBrokers(3);
    const id = cluster.create('orders', { partitions: 3, replicationFactor: 2 });
    cluster.handle({ kind: 'delete-topic', topicId: id });
    assert.equal(cluster.image.topicNamed('orders'), undefined);
    const again = cluster.create('orders', { topicId: topicId('again') });
    assert.equal(cluster.image.topicNamed('orders')?.topicId, again);
    assert.deepEqual(cluster.image.partitionsOf(id), []);
    assert.deepEqual(
      cluster.topic(id).removingReplicas.map((each) => each.nodeId),
      [1, 2, 3],
    );
    cluster.confirmRemoval(id, 2);
    cluster.settle();
    assert.deepEqual(
      cluster.topic(id).removingReplicas.map((each) => each.nodeId),
      [1, 3],
    );
    cluster.confirmRemoval(id, 1);
    cluster.confirmRemoval(id, 3);
    cluster.settle();
    assert.equal(cluster.image.topic(id), undefined);
    assert.deepEqual([...cluster.image.removals()], []);
    assert.equal(cluster.image.unsettledTopics.size, 0);
    assert.equal(cluster.image.partitionCount, 1);
  });

  test('of 10,000 partitions is taken up after any of its transactions', () => {
    for (const done of [0, 1, 57, 200]) {
      const cluster = withBrokers(1);
      const id = cluster.create('wide', { partitions: 10_000 });
      cluster.handle({ kind: 'delete-topic', topicId: id });
      for (const step of decide(cluster.image, cluster.reconcileEvent()).slice(0, done))
        cluster.commit(step.transaction);
      cluster.settle();
      assert.equal(cluster.image.partitionCount, 0);
      cluster.confirmRemoval(id, 1);
      cluster.settle();
      assert.equal(cluster.image.topicCount, 0);
    }
  });

  test('waits for a broker that is away, and does not wait for a data directory that is no more', () => {
    const cluster = withBrokers(2);
    const id = cluster.create('orders', { replicationFactor: 2 });
    cluster.lose(2);
    cluster.handle({ kind: 'delete-topic', topicId: id });
    cluster.confirmRemoval(id, 1);
    cluster.settle();
    assert.equal(cluster.topic(id).phase, 'deleting');
    cluster.join(2, { directoryId: directoryId('a new disk') });
    assert.equal(cluster.image.topic(id), undefined);
  });

  test('takes no word of a broker for another directory than the one that had the replica', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders');
    cluster.handle({ kind: 'delete-topic', topicId: id });
    cluster.confirmRemoval(id, 1, 'another');
    cluster.settle();
    assert.equal(cluster.topic(id).phase, 'deleting');
    cluster.confirmRemoval(id, 1);
    cluster.settle();
    assert.equal(cluster.image.topic(id), undefined);
  });

  test('asked for twice deletes once', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders');
    assert.equal(cluster.handle({ kind: 'delete-topic', topicId: id }).length, 1);
    assert.equal(cluster.handle({ kind: 'delete-topic', topicId: id }).length, 0);
  });

  test('leaves no confirmation behind that came too late', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders');
    cluster.handle({ kind: 'delete-topic', topicId: id });
    cluster.confirmRemoval(id, 1);
    cluster.settle();
    cluster.confirmRemoval(id, 1);
    cluster.settle();
    assert.deepEqual([...cluster.image.removals()], []);
  });
});

describe('producer ids', () => {
  const allocate = (cluster: PureCluster, epoch: bigint | undefined): bigint => {
    cluster.handle({ kind: 'allocate-producer-ids', nodeId: nodeId(1), brokerEpoch: brokerEpoch(epoch ?? 0n) });
    const next = cluster.image.producerIds?.nextId;
    assert.ok(next !== undefined);
    return next - BigInt(limits.producerIdBlock);
  };

  test('come in blocks that begin at 0 and never overlap', () => {
    const cluster = withBrokers(1);
    const epoch = cluster.broker(1).registration?.createRevision;
    const firsts = [0, 1, 2].map(() => allocate(cluster, epoch));
    assert.deepEqual(firsts, [0n, 1_000n, 2_000n]);
  });

  test('are refused to an earlier incarnation, and to who is not registered', () => {
    const cluster = withBrokers(1);
    const epoch = cluster.broker(1).registration?.createRevision;
    cluster.join(1);
    assert.throws(() => allocate(cluster, epoch), refused('STALE_BROKER_EPOCH', /epoch \d+.*epoch \d+/));
    cluster.lose(1);
    assert.throws(() => allocate(cluster, epoch), refused('BROKER_ID_NOT_REGISTERED', /Broker 1/));
    assert.equal(cluster.image.producerIds, undefined);
  });
});
