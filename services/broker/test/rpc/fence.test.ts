/** G1: no way of writing leads past the fence of an internal topic. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorName, offsetsTopicName, producerEpoch, producerId } from '@tributary/model';
import { encodeBatch } from '@tributary/record';
import { Acks, methods } from '@tributary/wire';
import { context, record } from './one-broker.ts';
import { type Brokers, withBrokers } from './several-brokers.ts';

const deadlineMs = 5_000;

interface Target {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly leader: number;
}

async function target(brokers: Brokers, topic: string): Promise<Target> {
  if (topic === offsetsTopicName) await brokers.makeOffsetsTopic();
  else await brokers.at(1).createTopic(topic, 1);
  const [leader = 0] = await brokers.leaders(topic);
  const about = { context, topics: [topic], allTopics: false, topicIds: [] };
  const { topics } = await brokers.at(1).peer.unary(methods.getMetadata, about, { deadlineMs });
  const leaderEpoch = topics[0]?.partitions[0]?.leaderEpoch ?? -1;
  return { topicId: topics[0]?.topicId ?? '', partition: 0, leaderEpoch, leader };
}

interface Sent {
  readonly writerEpoch?: bigint;
  readonly id?: bigint;
  readonly sequence?: number;
  readonly acks?: Acks;
}

/** Through the leader, or a broker that passes it on. @returns the offset, or the error. */
async function produced(brokers: Brokers, at: number, to: Target, sent: Sent): Promise<string> {
  const { writerEpoch, id = writerEpoch, sequence = 0, acks = Acks.ALL } = sent;
  const producer =
    id === undefined ? {} : { producer: { id: producerId(id), epoch: producerEpoch(0), baseSequence: sequence } };
  const records = encodeBatch([{ key: 'k', value: 'v', timestamp: 1_000 }], { copy: true, ...producer });
  const stream = brokers.at(at).peer.stream(methods.produce, new AbortController().signal);
  const { topicId, partition, leaderEpoch } = to;
  const batch = { correlationId: 1, topicId, partition, leaderEpoch, records, writerEpoch };
  stream.send({ context, acks, timeoutMs: 1_000, transactionalId: '', batches: [batch] });
  stream.end();
  for await (const { results } of stream)
    for (const { errorCode, baseOffset, errorMessage } of results) {
      if (errorCode === 90) assert.match(errorMessage, /writer epoch 7 .* 6/);
      return errorCode === 0 ? `${baseOffset}` : errorName(errorCode);
    }
  return 'unanswered';
}

describe('an internal topic, at its leader and through others alike', () => {
  test('takes batches of its newest writer, and nothing else, by Produce', async () => {
    await withBrokers(11, 3, async (brokers) => {
      const to = await target(brokers, offsetsTopicName);
      const other = to.leader === 1 ? 2 : 1;
      let next = 0;
      for (const at of [to.leader, other]) {
        const send = (sent: Sent) => produced(brokers, at, to, sent);
        assert.equal(await send({}), 'INVALID_TOPIC_EXCEPTION');
        assert.equal(await send({ id: 8n }), 'INVALID_TOPIC_EXCEPTION');
        assert.equal(await send({ writerEpoch: 8n, id: 9n }), 'INVALID_REQUEST');
        assert.equal(await send({ writerEpoch: 8n, acks: Acks.LEADER }), 'INVALID_REQUIRED_ACKS');
        assert.equal(await send({ writerEpoch: 7n, sequence: next }), `${next}`);
        assert.equal(await send({ writerEpoch: 7n, sequence: next }), `${next}`, 'its retry');
        next++;
        assert.equal(await send({ writerEpoch: 6n }), 'PRODUCER_FENCED');
      }
    });
  });

  test('takes nothing by Publish, and nobody deletes its records', async () => {
    await withBrokers(12, 3, async (brokers) => {
      const to = await target(brokers, offsetsTopicName);
      assert.equal(await produced(brokers, to.leader, to, { writerEpoch: 7n }), '0');
      for (const at of [1, 2]) {
        const sequence = { producerId: 8n, producerEpoch: 0, firstSequence: 0 };
        for (const rest of [{}, { partition: 0, sequence }])
          await assert.rejects(
            brokers.at(at).publish(offsetsTopicName, [record('v', { key: Buffer.from('k') })], rest),
            { error: 'INVALID_TOPIC_EXCEPTION' },
          );
        const partitions = [{ ...to, beforeOffset: -1n }];
        const asked = { context, partitions, validateOnly: false };
        const answer = await brokers.at(at).peer.unary(methods.deleteRecords, asked, { deadlineMs });
        assert.equal(errorName(answer.partitions[0]?.errorCode ?? 0), 'INVALID_TOPIC_EXCEPTION');
      }
    });
  });

  test('is the only one with a fence: elsewhere a writer epoch is refused, also where it is passed on', async () => {
    await withBrokers(13, 2, async (brokers) => {
      const to = await target(brokers, 't');
      for (const at of [1, 2]) {
        assert.equal(await produced(brokers, at, to, { writerEpoch: 7n }), 'INVALID_REQUEST');
        assert.equal(await produced(brokers, at, to, { id: 7n, sequence: at - 1 }), `${at - 1}`);
      }
    });
  });
});

describe('lag (G7)', () => {
  test('is measured by the leader of each partition, whoever is asked', async () => {
    await withBrokers(14, 2, async (brokers) => {
      await brokers.at(1).createTopic('t', 4);
      await brokers.leaders('t');
      const records = [0, 1, 2, 3].flatMap((partition) =>
        [1_000n, 2_000n, 3_000n].map((timestampMs) => record('v', { partition, timestampMs })),
      );
      for (const one of records) await brokers.at(1).publish('t', [one]);
      const about = { context, topics: ['t'], allTopics: false, topicIds: [] };
      const topicId = (await brokers.at(1).peer.unary(methods.getMetadata, about, { deadlineMs })).topics[0]?.topicId;
      const partitions = [3, 0, 9, 2, 1].map((partition) => ({
        topicId: topicId ?? '',
        partition,
        offsets: [2n, 0n, 3n, -5n, 70n],
      }));
      for (const at of [1, 2]) {
        const answer = await brokers.at(at).peer.unary(methods.measureLag, { context, partitions }, { deadlineMs });
        assert.deepEqual(
          answer.partitions.map(({ partition, errorCode }) => [partition, errorName(errorCode)]),
          [3, 0, 9, 2, 1].map((partition) => [
            partition,
            partition === 9 ? 'UNKNOWN_TOPIC_OR_PARTITION' : errorName(0),
          ]),
        );
        for (const { partition, readers, highWatermark, logStartOffset, nowMs } of answer.partitions) {
          if (partition === 9) continue;
          assert.deepEqual([logStartOffset, highWatermark], [0n, 3n]);
          assert.ok(nowMs > 0n);
          assert.deepEqual(
            readers.map(({ timestampMs, estimated }) => [timestampMs, estimated]),
            [3_000n, 1_000n, -1n, 1_000n, -1n].map((time) => [time, false]),
          );
          const bytes = readers.map((reader) => reader.bytes);
          assert.deepEqual(bytes.slice(1, 4), [(bytes[0] ?? 0n) * 3n, 0n, bytes[1]]);
          assert.deepEqual(
            readers.map((reader) => reader.lostAtMs === -1n),
            [false, false, true, false, true],
          );
        }
      }
      const offsets = Array.from({ length: 100_001 }, () => 0n);
      const tooMany = { context, partitions: [{ topicId: topicId ?? '', partition: 0, offsets }] };
      await assert.rejects(brokers.at(1).peer.unary(methods.measureLag, tooMany, { deadlineMs }), {
        error: 'INVALID_REQUEST',
      });
    });
  });
});
