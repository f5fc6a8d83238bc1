import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError, brokerEpoch, nodeId, partitionIndex, topicId, writerEpoch } from '@tributary/model';
import { metadataKeys } from '../src/keys.ts';
import { type Place, allBrokers } from '../src/state.ts';
import { decodeEntry, decodeRevision, encodeTransaction, encodeValue, placeOf } from '../src/values.ts';
import { aPartition, oneOfEach } from './samples.ts';

const keys = metadataKeys('test');

describe('metadata keys', () => {
  test('each place has its own key below the prefix, and the key leads back to the place', () => {
    const seen = new Set<string>();
    for (const value of oneOfEach) {
      const place = placeOf(value);
      const key = keys.of(place);
      assert.ok(key.startsWith('/tributary/test/'));
      assert.deepEqual(keys.parse(key), place);
      seen.add(key);
    }
    assert.equal(seen.size, oneOfEach.length);
  });

  test('are spelt as other versions and operators know them', () => {
    const spelt: readonly (readonly [Place, string])[] = [
      [{ kind: 'cluster' }, 'cluster'],
      [{ kind: 'controller' }, 'election/controller'],
      [{ kind: 'registration', nodeId: nodeId(3) }, 'brokers/3/registration'],
      [{ kind: 'broker-status', nodeId: nodeId(3) }, 'brokers/3/state'],
      [{ kind: 'topic', topicId: topicId('T') }, 'topics/T'],
      [{ kind: 'topic-name', name: 'orders.v1' }, 'topic-names/orders.v1'],
      [{ kind: 'partition', topicId: topicId('T'), partition: partitionIndex(12) }, 'partitions/T/12'],
      [{ kind: 'producer-ids' }, 'producer-ids'],
      [{ kind: 'removal', topicId: topicId('T'), nodeId: nodeId(3) }, 'removals/T/3'],
      [{ kind: 'broker-configs', scope: nodeId(3) }, 'brokers/3/configs'],
      [{ kind: 'broker-configs', scope: allBrokers }, 'brokers/all/configs'],
      [{ kind: 'coordinator-registration', nodeId: nodeId(7) }, 'coordinators/7/registration'],
      [{ kind: 'group-partition', partition: partitionIndex(49) }, 'group-partitions/49'],
    ];
    for (const [place, below] of spelt) assert.equal(keys.of(place), `/tributary/test/${below}`);
  });

  test('of another cluster, or of a later version, are not taken for ours', () => {
    for (const key of [
      '/tributary/test2/cluster',
      '/tributary/test/cluster/x',
      '/tributary/test/brokers/x/state',
      '/tributary/test/brokers/all/state',
      '/tributary/test/brokers/x/configs',
      '/tributary/test/groups/a',
      '/tributary/test/coordinators/x/registration',
      '/tributary/test/coordinators/7/state',
      '/tributary/test/group-partitions/-1',
    ]) {
      assert.equal(keys.parse(key), undefined);
    }
    for (const index of ['-1', '01', '1e3', ''])
      assert.equal(keys.parse(`/tributary/test/partitions/T/${index}`), undefined);
  });
});

describe('metadata values', () => {
  test('come back from their written form as they were', () => {
    for (const value of oneOfEach) {
      const entry = { key: keys.of(placeOf(value)), value: encodeValue(value), createRevision: 3n, modRevision: 9n };
      assert.deepEqual(decodeEntry(keys, entry), { kind: 'put', value, createRevision: 3n, modRevision: 9n });
    }
  });

  test('node 0 leads like any other, and no leader is not node 0', () => {
    for (const leader of [nodeId(0), undefined]) {
      const value = { kind: 'partition', value: aPartition(topicId('t'), 0, { leader }) } as const;
      const entry = { key: keys.of(placeOf(value)), value: encodeValue(value), createRevision: 1n, modRevision: 1n };
      assert.deepEqual(decodeEntry(keys, entry)?.value, value);
    }
  });

  test('coordinator 0 owns like any other, and nobody is not coordinator 0', () => {
    for (const coordinator of [nodeId(0), undefined]) {
      const coordinatorEpoch = coordinator === undefined ? undefined : brokerEpoch(5n);
      const assignment = { partition: partitionIndex(0), coordinator, coordinatorEpoch, writerEpoch: writerEpoch(1n) };
      const value = { kind: 'group-partition', value: assignment } as const;
      const entry = { key: keys.of(placeOf(value)), value: encodeValue(value), createRevision: 1n, modRevision: 1n };
      assert.deepEqual(decodeEntry(keys, entry)?.value, value);
    }
  });

  test('are proto3 JSON: names in camelCase, 64-bit numbers as text, enums by name', () => {
    const json: unknown = JSON.parse(oneOfEach.map(encodeValue)[3] ?? '');
    assert.deepEqual(json, {
      nodeId: 4,
      brokerEpoch: '1152921504606846976',
      incarnationId: 'incarnation-of-4',
      directoryId: 'directory-4',
      fenced: true,
      leaving: true,
    });
    assert.match(oneOfEach.map(encodeValue)[6] ?? '', /"effectiveFlushPolicy":"FLUSH_POLICY_ASYNC"/);
  });

  test('with fields that a later version added are read without them', () => {
    const [cluster] = oneOfEach;
    assert.ok(cluster !== undefined);
    const value = JSON.stringify({ ...JSON.parse(encodeValue(cluster)), laterField: [{ a: 1 }] });
    const entry = { key: keys.of({ kind: 'cluster' }), value, createRevision: 1n, modRevision: 1n };
    assert.deepEqual(decodeEntry(keys, entry)?.value, cluster);
  });

  test('that cannot be read are an error that names the key', () => {
    const bad: readonly (readonly [Place, string])[] = [
      [{ kind: 'cluster' }, 'no json'],
      [{ kind: 'cluster' }, 'null'],
      [{ kind: 'topic', topicId: topicId('T') }, '{"name":"a"}'],
      [{ kind: 'topic', topicId: topicId('T') }, '{"phase":"TOPIC_PHASE_LATER"}'],
      [{ kind: 'topic-name', name: 'a' }, '{}'],
      [{ kind: 'producer-ids' }, '{"nextId":"x"}'],
    ];
    for (const [place, value] of bad) {
      const key = keys.of(place);
      assert.throws(
        () => decodeEntry(keys, { key, value, createRevision: 1n, modRevision: 1n }),
        (thrown) =>
          thrown instanceof TributaryError && thrown.error === 'CORRUPT_MESSAGE' && thrown.message.includes(key),
      );
    }
  });

  test('of keys that this version does not know are left out of a watched revision', () => {
    const changes = [
      { kind: 'delete', key: '/tributary/test/cluster' },
      { kind: 'delete', key: '/tributary/test/later/x' },
      { kind: 'put', key: '/tributary/test/later/y', value: '?', createRevision: 1n, modRevision: 1n },
    ] as const;
    assert.deepEqual(decodeRevision(keys, { revision: 1n, changes }), [{ kind: 'delete', place: { kind: 'cluster' } }]);
  });
});

test('a typed transaction becomes one of the store with the same expectations, puts and deletions', () => {
  const place = { kind: 'topic-name', name: 'orders' } as const;
  const encoded = encodeTransaction(keys, {
    expect: [
      { place, is: 'absent' },
      { place: { kind: 'cluster' }, is: 'created-at', revision: 5n },
      { place: { kind: 'producer-ids' }, is: 'modified-at', revision: 6n },
    ],
    put: [{ kind: 'topic-name', value: { name: 'orders', topicId: topicId('T') } }],
    delete: [{ kind: 'cluster' }],
  });
  assert.deepEqual(encoded, {
    compare: [
      { key: '/tributary/test/topic-names/orders', createRevision: 0n },
      { key: '/tributary/test/cluster', createRevision: 5n },
      { key: '/tributary/test/producer-ids', modRevision: 6n },
    ],
    put: [{ key: '/tributary/test/topic-names/orders', value: '"T"' }],
    delete: ['/tributary/test/cluster'],
  });
});
