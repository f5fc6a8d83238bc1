import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder } from '@tributary/record';
import { ClusterView } from '../src/cluster-view.ts';
import { serializers } from '../src/serializers.ts';
import type { FakePartition } from './fake-partition.ts';
import { type World, world } from './world.ts';

const brokers = ['a:1', 'b:1', 'c:1'];
const production = { brokers, retryBackoffMs: 50, retryBackoffMsMax: 1_000 };

function topicOf(w: World, leader: number): FakePartition {
  const partition = w.cluster.createTopic('t', 1).partitions[0];
  assert.ok(partition);
  partition.leader = leader;
  return partition;
}

/** Its process is gone: connections break, and new ones are refused. */
function kill(w: World, nodeId: number, address: string): void {
  w.network.servers.delete(address);
  w.network.breakStreams(address);
  w.cluster.brokers.delete(nodeId);
}

test('a leader that dies costs the election and a moment: no error reaches the caller, and each record is there once', async () => {
  for (const bootstrap of [['a:1', 'b:1'], ['b:1']]) {
    await using w = await world({ ...production, bootstrap });
    const partition = topicOf(w, 2);
    const producer = w.client.producer();
    await producer.send({ topic: 't', value: '0' });
    const diedAt = w.clock.monotonicMs();
    kill(w, 2, 'b:1');
    const sent = [1, 2, 3].map((value) => producer.send({ topic: 't', value: `${value}` }));
    await w.pass(180);
    w.cluster.elect(partition, 3);
    await Promise.all(sent);
    const gap = w.clock.monotonicMs() - diedAt;
    assert.ok(gap < 300, `${gap} ms`);
    assert.deepEqual(partition.values, ['0', '1', '2', '3']);
    assert.ok(producer.metrics.retries > 0);
    assert.deepEqual([producer.metrics.recordsAcknowledged, producer.metrics.recordsFailed], [4, 0]);
  }
});

test('others that are silent, of those that could be asked, do not hold that up', async () => {
  await using w = await world({ ...production, brokers: [...brokers, 'd:1'] });
  const partition = topicOf(w, 2);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: '0' });
  w.network.stop('a:1');
  w.network.stop('c:1');
  const diedAt = w.clock.monotonicMs();
  kill(w, 2, 'b:1');
  const sent = producer.send({ topic: 't', value: '1' });
  await w.pass(150);
  w.cluster.elect(partition, 4);
  await sent;
  const gap = w.clock.monotonicMs() - diedAt;
  assert.ok(gap < 500, `${gap} ms`);
});

test('an election that takes most of a second is noticed as soon as a short one', async () => {
  await using w = await world(production);
  const partition = topicOf(w, 2);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: '0' });
  kill(w, 2, 'b:1');
  const sent = producer.send({ topic: 't', value: '1' });
  await w.pass(800);
  w.cluster.elect(partition, 3);
  const electedAt = w.clock.monotonicMs();
  await sent;
  assert.ok(w.clock.monotonicMs() - electedAt < 60, `${w.clock.monotonicMs() - electedAt} ms`);
});

test('an older picture takes nothing back', () => {
  const view = new ClusterView();
  const answer = (revision: bigint, ids: readonly number[]) => ({
    throttleMs: 0,
    clusterId: 'c',
    revision,
    controllerId: 1,
    brokers: ids.map((nodeId) => ({ nodeId, address: `b${nodeId}:1`, host: '', rack: '' })),
    topics: [],
  });
  view.apply(answer(7n, [1, 2, 3]), [], 0);
  assert.throws(() => view.apply(answer(6n, [1]), [], 0), /revision 6.*was of 7/);
  assert.equal(view.brokers.length, 3);
  // Another cluster at the same address counts for itself.
  view.apply({ ...answer(1n, [1]), clusterId: 'd' }, [], 0);
  assert.equal(view.brokers.length, 1);
});

test('what a stopped leader leaves unanswered goes to its successor, once and in order (P1)', async () => {
  await using w = await world({ ...production, bootstrap: ['b:1', 'a:1'] });
  const partition = topicOf(w, 2);
  const producer = w.client.producer({ batchSize: 1 });
  await producer.send({ topic: 't', value: '0' });
  w.network.stop('b:1');
  const sent = ['1', '2', '3'].map((value) => producer.send({ topic: 't', value }));
  await w.pass(6_000);
  w.cluster.elect(partition, 3);
  const electedAt = w.clock.monotonicMs();
  await Promise.all(sent);
  const gap = w.clock.monotonicMs() - electedAt;
  assert.ok(gap < 1_000, `${gap} ms`);
  assert.deepEqual(partition.values, ['0', '1', '2', '3']);
  w.network.resume('b:1');
  await producer.send({ topic: 't', value: '4' });
  await w.pass(1_000);
  assert.deepEqual(partition.values, ['0', '1', '2', '3', '4']);
});

test('a leader that is cut off, and answers as if nothing had happened, is left by its readers', async () => {
  await using w = await world({ ...production, bootstrap: ['b:1', 'a:1'] });
  const partition = topicOf(w, 2);
  const consumer = w.client.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  assert.deepEqual(await consumer.poll({ timeoutMs: 1_000 }), []);
  w.cluster.cut(2);
  w.cluster.elect(partition, 3);
  const electedAt = w.clock.monotonicMs();
  // Somebody else's.
  const batch = new BatchBuilder(1_000);
  batch.append(0, null, Buffer.from('1'), []);
  partition.append(batch.build());
  w.cluster.wake();
  const read = await consumer.poll({ timeoutMs: 9_000 });
  assert.equal(read[0]?.value, '1');
  assert.ok(w.clock.monotonicMs() - electedAt < 3_500, `${w.clock.monotonicMs() - electedAt} ms`);
});

test('a refusal that names the new leader is followed at once', async () => {
  await using w = await world({ ...production, latencyMs: 1 });
  const partition = topicOf(w, 1);
  w.cluster.hints = true;
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: '0' });
  for (let leader = 2; leader < 12; leader++) {
    w.cluster.elect(partition, (leader % 3) + 1);
    const begin = w.clock.monotonicMs();
    await producer.send({ topic: 't', value: 'x' });
    assert.ok(w.clock.monotonicMs() - begin < 15, `${w.clock.monotonicMs() - begin} ms`);
  }
});

test('a reader goes on at the successor of a leader that died, as soon as there is one', async () => {
  await using w = await world({ ...production, bootstrap: ['b:1', 'a:1'] });
  const partition = topicOf(w, 2);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: '0' });
  const consumer = w.client.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  await consumer.poll();
  const diedAt = w.clock.monotonicMs();
  kill(w, 2, 'b:1');
  const sent = producer.send({ topic: 't', value: '1' });
  const polled = consumer.poll({ timeoutMs: 5_000 });
  await w.pass(180);
  w.cluster.elect(partition, 3);
  await sent;
  assert.equal((await polled)[0]?.value, '1');
  const gap = w.clock.monotonicMs() - diedAt;
  assert.ok(gap < 350, `${gap} ms`);
});

test('a broker that is stopped holds up no call that others could answer', async () => {
  await using w = await world({ ...production, bootstrap: ['a:1', 'b:1'] });
  await w.client.admin.listTopics();
  w.network.stop('a:1');
  const begin = w.clock.monotonicMs();
  await w.client.admin.createTopic({ name: 'u', partitions: 1 });
  assert.ok(w.clock.monotonicMs() - begin < 2_500, `${w.clock.monotonicMs() - begin} ms`);
});

test('too few replicas in sync is tried again until there are enough, and what is given up says why', async () => {
  await using w = await world(production);
  const partition = topicOf(w, 1);
  let isRefused = true;
  w.cluster.produceFault = () => (isRefused ? { kind: 'refuse', error: 'NOT_ENOUGH_REPLICAS' } : undefined);
  const producer = w.client.producer({ deliveryTimeoutMs: 3_000 });
  const sent = producer.send({ topic: 't', value: '0' });
  await w.pass(2_000);
  isRefused = false;
  assert.equal((await sent).offset, 0n);
  isRefused = true;
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 't', value: '1' })),
    /NOT_ENOUGH_REPLICAS: on request of the test/,
  );
  assert.deepEqual(partition.values, ['0']);
});

test('a reader in a rack reads from its follower, goes to the leader when that fails, and comes back after a while', async () => {
  await using w = await world({ ...production, bootstrap: ['a:1'] });
  const partition = topicOf(w, 1);
  partition.isr = [1, 2, 3];
  for (const [id, rack] of [
    [1, 'r1'],
    [2, 'r2'],
    [3, 'r3'],
  ] as const)
    w.cluster.racks.set(id, rack);
  const producer = w.client.producer();
  const consumer = w.client.consumer({ valueDeserializer: serializers.string, rack: 'r2' });
  await producer.send({ topic: 't', value: '0' });
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  assert.equal((await consumer.poll())[0]?.value, '0');
  assert.deepEqual(w.cluster.readBy, ['follower 2']);
  w.cluster.followersServe = false;
  w.network.breakStreams('b:1');
  await producer.send({ topic: 't', value: '1' });
  assert.equal((await consumer.poll())[0]?.value, '1');
  assert.deepEqual(w.cluster.readBy.at(-1), 'leader 1');
  w.cluster.followersServe = true;
  await w.pass(31_000);
  await producer.send({ topic: 't', value: '2' });
  assert.equal((await consumer.poll())[0]?.value, '2');
  assert.deepEqual(w.cluster.readBy.at(-1), 'follower 2');
  // Silence of a follower is no election: it is noticed all the same.
  w.network.stop('b:1');
  await producer.send({ topic: 't', value: '3' });
  assert.equal((await consumer.poll({ timeoutMs: 5_000 }))[0]?.value, '3');
  assert.deepEqual(w.cluster.readBy.at(-1), 'leader 1');
});

test('what is given up in doubt while a leader is stopped comes at most once, and what follows has another identity (P4)', async () => {
  await using w = await world({ ...production, bootstrap: ['a:1', 'b:1'] });
  const partition = topicOf(w, 2);
  const producer = w.client.producer({ deliveryTimeoutMs: 1_500 });
  await producer.send({ topic: 't', value: '0' });
  const before = [...partition.producers.keys()];
  w.network.stop('b:1');
  await assert.rejects(
    Promise.resolve(producer.send({ topic: 't', value: 'in doubt' })),
    /Whether they were appended is unknown/,
  );
  w.cluster.elect(partition, 3);
  await producer.send({ topic: 't', value: '1' });
  w.network.resume('b:1');
  await w.pass(2_000);
  await producer.send({ topic: 't', value: '2' });
  assert.deepEqual(
    partition.values.filter((value) => value !== 'in doubt'),
    ['0', '1', '2'],
  );
  assert.ok(partition.values.length <= 4);
  assert.equal([...partition.producers.keys()].length, before.length + 1);
});
