import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import {
  type AlterConfigsRequest,
  ConfigOperationType,
  ConfigResourceType,
  ConfigSource,
  type CreatePartitionsRequest,
  type DeleteRecordsRequest,
  type DescribeLogDirsRequest,
  methods,
} from '@tributary/wire';
import { failsWith } from './fails-with.ts';
import { fill, take, textConsumer } from './reading.ts';
import { type World, world } from './world.ts';

/** The fake cluster adds partitions when asked, as a controller does. */
function growsOnRequest(w: World): void {
  w.cluster.answers.set(methods.createPartitions.path, (request: CreatePartitionsRequest) => {
    const before = w.cluster.topics.get(request.name)?.partitions.length;
    if (before === undefined) throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `no topic "${request.name}"`);
    if (request.totalCount <= before) throw new TributaryError('INVALID_PARTITIONS', `it has ${before}`);
    if (!request.validateOnly) w.cluster.grow(request.name, request.totalCount);
    return { throttleMs: 0, revision: 5n, partitionsBefore: before, partitions: request.totalCount };
  });
}

test('added partitions are found by producers and by consumers of the whole topic, from their first record on', async () => {
  await using w = await world();
  growsOnRequest(w);
  w.cluster.createTopic('t', 1);
  const producer = w.client.producer();
  await producer.send({ topic: 't', value: 'old' });
  const consumer = textConsumer(w, { autoOffsetReset: 'latest' });
  await consumer.assign([{ topic: 't' }]);
  const partial = textConsumer(w);
  await partial.assign([{ topic: 't', partition: 0, offset: 'end' }]);
  await w.pass(50);
  assert.deepEqual(await w.client.admin.createPartitions('t', 3), { before: 1, partitions: 3 });
  await w.pass(50);
  for (const partition of [1, 2]) await producer.send({ topic: 't', partition, value: `new ${partition}` });
  assert.deepEqual((await take(consumer, 2)).toSorted(), ['new 1', 'new 2']);
  assert.equal(consumer.assignment.length, 3);
  assert.equal(partial.assignment.length, 1);
});

test('added partitions whose records came before anybody heard of them are read from the beginning', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const consumer = textConsumer(w, { autoOffsetReset: 'latest' });
  await consumer.assign([{ topic: 't' }]);
  w.cluster.grow('t', 2);
  fill(w, w.cluster.partition('t', 1), 3);
  // Nobody told: the picture grows old by itself.
  await w.pass(400_000);
  assert.deepEqual(await take(consumer, 3), ['0', '1', '2']);
});

test('adding partitions is asked for again after a lost answer, and happens once', async () => {
  await using w = await world();
  growsOnRequest(w);
  w.cluster.createTopic('t', 1);
  let lose = 1;
  w.network.losesAnswer = (path) => path === methods.createPartitions.path && lose-- > 0;
  assert.equal((await w.client.admin.createPartitions('t', 4)).partitions, 4);
  assert.equal(w.cluster.topics.get('t')?.partitions.length, 4);
  await assert.rejects(w.client.admin.createPartitions('t', 4), failsWith('INVALID_PARTITIONS', /it has 4/));
  await assert.rejects(w.client.admin.createPartitions('x', 4), failsWith('UNKNOWN_TOPIC_OR_PARTITION', /"x"/));
});

test('settings go to the resource that is named, and come back with who set them', async () => {
  await using w = await world();
  const asked: AlterConfigsRequest[] = [];
  const entry = { defaultValue: '1', documentation: 'd', allowed: 'a' };
  w.cluster.answers.set(methods.alterConfigs.path, (request: AlterConfigsRequest) => {
    asked.push(request);
    const before = [{ ...entry, name: 'x', value: '1', source: ConfigSource.DEFAULT }];
    const after = [{ ...entry, name: 'x', value: '2', source: ConfigSource.CLUSTER }];
    return { throttleMs: 0, revision: 1n, before, after };
  });
  const { before, after } = await w.client.admin.alterConfigs({ kind: 'all-brokers' }, [
    { name: 'x', operation: 'set', value: '2' },
    { name: 'y', operation: 'delete' },
  ]);
  assert.deepEqual([before[0]?.source, after[0]?.source, after[0]?.value], ['default', 'cluster', '2']);
  await w.client.admin.alterConfigs({ kind: 'broker', id: 0 }, [{ name: 'x', operation: 'append', value: 'a' }]);
  await w.client.admin.alterConfigs({ kind: 'topic', name: 't' }, [], { validateOnly: true });
  assert.deepEqual(
    asked.map(({ resourceType, resourceName, validateOnly }) => [resourceType, resourceName, validateOnly]),
    [
      [ConfigResourceType.BROKER, '', false],
      [ConfigResourceType.BROKER, '0', false],
      [ConfigResourceType.TOPIC, 't', true],
    ],
  );
  assert.deepEqual(
    asked[0]?.operations.map(({ operation }) => operation),
    [ConfigOperationType.SET, ConfigOperationType.DELETE],
  );
  await assert.rejects(w.client.admin.describeConfigs({ kind: 'broker', id: -1 }), failsWith('INVALID_REQUEST', /-1/));
});

test('records are deleted at the leader of each partition; what fails for a while is tried again, what has been done is not', async () => {
  await using w = await world({ brokers: ['a:1', 'b:1'] });
  const { partitions } = w.cluster.createTopic('t', 3);
  for (const [index, partition] of partitions.entries()) partition.leader = index === 2 ? 2 : 1;
  const asked: string[] = [];
  let busy = 2;
  w.cluster.answers.set(methods.deleteRecords.path, (request: DeleteRecordsRequest, nodeId: number) => {
    const answers = request.partitions.map(({ topicId, partition, beforeOffset }) => {
      asked.push(`${nodeId}: ${partition} before ${beforeOffset}`);
      const about = { topicId, partition, errorMessage: '', records: 3n, bytes: 4n };
      if (partition === 1 && busy-- > 0) return { ...about, errorCode: 56, logStartOffset: -1n };
      return { ...about, errorCode: 0, logStartOffset: beforeOffset < 0n ? 9n : beforeOffset };
    });
    return { throttleMs: 0, partitions: answers };
  });
  const done = await w.client.admin.deleteRecords([
    { topic: 't', partition: 0, before: 5n },
    { topic: 't', partition: 1, before: 'end' },
    { topic: 't', partition: 2, before: 6n },
  ]);
  assert.deepEqual(
    done.map(({ topic, partition, logStartOffset, records, bytes }) => [
      topic,
      partition,
      logStartOffset,
      records,
      bytes,
    ]),
    [
      ['t', 0, 5n, 3, 4],
      ['t', 1, 9n, 3, 4],
      ['t', 2, 6n, 3, 4],
    ],
  );
  assert.deepEqual(asked.toSorted(), ['1: 0 before 5', ...Array<string>(3).fill('1: 1 before -1'), '2: 2 before 6']);
});

test('what a leader refuses for good is the error, and a partition that is not there is one at once', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  w.cluster.answers.set(methods.deleteRecords.path, ({ partitions }: DeleteRecordsRequest) => ({
    throttleMs: 0,
    partitions: partitions.map(({ topicId, partition }) => {
      const about = { topicId, partition, errorCode: 1, errorMessage: 't-0 has offsets 0 to 3' };
      return { ...about, logStartOffset: -1n, records: 0n, bytes: 0n };
    }),
  }));
  const { admin } = w.client;
  const begin = w.clock.monotonicMs();
  await assert.rejects(
    admin.deleteRecords([{ topic: 't', partition: 0, before: 9n }]),
    failsWith('OFFSET_OUT_OF_RANGE', /0 to 3/),
  );
  await assert.rejects(
    admin.deleteRecords([{ topic: 't', partition: 7, before: 9n }]),
    failsWith('UNKNOWN_TOPIC_OR_PARTITION', /Partition 7/),
  );
  assert.ok(w.clock.monotonicMs() - begin < 100);
});

test('log directories are asked of every broker, or of those that are named', async () => {
  await using w = await world({ brokers: ['a:1', 'b:1'] });
  w.cluster.answers.set(methods.describeLogDirs.path, ({ nodeId }: DescribeLogDirsRequest) => {
    const sizes = { totalBytes: -1n, freeBytes: 7n, refuseBelowFreeBytes: 0n };
    const directory = {
      path: `/${nodeId}`,
      directoryId: 'd',
      errorCode: 0,
      errorMessage: '',
      ...sizes,
      partitions: [],
    };
    return { throttleMs: 0, nodeId, logDirs: [directory] };
  });
  const all = await w.client.admin.describeLogDirs();
  assert.deepEqual(
    all.map(({ broker, path, totalBytes, freeBytes }) => [broker, path, totalBytes, freeBytes]),
    [
      [1, '/1', undefined, 7],
      [2, '/2', undefined, 7],
    ],
  );
  assert.deepEqual((await w.client.admin.describeLogDirs({ ids: [2] })).length, 1);
});
