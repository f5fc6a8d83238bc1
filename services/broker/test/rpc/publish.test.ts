import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorName, offset, topicConfig, TributaryError } from '@tributary/model';
import { partitionOfKey } from '@tributary/record';
import { Acks, type PublishResponse } from '@tributary/wire';
import type { ProduceOutcome } from '../../src/partition/partition.ts';
import { publishHandler, type PublishParts } from '../../src/rpc/publish.ts';
import { Turns } from '../../src/turns.ts';
import { context, record, withBroker } from './one-broker.ts';

const outcomes = ({ records }: PublishResponse): readonly string[] =>
  records.map(
    ({ partition, offset, errorCode }) => `${partition}@${offset}${errorCode === 0 ? '' : ` ${errorName(errorCode)}`}`,
  );
const bytes = (text: string): Uint8Array => Buffer.from(text);

test('records come back as they went in, with a place for each in the order of the request', async () => {
  await withBroker(1, async (calls) => {
    await calls.createTopic('t', 1);
    const headers = [
      { key: 'h', value: bytes('x') },
      { key: 'ä', value: undefined },
    ];
    const answer = await calls.publish('t', [
      record('one', { key: bytes('k'), headers, timestampMs: 7n }),
      record(undefined, { key: bytes('') }),
      record('', {}),
    ]);
    assert.deepEqual(outcomes(answer), ['0@0', '0@1', '0@2']);
    const read = await calls.readAll('t');
    const records = read.partitions.flatMap((each) => each.records);
    const texts = records.map(({ key, value, headers: h, offset, timestampMs }) => [
      offset,
      key && Buffer.from(key).toString(),
      value && Buffer.from(value).toString(),
      h.map((each) => [each.key, each.value && Buffer.from(each.value).toString()]),
      timestampMs === answer.records[Number(offset)]?.timestampMs,
    ]);
    assert.deepEqual(texts, [
      [
        0n,
        'k',
        'one',
        [
          ['h', 'x'],
          ['ä', undefined],
        ],
        true,
      ],
      [1n, '', undefined, [], true],
      [2n, undefined, '', [], true],
    ]);
    assert.equal(records[0]?.timestampMs, 7n);
  });
});

test('keys choose partitions as in Kafka, keyless records of a request stay together, and requests take turns', async () => {
  await withBroker(2, async (calls) => {
    await calls.createTopic('t', 3);
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    const keyed = await calls.publish(
      't',
      keys.map((key) => record('v', { key: bytes(key) })),
    );
    assert.deepEqual(
      keyed.records.map(({ partition }) => partition),
      keys.map((key) => partitionOfKey(key, 3)),
    );
    const turns: number[][] = [];
    for (let request = 0; request < 3; request++) {
      const { records } = await calls.publish('t', [record('x'), record('y')]);
      turns.push([...new Set(records.map(({ partition }) => partition))]);
    }
    assert.deepEqual(
      turns.map((each) => each.length),
      [1, 1, 1],
    );
    assert.deepEqual(
      turns.flat().sort((a, b) => a - b),
      [0, 1, 2],
    );
    const named = await calls.publish('t', [record('x', { partition: 2 }), record('y', { key: bytes('a') })], {
      partition: 1,
    });
    assert.deepEqual(
      named.records.map(({ partition }) => partition),
      [2, 1],
    );
  });
});

test('what is wrong with one record or partition fails those and no others', async () => {
  await withBroker(3, async (calls) => {
    await calls.createTopic('t', 2, { 'max.message.bytes': '1000' });
    const ahead = BigInt(Math.round(calls.clock.wallMs())) + 7_200_000n;
    const answer = await calls.publish('t', [
      record('fine', { partition: 0 }),
      record('no such partition', { partition: 7 }),
      record('x'.repeat(2_000), { partition: 0 }),
      record('from the future', { partition: 1, timestampMs: ahead }),
      record('before time', { partition: 1, timestampMs: -5n }),
      record('fine too', { partition: 1 }),
      record('also fine', { partition: 0 }),
    ]);
    assert.deepEqual(outcomes(answer), [
      '0@0',
      '7@-1 UNKNOWN_TOPIC_OR_PARTITION',
      '0@-1 MESSAGE_TOO_LARGE',
      '1@-1 INVALID_TIMESTAMP',
      '1@-1 INVALID_TIMESTAMP',
      '1@0',
      '0@1',
    ]);
    assert.deepEqual((await calls.readAll('t')).values(0), ['fine', 'also fine']);
  });
});

test('many records are split at the size that the topic allows, and stay in order', async () => {
  await withBroker(4, async (calls) => {
    await calls.createTopic('t', 1, { 'max.message.bytes': '5000' });
    const values = Array.from({ length: 300 }, (_, index) => `${index} ${'x'.repeat(100)}`);
    const answer = await calls.publish(
      't',
      values.map((value) => record(value)),
    );
    assert.deepEqual(
      answer.records.map(({ offset }) => Number(offset)),
      values.map((_, index) => index),
    );
    assert.deepEqual((await calls.readAll('t')).values(), values);
  });
});

test('a compacted topic takes no record without a key', async () => {
  await withBroker(5, async (calls) => {
    await calls.createTopic('t', 1, { 'cleanup.policy': 'compact' });
    const answer = await calls.publish('t', [record('x'), record('y', { key: bytes('k') })], { partition: 0 });
    assert.deepEqual(outcomes(answer), ['0@-1 INVALID_RECORD', '0@0']);
  });
});

test('P1, P2: a sequence makes one batch, its retry is answered as the original was and appended once; a gap is refused', async () => {
  await withBroker(6, async (calls) => {
    await calls.createTopic('t', 2);
    const sequence = { producerId: 77n, producerEpoch: 0, firstSequence: 0 };
    const two = [record('a'), record('b')];
    const first = await calls.publish('t', two, { partition: 1, sequence });
    const again = await calls.publish('t', two, { partition: 1, sequence });
    assert.deepEqual(
      [outcomes(first), outcomes(again)],
      [
        ['1@0', '1@1'],
        ['1@0', '1@1'],
      ],
    );
    const next = await calls.publish('t', [record('c')], { partition: 1, sequence: { ...sequence, firstSequence: 2 } });
    assert.deepEqual(outcomes(next), ['1@2']);
    const gap = await calls.publish('t', [record('d')], { partition: 1, sequence: { ...sequence, firstSequence: 9 } });
    assert.deepEqual(outcomes(gap), ['1@-1 OUT_OF_ORDER_SEQUENCE_NUMBER']);
    assert.deepEqual((await calls.readAll('t')).values(), ['a', 'b', 'c']);
  });
});

test('P1: with a sequence all records are appended or none is', async () => {
  await withBroker(7, async (calls) => {
    await calls.createTopic('t', 1, { 'max.message.bytes': '1000' });
    const sequence = { producerId: 77n, producerEpoch: 0, firstSequence: 0 };
    const large = Array.from({ length: 20 }, () => record('x'.repeat(100)));
    const tooLarge = await calls.publish('t', large, { partition: 0, sequence });
    assert.deepEqual(new Set(outcomes(tooLarge)), new Set(['0@-1 MESSAGE_TOO_LARGE']));
    const bad = await calls.publish('t', [record('a'), record('b', { timestampMs: -1n })], { partition: 0, sequence });
    assert.deepEqual(new Set(outcomes(bad)), new Set(['0@-1 INVALID_TIMESTAMP']));
    assert.deepEqual((await calls.readAll('t')).values(), []);
    for (const rest of [
      { sequence },
      { sequence, partition: 0, acks: Acks.LEADER },
      { partition: 0, sequence: { ...sequence, producerEpoch: 40_000 } },
      { partition: 0, sequence: { ...sequence, producerId: -1n } },
    ])
      await assert.rejects(calls.publish('t', [record('a')], rest), /INVALID|sequence|name it|idempotence/);
  });
});

test('P5: without acknowledgement offsets are not known, what cannot be appended is still said', async () => {
  await withBroker(8, async (calls) => {
    await calls.createTopic('t', 1);
    const none = await calls.publish('t', [record('a'), record('b', { timestampMs: -1n })], { acks: Acks.NONE });
    assert.deepEqual(outcomes(none), ['0@-1', '0@-1 INVALID_TIMESTAMP']);
    const leader = await calls.publish('t', [record('c')], { acks: Acks.LEADER });
    assert.deepEqual(outcomes(leader), ['0@1']);
  });
});

test('with LogAppendTime a record is told the time that it was given', async () => {
  await withBroker(9, async (calls) => {
    await calls.createTopic('t', 1, { 'message.timestamp.type': 'LogAppendTime' });
    const far = BigInt(Math.round(calls.clock.wallMs())) + 90_000_000n;
    const { records } = await calls.publish('t', [record('a', { timestampMs: far })]);
    const read = (await calls.readAll('t')).partitions.flatMap((each) => each.records);
    assert.equal(records[0]?.timestampMs, read[0]?.timestampMs);
    assert.ok((records[0]?.timestampMs ?? far) < far);
  });
});

test('a call that makes no sense fails as a whole, by name', async () => {
  await withBroker(10, async (calls) => {
    await calls.createTopic('t', 1);
    const one = [record('a')];
    await assert.rejects(calls.publish('t', []), { error: 'INVALID_REQUEST' });
    await assert.rejects(calls.publish('absent', one), {
      error: 'UNKNOWN_TOPIC_OR_PARTITION',
      message: /topic create absent/,
    });
    await assert.rejects(calls.publish('no/name', one), { error: 'INVALID_TOPIC_EXCEPTION' });
    await assert.rejects(calls.publish('t', one, { acks: 9 as 0 }), { error: 'INVALID_REQUIRED_ACKS' });
    await assert.rejects(calls.publish('t', one, { timeoutMs: -1 }), { error: 'INVALID_REQUEST' });
    assert.deepEqual((await calls.readAll('t')).values(), []);
  });
});

test('after a batch that failed nothing more of its partition is appended: sending it again keeps the order', async () => {
  const appended: number[] = [];
  const partition = {
    state: {
      name: 't-0',
      config: { ...topicConfig({ 'max.message.bytes': '500' }) },
      role: { kind: 'leading', epoch: 1 },
      checkLeader: () => undefined,
    },
    produce: (
      bytes: Uint8Array,
      _epoch: number,
      _acks: string,
      _deadline: number,
      answer: (outcome: ProduceOutcome) => void,
    ) => {
      appended.push(bytes.length);
      const error = new TributaryError('KAFKA_STORAGE_ERROR', 'no room for the second batch');
      const baseOffset = offset(0n);
      const done = { kind: 'appended', baseOffset, logAppendTimeMs: -1, logStartOffset: baseOffset } as const;
      answer(appended.length === 2 ? { kind: 'failed', error } : done);
      return 1;
    },
  };
  const topic = { topicId: 'id', name: 't', partitions: 1, phase: 'ready' };
  const clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => undefined };
  const publish = publishHandler({
    replicas: { find: () => partition, me: 1, clusterId: 'c' },
    neighbours: { leaderElsewhere: () => undefined },
    source: {
      current: { revision: 0n, topicNamed: () => topic, topic: () => topic, partition: () => ({ leader: 1 }) },
    },
    clock,
    turns: new Turns(clock),
    observer: { produced: () => undefined, refused: () => undefined, answered: () => undefined },
  } as unknown as PublishParts);
  const records = Array.from({ length: 12 }, () => record('x'.repeat(200)));
  const request = { context, topic: 't', records, partition: 0, acks: Acks.ALL, timeoutMs: 0, sequence: undefined };
  const answer = await publish(request, { peer: 'test', signal: new AbortController().signal });
  assert.equal(appended.length, 2);
  const errors = answer.records.map(({ errorCode }) => errorCode !== 0);
  assert.equal(errors.indexOf(true), errors.filter((each) => !each).length);
  assert.ok(errors.includes(false));
});
