import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brokerEpoch, incarnationId, nodeId, partitionIndex, topicId, writerEpoch } from '@tributary/model';
import fc from 'fast-check';
import { type ClusterDelta, emptyDelta, mergeDeltas, partitionKey } from '../src/delta.ts';
import { ClusterImage, deltaFromNothing, isAdmitted, isUnfenced } from '../src/image.ts';
import { ImmutableMap } from '../src/immutable-map.ts';
import { changesSince } from '../src/listing.ts';
import { type ConfigScope, type Place, type StateChange, type Value, allBrokers } from '../src/state.ts';
import { placeOf } from '../src/values.ts';
import { aCoordinator, aPartition, aRegistration, aStatus, aTopic, oneOfEach } from './samples.ts';

const put = (
  value: Value,
  modRevision: bigint,
  createRevision = modRevision,
): StateChange & { readonly kind: 'put' } => {
  return { kind: 'put', value, createRevision, modRevision };
};
const remove = (place: Place): StateChange => ({ kind: 'delete', place });
const imageOf = (revision: bigint, ...values: readonly Value[]): ClusterImage => {
  return ClusterImage.empty.apply(
    revision,
    values.map((value) => put(value, revision)),
  ).image;
};

const t = topicId('t');
const node = nodeId(1);

describe('a cluster image', () => {
  test('shows every value that was applied, with its revisions', () => {
    const image = imageOf(
      9n,
      ...oneOfEach,
      { kind: 'topic', value: aTopic(topicId('named'), { name: 'shown', partitions: 0 }) },
      { kind: 'topic-name', value: { name: 'shown', topicId: topicId('named') } },
    );
    assert.equal(image.revision, 9n);
    assert.equal(image.cluster?.clusterId, 'cluster');
    assert.equal(image.controller?.createRevision, 9n);
    assert.equal(image.producerIds?.nextId, 2n ** 62n);
    assert.equal(image.broker(nodeId(4))?.registration?.rack, 'r1');
    assert.equal(image.broker(nodeId(4))?.status?.fenced, true);
    assert.deepEqual(image.clusterConfigs, { 'log.retention.ms': '9' });
    assert.deepEqual(image.brokerConfigs(nodeId(4)), { 'log.retention.ms': '9', 'max.connections': '7' });
    assert.deepEqual(image.brokerConfigs(nodeId(5)), image.clusterConfigs);
    assert.equal(image.coordinator(nodeId(4))?.rack, 'r1');
    assert.equal(image.groupPartition(partitionIndex(49))?.writerEpoch, 2n ** 62n);
    assert.equal(image.topic(t)?.phase, 'deleting');
    assert.equal(image.topicNamed('shown')?.topicId, 'named');
    assert.equal(image.partition(t, partitionIndex(7))?.leader, 2);
    assert.equal(image.removalsOf(t).get(node)?.directoryId, 'd');
    assert.deepEqual([...image.unsettledTopics], ['t']);
    assert.equal(image.partitionCount, 1);
  });

  test('counts a topic as unsettled while it lacks the keys of partitions that are being added', () => {
    const grown: Value = { kind: 'topic', value: aTopic(t, { partitions: 2 }) };
    const half = imageOf(1n, grown, { kind: 'partition', value: aPartition(t, 0) });
    assert.deepEqual([...half.unsettledTopics], ['t']);
    const whole = half.apply(2n, [put({ kind: 'partition', value: aPartition(t, 1) }, 2n)]).image;
    assert.deepEqual([...whole.unsettledTopics], []);
    const again = whole.apply(3n, [put({ kind: 'topic', value: aTopic(t, { partitions: 3 }) }, 3n)]).image;
    assert.deepEqual([...again.unsettledTopics], ['t']);
  });

  test('is not changed by what is applied on it', () => {
    const before = imageOf(1n, { kind: 'topic', value: aTopic(t) }, { kind: 'partition', value: aPartition(t, 0) });
    const { image: after } = before.apply(2n, [
      put({ kind: 'partition', value: aPartition(t, 1) }, 2n),
      remove({ kind: 'partition', topicId: t, partition: partitionIndex(0) }),
      remove({ kind: 'topic', topicId: t }),
    ]);
    assert.deepEqual([before.revision, before.partitionCount, before.topicCount], [1n, 1, 1]);
    assert.ok(before.partition(t, partitionIndex(0)) !== undefined);
    assert.deepEqual([after.revision, after.partitionCount, after.topicCount], [2n, 1, 0]);
    assert.equal(after.partition(t, partitionIndex(0)), undefined);
  });

  test('names what changed, before and after, and nothing else', () => {
    const before = imageOf(1n, ...oneOfEach, { kind: 'partition', value: aPartition(t, 0) });
    const { image, delta } = before.apply(2n, [
      put({ kind: 'partition', value: aPartition(t, 0, { leader: undefined }) }, 2n, 1n),
      put({ kind: 'broker-status', value: aStatus(nodeId(4), 1n) }, 2n, 1n),
      remove({ kind: 'controller' }),
    ]);
    const change = delta.partitions.get(partitionKey({ topicId: t, partition: partitionIndex(0) }));
    assert.deepEqual([change?.before?.leader, change?.after?.leader], [1, undefined]);
    assert.equal(change?.after, image.partition(t, partitionIndex(0)));
    assert.deepEqual([...delta.brokers.keys()], [4]);
    assert.equal(delta.brokers.get(nodeId(4))?.after?.registration, before.broker(nodeId(4))?.registration);
    assert.deepEqual([delta.controller, delta.cluster, delta.producerIds], [true, false, false]);
    assert.deepEqual([delta.partitions.size, delta.topics.size, delta.removals.size], [1, 0, 0]);
  });

  test('moves on when another cluster of the store changed, without a delta', () => {
    const { image, delta } = imageOf(1n, ...oneOfEach).apply(5n, []);
    assert.equal(image.revision, 5n);
    assert.equal(delta, emptyDelta);
    assert.equal(image.partitionCount, 1);
  });

  test('lays the settings of one broker over those of all', () => {
    const image = imageOf(
      1n,
      { kind: 'broker-configs', value: { scope: allBrokers, configs: { a: 'all', b: 'all' } } },
      { kind: 'broker-configs', value: { scope: node, configs: { b: 'own' } } },
    );
    assert.deepEqual(image.brokerConfigs(node), { a: 'all', b: 'own' });
    assert.deepEqual(image.brokerConfigs(nodeId(2)), { a: 'all', b: 'all' });
    assert.deepEqual(image.clusterConfigs, { a: 'all', b: 'all' });
    assert.deepEqual(ClusterImage.empty.brokerConfigs(node), {});
  });

  test('forgets a broker when neither its registration nor its status is left', () => {
    const image = imageOf(
      1n,
      { kind: 'registration', value: aRegistration(node) },
      { kind: 'broker-status', value: aStatus(node, 1n) },
    );
    const half = image.apply(2n, [remove({ kind: 'registration', nodeId: node })]).image;
    assert.deepEqual([half.broker(node)?.registration, half.broker(node)?.status?.nodeId], [undefined, 1]);
    const gone = half.apply(3n, [remove({ kind: 'broker-status', nodeId: node })]).image;
    assert.equal(gone.broker(node), undefined);
    assert.deepEqual([...gone.brokers()], []);
  });

  test('costs what changes: 10,000 partitions and topics share all but the changed ones', () => {
    const many = Array.from({ length: 10_000 }, (_, i): Value => ({ kind: 'topic', value: aTopic(topicId(`t${i}`)) }));
    const wide = Array.from({ length: 10_000 }, (_, i): Value => ({ kind: 'partition', value: aPartition(t, i) }));
    let image = imageOf(1n, ...many, ...wide);
    for (let i = 0; i < 1_000; i++) {
      const id = topicId(`t${i}`);
      image = image.apply(BigInt(i + 2), [
        put({ kind: 'topic', value: aTopic(id, { partitions: 2 }) }, 2n),
        put({ kind: 'partition', value: aPartition(id, 0) }, 2n),
      ]).image;
    }
    assert.deepEqual([image.topicCount, image.partitionCount], [10_000, 11_000]);
    const [before, after] = [
      image,
      image.apply(2_000n, [put({ kind: 'partition', value: aPartition(t, 5, { leader: undefined }) }, 2n)]).image,
    ];
    assert.equal(after.partition(t, partitionIndex(4)), before.partition(t, partitionIndex(4)));
    assert.notEqual(after.partition(t, partitionIndex(5)), before.partition(t, partitionIndex(5)));
  });
});

describe('an admitted broker', () => {
  const registered = put({ kind: 'registration', value: aRegistration(node) }, 5n);
  const image = (status: StateChange): ClusterImage => ClusterImage.empty.apply(6n, [registered, status]).image;

  test('is unfenced in its own epoch, under its own incarnation', () => {
    const admitted = image(put({ kind: 'broker-status', value: aStatus(node, 5n) }, 6n));
    assert.ok(isUnfenced(admitted.broker(node)));
    assert.ok(isAdmitted(admitted, node, brokerEpoch(5n), incarnationId('incarnation-of-1')));
    assert.ok(!isAdmitted(admitted, node, brokerEpoch(5n), incarnationId('another')));
    assert.ok(!isAdmitted(admitted, node, brokerEpoch(4n), incarnationId('incarnation-of-1')));
  });

  test('is not one whose status is about an earlier registration, or says fenced, or whose lease ran out', () => {
    assert.ok(!isUnfenced(image(put({ kind: 'broker-status', value: aStatus(node, 4n) }, 6n)).broker(node)));
    assert.ok(
      !isUnfenced(image(put({ kind: 'broker-status', value: aStatus(node, 5n, { fenced: true }) }, 6n)).broker(node)),
    );
    assert.ok(!isUnfenced(ClusterImage.empty.apply(6n, [registered]).image.broker(node)));
    const gone = image(put({ kind: 'broker-status', value: aStatus(node, 5n) }, 6n)).apply(7n, [
      remove({ kind: 'registration', nodeId: node }),
    ]);
    assert.ok(!isUnfenced(gone.image.broker(node)));
  });
});

/** Small worlds in which keys meet again and again. */
const anyValue: fc.Arbitrary<Value> = fc.oneof(
  fc.record({
    kind: fc.constant('topic' as const),
    value: fc
      .record({ id: fc.nat(3), partitions: fc.nat(5) })
      .map(({ id, partitions }) =>
        aTopic(topicId(`t${id}`), { partitions, phase: partitions > 3 ? 'creating' : 'ready' }),
      ),
  }),
  fc.record({
    kind: fc.constant('topic-name' as const),
    value: fc.record({ name: fc.constantFrom('a', 'b'), topicId: fc.constantFrom(topicId('t0'), topicId('t1')) }),
  }),
  fc.record({
    kind: fc.constant('partition' as const),
    value: fc.tuple(fc.nat(3), fc.nat(4)).map(([id, index]) => aPartition(topicId(`t${id}`), index)),
  }),
  fc.record({ kind: fc.constant('registration' as const), value: fc.nat(3).map((id) => aRegistration(nodeId(id))) }),
  fc.record({ kind: fc.constant('broker-status' as const), value: fc.nat(3).map((id) => aStatus(nodeId(id), 1n)) }),
  fc.record({
    kind: fc.constant('removal' as const),
    value: fc.tuple(fc.nat(2), fc.nat(2)).map(([id, n]) => ({ ...aStatus(nodeId(n), 1n), topicId: topicId(`t${id}`) })),
  }),
  fc.record({
    kind: fc.constant('broker-configs' as const),
    value: fc.record({
      scope: fc.constantFrom<ConfigScope>(nodeId(1), nodeId(2), allBrokers),
      configs: fc.constantFrom<Record<string, string>>({}, { 'max.connections': '7' }),
    }),
  }),
  fc.record({
    kind: fc.constant('coordinator-registration' as const),
    value: fc.nat(3).map((id) => aCoordinator(nodeId(id))),
  }),
  fc.record({
    kind: fc.constant('group-partition' as const),
    value: fc.tuple(fc.nat(2), fc.nat(9)).map(([index, epoch]) => ({
      partition: partitionIndex(index),
      coordinator: undefined,
      coordinatorEpoch: undefined,
      writerEpoch: writerEpoch(BigInt(epoch)),
    })),
  }),
  fc.constantFrom(...oneOfEach),
);
const anyHistory = fc.array(fc.array(fc.tuple(anyValue, fc.boolean()), { maxLength: 5 }), {
  minLength: 1,
  maxLength: 12,
});

function changesOf(revision: readonly (readonly [Value, boolean])[], at: bigint): StateChange[] {
  return revision.map(([value, isPut]) => (isPut ? put(value, at) : remove(placeOf(value))));
}

/** Everything an image shows, for comparison. */
function shown(image: ClusterImage): unknown {
  const byKey = <T>(all: Iterable<T>): T[] =>
    [...all].sort((a, b) => (JSON.stringify(a, plain) < JSON.stringify(b, plain) ? -1 : 1));
  return {
    revision: image.revision,
    cluster: image.cluster,
    controller: image.controller,
    producerIds: image.producerIds,
    brokers: byKey(image.brokers()),
    brokerConfigs: byKey(image.allConfigsSet()),
    coordinators: byKey(image.coordinators()),
    groupPartitions: byKey(image.groupPartitions()),
    topics: byKey(image.topics()),
    names: byKey([...image.topicNames()].map((name) => [name, image.topicNamed(name)?.topicId])),
    unsettled: byKey(image.unsettledTopics),
    partitions: byKey(image.partitions()),
    partitionCount: image.partitionCount,
    removals: byKey([...image.removals()].map(([id, each]) => [id, byKey(each.values())])),
  };
}

const mapsOfDelta = [
  'brokers',
  'brokerConfigs',
  'coordinators',
  'groupPartitions',
  'topics',
  'partitions',
  'removals',
] as const satisfies readonly (keyof ClusterDelta)[];

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

describe('whatever happened', () => {
  test('an image followed revision by revision equals one listed at the end', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        let image = ClusterImage.empty;
        const store = new Map<string, StateChange & { readonly kind: 'put' }>();
        for (const [i, revision] of history.entries()) {
          const at = BigInt(i + 1);
          image = image.apply(at, changesOf(revision, at)).image;
          for (const [value, isPut] of revision) {
            const place = JSON.stringify(placeOf(value));
            if (isPut) store.set(place, put(value, at));
            else store.delete(place);
          }
        }
        const listed = ClusterImage.empty.apply(image.revision, [...store.values()]).image;
        assert.deepEqual(shown(image), shown(listed));
      }),
    );
  });

  test('a listing on top of any earlier image gives the same as following did', () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(12), (history, missedFrom) => {
        let image = ClusterImage.empty;
        let early = image;
        const store = new Map<string, StateChange & { readonly kind: 'put' }>();
        for (const [i, revision] of history.entries()) {
          const at = BigInt(i + 1);
          image = image.apply(at, changesOf(revision, at)).image;
          for (const [value, isPut] of revision) {
            if (isPut) store.set(JSON.stringify(placeOf(value)), put(value, at));
            else store.delete(JSON.stringify(placeOf(value)));
          }
          if (i < missedFrom) early = image;
        }
        const caughtUp = early.apply(image.revision, changesSince(early, [...store.values()])).image;
        assert.deepEqual(shown(caughtUp), shown(image));
      }),
    );
  });

  test('merged deltas lead from the first image to the last, like the delta from nothing to any image', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        let image = ClusterImage.empty;
        let merged: ClusterDelta = emptyDelta;
        for (const [i, revision] of history.entries()) {
          const step = image.apply(BigInt(i + 1), changesOf(revision, BigInt(i + 1)));
          image = step.image;
          merged = mergeDeltas(merged, step.delta);
        }
        const fromNothing = deltaFromNothing(image);
        for (const kind of mapsOfDelta) {
          const ends = (delta: ClusterDelta): ReadonlyMap<unknown, unknown> =>
            new Map(
              [...delta[kind]].filter(([, { after }]) => after !== undefined).map(([key, { after }]) => [key, after]),
            );
          assert.deepEqual(ends(merged), ends(fromNothing));
          for (const [, { before }] of merged[kind]) assert.equal(before, undefined);
        }
      }),
    );
  });
});

test('an immutable map behaves as a map, and older copies stay as they were', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.array(fc.tuple(fc.oneof(fc.nat(600), fc.string({ maxLength: 2 })), fc.option(fc.nat(), { nil: undefined }))),
      ),
      (steps) => {
        let map = ImmutableMap.empty<string | number, number>();
        const model = new Map<string | number, number>();
        for (const step of steps) {
          const [before, entries] = [map, [...map.entries()]];
          map = map.with(new Map(step));
          for (const [key, value] of new Map(step)) {
            if (value === undefined) model.delete(key);
            else model.set(key, value);
          }
          assert.deepEqual([...before.entries()], entries);
          assert.equal(map.size, model.size);
          assert.deepEqual(new Map(map.entries()), model);
          for (const key of model.keys()) assert.equal(map.get(key), model.get(key));
        }
      },
    ),
  );
});
