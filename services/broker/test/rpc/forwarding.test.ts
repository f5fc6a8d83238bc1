import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { serializers } from '@tributary/client';
import { errorName } from '@tributary/model';
import { methods, OffsetSpec } from '@tributary/wire';
import { context, fromBeginning, record } from './one-broker.ts';
import { withBrokers } from './several-brokers.ts';

const partitions = 6;
const values = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `${index}`);

describe('through one address (F1)', () => {
  test('a client that reaches a single broker produces to, and reads from, every partition, in order and once', async () => {
    await withBrokers(1, 3, async (brokers) => {
      const client = await brokers.through(1);
      await client.admin.createTopic({ name: 't', partitions });
      assert.ok(new Set(await brokers.leaders('t')).size > 1);
      const producer = client.producer({ batchSize: 200 });
      await producer.sendAll(
        values(600).map((value) => ({ topic: 't', value, partition: Number(value) % partitions })),
      );
      const consumer = client.consumer({ valueDeserializer: serializers.string });
      await consumer.assign([{ topic: 't', offset: 'beginning' }]);
      const read = Array.from({ length: partitions }, (): string[] => []);
      for (let count = 0; count < 600; ) {
        const records = await consumer.poll();
        count += records.length;
        for (const { partition, value } of records) read[partition]?.push(value ?? '');
      }
      for (const [index, each] of read.entries())
        assert.deepEqual(
          each,
          values(600).filter((value) => Number(value) % partitions === index),
        );
      // Acknowledged is acknowledged where nobody answers, too: what was handed over arrives.
      const careless = client.producer({ acks: 0 });
      for (let partition = 0; partition < partitions; partition++) careless.send({ topic: 't', value: 'x', partition });
      await careless.close();
      const last = new Set<number>();
      while (last.size < partitions)
        for (const { partition, value } of await consumer.poll()) if (value === 'x') last.add(partition);
    });
  });

  test('operators too: offsets, deletion of records and previews, whoever leads', async () => {
    await withBrokers(2, 3, async (brokers) => {
      const client = await brokers.through(2);
      await client.admin.createTopic({ name: 't', partitions });
      await brokers.leaders('t');
      const producer = client.producer();
      for (let partition = 0; partition < partitions; partition++)
        await producer.sendAll(
          values(partition + 1).map((value) => ({ topic: 't', value, partition, timestamp: 1_000 })),
        );
      const all = values(partitions).map(Number);
      const ends = await client.admin.listOffsets(
        all.map((partition) => ({ topic: 't', partition, wanted: { kind: 'end' } })),
      );
      assert.deepEqual(
        ends.map((end) => end?.offset),
        all.map((partition) => BigInt(partition + 1)),
      );
      const gone = await client.admin.deleteRecords(all.map((partition) => ({ topic: 't', partition, before: 1n })));
      assert.deepEqual(
        gone.map(({ partition, logStartOffset }) => [partition, logStartOffset]),
        all.map((partition) => [partition, 1n]),
      );
      const { id } = await client.admin.describeTopic('t');
      const previewed = await client.admin.previewRetention({ name: 't', id }, { 'retention.ms': '1' });
      assert.deepEqual(
        previewed.map(({ partition }) => partition),
        all,
      );
    });
  });

  test('what has been passed on once is not passed on again: not leader, with the leader and its epoch', async () => {
    await withBrokers(3, 3, async (brokers) => {
      await brokers.at(1).createTopic('t', partitions);
      const leaders = await brokers.leaders('t');
      const about = { context, topics: ['t'], allTopics: false, topicIds: [] };
      const { topics } = await brokers.at(1).peer.unary(methods.getMetadata, about, { deadlineMs: 5_000 });
      const topicId = topics[0]?.topicId ?? '';
      const elsewhere = leaders.findIndex((leader) => leader !== 1);
      const leaderEpoch = topics[0]?.partitions[elsewhere]?.leaderEpoch ?? -1;
      const ask = async (hops: number, epoch: number): Promise<string> => {
        const wanted = {
          topicId,
          partition: elsewhere,
          leaderEpoch: epoch,
          spec: OffsetSpec.EARLIEST,
          timestampMs: 0n,
        };
        const request = { context: { ...context, hops }, partitions: [wanted] };
        const { partitions: listed } = await brokers
          .at(1)
          .peer.unary(methods.listOffsets, request, { deadlineMs: 5_000 });
        return errorName(listed[0]?.errorCode ?? 0);
      };
      assert.equal(await ask(1, leaderEpoch), 'NOT_LEADER_OR_FOLLOWER');
      assert.equal(await ask(0, leaderEpoch), errorName(0));
      assert.equal(await ask(0, leaderEpoch - 1), 'FENCED_LEADER_EPOCH');
      assert.equal(await ask(0, leaderEpoch + 1), 'UNKNOWN_LEADER_EPOCH');
      const fetch = brokers.at(1).peer.stream(methods.fetch, new AbortController().signal);
      const position = { topicId, partition: elsewhere, generation: 1, offset: 0n, lastEpoch: -1, leaderEpoch };
      fetch.send({
        context: { ...context, hops: 1 },
        rack: '',
        isolationLevel: 1,
        open: [{ ...position, creditLimit: 100n }],
        credit: [],
        close: [],
        fromFollower: false,
      });
      for await (const { partitions: frames } of fetch) {
        assert.equal(errorName(frames[0]?.errorCode ?? 0), 'NOT_LEADER_OR_FOLLOWER');
        assert.deepEqual([frames[0]?.leaderId, frames[0]?.leaderEpoch], [leaders[elsewhere], leaderEpoch]);
        break;
      }
      fetch.cancel();
    });
  });

  test('Publish is split by leader, and answered together in the order of the request', async () => {
    await withBrokers(4, 3, async (brokers) => {
      await brokers.at(1).createTopic('t', partitions);
      await brokers.leaders('t');
      const records = values(60).map((value) => record(value, { partition: Number(value) % partitions }));
      for (const nodeId of [1, 2, 3]) {
        const answer = await brokers.at(nodeId).publish('t', records);
        assert.deepEqual(
          answer.records.map(({ partition, errorCode }) => [partition, errorCode]),
          values(60).map((value) => [Number(value) % partitions, 0]),
        );
        assert.deepEqual(
          answer.records.filter(({ partition }) => partition === 3).map(({ offset }) => offset),
          values(10).map((index) => BigInt((nodeId - 1) * 10 + Number(index))),
        );
      }
      const absent = await brokers.at(1).publish('t', [record('x', { partition: 99 }), record('y', { partition: 0 })]);
      assert.deepEqual(
        absent.records.map(({ errorCode }) => errorCode !== 0),
        [true, false],
      );
    });
  });

  test('a leader that dies is an error with a name for those who asked through another broker, and none for the client library', async () => {
    await withBrokers(5, 3, async (brokers) => {
      const client = await brokers.through(1);
      await client.admin.createTopic({ name: 't', partitions });
      const leaders = await brokers.leaders('t');
      const partition = leaders.indexOf(3);
      assert.ok(partition >= 0);
      const producer = client.producer();
      await producer.send({ topic: 't', value: 'a', partition });
      brokers.process(3).end({ how: 'killed' });
      const { records } = await brokers.at(2).publish('t', [record('x', { partition })], { timeoutMs: 1_000 });
      assert.match(
        errorName(records[0]?.errorCode ?? 0),
        /BROKER_NOT_AVAILABLE|NOT_LEADER_OR_FOLLOWER|LEADER_NOT_AVAILABLE/,
      );
      const others = producer.send({ topic: 't', value: 'b', partition: leaders.indexOf(2) });
      assert.equal((await others).offset, 0n);
    });
  });

  test('Subscribe reads from every leader, in the order of each partition, up to the end that there was', async () => {
    await withBrokers(6, 3, async (brokers) => {
      await brokers.at(1).createTopic('t', partitions);
      await brokers.leaders('t');
      const records = values(300).map((value) =>
        record(value.padStart(Number(value) % 50 === 0 ? 400_000 : 10), { partition: Number(value) % partitions }),
      );
      for (let from = 0; from < 300; from += 30) await brokers.at(1).publish('t', records.slice(from, from + 30));
      for (const nodeId of [1, 2, 3]) {
        const subscribed = await brokers.at(nodeId).readAll('t');
        assert.deepEqual(subscribed.errors, []);
        for (let partition = 0; partition < partitions; partition++)
          assert.deepEqual(
            subscribed.values(partition).map((value) => value?.trim()),
            values(300).filter((value) => Number(value) % partitions === partition),
          );
      }
      // What is added later comes too, also where reading began at the end or at a time.
      const positions = [{ partition: 1, start: { position: { $case: 'timestampMs' as const, value: 0n } } }];
      const later = brokers.at(2).subscribe({ topics: [{ topic: 't', partitions: [], start: undefined, positions }] });
      await later.until(() => later.answers.length > 0);
      const more = values(12).map((value) => record(`more ${value}`, { partition: Number(value) % partitions }));
      await brokers.at(3).publish('t', more);
      await later.until(() => later.values().length === 62);
      assert.equal(later.values(1).at(-1), 'more 7');
    });
  });

  test('the credit of a subscription holds over all leaders, and may be raised at any broker', async () => {
    await withBrokers(7, 3, async (brokers) => {
      await brokers.at(1).createTopic('t', partitions);
      await brokers.leaders('t');
      const records = values(120).map((value) =>
        record(value.padStart(1_000), { partition: Number(value) % partitions }),
      );
      await brokers.at(1).publish('t', records);
      const subscribed = brokers.at(1).subscribe({ topics: [fromBeginning('t')], creditBytes: 30_000n });
      await subscribed.until(() => subscribed.answers.at(-1)?.creditNeeded !== 0n);
      await brokers.clock.sleep(2_000, new AbortController().signal);
      assert.ok(subscribed.bytes <= 30_000 && subscribed.bytes > 25_000, `${subscribed.bytes} bytes`);
      await brokers.at(3).grantCredit(subscribed.id, 1_000_000n);
      await subscribed.until(() => subscribed.values().length === 120);
      subscribed.stream.cancel();
      await brokers.clock.sleep(1_000, new AbortController().signal);
      await assert.rejects(brokers.at(2).grantCredit(subscribed.id, 2_000_000n), /its stream is over/);
      await assert.rejects(brokers.at(2).grantCredit('nonsense', 1n), /its stream is over/);
    });
  });

  test('a subscriber hears by name of a leader that is gone for good, and goes on with the others', async () => {
    await withBrokers(8, 3, async (brokers) => {
      await brokers.at(1).createTopic('t', partitions);
      const leaders = await brokers.leaders('t');
      const subscribed = brokers.at(1).subscribe({ topics: [fromBeginning('t')] });
      const all = values(partitions).map((value) => record(value, { partition: Number(value) }));
      await brokers.at(1).publish('t', all);
      await subscribed.until(() => subscribed.values().length === partitions);
      brokers.process(3).end({ how: 'killed' });
      await subscribed.until(() => subscribed.errors.length === leaders.filter((leader) => leader === 3).length);
      assert.ok(leaders.includes(3));
      for (const error of subscribed.errors)
        assert.match(error, /BROKER_NOT_AVAILABLE|NOT_LEADER_OR_FOLLOWER|LEADER_NOT_AVAILABLE/);
      const living = leaders.findIndex((leader) => leader === 2);
      await brokers.at(1).publish('t', [record('after', { partition: living })]);
      await subscribed.until(() => subscribed.values(living).at(-1) === 'after');
    });
  });
});
