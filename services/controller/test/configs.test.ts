import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type TopicId,
  TributaryError,
  brokerEpoch,
  leaderEpoch,
  nodeId,
  offsetsTopicName,
  partitionIndex,
} from '@tributary/model';
import { ConfigSource } from '@tributary/wire';
import { type ConfigChange, type ConfigResource, brokersNamed } from '../src/alter-configs.ts';
import { decide } from '../src/decide.ts';
import { describeBrokerConfigs, describeTopicConfigs } from '../src/describe.ts';
import { FlushReports } from '../src/effective-settings.ts';
import { effectiveOf, mayLose } from '../src/topic-defaults.ts';
import { PureCluster, defaults } from './pure-cluster.ts';

const everyBroker: ConfigResource = { kind: 'brokers', scope: 'all' };
const ofTopic = (topicId: TopicId): ConfigResource => ({ kind: 'topic', topicId });
const set = (name: string, value: string): ConfigChange => ({ name, operation: 'set', value });
const unset = (name: string): ConfigChange => ({ name, operation: 'delete', value: '' });

function withBrokers(count: number, given = defaults): PureCluster {
  const cluster = new PureCluster(given);
  for (let id = 1; id <= count; id++) cluster.join(id);
  return cluster;
}

function alter(cluster: PureCluster, resource: ConfigResource, ...changes: readonly ConfigChange[]): void {
  cluster.handle({ kind: 'alter-configs', resource, changes, defaults: cluster.defaults });
  cluster.settle();
}

const refused =
  (error: string, sentence: RegExp) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    assert.equal(thrown.error, error);
    assert.match(thrown.message, sentence);
    return true;
  };

describe('settings of a topic', () => {
  test('are set, extended, reduced and given back, all of a request or nothing', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders');
    const topic = ofTopic(id);
    alter(cluster, topic, set('retention.ms', '5'), { name: 'cleanup.policy', operation: 'append', value: 'compact' });
    assert.deepEqual(cluster.topic(id).configs, { 'retention.ms': '5', 'cleanup.policy': 'delete,compact' });
    alter(cluster, topic, { name: 'cleanup.policy', operation: 'subtract', value: 'delete' }, unset('retention.ms'));
    assert.deepEqual(cluster.topic(id).configs, { 'cleanup.policy': 'compact' });
    const { revision } = cluster.image;
    assert.throws(() => alter(cluster, topic, set('retention.ms', '6'), set('segment.bytes', 'big')));
    alter(cluster, topic, set('cleanup.policy', 'compact'), unset('retention.ms'));
    assert.equal(cluster.image.revision, revision, 'what changes nothing writes nothing');
  });

  test('are refused with the name, the value and what is possible', () => {
    const cluster = withBrokers(1);
    const topic = ofTopic(cluster.create('orders', { configs: { 'min.compaction.lag.ms': '100' } }));
    const refuses = (error: string, sentence: RegExp, ...changes: readonly ConfigChange[]): void =>
      assert.throws(() => alter(cluster, topic, ...changes), refused(error, sentence));
    refuses('INVALID_REQUEST', /names no setting/);
    refuses('INVALID_CONFIG', /"retention.mss".*"retention.ms"/, set('retention.mss', '1'));
    refuses('INVALID_CONFIG', /"retention.mss".*"retention.ms"/, unset('retention.mss'));
    refuses('INVALID_CONFIG', /name of a setting is empty/, set('', '1'));
    refuses('INVALID_CONFIG', /"-2" for topic config retention.ms.*≥ -1/, set('retention.ms', '-2'));
    refuses('INVALID_CONFIG', /retention.ms is no list/, { name: 'retention.ms', operation: 'append', value: '1' });
    refuses('INVALID_CONFIG', /Nothing would be left of cleanup.policy/, {
      name: 'cleanup.policy',
      operation: 'subtract',
      value: 'delete',
    });
    refuses('INVALID_CONFIG', /"delete,later" for topic config cleanup.policy/, {
      name: 'cleanup.policy',
      operation: 'append',
      value: 'later',
    });
    refuses('INVALID_REQUEST', /"retention.ms" is named twice/, set('retention.ms', '1'), unset('retention.ms'));
    refuses('INVALID_CONFIG', /min.compaction.lag.ms \(100\) is above/, set('max.compaction.lag.ms', '99'));
    refuses('INVALID_CONFIG', /"__proto__"/, set('__proto__', '1'));
    const began = performance.now();
    refuses('INVALID_CONFIG', /^Unknown topic config/, set('retention.ms'.repeat(400_000), '1'));
    assert.ok(performance.now() - began < 1_000, 'a name of megabytes holds nobody up');
  });

  test('lie over those of all brokers, which lie over what the controller was started with', () => {
    const cluster = withBrokers(3, { partitions: 1, replicationFactor: 3, minInsyncReplicas: 2 });
    const id = cluster.create('orders');
    const shown = (name: string): unknown[] => {
      const entry = describeTopicConfigs(cluster.image, cluster.topic(id), cluster.defaults).find(
        (each) => each.name === name,
      );
      return [entry?.value, entry?.defaultValue, entry?.source];
    };
    assert.deepEqual(shown('min.insync.replicas'), ['2', '2', ConfigSource.BROKER]);
    alter(cluster, everyBroker, set('min.insync.replicas', '3'), set('log.retention.ms', '7'));
    assert.deepEqual(shown('min.insync.replicas'), ['3', '3', ConfigSource.CLUSTER]);
    assert.deepEqual(shown('retention.ms'), ['7', '7', ConfigSource.CLUSTER]);
    alter(cluster, ofTopic(id), set('min.insync.replicas', '1'));
    assert.deepEqual(shown('min.insync.replicas'), ['1', '3', ConfigSource.TOPIC]);
    assert.deepEqual(shown('segment.bytes'), ['1073741824', '1073741824', ConfigSource.DEFAULT]);
  });
});

describe('settings of brokers', () => {
  test('are of one or of all, and say who set them', () => {
    const cluster = withBrokers(2);
    alter(cluster, everyBroker, set('max.connections', '50'), set('num.partitions', '4'));
    alter(cluster, { kind: 'brokers', scope: nodeId(2) }, set('max.connections', '60'));
    const shown = (scope: 'all' | number, name: string): unknown[] => {
      const all = describeBrokerConfigs(cluster.image, scope === 'all' ? 'all' : nodeId(scope), cluster.defaults);
      const entry = all.find((each) => each.name === name);
      return [entry?.value, entry?.defaultValue, entry?.source];
    };
    assert.deepEqual(shown('all', 'max.connections'), ['50', '10000', ConfigSource.CLUSTER]);
    assert.deepEqual(shown(1, 'max.connections'), ['50', '50', ConfigSource.CLUSTER]);
    assert.deepEqual(shown(2, 'max.connections'), ['60', '50', ConfigSource.BROKER]);
    assert.deepEqual(shown(2, 'open.files.max'), ['4096', '4096', ConfigSource.DEFAULT]);
    cluster.join(3, { configs: { 'open.files.max': '77', 'max.connections': '5' } });
    assert.deepEqual(shown(3, 'open.files.max'), ['77', '77', ConfigSource.BROKER]);
    assert.deepEqual(shown(3, 'max.connections'), ['50', '50', ConfigSource.CLUSTER]);
    assert.equal(cluster.topic(cluster.create('usual')).partitions, 4);
    alter(cluster, { kind: 'brokers', scope: nodeId(2) }, unset('max.connections'));
    assert.equal(cluster.image.configsSet(nodeId(2)), undefined);
  });

  test('are refused where they belong to another scope, to no broker, or break a topic', () => {
    const cluster = withBrokers(1);
    cluster.create('orders', { configs: { 'max.compaction.lag.ms': '50' } });
    const one: ConfigResource = { kind: 'brokers', scope: nodeId(1) };
    assert.throws(() => alter(cluster, one, set('num.partitions', '3')), refused('INVALID_CONFIG', /of all brokers/));
    assert.throws(
      () => alter(cluster, everyBroker, set('max.connection', '3')),
      refused('INVALID_CONFIG', /nearest known one is "max.connections"/),
    );
    assert.throws(
      () => alter(cluster, everyBroker, set('log.cleaner.min.compaction.lag.ms', '60')),
      refused('INVALID_CONFIG', /topic "orders"/),
    );
    assert.throws(() => brokersNamed(cluster.image, '7'), refused('BROKER_ID_NOT_REGISTERED', /known are: 1/));
    for (const name of ['-1', 'x', '01', '1e3'])
      assert.throws(() => brokersNamed(cluster.image, name), refused('INVALID_REQUEST', /by its node id/));
  });
});

describe('min.insync.replicas in force', () => {
  test('follows the setting into every partition, with a new partition epoch and no new leader epoch', () => {
    const cluster = withBrokers(3);
    const id = cluster.create('wide', { partitions: 250, replicationFactor: 3 });
    const [before] = [cluster.partition(id, 249)];
    alter(cluster, ofTopic(id), set('min.insync.replicas', '2'));
    for (let i = 0; i < 250; i++) assert.equal(cluster.partition(id, i).effectiveMinIsr, 2);
    const after = cluster.partition(id, 249);
    assert.deepEqual([after.partitionEpoch, after.leaderEpoch], [before.partitionEpoch + 1, before.leaderEpoch]);
    alter(cluster, ofTopic(id), set('min.insync.replicas', '9'));
    assert.equal(cluster.partition(id, 0).effectiveMinIsr, 3, 'there are no more replicas (R3)');
  });

  test('is taken up after any of its transactions', () => {
    const whole = withBrokers(3);
    const id = whole.create('wide', { partitions: 250, replicationFactor: 3 });
    const event = {
      kind: 'alter-configs',
      resource: everyBroker,
      changes: [set('min.insync.replicas', '2')],
      defaults,
    } as const;
    whole.handle(event);
    const steps = decide(whole.image, whole.reconcileEvent());
    assert.ok(steps.length >= 3);
    for (let died = 0; died <= steps.length; died++) {
      const cluster = withBrokers(3);
      cluster.create('wide', { partitions: 250, replicationFactor: 3 });
      cluster.handle(event);
      for (const step of steps.slice(0, died)) cluster.commit(step.transaction);
      cluster.settle();
      for (let i = 0; i < 250; i++) assert.equal(cluster.partition(id, i).effectiveMinIsr, 2);
      assert.equal(cluster.partition(id, 0).partitionEpoch, cluster.partition(id, 249).partitionEpoch);
    }
  });

  test('lowered to what is in sync lets go of those who are only eligible, and not before (R5)', () => {
    const cluster = withBrokers(3);
    const id = cluster.create('orders', { replicationFactor: 3, configs: { 'min.insync.replicas': '3' } });
    cluster.lose(3);
    cluster.settle();
    cluster.lose(2);
    cluster.settle();
    assert.deepEqual(cluster.partition(id).eligibleLeaderReplicas, [3, 2]);
    alter(cluster, ofTopic(id), set('min.insync.replicas', '2'));
    assert.deepEqual(cluster.partition(id).eligibleLeaderReplicas, [3, 2]);
    alter(cluster, ofTopic(id), set('min.insync.replicas', '1'));
    assert.deepEqual(cluster.partition(id).eligibleLeaderReplicas, []);
  });
});

describe('flush.policy in force', () => {
  const async = set('flush.policy', 'async');
  const commit = set('flush.policy', 'commit');

  function report(cluster: PureCluster, reports: FlushReports, id: TopicId, node: number, more = {}): void {
    const name = { topicId: id, partition: partitionIndex(0) };
    reports.note(name, nodeId(node), {
      brokerEpoch: brokerEpoch(cluster.broker(node).registration?.createRevision ?? 0n),
      leaderEpoch: cluster.partition(id).leaderEpoch,
      revision: cluster.image.revision,
      ...more,
    });
    cluster.handle({ kind: 'flushed', names: [name], reports, defaults });
  }

  test('is async at once, and commit only when every in-sync replica has given its word (R6)', () => {
    const cluster = withBrokers(2);
    const id = cluster.create('orders', { replicationFactor: 2 });
    const policy = (): string => cluster.partition(id).effectiveFlushPolicy;
    alter(cluster, ofTopic(id), async);
    assert.equal(policy(), 'async');
    const reports = new FlushReports();
    report(cluster, reports, id, 1);
    report(cluster, reports, id, 2);
    assert.equal(policy(), 'async', 'the setting does not ask for it');
    alter(cluster, ofTopic(id), commit);
    assert.equal(policy(), 'async');
    const before = cluster.partition(id).partitionEpoch;
    report(cluster, reports, id, 1);
    assert.equal(policy(), 'async', 'broker 2 has said nothing since');
    report(cluster, reports, id, 2);
    assert.deepEqual([policy(), cluster.partition(id).partitionEpoch], ['commit', before + 1]);
  });

  test('is not commit while an eligible replica has not given its word: its machine may lose what it acknowledged (R6)', () => {
    const cluster = withBrokers(2);
    const configs = { 'flush.policy': 'async', 'min.insync.replicas': '2' };
    const id = cluster.create('orders', { replicationFactor: 2, configs });
    const policy = (): string => cluster.partition(id).effectiveFlushPolicy;
    cluster.lose(2);
    cluster.settle();
    alter(cluster, ofTopic(id), commit);
    const reports = new FlushReports();
    report(cluster, reports, id, 1);
    assert.deepEqual([policy(), cluster.partition(id).eligibleLeaderReplicas], ['async', [2]]);
    cluster.join(2, { lossy: true });
    assert.deepEqual(cluster.partition(id).eligibleLeaderReplicas, []);
    report(cluster, reports, id, 1);
    assert.equal(policy(), 'commit');
  });

  test('takes no word from before a change of settings, of an earlier leader epoch, or of an earlier incarnation', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders', { configs: { 'flush.policy': 'async' } });
    const policy = (): string => cluster.partition(id).effectiveFlushPolicy;
    alter(cluster, ofTopic(id), commit);
    const stale = cluster.image.revision;
    alter(cluster, ofTopic(id), async);
    alter(cluster, ofTopic(id), commit);
    const reports = new FlushReports();
    report(cluster, reports, id, 1, { revision: stale });
    report(cluster, reports, id, 1, { leaderEpoch: leaderEpoch(-1) });
    report(cluster, reports, id, 1, { brokerEpoch: brokerEpoch(0n) });
    assert.equal(policy(), 'async');
    report(cluster, reports, id, 1);
    assert.equal(policy(), 'commit');
  });

  test('takes no word from before the settings of all brokers changed, also to none', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders', { configs: { 'flush.policy': 'async' } });
    alter(cluster, ofTopic(id), unset('flush.policy'));
    const stale = cluster.image.revision;
    alter(cluster, everyBroker, set('log.flush.policy', 'async'));
    alter(cluster, everyBroker, unset('log.flush.policy'));
    const reports = new FlushReports();
    report(cluster, reports, id, 1, { revision: stale });
    assert.equal(cluster.partition(id).effectiveFlushPolicy, 'async');
    report(cluster, reports, id, 1);
    assert.equal(cluster.partition(id).effectiveFlushPolicy, 'commit');
  });
});

describe('adding partitions', () => {
  const grow = (cluster: PureCluster, id: TopicId, total: number) =>
    cluster.handle({ kind: 'create-partitions', topicId: id, total, defaults: cluster.defaults });

  test('keeps those that are there, and spreads the new ones as new topics are', () => {
    const cluster = withBrokers(2);
    const id = cluster.create('orders', { partitions: 3, configs: { 'min.insync.replicas': '1' } });
    const before = [0, 1, 2].map((i) => cluster.partition(id, i));
    assert.equal(grow(cluster, id, 8).length, 1);
    assert.deepEqual(cluster.settle(), []);
    assert.equal(cluster.topic(id).partitions, 8);
    assert.deepEqual(
      [0, 1, 2].map((i) => cluster.partition(id, i)),
      before,
    );
    const leaders = Array.from({ length: 8 }, (_, i) => cluster.partition(id, i).leader);
    assert.equal(leaders.filter((leader) => leader === 1).length, 4);
    assert.deepEqual(grow(cluster, id, 8), [], 'asked for again it adds none');
  });

  test('of 10,000 is taken up after any of its transactions', () => {
    const whole = withBrokers(3);
    const id = whole.create('wide', { partitions: 10, replicationFactor: 3 });
    const all = [...grow(whole, id, 400), ...whole.settle()];
    assert.ok(all.length >= 4);
    for (let died = 1; died <= all.length; died++) {
      const cluster = withBrokers(3);
      cluster.create('wide', { partitions: 10, replicationFactor: 3 });
      for (const step of all.slice(0, died)) cluster.commit(step.transaction);
      cluster.settle();
      for (let i = 0; i < 400; i++) cluster.partition(id, i);
      assert.equal(cluster.image.unsettledTopics.size, 0);
      assert.deepEqual([cluster.topic(id).partitions, cluster.image.partitionsOf(id).length], [400, 400]);
    }
  });

  test('is refused with a sentence that says what is there and what is possible', () => {
    const cluster = withBrokers(1);
    const id = cluster.create('orders', { partitions: 3 });
    assert.throws(() => grow(cluster, id, 2), refused('INVALID_PARTITIONS', /has 3 partitions.*fewer/));
    for (const total of [0, -1, 10_001])
      assert.throws(() => grow(cluster, id, total), refused('INVALID_PARTITIONS', /1 to 10000 are allowed/));
    cluster.lose(1);
    cluster.settle();
    assert.throws(() => grow(cluster, id, 4), refused('INVALID_REPLICATION_FACTOR', /none is running/));
  });
});

describe('settings of an internal topic', () => {
  const made = { 'cleanup.policy': 'compact', 'flush.policy': 'commit', 'unclean.leader.election.enable': 'false' };

  test('on which the fence and the journal of groups rest stay as they are, each for its own reason (G1)', () => {
    const cluster = withBrokers(1);
    const id = cluster.create(offsetsTopicName, { configs: { ...made, 'max.message.bytes': '2097152' } });
    const refusals: readonly (readonly [ConfigChange, RegExp])[] = [
      [set('cleanup.policy', 'delete'), /^cleanup\.policy of "__consumer_offsets" is compact and stays so: the newest/],
      [{ name: 'cleanup.policy', operation: 'append', value: 'delete' }, /^cleanup\.policy of /],
      [set('flush.policy', 'async'), /^flush\.policy of "__consumer_offsets" is commit and stays so: .* loss of power/],
      [
        set('unclean.leader.election.enable', 'true'),
        /^unclean\.leader\.election\.enable of .* is false and stays so: .* fence/,
      ],
      [set('max.message.bytes', '1000'), /^max\.message\.bytes of .* is at least/],
      // What lies beneath could change.
      ...Object.keys(made).map((name) => [unset(name), new RegExp(`^${RegExp.escape(name)} of .* stays so`)] as const),
    ];
    for (const [change, sentence] of refusals)
      assert.throws(() => alter(cluster, ofTopic(id), change), refused('INVALID_CONFIG', sentence), change.name);
    alter(cluster, ofTopic(id), set('min.insync.replicas', '2'), set('cleanup.policy', 'compact'));
    assert.equal(cluster.topic(id).configs['min.insync.replicas'], '2');
  });

  test('do not follow what is set for all brokers', () => {
    const cluster = withBrokers(1);
    const id = cluster.create(offsetsTopicName, { configs: made });
    alter(cluster, everyBroker, set('unclean.leader.election.enable', 'true'), set('log.cleanup.policy', 'delete'));
    const topic = cluster.topic(id);
    assert.equal(mayLose(cluster.image, topic, cluster.defaults), false);
    assert.equal(effectiveOf(cluster.image, topic, cluster.defaults).flushPolicy, 'commit');
  });
});
