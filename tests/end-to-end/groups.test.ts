// Coordinators as processes: the one that owns a group is killed, and its members go on.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Tributary } from '@tributary/client';
import { requires } from '../requirements.ts';
import { ClusterProcesses } from './cluster-processes.ts';

const topic = 'orders';
const partitions = 6;
const groupId = 'billing';
const commitsAgainMsMax = 2_000;

describe('a group whose coordinator goes', { skip: requires('etcd'), timeout: 100_000 }, () => {
  let cluster: ClusterProcesses;
  let client: Tributary;

  before(async () => {
    cluster = await ClusterProcesses.begin({
      controllers: 1,
      brokers: 1,
      coordinators: 2,
      settings: { 'session.timeout.ms': 3_000 },
    });
    client = await connect({ bootstrap: cluster.bootstrap });
    await client.admin.createTopic({ name: topic, partitions });
    await using producer = client.producer();
    for (let i = 0; i < 60; i++) await producer.send({ topic, partition: i % partitions, value: `record ${i}` });
  });
  after(async () => {
    await client?.close();
    await cluster?.[Symbol.asyncDispose]();
  });

  async function join() {
    const lost: unknown[] = [];
    const changes: unknown[] = [];
    const consumer = client.consumer({ groupId, autoCommit: false, autoOffsetReset: 'earliest' });
    await consumer.subscribe({
      topics: [topic],
      onLost: (some: unknown) => void lost.push(some),
      onRevoked: (some: unknown) => void changes.push(some),
    });
    return { consumer, lost, changes };
  }

  const owner = async () => (await client.admin.groups.describe(groupId, { lag: false })).coordinator;

  test('SIGKILL of the owner: no member loses a partition, commits succeed again within two seconds', async (t: TestContext) => {
    const members = [await join(), await join()];
    for (;;) {
      for (const { consumer } of members) await consumer.poll({ timeoutMs: 50 });
      if (members.every(({ consumer }) => consumer.assignment.length === partitions / 2)) break;
      await sleep(20);
    }
    for (const { consumer } of members) await consumer.commit();
    const before = members.map(({ consumer }) => JSON.stringify(consumer.assignment));
    const changesBefore = members.map(({ changes }) => changes.length);
    const coordinatorId = await owner();
    const coordinator = cluster.coordinator(coordinatorId);
    await coordinator.end('SIGKILL');
    const begunMs = performance.now();
    await Promise.all(
      members.map(({ consumer }) => {
        const at = (offset: bigint) => consumer.assignment.map((place) => ({ ...place, offset }));
        return consumer.commit(at(5n));
      }),
    );
    const tookMs = performance.now() - begunMs;
    t.diagnostic(`commits after SIGKILL of the coordinator: ${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < commitsAgainMsMax, `${tookMs} ms`);
    assert.notEqual(await owner(), coordinatorId);
    const { partitions: described } = await client.admin.groups.describe(groupId);
    assert.deepEqual(
      described.map(({ committedOffset, lag }) => [committedOffset, lag]),
      Array.from({ length: partitions }, () => [5n, 5n]),
    );
    assert.deepEqual(
      members.map(({ consumer }) => JSON.stringify(consumer.assignment)),
      before,
    );
    assert.deepEqual(
      members.map(({ changes }) => changes.length),
      changesBefore,
    );
    assert.deepEqual(
      members.flatMap(({ lost }) => lost),
      [],
    );
    for (const { consumer } of members) await consumer.close();
    await coordinator.start();
  });
});
