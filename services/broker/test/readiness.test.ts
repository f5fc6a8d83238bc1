import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterImage, type PartitionInfo } from '@tributary/metadata';
import { directoryId, nodeId, topicId } from '@tributary/model';
import { aPartition, aTopic } from '../../../packages/metadata/test/samples.ts';
import { caughtUp } from '../src/readiness.ts';

const topic = topicId('t');
const me = nodeId(2);
const mine = directoryId('directory-2');
const replicas = [1, 2].map((id) => ({ nodeId: nodeId(id), directoryId: directoryId(`directory-${id}`) }));

function readinessOf(...partitions: Partial<PartitionInfo>[]) {
  const values = [
    { kind: 'topic', value: aTopic(topic, { name: 'orders', partitions: partitions.length }) } as const,
    ...partitions.map(
      (more, i) => ({ kind: 'partition', value: aPartition(topic, i, { replicas, ...more }) }) as const,
    ),
  ];
  const puts = values.map((value) => ({ kind: 'put', value, createRevision: 1n, modRevision: 1n }) as const);
  return caughtUp(ClusterImage.empty.apply(1n, puts).image, me, mine);
}

test('a broker is ready once each of its replicas is in sync, and says which is not', () => {
  assert.deepEqual(readinessOf({ isr: [nodeId(1), me] }, { isr: [me] }), { ready: true });
  const behind = readinessOf({ isr: [nodeId(1), me] }, { isr: [nodeId(1)] }, { isr: [nodeId(1)] });
  assert.ok(!behind.ready);
  assert.match(behind.reason, /2 of its replicas are not in sync yet, orders-1 for one/);
});

test('a partition that nobody leads, that is of another directory, or that is only being moved here keeps no broker from being ready', () => {
  const isr = [nodeId(1)];
  const elsewhere = [{ nodeId: me, directoryId: directoryId('lost') }];
  assert.deepEqual(readinessOf({ isr: [], leader: undefined }, { isr, replicas: elsewhere }, { isr, adding: [me] }), {
    ready: true,
  });
  assert.deepEqual(readinessOf({ isr, replicas: replicas.slice(0, 1) }), { ready: true });
});
