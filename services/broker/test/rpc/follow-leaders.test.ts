/** Clients and subscribers while partitions change hands: real brokers, three replicas of everything. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Consumer, serializers } from '@tributary/client';
import { errorName } from '@tributary/model';
import { BatchBuilder } from '@tributary/record';
import { Acks, methods } from '@tributary/wire';
import { context, fromBeginning, record } from './one-broker.ts';
import { type Brokers, withBrokers } from './several-brokers.ts';

const never = new AbortController().signal;
/** Of the brokers in these stories, ms. */
const sessionTimeoutMs = 2_000;

/** Every 10 ms a record is sent; of acknowledgements and of what a reader gets the longest silences are kept, ms. */
async function load(
  brokers: Brokers,
  way: 'direct' | 'through one address',
  fault: (leader: number) => Promise<void>,
): Promise<{ readonly ackGap: number; readonly readGap: number; readonly retries: number }> {
  const client = way === 'direct' ? await brokers.direct() : await brokers.through(1);
  const configs = { 'min.insync.replicas': '2' };
  await client.admin.createTopic({ name: 't', partitions: 3, replicationFactor: 3, configs });
  const leader = 3;
  const partition = (await brokers.leaders('t')).indexOf(leader);
  assert.ok(partition >= 0);
  const now = (): number => brokers.clock.monotonicMs();
  const failures: string[] = [];
  await using producer = client.producer({ onError: ({ error }) => failures.push(error.message) });
  const acked = new Silence(now);
  const seen = new Silence(now);
  await using consumer: Consumer<Uint8Array, string> = client.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 't', partition, offset: 'beginning' }]);
  const read: string[] = [];
  let sent = 0;
  let isOver = false;
  const reading = (async (): Promise<void> => {
    while (!isOver || read.length < sent) {
      for (const { value } of await consumer.poll({ timeoutMs: 100 })) read.push(value ?? '');
      if (read.length > 0 && !isOver) seen.heard(read.length);
    }
  })();
  const send = async (ms: number): Promise<void> => {
    for (const until = now() + ms; now() < until; await brokers.clock.sleep(10, never)) {
      const delivery = producer.send({ topic: 't', value: `${sent++}`, partition });
      void delivery.then(() => acked.heard(-1));
    }
  };
  await send(1_000);
  await fault(leader);
  await send(6_000);
  await producer.flush();
  isOver = true;
  await reading;
  assert.deepEqual(failures, []);
  assert.deepEqual(
    read,
    Array.from({ length: sent }, (_, index) => `${index}`),
  );
  return { ackGap: acked.longest, readGap: seen.longest, retries: producer.metrics.retries };
}

/** How long nothing was heard, ms. */
class Silence {
  longest = 0;
  readonly #now: () => number;
  #last: number | undefined;
  #count = -2;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param count of all so far: the same as before is nothing new. −1: it is. */
  heard(count: number): void {
    if (count >= 0 && count === this.#count) return;
    this.#count = count;
    const now = this.#now();
    if (this.#last !== undefined) this.longest = Math.max(this.longest, now - this.#last);
    this.#last = now;
  }
}

for (const way of ['direct', 'through one address'] as const) {
  describe(way, () => {
    test('a leader that is killed: no error, nothing lost, doubled or out of order, and a gap below half a second', async () => {
      await withBrokers(11, 3, async (brokers) => {
        const found = await load(brokers, way, async (leader) => brokers.process(leader).end({ how: 'killed' }));
        assert.ok(found.ackGap <= 500 && found.readGap <= 500, JSON.stringify(found));
      });
    });

    test('a leader that is stopped: the same, and a gap of the session timeout and a second at most', async () => {
      await withBrokers(12, 3, async (brokers) => {
        const found = await load(brokers, way, async (leader) => {
          const machine = brokers.machine(leader);
          machine.pause(brokers.process(leader));
        });
        const most = sessionTimeoutMs + 1_000;
        assert.ok(found.ackGap <= most && found.readGap <= most, JSON.stringify(found));
        assert.ok(found.retries > 0);
      });
    });

    test('a leader that hears nobody of the cluster, and is heard by its clients: the same', async () => {
      await withBrokers(13, 3, async (brokers) => {
        const found = await load(brokers, way, async (leader) => {
          for (const other of ['k', 'b1', 'b2']) {
            brokers.world.network.silence(`b${leader}`, other);
            brokers.world.network.silence(other, `b${leader}`);
          }
        });
        const most = sessionTimeoutMs + 1_500;
        assert.ok(found.ackGap <= most && found.readGap <= most, JSON.stringify(found));
      });
    });
  });
}

test('a leader that is well, and that this client alone cannot hear, is reached through another broker', async () => {
  await withBrokers(17, 3, async (brokers) => {
    const found = await load(brokers, 'direct', async (leader) => {
      brokers.world.network.silence(`b${leader}`, 'c');
      brokers.world.network.silence('c', `b${leader}`);
    });
    assert.ok(found.ackGap <= 4_500 && found.readGap <= 4_500, JSON.stringify(found));
  });
});

for (const how of ['killed', 'stopped'] as const) {
  test(`a subscriber whose leader is ${how} follows the next one, and hears of no error; nothing is missed, nothing comes twice`, async () => {
    await withBrokers(14, 3, async (brokers) => {
      const client = await brokers.direct();
      const configs = { 'min.insync.replicas': '2' };
      await client.admin.createTopic({ name: 't', partitions: 3, replicationFactor: 3, configs });
      const partition = (await brokers.leaders('t')).indexOf(3);
      const subscribed = brokers.at(1).subscribe({ topics: [fromBeginning('t')] });
      await brokers.at(1).publish('t', [record('0', { partition })]);
      await subscribed.until(() => subscribed.values(partition).length === 1);
      if (how === 'killed') brokers.process(3).end({ how: 'killed' });
      else brokers.machine(3).pause(brokers.process(3));
      const producer = client.producer();
      for (let count = 1; count < 50; count++) {
        await producer.send({ topic: 't', value: `${count}`, partition });
        await brokers.clock.sleep(20, never);
      }
      const publishedAt = brokers.clock.monotonicMs();
      await subscribed.until(() => subscribed.values(partition).length >= 50);
      assert.ok(brokers.clock.monotonicMs() - publishedAt < 1_000);
      assert.deepEqual(
        subscribed.values(partition),
        Array.from({ length: 50 }, (_, index) => `${index}`),
      );
      assert.deepEqual(subscribed.errors, []);
    });
  });
}

test('a batch that was passed on to a leader that is then stopped is answered, in doubt, as soon as another one leads', async () => {
  await withBrokers(16, 3, async (brokers) => {
    const client = await brokers.direct();
    await client.admin.createTopic({ name: 't', partitions: 3, replicationFactor: 3 });
    const partition = (await brokers.leaders('t')).indexOf(3);
    const about = { context, topics: ['t'], allTopics: false, topicIds: [] };
    const { topics } = await brokers.at(1).peer.unary(methods.getMetadata, about, { deadlineMs: 5_000 });
    const topicId = topics[0]?.topicId ?? '';
    const leaderEpoch = topics[0]?.partitions[partition]?.leaderEpoch ?? -1;
    const produce = brokers.at(1).peer.stream(methods.produce, new AbortController().signal);
    const send = (correlationId: number): void => {
      const builder = new BatchBuilder(1_000);
      builder.append(0, null, Buffer.from('x'), []);
      const batch = { correlationId, topicId, partition, leaderEpoch, records: builder.build() };
      produce.send({ context, acks: Acks.ALL, timeoutMs: 0, transactionalId: '', batches: [batch] });
    };
    const results: [number, string][] = [];
    send(1);
    for await (const answer of produce) {
      for (const { correlationId, errorCode } of answer.results) results.push([correlationId, errorName(errorCode)]);
      if (results.length > 1) break;
      brokers.machine(3).pause(brokers.process(3));
      send(2);
    }
    assert.deepEqual(results, [
      [1, errorName(0)],
      [2, 'NOT_LEADER_OR_FOLLOWER'],
    ]);
    assert.ok(brokers.clock.monotonicMs() < 20_000);
    produce.cancel();
  });
});

test('a reader in the rack of a follower reads there, and goes on at the leader when the follower dies', async () => {
  await withBrokers(15, 3, async (brokers) => {
    const client = await brokers.direct();
    await client.admin.createTopic({ name: 't', partitions: 3, replicationFactor: 3 });
    const partition = (await brokers.leaders('t')).indexOf(1);
    const producer = client.producer();
    const consumer = client.consumer({ valueDeserializer: serializers.string, rack: 'r2' });
    let fetchedAt2 = 0;
    brokers.world.network.onDelivered = (from, _to, path) => {
      if (from === 'b2' && path.endsWith('/Fetch')) fetchedAt2++;
    };
    // The picture must show all replicas in sync first: metadata was asked for when they were.
    await brokers.clock.sleep(500, never);
    await consumer.assign([{ topic: 't', partition, offset: 'beginning' }]);
    for (let count = 0; count < 20; count++) await producer.send({ topic: 't', value: `${count}`, partition });
    const read: (string | null)[] = [];
    while (read.length < 20) read.push(...(await consumer.poll()).map(({ value }) => value));
    assert.ok(fetchedAt2 > 0, 'the follower was read from');
    brokers.process(2).end({ how: 'killed' });
    for (let count = 20; count < 40; count++) await producer.send({ topic: 't', value: `${count}`, partition });
    while (read.length < 40) read.push(...(await consumer.poll()).map(({ value }) => value));
    assert.deepEqual(
      read,
      Array.from({ length: 40 }, (_, index) => `${index}`),
    );
  });
});
