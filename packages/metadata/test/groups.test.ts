import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brokerEpoch, nodeId, offsetsTopicName, partitionIndex, topicId, writerEpoch } from '@tributary/model';
import { groupOwner, groupPartitionOf, offsetsTopic } from '../src/groups.ts';
import { ClusterImage } from '../src/image.ts';
import type { TopicPhase, Value } from '../src/state.ts';
import { aCoordinator, aTopic } from './samples.ts';

/** A topic of committed offsets with one partition, and who owns it. */
function owned(phase: TopicPhase, registeredAt: bigint, assignedTo: bigint): ClusterImage {
  const id = topicId('offsets');
  const values: readonly (readonly [Value, bigint])[] = [
    [{ kind: 'topic', value: aTopic(id, { name: offsetsTopicName, phase, partitions: 1 }) }, 1n],
    [{ kind: 'topic-name', value: { name: offsetsTopicName, topicId: id } }, 1n],
    [{ kind: 'coordinator-registration', value: aCoordinator(nodeId(7)) }, registeredAt],
    [
      {
        kind: 'group-partition',
        value: {
          partition: partitionIndex(0),
          coordinator: nodeId(7),
          coordinatorEpoch: brokerEpoch(assignedTo),
          writerEpoch: writerEpoch(3n),
        },
      },
      9n,
    ],
  ];
  const puts = values.map(([value, at]) => ({ kind: 'put' as const, value, createRevision: at, modRevision: at }));
  return ClusterImage.empty.apply(9n, puts).image;
}

describe('a group', () => {
  test('belongs to the partition that murmur2 of its id in UTF-8 names, as a key of the Java client would', () => {
    // Kafka's own golden values of murmur2: abc 479470107, 21 -973932308, foobar -790332482.
    assert.equal(groupPartitionOf('abc', 50), 479470107 % 50);
    assert.equal(groupPartitionOf('21', 50), (-973932308 & 0x7fffffff) % 50);
    assert.equal(groupPartitionOf('foobar', 50), (-790332482 & 0x7fffffff) % 50);
    assert.equal(groupPartitionOf('größe', 1), 0);
  });

  test('is owned by the coordinator that its partition is assigned to, in the registration of then', () => {
    const owner = groupOwner(owned('ready', 5n, 5n), 'g');
    assert.ok(typeof owner !== 'string');
    assert.deepEqual(
      [owner.partition, owner.coordinator.address, owner.assignment.writerEpoch],
      [0, 'coordinator-7:9097', 3n],
    );
  });

  test('has no owner once the registration is another, and none before the topic is whole', () => {
    assert.equal(groupOwner(owned('ready', 6n, 5n), 'g'), 'no-owner');
    assert.equal(groupOwner(owned('creating', 5n, 5n), 'g'), 'no-topic');
    assert.equal(offsetsTopic(owned('creating', 5n, 5n)), undefined);
    assert.equal(groupOwner(ClusterImage.empty, 'g'), 'no-topic');
  });
});
