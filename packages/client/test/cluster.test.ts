import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { connectWith } from '../src/connect.ts';
import { FakeCluster } from './fake-broker.ts';
import { FakeNetwork } from './fake-network.ts';
import { seededRandom, VirtualClock } from './virtual-clock.ts';
import { failsWith } from './fails-with.ts';
import { world } from './world.ts';

test('with nothing listening, connect says so in bounded time, naming every address', async () => {
  const clock = new VirtualClock();
  const ports = { clock, random: seededRandom(1), transport: new FakeNetwork(clock) };
  await assert.rejects(
    connectWith(ports, { bootstrap: 'x:1, y:2' }),
    failsWith('BROKER_NOT_AVAILABLE', /x:1, y:2.*x:1 broke.*y:2 broke.*tributary dev/),
  );
  assert.ok(clock.monotonicMs() <= 5_000);
});

test('any of several bootstrap addresses will do', async () => {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const cluster = new FakeCluster(network, ['a:1']);
  cluster.createTopic('t', 1);
  await using client = await connectWith(
    { clock, random: seededRandom(1), transport: network },
    { bootstrap: ['gone:1', 'a:1'] },
  );
  assert.equal((await client.producer().send({ topic: 't', value: 'x' })).offset, 0n);
});

test('a bad bootstrap address is refused by its name', async () => {
  const clock = new VirtualClock();
  const ports = { clock, random: seededRandom(1), transport: new FakeNetwork(clock) };
  for (const bootstrap of ['localhost', 'localhost:0', 'localhost:70000', 'http://localhost:9095', 'a b:1:2']) {
    await assert.rejects(
      connectWith(ports, { bootstrap }),
      failsWith('INVALID_CONFIG', new RegExp(`"${bootstrap}".*host:port`)),
    );
  }
  await assert.rejects(connectWith(ports, { bootstrap: ' ' }), failsWith('INVALID_CONFIG', /empty/));
});

test('an advertised address that cannot be reached is gone round by the bootstrap address', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  w.cluster.brokers.set(1, 'inside-only:1');
  const producer = w.client.producer();
  assert.equal((await producer.send({ topic: 't', value: 'x' })).offset, 0n);
  const consumer = w.client.consumer();
  await consumer.assign([{ topic: 't', offset: 'beginning' }]);
  assert.equal((await consumer.poll()).length, 1);
});

test('a broker that was reached before, and is down for a while, is found again as soon as it is back', async () => {
  await using w = await world({ brokers: ['a:1', 'b:1'], bootstrap: 'a:1' });
  const { partitions } = w.cluster.createTopic('t', 1);
  for (const partition of partitions) partition.leader = 2;
  const producer = w.client.producer();
  assert.equal((await producer.send({ topic: 't', value: 'x' })).offset, 0n);
  const server = w.network.servers.get('b:1');
  assert.ok(server !== undefined);
  w.network.servers.delete('b:1');
  w.network.breakStreams('b:1');
  const delivery = Promise.resolve(producer.send({ topic: 't', value: 'y' }));
  await w.pass(3_000);
  w.network.servers.set('b:1', server);
  const backAt = w.clock.monotonicMs();
  assert.equal((await delivery).offset, 1n);
  assert.ok(w.clock.monotonicMs() - backAt < 1_000);
});

test('a controller that loses its office in the middle of creating leaves doubt, not an error that the topic exists', async () => {
  await using w = await world();
  const server = w.network.servers.get('a:1');
  assert.ok(server !== undefined);
  let lost = 1;
  w.network.servers.set('a:1', {
    ...server,
    unary: (path, request) => {
      const answer = server.unary(path, request);
      if (path !== methods.createTopic.path || lost-- <= 0) return answer;
      throw new TributaryError('NOT_CONTROLLER', 'It lost its election.');
    },
  });
  assert.equal((await w.client.admin.createTopic({ name: 't', partitions: 2 })).partitions, 2);
  assert.equal(w.cluster.topics.size, 1);
});

test('what one handle creates or deletes is so for everything made from it', async () => {
  await using w = await world();
  const created = await w.client.admin.createTopic({ name: 't', partitions: 3, configs: { 'retention.ms': '5' } });
  assert.deepEqual([created.name, created.partitions, created.replicationFactor], ['t', 3, 1]);
  assert.equal((await w.client.admin.describeTopic('t')).id, created.id);
  assert.equal((await w.client.producer().send({ topic: 't', value: 'x' })).offset, 0n);
  await w.client.admin.deleteTopic('t');
  await assert.rejects(w.client.admin.describeTopic('t'), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /"t"/));
  assert.equal((await w.client.admin.describeCluster()).controller, 1);
  assert.deepEqual(
    (await w.client.admin.describeCluster()).brokers.map(({ address }) => address),
    ['a:1'],
  );
});

test('a lost answer is asked for again: creating and deleting happen once and succeed', async () => {
  await using w = await world();
  let lose = 1;
  w.network.losesAnswer = (path) =>
    (path === methods.createTopic.path || path === methods.deleteTopic.path) && lose-- > 0;
  assert.equal((await w.client.admin.createTopic({ name: 't', partitions: 2 })).partitions, 2);
  lose = 1;
  await w.client.admin.deleteTopic('t');
  assert.equal(w.cluster.topics.size, 0);
});

test('a topic that exists, or does not, is an error at once', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const begin = w.clock.monotonicMs();
  await assert.rejects(w.client.admin.createTopic({ name: 't' }), failsWith('TOPIC_ALREADY_EXISTS', /"t"/));
  await assert.rejects(w.client.admin.deleteTopic('absent'), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /"absent"/));
  assert.ok(w.clock.monotonicMs() - begin < 50);
});

test('an admin call ends within its timeout, and can be aborted', async () => {
  await using w = await world();
  w.network.servers.clear();
  const begin = w.clock.monotonicMs();
  await assert.rejects(
    w.client.admin.listTopics({ timeoutMs: 500 }),
    failsWith('NETWORK_EXCEPTION', /Listing topics.*500 ms/),
  );
  assert.ok(w.clock.monotonicMs() - begin <= 500);
  const abort = new AbortController();
  w.clock.after(50, () => abort.abort(new Error('enough')));
  await assert.rejects(w.client.admin.listTopics({ signal: abort.signal }), /enough/);
});

test('closing the handle closes what was made from it, and nothing can be made afterwards', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer({ lingerMs: 3_600_000 });
  producer.send({ topic: 't', value: 'x' });
  await w.client.close();
  assert.deepEqual(w.cluster.partition('t', 0).values, ['x']);
  assert.throws(() => w.client.producer(), failsWith('INVALID_REQUEST', /closed/));
  assert.throws(() => producer.send({ topic: 't', value: 'y' }), failsWith('INVALID_REQUEST', /closed/));
});

test('a leader that is away, and still named as such, is asked after with backoff, and found when it is back', async () => {
  await using w = await world({ retryBackoffMs: 50, retryBackoffMsMax: 1_000 });
  w.cluster.createTopic('t', 1);
  const address = w.cluster.brokers.get(1);
  assert.ok(address !== undefined);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: 'before' });
  w.cluster.brokers.delete(1);
  w.network.breakStreams();
  const sent = producer.send({ topic: 't', value: 'after' });
  const asked = w.cluster.log.length;
  await w.pass(2_000);
  assert.ok(w.cluster.log.length - asked < 100, `${w.cluster.log.length - asked} calls in two seconds`);
  w.cluster.brokers.set(1, address);
  assert.equal((await sent).offset, 1n);
  await producer.close();
});
