// Controlled shutdown: what a broker leads moves before it goes, so that an operator who restarts one after the other by /readyz costs nobody a record.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, serializers, type Tributary } from '@tributary/client';
import { requires } from '../requirements.ts';
import { Load } from './cluster-load.ts';
import { ClusterProcesses, type PartProcess } from './cluster-processes.ts';

const topic = 'load';
const partitions = 6;
const readyMsMax = 30_000;

describe('a cluster whose brokers are restarted', { skip: requires('etcd'), timeout: 110_000 }, () => {
  let cluster: ClusterProcesses;
  let client: Tributary;
  let records = 0;

  before(async () => {
    cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 3, settings: { 'session.timeout.ms': 3_000 } });
    client = await connect({ bootstrap: cluster.bootstrap });
    const configs = { 'min.insync.replicas': '2' };
    await client.admin.createTopic({ name: topic, partitions, replicationFactor: 3, configs });
  });
  after(async () => {
    await client?.close();
    await cluster?.[Symbol.asyncDispose]();
  });

  async function untilReady({ name, http }: PartProcess): Promise<void> {
    const deadline = Date.now() + readyMsMax;
    for (;;) {
      const answer = await fetch(`${http}/readyz`).catch(() => undefined);
      if (answer?.ok === true) return;
      const why = (await answer?.text()) ?? 'it does not answer';
      if (Date.now() > deadline) throw new Error(`${name} is not ready: ${why}`);
      await sleep(50);
    }
  }

  const described = async () => (await client.admin.describeTopic(topic)).partitionDescriptions;

  test('one after the other by /readyz: no record fails, none is lost, and at each stop nothing is led there any more', async (t: TestContext) => {
    const load = await Load.begin(cluster.bootstrap, topic, partitions);
    await using loading = load;
    await Promise.all(cluster.brokers.map(untilReady));
    const gaps: number[] = [];
    for (const broker of cluster.brokers) {
      load.reset();
      const asked = broker.events.length;
      assert.equal(await broker.end('SIGTERM'), 0);
      const left = broker.events.slice(asked).map(({ event }) => event);
      assert.ok(left.includes('leaving') && !left.includes('leaves-at-once'), left.join());
      gaps.push(load.acknowledged.largest(load.partitions));
      for (const { partition, leader, isr } of await described()) {
        assert.ok(leader !== undefined && leader !== broker.id, `${topic}-${partition} is led by ${leader}`);
        assert.equal(isr.includes(broker.id), false);
      }
      await broker.start();
      await untilReady(broker);
      for (const { isr } of await described()) assert.ok(isr.includes(broker.id), 'ready means in sync');
      gaps.push(load.acknowledged.largest(load.partitions));
    }
    t.diagnostic(
      `largest gaps between acknowledgements of a partition, by the end of each stop and start: ${gaps.join()} ms`,
    );
    records = await loading.finish();
    t.diagnostic(`${records} records, each read once, in order`);
  });

  test('when all are told to stop at once the last ones wait for nobody, and all is there afterwards', async (t: TestContext) => {
    const begin = performance.now();
    const codes = await Promise.all([...cluster.brokers, ...cluster.controllers].map((part) => part.end('SIGTERM')));
    assert.deepEqual(codes, [0, 0, 0, 0]);
    t.diagnostic(`stopped after ${Math.round(performance.now() - begin)} ms`);
    assert.ok(performance.now() - begin < 15_000);
    await Promise.all([...cluster.brokers, ...cluster.controllers].map((part) => part.start()));
    await Promise.all(cluster.brokers.map(untilReady));
    for (const { isr } of await described()) assert.equal(isr.length, 3);
    const consumer = client.consumer({ valueDeserializer: serializers.string });
    await consumer.assign([{ topic, offset: 'beginning' }]);
    let read = 0;
    for await (const _ of consumer) if (++read === records) break;
  });
});
