// A cluster of containers: it forms by itself, and nothing is lost or told to a client when containers die, stop or are cut off. Clients have one
// published port and no other way in, so brokers forward whatever another one leads (F1).

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Tributary } from '@tributary/client';
import { Load } from '../chaos/load.ts';
import { requires } from '../requirements.ts';
import { buildImages, ContainerCluster, door, until } from './container-cluster.ts';

const sessionMs = 3_000;
const partitions = 6;
const replicationFactor = 3;
const minInsyncReplicas = 2;
/** Until records go on in every partition, the controller decides, or every replica is in sync. ms. */
const recoveryMsMax = 30_000;
/** Between the last acknowledgement of a leader that is gone and the first of its successor: its session, and a machine that is busy. ms. */
const failoverMsMax = sessionMs + 3_000;
const topic = 'events';

interface Told {
  diagnostic(message: string): void;
}

describe('a cluster of containers', { skip: requires('a running Docker engine', 'apt-get', 'dpkg-deb') }, () => {
  let cluster: ContainerCluster;
  let client: Tributary;
  let load: Load;

  before(async () => {
    buildImages();
    const settings = { 'session.timeout.ms': sessionMs };
    cluster = await ContainerCluster.begin({ controllers: 2, brokers: 3, coordinators: 2, settings });
    client = await connect({ bootstrap: cluster.bootstrap });
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await client?.close();
    await cluster?.[Symbol.asyncDispose]();
  });

  test('it forms: every broker is let in and leads its share, and records reach all of them by one port', async () => {
    await until(
      async () => (await client.admin.describeCluster()).brokers.length === 3,
      20_000,
      'three brokers are in',
    );
    const configs = { 'min.insync.replicas': String(minInsyncReplicas) };
    await client.admin.createTopic({ name: topic, partitions, replicationFactor, configs });
    await whole();
    const { partitionDescriptions } = await client.admin.describeTopic(topic);
    const leaders = new Set(partitionDescriptions.map(({ leader }) => leader));
    assert.deepEqual(leaders, new Set([1, 2, 3]));
    load = await Load.begin({ bootstrap: cluster.bootstrap, topic, partitions });
  });

  test('a broker is killed: the others go on without it, no client hears an error, and it comes back in sync', async (t) => {
    const since = await strike(async () => cluster.kill('broker-2'));
    await goesOn('everything');
    await cluster.start('broker-2');
    await whole();
    tell(t, since, failoverMsMax);
  });

  test('a broker is cut off: the others go on without it, no client hears an error, and it comes back in sync', async (t) => {
    const since = await strike(async () => cluster.disconnect('broker-3'));
    await goesOn('everything');
    await cluster.reconnect('broker-3');
    await whole();
    tell(t, since, failoverMsMax);
  });

  test('the only broker that clients can reach is restarted: they wait for it, and hear no error', async (t) => {
    const since = await strike(async () => assert.equal(await cluster.stop(door, 10_000), 0, await cluster.said(door)));
    await cluster.start(door);
    await goesOn('everything');
    await whole();
    tell(t, since);
  });

  test('the active controller is killed: the other one decides, and records never stop', async (t) => {
    const { controller } = await client.admin.describeCluster();
    const since = performance.now();
    await cluster.kill(`controller-${controller}`);
    await goesOn('everything');
    assert.notEqual((await client.admin.describeCluster()).controller, controller);
    tell(t, since, sessionMs);
    await cluster.start(`controller-${controller}`);
  });

  test('etcd is killed and back: records never stop, and decisions go on', async (t) => {
    const since = performance.now();
    await cluster.kill('etcd');
    await sleep(sessionMs + 1_000);
    await goesOn('records');
    await cluster.start('etcd');
    await goesOn('everything');
    await whole();
    tell(t, since, sessionMs);
  });

  test('the coordinator of a group is killed: its member keeps its partitions and reads on, and commits go on', async (t) => {
    const consumer = client.consumer({ groupId: 'readers', autoOffsetReset: 'latest', autoCommit: false });
    const lost: number[] = [];
    const onLost = (gone: readonly { readonly partition: number }[]) => void lost.push(gone.length);
    await consumer.subscribe({ topics: [topic], onRevoked: onLost, onLost });
    await until(
      async () => (await consumer.poll()).length > 0 && consumer.assignment.length === partitions,
      recoveryMsMax,
      'the member has all partitions',
    );
    await consumer.commit();
    const { coordinator } = await client.admin.groups.describe('readers');
    const since = performance.now();
    await cluster.kill(`coordinator-${coordinator}`);
    assert.ok((await consumer.poll({ timeoutMs: recoveryMsMax })).length > 0, 'it reads on');
    await consumer.commit(undefined, { timeoutMs: recoveryMsMax });
    t.diagnostic(`commits go on after ${Math.round(performance.now() - since)} ms`);
    const { coordinator: successor, members } = await client.admin.groups.describe('readers');
    assert.notEqual(successor, coordinator);
    assert.equal(members[0]?.assigned.length, partitions);
    assert.deepEqual(lost, []);
    await consumer.close();
    await cluster.start(`coordinator-${coordinator}`);
    await goesOn('everything');
  });

  test('everything acknowledged is there once, where it was said to be and in order, and all readers agree', async (t) => {
    assert.deepEqual((await load.finish(recoveryMsMax)).slice(0, 20), []);
    await load[Symbol.asyncDispose]();
    const { attempts, retries } = load.traffic;
    t.diagnostic(`${load.events.length} events; ${attempts} batches sent, ${retries} of them again`);
  });

  test('SIGTERM reaches a part: each stops cleanly, and says so by its exit code', async () => {
    for (const name of [...cluster.coordinators, ...cluster.brokers, ...cluster.controllers]) {
      assert.equal(await cluster.stop(name, 10_000), 0, `${name}: ${(await cluster.said(name)).slice(-1_000)}`);
    }
  });

  /** Does it when requests are on their way. @returns when. */
  async function strike(fault: () => Promise<unknown>): Promise<number> {
    assert.ok(await load.traffic.comesToHold(() => load.traffic.inFlight().length > 0, 10_000));
    const at = performance.now();
    await fault();
    return at;
  }

  /** From now on, and no error has reached anybody. */
  async function goesOn(what: 'records' | 'everything'): Promise<void> {
    const now = performance.now();
    await load.until(() => load.hasRecoveredSince(now, what), recoveryMsMax, `${what} to go on`);
    assert.deepEqual(load.errors, []);
    assert.deepEqual(await cluster.fallen(), []);
  }

  /** Every replica is in sync. */
  async function whole(): Promise<void> {
    let said = '';
    const isWhole = async (): Promise<boolean> => {
      const { partitionDescriptions } = await client.admin.describeTopic(topic);
      const short = partitionDescriptions.filter(
        ({ leader, isr }) => leader === undefined || isr.length < replicationFactor,
      );
      said = short
        .map(({ partition, leader, isr }) => `${partition}: leader ${leader}, in sync ${isr.join()}`)
        .join('; ');
      return short.length === 0;
    };
    await until(isWhole, recoveryMsMax, () => `every replica of ${topic} is in sync, but ${said}`);
  }

  /** @param gapMsMax what the gap between acknowledgements must not reach. */
  function tell(t: Told, since: number, gapMsMax = Number.POSITIVE_INFINITY): void {
    const { acknowledgementGapMs, deliveryGapMs, decisionGapMs } = load.measure(since);
    t.diagnostic(
      `largest gaps: acknowledgements ${acknowledgementGapMs} ms, deliveries ${deliveryGapMs} ms, decisions ${decisionGapMs} ms`,
    );
    assert.ok(acknowledgementGapMs < gapMsMax, `records stopped for ${acknowledgementGapMs} ms`);
  }
});
