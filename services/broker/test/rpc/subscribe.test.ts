import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@tributary/model';
import { type BatchOptions, encodeBatch, type NewRecord } from '@tributary/record';
import { Acks, methods, type StartPosition } from '@tributary/wire';
import { findRoutes, keyOf } from '../../../../tests/simulator/clients/routes.ts';
import { type Calls, context, fromBeginning, record, withBroker } from './one-broker.ts';

const at = (position: StartPosition['position']): StartPosition => ({ position });
const numbered = (count: number, size = 0) =>
  Array.from({ length: count }, (_, index) => record(`${index}`.padEnd(size, '.')));

/** A batch as a client at the batch level sends it. */
async function produce(
  calls: Calls,
  topic: string,
  records: readonly NewRecord[],
  options: BatchOptions,
): Promise<void> {
  const route = (await findRoutes(calls.peer, 'test', [topic])).get(keyOf(topic, 0));
  assert.ok(route !== undefined);
  const stream = calls.peer.stream(methods.produce, new AbortController().signal);
  const batch = { correlationId: 1, topicId: route.topicId, partition: 0, leaderEpoch: route.leaderEpoch };
  const bytes = encodeBatch(records, options);
  stream.send({ context, acks: Acks.ALL, timeoutMs: 0, transactionalId: '', batches: [{ ...batch, records: bytes }] });
  stream.end();
  for await (const { results } of stream) for (const { errorMessage } of results) assert.equal(errorMessage, '');
}

test('a subscription is named at once, tells what is there from where it was asked, and then what comes', async () => {
  await withBroker(21, async (calls) => {
    await calls.createTopic('t', 1);
    const { records } = await calls.publish('t', numbered(5));
    const start = Number(records[0]?.timestampMs);
    await calls.clock.sleep(1_000, new AbortController().signal);
    await calls.publish('t', [record('5')]);
    const starts: readonly (readonly [StartPosition | undefined, readonly string[]])[] = [
      [at({ $case: 'beginning', value: true }), ['0', '1', '2', '3', '4', '5']],
      [at({ $case: 'offset', value: 3n }), ['3', '4', '5']],
      [at({ $case: 'timestampMs', value: BigInt(start + 500) }), ['5']],
      [at({ $case: 'timestampMs', value: BigInt(start + 5_000) }), []],
      [at({ $case: 'end', value: true }), []],
      [undefined, []],
    ];
    const subscriptions = starts.map(([position, before]) => ({
      before,
      subscribed: calls.subscribe({ topics: [{ topic: 't', partitions: [], start: position, positions: [] }] }),
    }));
    for (const { before, subscribed } of subscriptions) {
      await subscribed.until(() => subscribed.id !== '');
      assert.deepEqual(subscribed.answers[0]?.partitions, []);
      await subscribed.until(() => subscribed.values().length >= before.length);
    }
    await calls.clock.sleep(1_000, new AbortController().signal);
    await calls.publish('t', [record('6'), record('7')]);
    for (const { before, subscribed } of subscriptions) {
      await subscribed.until(() => subscribed.values().length >= before.length + 2);
      assert.deepEqual(subscribed.values(), [...before, '6', '7']);
      assert.equal(subscribed.partitions.at(-1)?.nextOffset, 8n);
      subscribed.stream.cancel();
    }
    assert.equal(new Set(subscriptions.map(({ subscribed }) => subscribed.id)).size, subscriptions.length);
  });
});

test('partitions have positions of their own; what is wrong with one is told, and ends that one only', async () => {
  await withBroker(22, async (calls) => {
    await calls.createTopic('t', 3);
    for (const partition of [0, 1, 2]) await calls.publish('t', numbered(4), { partition });
    const positions = [
      { partition: 0, start: at({ $case: 'offset', value: 2n }) },
      { partition: 1, start: at({ $case: 'offset', value: 99n }) },
      { partition: 9, start: undefined },
    ];
    const start = at({ $case: 'beginning', value: true });
    const subscribed = calls.subscribe({ topics: [{ topic: 't', partitions: [], start, positions }], stopAtEnd: true });
    await subscribed.ended();
    assert.deepEqual(subscribed.values(0), ['2', '3']);
    assert.deepEqual(subscribed.values(2), ['0', '1', '2', '3']);
    assert.deepEqual([...subscribed.errors].sort(), ['1 OFFSET_OUT_OF_RANGE', '9 UNKNOWN_TOPIC_OR_PARTITION']);
    const named = calls.subscribe({ topics: [{ topic: 't', partitions: [1], start, positions: [] }], stopAtEnd: true });
    await named.ended();
    assert.deepEqual(named.values(), ['0', '1', '2', '3']);
    assert.ok(named.partitions.every(({ partition }) => partition === 1));
  });
});

test('a subscription that stops at the end stops where the end was, also of what is empty', async () => {
  await withBroker(23, async (calls) => {
    await calls.createTopic('t', 2);
    await calls.publish('t', numbered(2_000, 100), { partition: 0 });
    const subscribed = calls.subscribe({ topics: [fromBeginning('t')], stopAtEnd: true });
    await subscribed.until(() => subscribed.values().length > 0);
    await calls.publish('t', [record('later')], { partition: 0 });
    await subscribed.ended();
    assert.equal(subscribed.values().length, 2_000);
    assert.equal((await calls.readAll('t')).values().length, 2_001);
  });
});

test('E1: never more bytes than the credit, counted from the beginning; what is needed is asked for, and more goes on', async () => {
  await withBroker(24, async (calls) => {
    await calls.createTopic('t', 2);
    for (const partition of [0, 1]) await calls.publish('t', numbered(50, 100), { partition });
    const subscribed = calls.subscribe({ topics: [fromBeginning('t')], creditBytes: 1_050n });
    await subscribed.until(() => subscribed.answers.some(({ creditNeeded }) => creditNeeded > 0n));
    assert.equal(subscribed.bytes, 1_000);
    assert.equal(subscribed.answers.at(-1)?.creditNeeded, 1_100n);
    await calls.grantCredit(subscribed.id, 500n);
    for (let limit = 2_000; limit <= 10_000; limit += 1_000) {
      await calls.grantCredit(subscribed.id, BigInt(limit));
      await subscribed.until(() => subscribed.bytes === limit);
      await calls.clock.sleep(50, new AbortController().signal);
      assert.equal(subscribed.bytes, limit);
    }
    assert.deepEqual([subscribed.values(0).length, subscribed.values(1).length], [50, 50]);
    await assert.rejects(calls.grantCredit('guessed', 1n), { error: 'RESOURCE_NOT_FOUND' });
    subscribed.stream.cancel();
    await calls.clock.sleep(50, new AbortController().signal);
    await assert.rejects(calls.grantCredit(subscribed.id, 20_000n), { error: 'RESOURCE_NOT_FOUND' });
    const unbound = calls.subscribe({ topics: [fromBeginning('t')] });
    await unbound.until(() => unbound.id !== '');
    await assert.rejects(calls.grantCredit(unbound.id, 1n), { error: 'INVALID_REQUEST' });
  });
});

test('E1: a partition with much to say does not keep another waiting until it has said it all', async () => {
  await withBroker(25, async (calls) => {
    await calls.createTopic('t', 2);
    for (let round = 0; round < 4; round++) await calls.publish('t', numbered(4_000, 200), { partition: 0 });
    await calls.publish('t', [record('short')], { partition: 1 });
    const subscribed = calls.subscribe({ topics: [fromBeginning('t')], stopAtEnd: true });
    await subscribed.ended();
    const order = subscribed.partitions.map(({ partition }) => partition);
    assert.ok(order.length > 8, `${order.length} answers`);
    assert.ok(order.indexOf(1) < order.length / 2, order.join(' '));
  });
});

test('batches of any compression are read; one that expands beyond the limit is named, with the offset behind it', async () => {
  await withBroker(26, async (calls) => {
    await calls.createTopic('t', 1);
    await calls.publish('t', [record('first')]);
    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const)
      await produce(calls, 't', [{ value: compression, timestamp: 5, key: 'k' }], { compression });
    const bomb = Array.from({ length: 17 }, () => ({ value: Buffer.alloc(1024 * 1024), timestamp: 5 }));
    assert.ok(bomb.length * 1024 * 1024 > limits.subscribeBatch);
    await produce(calls, 't', bomb, { compression: 'zstd' });
    await calls.publish('t', [record('behind')]);
    const subscribed = await calls.readAll('t');
    assert.deepEqual(subscribed.values(), ['first', 'gzip', 'snappy', 'lz4', 'zstd']);
    assert.deepEqual(subscribed.errors, ['0 MESSAGE_TOO_LARGE']);
    const nextOffset = subscribed.partitions.at(-1)?.nextOffset ?? 0n;
    assert.equal(nextOffset, 22n);
    const start = at({ $case: 'offset', value: nextOffset });
    const on = calls.subscribe({ topics: [{ topic: 't', partitions: [], start, positions: [] }], stopAtEnd: true });
    await on.ended();
    assert.deepEqual(on.values(), ['behind']);
  });
});

test('a topic that is deleted ends its subscriptions by name', async () => {
  await withBroker(27, async (calls) => {
    await calls.createTopic('t', 1);
    await calls.createTopic('other', 1);
    const subscribed = calls.subscribe({ topics: [fromBeginning('t')] });
    const both = calls.subscribe({ topics: [fromBeginning('t'), fromBeginning('other')] });
    const thirsty = calls.subscribe({ topics: [fromBeginning('t')], creditBytes: 1n });
    await calls.publish('t', [record('a'), record('b')]);
    await thirsty.until(() => thirsty.answers.some(({ creditNeeded }) => creditNeeded === 2n));
    await both.until(() => both.values().length === 2);
    await calls.peer.unary(methods.deleteTopic, { context, name: 't' }, { deadlineMs: 60_000 });
    await subscribed.ended();
    assert.deepEqual(subscribed.errors, ['0 UNKNOWN_TOPIC_ID']);
    await thirsty.ended();
    assert.deepEqual([thirsty.values(), thirsty.errors], [['a'], ['0 UNKNOWN_TOPIC_ID']]);
    await both.until(() => both.errors.length === 1);
    await calls.publish('other', [record('c')]);
    await both.until(() => both.values().length === 3);
  });
});

test('partitions added to a topic that is subscribed as a whole are read from their beginning', async () => {
  await withBroker(29, async (calls) => {
    await calls.createTopic('t', 1);
    const whole = calls.subscribe({ topics: [{ topic: 't', partitions: [], start: undefined, positions: [] }] });
    const named = calls.subscribe({ topics: [{ ...fromBeginning('t'), partitions: [0] }] });
    await whole.until(() => whole.id !== '');
    const request = { context, name: 't', totalCount: 3, validateOnly: false };
    await calls.peer.unary(methods.createPartitions, request, { deadlineMs: 60_000 });
    for (const partition of [1, 2]) await calls.publish('t', [record('early')], { partition });
    await whole.until(() => whole.values().length === 2);
    assert.deepEqual([whole.values(1), whole.values(2)], [['early'], ['early']]);
    await calls.publish('t', [record('here')], { partition: 0 });
    await named.until(() => named.values().length === 1);
    assert.deepEqual(named.values(), ['here']);
  });
});

test('a request that makes no sense is refused by name', async () => {
  await withBroker(28, async (calls) => {
    await calls.createTopic('t', 1);
    const topic = fromBeginning('t');
    const refused = async (request: Parameters<Calls['subscribe']>[0], error: string): Promise<void> => {
      const subscribed = calls.subscribe(request);
      await assert.rejects(subscribed.ended(), { error });
      assert.deepEqual(subscribed.answers, []);
    };
    await refused({}, 'INVALID_REQUEST');
    await refused({ topics: [topic, topic] }, 'INVALID_REQUEST');
    await refused({ topics: [{ ...topic, partitions: [0, 0] }] }, 'INVALID_REQUEST');
    await refused({ topics: [{ ...topic, start: at({ $case: 'end', value: false }) }] }, 'INVALID_REQUEST');
    await refused({ topics: [topic], isolationLevel: 9 as 0 }, 'INVALID_REQUEST');
    const positions = [{ partition: 1, start: undefined }];
    await refused({ topics: [{ ...topic, partitions: [0], positions }] }, 'INVALID_REQUEST');
    await refused({ topics: [fromBeginning('absent')] }, 'UNKNOWN_TOPIC_OR_PARTITION');
    await refused({ topics: [fromBeginning('')] }, 'INVALID_TOPIC_EXCEPTION');
  });
});
