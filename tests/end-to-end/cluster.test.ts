// One cluster of processes on a real etcd, and what it goes through: its parts killed, and etcd killed and paused. Records keep coming to every
// partition meanwhile, and at the end all that was acknowledged is there, each once, in order.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, serializers, type Tributary } from '@tributary/client';
import { errorName } from '@tributary/model';
import { grpcTransport } from '@tributary/runtime';
import { Acks, IsolationLevel, methods } from '@tributary/wire';
import { requires } from '../requirements.ts';
import { Load } from './cluster-load.ts';
import { ClusterProcesses } from './cluster-processes.ts';

/** The least that is allowed: a run sees several sessions end. */
const sessionMs = 3_000;
const topic = 'load';
const partitions = 6;

describe('a cluster of processes', { skip: requires('etcd') }, () => {
  let cluster: ClusterProcesses;
  let client: Tributary;
  let load: Load;

  before(async () => {
    const settings = { 'session.timeout.ms': sessionMs };
    cluster = await ClusterProcesses.begin({ controllers: 2, brokers: 3, settings });
    client = await connect({ bootstrap: cluster.bootstrap, requestTimeoutMs: 15_000 });
    await client.admin.createTopic({ name: topic, partitions });
    load = await Load.begin(cluster.bootstrap, topic, partitions);
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await client?.close();
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Partitions by the id of the broker that leads them. */
  const ledBy = async (broker: number): Promise<number[]> => {
    const { partitionDescriptions } = await client.admin.describeTopic(topic);
    return partitionDescriptions.filter(({ leader }) => leader === broker).map(({ partition }) => partition);
  };
  /** What no controller may have decided because of etcd alone (M5). */
  const deaths = (): readonly string[] =>
    cluster.controllers
      .flatMap(({ events }) => events.map(({ why = '' }) => why))
      .filter((why) => why.endsWith(' fenced'));
  const decided = async (): Promise<number> => {
    const begin = performance.now();
    await client.admin.createTopic({ name: `t-${Math.round(begin)}` });
    return Math.round(performance.now() - begin);
  };

  test('spreads a topic over its brokers, shows all of it, and takes every call at every broker', async () => {
    for (const { id } of cluster.brokers) assert.equal((await ledBy(id)).length, partitions / cluster.brokers.length);
    for (const { id, address } of cluster.brokers) {
      await using at = await connect({ bootstrap: address });
      const described = await at.admin.describeCluster();
      assert.deepEqual(
        described.brokers.map((each) => each.id),
        [1, 2, 3],
      );
      assert.ok([101, 102].includes(described.controller ?? 0));
      const name = `through-${id}`;
      await at.admin.createTopic({ name, partitions: 3 });
      await at.producer().sendAll([0, 1, 2].map((partition) => ({ topic: name, partition, value: `${partition}` })));
      const consumer = at.consumer({ valueDeserializer: serializers.string });
      await consumer.assign([{ topic: name, offset: 'beginning' }]);
      const values = new Set<string>();
      for await (const { value } of consumer) if (values.add(value ?? '').size === 3) break;
      for (const other of cluster.brokers) assert.equal((await at.admin.describeBroker(other.id)).id, other.id);
      await at.admin.deleteTopic(name);
    }
  });

  test('refuses more replicas than brokers run, and names those that do', async () => {
    const error = {
      error: 'INVALID_REPLICATION_FACTOR',
      message: /replication factor 4 needs as many brokers; running are 1, 2, 3/,
    };
    await assert.rejects(client.admin.createTopic({ name: 'four', replicationFactor: 4 }), error);
  });

  test('a broker that is asked at the record level for what another leads, by one that has passed it on already, names that one (F1)', async () => {
    const [first = 0] = await ledBy(2);
    await using peer = grpcTransport.connect(cluster.broker(1).address);
    const nobody = { clusterId: '', clientId: '', principal: '', originalPrincipal: '', host: '' };
    const context = { ...nobody, hops: 1, minRevision: 0n };
    const record = { value: Buffer.from('x'), headers: [], partition: first };
    const { records } = await peer.unary(
      methods.publish,
      { context, topic, records: [record], acks: Acks.ALL, timeoutMs: 0 },
      { deadlineMs: 10_000 },
    );
    assert.equal(errorName(records[0]?.errorCode ?? 0), 'NOT_LEADER_OR_FOLLOWER');
    assert.match(records[0]?.errorMessage ?? '', /broker 2 leads it/);
    const subscription = peer.stream(methods.subscribe, new AbortController().signal);
    const start = { position: { $case: 'beginning', value: true } } as const;
    const selection = { topic, partitions: [first], start, positions: [] };
    const isolationLevel = IsolationLevel.READ_UNCOMMITTED;
    subscription.send({ context, topics: [selection], isolationLevel, creditBytes: 0n, stopAtEnd: true });
    const failures: string[] = [];
    for await (const answer of subscription) failures.push(...answer.partitions.map((each) => each.errorMessage));
    assert.match(failures.join(), /broker 2 leads it/);
  });

  test('SIGKILL of the active controller: the other decides soon after, and no record waits for it', async (t: TestContext) => {
    const { controller: active } = await client.admin.describeCluster();
    const killed = cluster.controller(active);
    load.reset();
    const begin = performance.now();
    await killed.end('SIGKILL');
    await decided();
    t.diagnostic(`decided again after ${Math.round(performance.now() - begin)} ms`);
    t.diagnostic(
      `largest gaps meanwhile: acknowledged ${load.acknowledged.largest(load.partitions)} ms, read ${load.read.largest(load.partitions)} ms`,
    );
    assert.ok(performance.now() - begin < 8_000);
    assert.ok(load.acknowledged.largest(load.partitions) < 1_500);
    assert.notEqual((await client.admin.describeCluster()).controller, active);
    await killed.start();
    assert.deepEqual(deaths(), []);
  });

  test('SIGSTOP of the active controller: the other decides as soon, and the first stands by when it wakes', async (t: TestContext) => {
    const { controller: active } = await client.admin.describeCluster();
    const paused = cluster.controller(active);
    paused.pause();
    t.diagnostic(`decided again after ${await decided()} ms`);
    const { controller: next } = await client.admin.describeCluster();
    assert.notEqual(next, active);
    paused.resume();
    await paused.until(() => paused.events.at(-1)?.event === 'controller-resigned', 'resigns');
    await decided();
    assert.equal((await client.admin.describeCluster()).controller, next);
    assert.deepEqual(deaths(), []);
  });

  test('without any controller records go on, an admin call says what is missing, and a new one decides', async (t: TestContext) => {
    load.reset();
    await Promise.all(cluster.controllers.map((each) => each.end('SIGKILL')));
    const asked = client.admin.createTopic({ name: 'nobody' }, { timeoutMs: 4_000 });
    await assert.rejects(asked, {
      message: /within 4000 ms.*([Nn]o controller|controller, node \d+, does not answer)/s,
    });
    const gaps = [load.acknowledged, load.read].map((each) => each.largest(load.partitions));
    t.diagnostic(`largest gaps: acknowledged ${gaps[0]} ms, read ${gaps[1]} ms`);
    assert.ok(Math.max(...gaps) < 1_500);
    await Promise.all(cluster.controllers.map((each) => each.start()));
    await decided();
    assert.deepEqual(deaths(), []);
  });

  test('SIGKILL of a broker: its partitions say what they wait for, the others go on, and its start brings all of them back', async (t: TestContext) => {
    const killed = cluster.broker(3);
    const lost = await ledBy(killed.id);
    const kept = load.partitions.filter((partition) => !lost.includes(partition));
    load.reset();
    await killed.end('SIGKILL');
    const begin = performance.now();
    while ((await ledBy(killed.id)).length > 0) await sleep(100);
    t.diagnostic(`noticed after ${Math.round(performance.now() - begin)} ms of a session of ${sessionMs} ms`);
    const { partitionDescriptions } = await client.admin.describeTopic(topic);
    for (const { partition, leader, reason } of partitionDescriptions) {
      if (lost.includes(partition)) assert.match(reason, /waits for broker 3 \(not running\)/);
      else assert.notEqual(leader, undefined);
    }
    t.diagnostic(`largest gap of the other partitions: ${load.acknowledged.largest(kept)} ms`);
    assert.ok(load.acknowledged.largest(kept) < 1_500);
    await killed.start();
    const back = performance.now();
    load.reset();
    while ((await ledBy(killed.id)).length < lost.length) await sleep(20);
    await load.acknowledgedAgain(lost);
    t.diagnostic(`acknowledges again ${Math.round(performance.now() - back)} ms after its start`);
  });

  test('a broker that stood still for longer than its session is let in again when it wakes, with all that it had', async (t: TestContext) => {
    const paused = cluster.broker(2);
    const its = await ledBy(paused.id);
    paused.pause();
    while ((await ledBy(paused.id)).length > 0) await sleep(100);
    load.reset();
    const begin = performance.now();
    paused.resume();
    await load.acknowledgedAgain(its);
    t.diagnostic(`acknowledges again ${Math.round(performance.now() - begin)} ms after it woke`);
    while ((await ledBy(paused.id)).length < its.length) await sleep(20);
  });

  test('M5: with etcd paused for longer than any session, leaders go on, and nobody is declared dead when it is back', async (t: TestContext) => {
    const before = deaths();
    load.reset();
    await cluster.etcd.pause();
    await sleep(2 * sessionMs);
    t.diagnostic(`largest gap of acknowledgements meanwhile: ${load.acknowledged.largest(load.partitions)} ms`);
    assert.ok(load.acknowledged.largest(load.partitions) < 1_500);
    load.reset();
    cluster.etcd.resume();
    t.diagnostic(`decided ${await decided()} ms after it was resumed`);
    await sleep(sessionMs);
    t.diagnostic(`largest gap of acknowledgements afterwards: ${load.acknowledged.largest(load.partitions)} ms`);
    assert.deepEqual(deaths(), before);
  });

  test('M5: etcd killed and back after longer than any session: the same', async (t: TestContext) => {
    const before = deaths();
    load.reset();
    await cluster.etcd.end('SIGKILL');
    await sleep(2 * sessionMs);
    t.diagnostic(`largest gap of acknowledgements meanwhile: ${load.acknowledged.largest(load.partitions)} ms`);
    assert.ok(load.acknowledged.largest(load.partitions) < 1_500);
    load.reset();
    await cluster.etcd.restart();
    t.diagnostic(`decided ${await decided()} ms after it was back`);
    await sleep(sessionMs);
    t.diagnostic(`largest gap of acknowledgements afterwards: ${load.acknowledged.largest(load.partitions)} ms`);
    assert.deepEqual(deaths(), before);
  });

  test('after all that, everything acknowledged is read once and in order, and no error reached the sender', async (t: TestContext) => {
    t.diagnostic(`${await load.finish()} records`);
  });

  test('SIGTERM ends each part with success', async () => {
    const codes = await Promise.all([...cluster.brokers, ...cluster.controllers].map((each) => each.end('SIGTERM')));
    assert.deepEqual(
      codes,
      codes.map(() => 0),
    );
  });
});
