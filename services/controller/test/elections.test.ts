import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type TopicId, directoryId } from '@tributary/model';
import type { LogDirPartition } from '@tributary/wire';
import { candidatesIn } from '../src/brokers.ts';
import { describeCluster } from '../src/cluster-description.ts';
import { imbalanced } from '../src/elections.ts';
import { remarksOn, troubleOf } from '../src/leaderless.ts';
import { LogEnds, awaiting, longest, questions } from '../src/longest-log.ts';
import { PureCluster, leadership } from './pure-cluster.ts';

interface Scene {
  readonly cluster: PureCluster;
  readonly id: TopicId;
  show(): string;
  trouble(): string;
}

/** Brokers 1, 2, 3 and a topic on them with min ISR 2, led by 1. */
function threeBrokers(configs: Readonly<Record<string, string>> = {}, partitions = 1): Scene {
  const cluster = new PureCluster({ partitions, replicationFactor: 3, minInsyncReplicas: 2 });
  for (const id of [1, 2, 3]) cluster.join(id);
  const id = cluster.create('orders', { configs });
  const trouble = (): string => {
    const found = troubleOf(cluster.image, cluster.partition(id));
    return found === undefined ? 'none' : `${found.trouble}: ${found.reason}`;
  };
  return { cluster, id, show: () => leadership(cluster.partition(id)), trouble };
}

const unclean = { 'unclean.leader.election.enable': 'true' };

describe('a preferred leader', () => {
  test('leads again in a new epoch once it is in sync, and not before', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.lose(1);
    cluster.settle();
    cluster.join(1);
    cluster.elect('preferred', id);
    assert.equal(show(), 'leader 2 epoch 1 isr 2,3');
    assert.deepEqual(imbalanced(cluster.image, cluster.losses, cluster.defaults, 10), []);
    cluster.propose(2, id, [1, 2, 3]);
    assert.equal(imbalanced(cluster.image, cluster.losses, cluster.defaults, 10).length, 1);
    cluster.elect('preferred', id);
    assert.equal(show(), 'leader 1 epoch 2 isr 1,2,3');
    const { revision } = cluster.image;
    cluster.elect('preferred', id);
    assert.equal(cluster.image.revision, revision);
  });

  test('that is leaving is not given back what it has handed over', () => {
    const { cluster, id, show } = threeBrokers();
    cluster.propose(1, id, [1, 2]);
    cluster.leave(1);
    cluster.settle();
    cluster.elect('preferred', id);
    assert.equal(show(), 'leader 2 epoch 1 isr 1,2');
  });

  test('of many partitions comes back in steps of no more than was asked for', () => {
    const { cluster } = threeBrokers({}, 300);
    cluster.leave(1);
    cluster.settle();
    cluster.join(1);
    assert.equal(imbalanced(cluster.image, cluster.losses, cluster.defaults, 50).length, 0);
    for (const { leader, topicId, partition, replicas } of cluster.image.partitions())
      if (replicas[0]?.nodeId === 1) cluster.proposeAt(leader ?? 0, topicId, partition, [1, 2, 3]);
    assert.equal(imbalanced(cluster.image, cluster.losses, cluster.defaults, 50).length, 50);
  });
});

describe('an unclean election', () => {
  /** Only 1 has all that was acknowledged, and it is gone. */
  function orphaned(configs: Readonly<Record<string, string>> = {}): Scene {
    const scene = threeBrokers({ ...configs, 'min.insync.replicas': '1' });
    scene.cluster.propose(1, scene.id, [1]);
    scene.cluster.lose(1);
    scene.cluster.settle();
    return scene;
  }

  test('is held only where the topic allows it; without, the partition waits and says who could mend it', () => {
    const { show, trouble } = orphaned();
    assert.equal(show(), 'leader none epoch 1 isr 1');
    assert.equal(
      trouble(),
      'offline: It waits for broker 1 (not running), which holds all that was acknowledged. An unclean election would let broker 2 or 3 lead at once, without what it lacks.',
    );
  });

  test('is recorded, and empties ISR and ELR of those who had more', () => {
    const { cluster, id, show } = orphaned(unclean);
    assert.equal(show(), 'leader 2 epoch 1 isr 2');
    const { uncleanEpoch, possibleLoss } = cluster.partition(id);
    assert.deepEqual([uncleanEpoch, possibleLoss], [1, true]);
    assert.match(remarksOn(cluster.image, cluster.partition(id)), /in epoch 1 was elected without all/);
    cluster.join(1);
    assert.equal(show(), 'leader 2 epoch 1 isr 2');
  });

  test('is held once the topic allows it', () => {
    const { cluster, id, show } = orphaned();
    const changes = [{ name: 'unclean.leader.election.enable', operation: 'set', value: 'true' }] as const;
    const { defaults } = cluster;
    cluster.handle({ kind: 'alter-configs', resource: { kind: 'topic', topicId: id }, changes, defaults });
    cluster.settle();
    assert.equal(show(), 'leader 2 epoch 2 isr 2');
  });

  test('that an operator asks for is held whatever the topic says, and not where somebody leads', () => {
    const { cluster, id, show } = orphaned();
    cluster.elect('unclean', id);
    assert.equal(show(), 'leader 2 epoch 2 isr 2');
    assert.equal(cluster.partition(id).possibleLoss, true);
    const { revision } = cluster.image;
    cluster.elect('unclean', id);
    assert.equal(cluster.image.revision, revision);
  });

  test('prefers who was a member last to who has been out for longer', () => {
    const { cluster, id, show } = threeBrokers({ 'flush.policy': 'async' });
    cluster.propose(1, id, [1, 3]);
    for (const node of [1, 3]) cluster.lose(node);
    cluster.settle();
    cluster.join(3, { lossy: true });
    assert.match(show(), /^leader none epoch 1 isr 1$/);
    assert.deepEqual(cluster.partition(id).lastMembers, [3]);
    cluster.elect('unclean', id);
    assert.equal(show(), 'leader 3 epoch 2 isr 3');
  });

  test('is not held while a member that is not known to be dead may come back', () => {
    const { cluster, id, show } = threeBrokers({ ...unclean, 'min.insync.replicas': '1' });
    cluster.propose(1, id, [1, 2]);
    // Broker 1 is away, as the store was: nobody calls that a death yet (M5).
    cluster.vanish(1);
    cluster.lose(2);
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 0 isr 1');
    cluster.lose(3);
    cluster.settle();
    cluster.join(3);
    assert.equal(show(), 'leader 1 epoch 0 isr 1');
  });

  test('does not overtake a member that has just come back', () => {
    const { cluster, id, show } = threeBrokers({ 'min.insync.replicas': '1' });
    cluster.propose(1, id, [1]);
    cluster.lose(1);
    cluster.settle();
    const changes = [{ name: 'unclean.leader.election.enable', operation: 'set', value: 'true' }] as const;
    const { defaults } = cluster;
    cluster.handle({ kind: 'alter-configs', resource: { kind: 'topic', topicId: id }, changes, defaults });
    cluster.register(1);
    // Brokers come before settings.
    cluster.settle();
    assert.equal(show(), 'leader 1 epoch 2 isr 1');
    assert.equal(cluster.partition(id).possibleLoss, false);
  });
});

describe('several last members that all stopped lossily (R7)', () => {
  const async = { 'flush.policy': 'async', 'min.insync.replicas': '1' };
  const candidates = (cluster: PureCluster) => candidatesIn(cluster.image, cluster.losses, cluster.defaults);

  function powerCycle(): Scene {
    const scene = threeBrokers(async);
    for (const id of [1, 2, 3]) scene.cluster.lose(id);
    scene.cluster.settle();
    return scene;
  }

  function says(id: TopicId, directory: string, lastEpoch: number, logEndOffset: bigint, errorMessage = '') {
    const zeros = { sizeBytes: 0n, segments: 0, logStartOffset: 0n, highWatermark: 0n, firstDirtyOffset: -1n };
    const log: LogDirPartition = {
      topicId: id,
      topic: '',
      partition: 0,
      lastEpoch,
      logEndOffset,
      errorMessage,
      ...zeros,
    };
    const disk = {
      path: '',
      errorCode: 0 as const,
      errorMessage: '',
      totalBytes: 0n,
      freeBytes: 0n,
      refuseBelowFreeBytes: 0n,
    };
    return { throttleMs: 0, nodeId: 0, logDirs: [{ ...disk, directoryId: directory, partitions: [log] }] };
  }

  test('wait for one another; then the greatest (epoch, end) leads, recorded as unclean', () => {
    const { cluster, id, show } = powerCycle();
    for (const node of [1, 2]) cluster.join(node, { lossy: true });
    assert.deepEqual(awaiting(cluster.image, [cluster.partition(id)], candidates(cluster)), []);
    cluster.join(3, { lossy: true });
    const waiting = awaiting(cluster.image, [cluster.partition(id)], candidates(cluster));
    assert.deepEqual(
      [...questions(waiting).keys()].sort((a, b) => a - b),
      [1, 2, 3],
    );
    const ends = new LogEnds();
    ends.note(says(id, 'directory-1', 4, 900n));
    ends.note(says(id, 'directory-2', 5, 300n));
    assert.deepEqual(longest(waiting, ends), []);
    ends.note(says(id, 'directory-3', 5, 300n, 'its log could not be opened'));
    assert.deepEqual(longest(waiting, ends), []);
    ends.note(says(id, 'directory-3', 5, 301n));
    const winners = longest(waiting, ends);
    cluster.handle({ kind: 'elect-longest', winners, losses: cluster.losses, defaults: cluster.defaults });
    assert.match(show(), /^leader 3 epoch \d+ isr 3$/);
    const { uncleanEpoch, leaderEpoch, possibleLoss, lastMembers } = cluster.partition(id);
    assert.deepEqual([uncleanEpoch, possibleLoss, lastMembers], [leaderEpoch, true, []]);
  });

  test('are not chosen from when one of them has gone again meanwhile', () => {
    const { cluster, id } = powerCycle();
    for (const node of [1, 2, 3]) cluster.join(node, { lossy: true });
    const waiting = awaiting(cluster.image, [cluster.partition(id)], candidates(cluster));
    const ends = new LogEnds();
    for (const node of [1, 2, 3]) ends.note(says(id, `directory-${node}`, 1, 1n));
    const winners = longest(waiting, ends);
    cluster.lose(1);
    cluster.settle();
    cluster.handle({ kind: 'elect-longest', winners, losses: cluster.losses, defaults: cluster.defaults });
    assert.equal(cluster.partition(id).leader, undefined);
  });

  test('say what they wait for', () => {
    const { cluster, trouble } = powerCycle();
    cluster.join(1, { lossy: true });
    cluster.join(2, { lossy: true, directoryId: directoryId('another') });
    assert.match(trouble(), /offline: It waits for broker 3 \(not running\)|offline: Its last replicas lost/);
  });
});

describe('the cluster described', () => {
  const unheard = { silent: [], leaving: new Map() };

  test('counts what is wrong, the worst first, and says of each broker how it stands', () => {
    const { cluster, id, trouble } = threeBrokers({}, 3);
    assert.deepEqual(describeCluster(cluster.image, unheard).troubles, []);
    cluster.leave(2);
    cluster.settle();
    cluster.lose(3);
    cluster.settle();
    const { brokers, partitions, offline, underReplicated, underMinIsr, troubles } = describeCluster(
      cluster.image,
      unheard,
    );
    assert.deepEqual([partitions, offline, underReplicated, underMinIsr], [3, 0, 3, 3]);
    assert.deepEqual(
      brokers.map(({ nodeId, standing }) => [nodeId, standing]),
      [
        [1, 1],
        [2, 3],
        [3, 4],
      ],
    );
    assert.deepEqual(
      brokers.map(({ replicas }) => replicas),
      [3, 3, 3],
    );
    assert.match(
      trouble(),
      /under_min_isr: acks=all needs 2 in-sync replicas, of which there is 1; not in sync: broker 2 \(stopping\) and broker 3 \(not running\)\./,
    );
    assert.equal(troubles.length, 3);
    assert.equal(troubles[0]?.topicId, id);
  });
});
