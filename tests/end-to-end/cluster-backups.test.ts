// Disks and metadata that come back older than they were, or empty: nothing acknowledged is taken for lost, and nothing older for the newest.

import assert from 'node:assert/strict';
import { cp, readdir, rename, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, serializers } from '@tributary/client';
import { requires } from '../requirements.ts';
import { ClusterProcesses, type PartProcess } from './cluster-processes.ts';

const endMsMax = 20_000;
const topic = 'kept';

describe('a cluster', { skip: requires('etcd'), timeout: 100_000 }, () => {
  let cluster: ClusterProcesses;
  let broker: PartProcess;
  let data: string;
  const sent: string[] = [];

  before(async () => {
    cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 1, settings: { 'session.timeout.ms': 3_000 } });
    broker = cluster.broker(1);
    data = cluster.dataOf(1);
    await using client = await connect({ bootstrap: cluster.bootstrap });
    await client.admin.createTopic({ name: topic, partitions: 1 });
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  async function send(value: string): Promise<void> {
    await using client = await connect({ bootstrap: cluster.bootstrap });
    await client.producer().sendAll([{ topic, value }]);
    sent.push(value);
  }

  async function allIsThere(): Promise<void> {
    await using client = await connect({ bootstrap: cluster.bootstrap });
    const consumer = client.consumer({ valueDeserializer: serializers.string });
    await consumer.assign([{ topic, offset: 'beginning' }]);
    const values: (string | null)[] = [];
    for await (const { value } of consumer) if (values.push(value) === sent.length) break;
    assert.deepEqual(values, sent);
  }

  const leader = async (): Promise<number | undefined> => {
    await using client = await connect({ bootstrap: cluster.bootstrap });
    const { partitionDescriptions } = await client.admin.describeTopic(topic);
    return partitionDescriptions[0]?.leader;
  };
  const folders = async (folder: string): Promise<string[]> =>
    (await readdir(folder)).filter((name) => /^.{22}-0$/.test(name));

  test('takes a data directory that is an older copy of itself for a new one, touches nothing of it, and says so (R6)', async () => {
    await send('before the copy');
    await broker.end('SIGTERM');
    await cp(data, `${data}-older`, { recursive: true });
    await broker.start();
    await send('after the copy');
    await broker.end('SIGTERM');
    await rename(data, `${data}-newest`);
    await rename(`${data}-older`, data);

    await broker.start();
    const said = broker.events.find(({ event }) => event === 'older-copy-put-aside')?.why ?? '';
    assert.match(said, /later start than this copy of it.*quarantine/);
    assert.equal(await leader(), undefined, 'what it acknowledged since is not in the copy');
    assert.deepEqual(await folders(data), []);
    assert.equal((await folders(`${data}/quarantine`)).length, 1);
    await broker.end('SIGTERM');

    await rm(data, { recursive: true });
    await rename(`${data}-newest`, data);
    await broker.start();
    await allIsThere();
  });

  test('does not trust an empty disk under an old id, and has all again once the full one is back (R6)', async () => {
    await broker.end('SIGTERM');
    await rename(data, `${data}-full`);
    await broker.start();
    assert.equal(await leader(), undefined);
    await broker.end('SIGTERM');
    await rm(data, { recursive: true });
    await rename(`${data}-full`, data);
    await broker.start();
    await allIsThere();
  });

  test('stops when etcd is restored from a backup, says so at each start, and loses nothing by it (M6)', async () => {
    const [controller] = cluster.controllers;
    assert.ok(controller !== undefined);
    await cluster.etcd.backUp('older');
    await send('after the backup');
    await using client = await connect({ bootstrap: cluster.bootstrap });
    for (let i = 0; i < 5; i++) await client.admin.createTopic({ name: `since-${i}` });
    await cluster.etcd.backUp('newest');

    await cluster.etcd.restore('older');
    assert.deepEqual(await Promise.all([broker, controller].map((part) => part.ended(endMsMax))), [70, 70]);
    for (const { said } of [broker, controller])
      assert.match(said, /at revision \d+, but had shown \d+: it was restored/);
    const held = await folders(data);
    controller.spawn();
    broker.spawn();
    assert.equal(await broker.ended(endMsMax), 1, broker.said);
    assert.match(
      broker.said,
      /The metadata is at revision \d+, data directory .*broker-1 has seen \d+: .*restored from a backup.*docs\/OPERATING/,
    );
    assert.deepEqual(await folders(data), held);

    await controller.end('SIGTERM');
    await cluster.etcd.restore('newest');
    await Promise.all([controller.start(), broker.start()]);
    await allIsThere();
  });
});

describe('a cluster of three', { skip: requires('etcd'), timeout: 60_000 }, () => {
  test('fills an empty disk, and one that is an older copy, from the brokers that have all (R6)', async () => {
    const settings = { 'session.timeout.ms': 3_000 };
    await using cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 3, settings });
    const broker = cluster.broker(2);
    const data = cluster.dataOf(2);
    await using client = await connect({ bootstrap: cluster.bootstrap });
    const configs = { 'min.insync.replicas': '2' };
    await client.admin.createTopic({ name: topic, partitions: 3, replicationFactor: 3, configs });
    const sent: string[] = [];
    const send = async (): Promise<void> => {
      const values = Array.from({ length: 30 }, (_, i) => `${sent.length + i}`);
      await client.producer().sendAll(values.map((value, i) => ({ topic, partition: i % 3, value })));
      sent.push(...values);
    };
    const inSync = async (): Promise<void> => {
      const deadline = Date.now() + endMsMax;
      for (;;) {
        const { partitionDescriptions } = await client.admin.describeTopic(topic);
        if (partitionDescriptions.every(({ isr }) => isr.length === 3)) return;
        assert.ok(Date.now() < deadline, JSON.stringify(partitionDescriptions));
        await sleep(50);
      }
    };

    await send();
    await inSync();
    await broker.end('SIGTERM');
    await cp(data, `${data}-older`, { recursive: true });
    await broker.start();
    await send();
    await inSync();
    for (const disk of ['older', 'empty'] as const) {
      await broker.end('SIGKILL');
      await rm(data, { recursive: true });
      if (disk === 'older') await rename(`${data}-older`, data);
      await send();
      // Until the lease of the one that was killed is over, its id is taken.
      const deadline = Date.now() + endMsMax;
      while (
        !(await broker.start().then(
          () => true,
          () => false,
        ))
      )
        assert.ok(Date.now() < deadline, broker.said);
      await inSync();
    }
    assert.ok(broker.events.some(({ event }) => event === 'older-copy-put-aside'));
    // Now the others may go: what is read then comes from the disk that was filled.
    await cluster.broker(1).end('SIGTERM');
    const consumer = client.consumer({ valueDeserializer: serializers.string });
    await consumer.assign([{ topic, offset: 'beginning' }]);
    const values = new Set<string>();
    for await (const { value } of consumer) if (values.add(value ?? '').size === sent.length) break;
  });
});
