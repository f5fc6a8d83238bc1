import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorName, nodeId, topicConfig, TributaryError } from '@tributary/model';
import type { CallContext, Clock, UnaryMethod } from '@tributary/ports';
import {
  type AlterConfigsRequest,
  ConfigOperationType,
  ConfigResourceType,
  type ConfigSource,
  type DeleteRecordsPartition,
  methods,
  type OffsetSpec,
  OffsetSpec as Spec,
} from '@tributary/wire';
import type { Replicas } from '../../src/replicas.ts';
import { deleteRecordsHandler } from '../../src/rpc/delete-records.ts';
import { listOffsetsHandler } from '../../src/rpc/list-offsets.ts';
import { Neighbours } from '../../src/rpc/neighbours.ts';
import { type Calls, context, record, withBroker } from './one-broker.ts';

const deadlineMs = 60_000;

/** Calls on bare messages, as anybody's stubs make them. */
class Operator {
  readonly calls: Calls;

  constructor(calls: Calls) {
    this.calls = calls;
  }

  ask<Request, Response>(method: UnaryMethod<Request, Response>, request: Request): Promise<Response> {
    return this.calls.peer.unary(method, request, { deadlineMs });
  }

  async refused<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    error: string,
    sentence: RegExp,
  ): Promise<void> {
    await assert.rejects(this.ask(method, request), (thrown) => {
      assert.ok(thrown instanceof TributaryError, String(thrown));
      assert.equal(thrown.error, error, thrown.message);
      assert.match(thrown.message, sentence);
      return true;
    });
  }

  /** Resolves when all of its partitions are led. */
  async createTopic(name: string, partitions: number, configs: Record<string, string> = {}): Promise<void> {
    await this.calls.createTopic(name, partitions, configs);
    for (;;) {
      const broker = await this.ask(methods.describeBroker, { context, nodeId: -1 });
      const { topics } = await this.ask(methods.getMetadata, { context, topics: [], allTopics: true, topicIds: [] });
      if (broker.partitionsLed === topics.reduce((sum, topic) => sum + topic.partitions.length, 0)) return;
      await this.calls.clock.sleep(10, new AbortController().signal);
    }
  }

  async route(topic: string): Promise<{ topicId: string; leaderEpoch: number }> {
    const { topics } = await this.ask(methods.getMetadata, {
      context,
      topics: [topic],
      allTopics: false,
      topicIds: [],
    });
    const [found] = topics;
    return { topicId: found?.topicId ?? '', leaderEpoch: found?.partitions[0]?.leaderEpoch ?? -1 };
  }

  /** The answer about one partition, as `offset` or the error. */
  async offset(topic: string, spec: OffsetSpec, timestampMs = 0n): Promise<string> {
    const partition = { ...(await this.route(topic)), partition: 0, spec, timestampMs };
    const [answer] = (await this.ask(methods.listOffsets, { context, partitions: [partition] })).partitions;
    if (answer === undefined) return 'nothing';
    return answer.errorCode === 0 ? String(answer.offset) : `${errorName(answer.errorCode)}: ${answer.errorMessage}`;
  }

  async deleteRecords(topic: string, beforeOffset: bigint, more: Partial<DeleteRecordsPartition> = {}) {
    const wanted = { ...(await this.route(topic)), partition: 0, beforeOffset, ...more };
    const request = { context, partitions: [wanted], validateOnly: false };
    const [answer] = (await this.ask(methods.deleteRecords, request)).partitions;
    assert.ok(answer !== undefined);
    const error = answer.errorCode === 0 ? '' : errorName(answer.errorCode);
    return { ...answer, error };
  }

  alter(request: Partial<AlterConfigsRequest>) {
    const resource = { resourceType: ConfigResourceType.TOPIC, resourceName: 't' };
    return this.ask(methods.alterConfigs, { context, ...resource, operations: [], validateOnly: false, ...request });
  }

  async logDir(topic: string) {
    const { logDirs } = await this.ask(methods.describeLogDirs, { context, nodeId: -1, topicIds: [] });
    const found = logDirs[0]?.partitions.find((each) => each.topic === topic);
    assert.ok(found !== undefined);
    return found;
  }
}

const set = (name: string, value: string) => ({ name, operation: ConfigOperationType.SET, value });

async function withOperator(seed: number, story: (operator: Operator) => Promise<void>): Promise<void> {
  await withBroker(seed, (calls) => story(new Operator(calls)));
}

describe('offsets', () => {
  test('are found at the ends, by newest timestamp and by time, also where the log is empty', async () => {
    await withOperator(1, async (operator) => {
      await operator.createTopic('t', 1);
      for (const spec of [Spec.MAX_TIMESTAMP, Spec.TIMESTAMP]) assert.equal(await operator.offset('t', spec), '-1');
      assert.deepEqual(
        [await operator.offset('t', Spec.EARLIEST), await operator.offset('t', Spec.LATEST)],
        ['0', '0'],
      );
      const stamped = [5n, 9n, 7n].map((timestampMs) => record('x', { timestampMs }));
      for (const one of stamped) await operator.calls.publish('t', [one]);
      assert.equal(await operator.offset('t', Spec.MAX_TIMESTAMP), '1');
      assert.equal(await operator.offset('t', Spec.TIMESTAMP, 6n), '1');
      assert.equal(await operator.offset('t', Spec.TIMESTAMP, 10n), '-1');
      assert.equal(await operator.offset('t', Spec.TIMESTAMP, 2n ** 62n), '-1');
      assert.equal(await operator.offset('t', Spec.LATEST), '3');
      await operator.deleteRecords('t', 2n);
      assert.equal(await operator.offset('t', Spec.EARLIEST), '2');
      assert.equal(await operator.offset('t', Spec.MAX_TIMESTAMP), '2', 'the newest that is left');
      assert.equal(await operator.offset('t', Spec.TIMESTAMP, 1n), '2');
    });
  });

  test('of no time, by no spec, and of no partition are typed errors', async () => {
    await withOperator(2, async (operator) => {
      await operator.createTopic('t', 1);
      for (const timestampMs of [-1n, -2n, -(2n ** 63n)])
        assert.match(await operator.offset('t', Spec.TIMESTAMP, timestampMs), /^INVALID_REQUEST: .*no timestamp/);
      for (const spec of [0, 9, -1])
        assert.match(await operator.offset('t', spec as OffsetSpec), new RegExp(`^INVALID_REQUEST: .*no spec ${spec}`));
      const { topicId, leaderEpoch } = await operator.route('t');
      const ask = { spec: Spec.LATEST, timestampMs: 0n };
      const { partitions } = await operator.ask(methods.listOffsets, {
        context,
        partitions: [
          { topicId, partition: -1, leaderEpoch, ...ask },
          { topicId, partition: 1, leaderEpoch, ...ask },
          { topicId: '', partition: 0, leaderEpoch, ...ask },
          { topicId, partition: 0, leaderEpoch: -7, ...ask },
          { topicId, partition: 0, leaderEpoch: leaderEpoch + 1, ...ask },
        ],
      });
      assert.deepEqual(
        partitions.map(({ errorCode }) => errorName(errorCode)),
        [
          'UNKNOWN_TOPIC_OR_PARTITION',
          'UNKNOWN_TOPIC_OR_PARTITION',
          'UNKNOWN_TOPIC_ID',
          'FENCED_LEADER_EPOCH',
          'UNKNOWN_LEADER_EPOCH',
        ],
      );
    });
  });
});

describe('deleting records', () => {
  test('takes what is below, says how much, and never less or more than what can be read', async () => {
    await withOperator(3, async (operator) => {
      await operator.createTopic('t', 1, { 'segment.bytes': '1024' });
      for (let i = 0; i < 40; i++) await operator.calls.publish('t', [record('x'.repeat(100))]);
      const before = await operator.logDir('t');
      const request = { context, validateOnly: true };
      const wanted = { ...(await operator.route('t')), partition: 0, beforeOffset: 25n };
      const [would] = (await operator.ask(methods.deleteRecords, { ...request, partitions: [wanted] })).partitions;
      assert.deepEqual(await operator.logDir('t'), before);
      const done = await operator.deleteRecords('t', 25n);
      assert.deepEqual([done.logStartOffset, done.records, done.bytes], [25n, 25n, would?.bytes]);
      const after = await operator.logDir('t');
      assert.equal(after.sizeBytes, before.sizeBytes - done.bytes);
      assert.deepEqual([after.logStartOffset, after.highWatermark, after.logEndOffset], [25n, 40n, 40n]);
      assert.ok(after.segments < before.segments);
      const again = await operator.deleteRecords('t', 3n);
      assert.deepEqual([again.error, again.logStartOffset, again.records], ['', 25n, 0n]);
      assert.equal((await operator.calls.readAll('t')).values().length, 15);
      const all = await operator.deleteRecords('t', -1n);
      assert.deepEqual([all.logStartOffset, all.records, (await operator.logDir('t')).sizeBytes], [40n, 15n, 0n]);
      await operator.calls.publish('t', [record('next')]);
      assert.deepEqual((await operator.calls.readAll('t')).values(), ['next']);
    });
  });

  test('is refused above the end, below nothing, where only keys count, and to who knows another leader', async () => {
    await withOperator(4, async (operator) => {
      await operator.createTopic('t', 1);
      await operator.createTopic('keys', 1, { 'cleanup.policy': 'compact' });
      await operator.calls.publish('t', [record('x')]);
      for (const offset of [2n, 2n ** 62n, -2n, -(2n ** 63n)]) {
        const { error, errorMessage } = await operator.deleteRecords('t', offset);
        assert.equal(error, 'OFFSET_OUT_OF_RANGE');
        assert.match(errorMessage, /t-0 has offsets 0 to 1; records before -?\d+ cannot be deleted/);
      }
      const outcomes = [
        await operator.deleteRecords('keys', -1n),
        await operator.deleteRecords('t', 1n, { partition: -1 }),
        await operator.deleteRecords('t', 1n, { topicId: '' }),
        await operator.deleteRecords('t', 1n, { leaderEpoch: -1 }),
      ];
      assert.deepEqual(
        outcomes.map(({ error }) => error),
        ['POLICY_VIOLATION', 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_ID', 'FENCED_LEADER_EPOCH'],
      );
      assert.equal((await operator.calls.readAll('t')).values().length, 1);
    });
  });
});

test('R8: what a new leader is about to commit is neither out of range nor absent', async () => {
  const notYet = new TributaryError('OFFSET_NOT_AVAILABLE', 'not yet');
  const partition = {
    state: {
      name: 't-0',
      checkLeader: () => undefined,
      config: topicConfig({}),
      producers: { isInternal: false },
      leadership: { isStartKnown: () => true },
    },
    startMoved: () => undefined,
    startOffset: 0n,
    highWatermark: 3n,
    latest: () => {
      throw notYet;
    },
    log: {
      preview: { below: (start: bigint) => ({ start, records: 0, bytes: 0 }) },
      offsetForTimestamp: async () => ({ offset: 4n, timestampMs: 9 }),
    },
  };
  const replicas = { clusterId: 'c', find: () => partition } as unknown as Replicas;
  const call = { signal: new AbortController().signal, peer: 'test' } as unknown as CallContext;
  const neighbours = { me: 1, leaderElsewhere: () => undefined } as unknown as Neighbours;
  const remove = deleteRecordsHandler(replicas, neighbours, {} as Clock);
  const wanted = [3n, 4n, -1n].map((beforeOffset) => ({ topicId: 't', partition: 0, leaderEpoch: 0, beforeOffset }));
  const { partitions: removed } = await remove({ context, partitions: wanted, validateOnly: true }, call);
  assert.deepEqual(
    removed.map(({ errorCode }) => (errorCode === 0 ? 'taken' : errorName(errorCode))),
    ['taken', 'OFFSET_NOT_AVAILABLE', 'OFFSET_NOT_AVAILABLE'],
  );
  const asked = { topicId: 't', partition: 0, leaderEpoch: 0, spec: Spec.TIMESTAMP, timestampMs: 9n };
  const { partitions: listed } = await listOffsetsHandler(replicas, neighbours)({ context, partitions: [asked] }, call);
  assert.equal(errorName(listed[0]?.errorCode ?? 0), 'OFFSET_NOT_AVAILABLE');
});

describe('settings', () => {
  test('of topics count at once, as do those of all brokers beneath them', async () => {
    await withOperator(5, async (operator) => {
      await operator.createTopic('t', 1);
      const tooLarge = async (): Promise<boolean> => {
        const { records } = await operator.calls.publish('t', [record('x'.repeat(500))]);
        return records.some(({ errorCode }) => errorCode !== 0 && errorName(errorCode) === 'MESSAGE_TOO_LARGE');
      };
      const eventually = async (expected: boolean): Promise<void> => {
        for (let i = 0; i < 50 && (await tooLarge()) !== expected; i++)
          await operator.calls.clock.sleep(20, new AbortController().signal);
        assert.equal(await tooLarge(), expected);
      };
      assert.equal(await tooLarge(), false);
      const everyBroker = { resourceType: ConfigResourceType.BROKER, resourceName: '' };
      await operator.alter({ ...everyBroker, operations: [set('message.max.bytes', '300')] });
      await eventually(true);
      await operator.alter({ operations: [set('max.message.bytes', '3000')] });
      await eventually(false);
      const remove = { name: 'max.message.bytes', operation: ConfigOperationType.DELETE, value: '' };
      const { before, after } = await operator.alter({ operations: [remove] });
      const shown = (entries: readonly { value: string; source: ConfigSource }[]) =>
        entries.map(({ value, source }) => `${value} ${source}`);
      assert.deepEqual([shown(before), shown(after)], [['3000 3'], ['300 4']]);
      await eventually(true);
    });
  });

  test('of no kind, of nobody, or wrong are typed errors that name them', async () => {
    await withOperator(6, async (operator) => {
      await operator.createTopic('t', 1);
      const topic = { context, resourceType: ConfigResourceType.TOPIC, resourceName: 't', validateOnly: false };
      const operations = [set('retention.ms', '1')];
      const refused = (request: Partial<AlterConfigsRequest>, error: string, sentence: RegExp) =>
        operator.refused(methods.alterConfigs, { ...topic, operations, ...request }, error, sentence);
      for (const type of [0, 9, -1])
        await refused({ resourceType: type as ConfigResourceType }, 'INVALID_REQUEST', new RegExp(`type ${type}`));
      for (const operation of [0, 9, -1]) {
        const wrong = [{ name: 'retention.ms', operation: operation as ConfigOperationType, value: '1' }];
        await refused({ operations: wrong }, 'INVALID_REQUEST', new RegExp(`Operation ${operation} on`));
      }
      await refused({ resourceName: '' }, 'UNKNOWN_TOPIC_OR_PARTITION', /no topic ""/);
      await refused({ operations: [] }, 'INVALID_REQUEST', /names no setting/);
      await refused({ operations: [set('', '1')] }, 'INVALID_CONFIG', /empty/);
      await refused({ operations: [set('retention.ms', '')] }, 'INVALID_CONFIG', /Bad value ""/);
      const many = Array.from({ length: 101 }, (_, i) => set(`x${i}`, '1'));
      await refused({ operations: many }, 'INVALID_REQUEST', /101 settings; at most 100/);
      const broker = { resourceType: ConfigResourceType.BROKER };
      for (const name of ['-1', '1.5', 'x', '99999999999'])
        await refused({ ...broker, resourceName: name }, 'INVALID_REQUEST', /no broker: name one by its node id/);
      await refused({ ...broker, resourceName: '4' }, 'BROKER_ID_NOT_REGISTERED', /known are: 1/);
      for (const totalCount of [0, -1, -(2 ** 31)]) {
        const request = { context, name: 't', totalCount, validateOnly: false };
        await operator.refused(methods.createPartitions, request, 'INVALID_PARTITIONS', /1 to 10000/);
      }
      const previewed = { context, topicId: '', configs: {} };
      await operator.refused(methods.previewRetention, previewed, 'UNKNOWN_TOPIC_ID', /refresh/);
      const { topicId } = await operator.route('t');
      const wrong = { context, topicId, configs: { 'retention.mss': '1' } };
      await operator.refused(methods.previewRetention, wrong, 'INVALID_CONFIG', /"retention.ms"/);
    });
  });

  test('flush.policy=commit comes to be in force when what was written without flushing is flushed (R6)', async () => {
    await withOperator(7, async (operator) => {
      await operator.createTopic('t', 1, { 'flush.policy': 'async' });
      for (let i = 0; i < 10; i++) await operator.calls.publish('t', [record(`early ${i}`)]);
      await operator.alter({ operations: [set('flush.policy', 'commit')] });
      const epoch = async (): Promise<number> => {
        const { partitions } = await operator.ask(methods.describeTopic, { context, name: 't' });
        return partitions[0]?.partitionEpoch ?? -1;
      };
      for (let i = 0; i < 100 && (await epoch()) === 0; i++)
        await operator.calls.clock.sleep(20, new AbortController().signal);
      assert.equal(await epoch(), 1);
      const isOnPlatter = (value: string): boolean => {
        const logs = [...operator.calls.server.disk.durableFiles()].filter(([path]) => path.endsWith('.log'));
        return logs.some(([, bytes]) => Buffer.from(bytes).includes(value));
      };
      for (let i = 0; i < 10; i++) assert.ok(isOnPlatter(`early ${i}`), `early ${i} is on the platter`);
      await operator.calls.publish('t', [record('late')]);
      assert.ok(isOnPlatter('late'));
    });
  });
});

describe('a broker', () => {
  test('describes itself and its directory to who asks for it or for anybody, and knows who else there is', async () => {
    await withOperator(8, async (operator) => {
      await operator.createTopic('t', 2);
      for (const asked of [-1, 1]) {
        const broker = await operator.ask(methods.describeBroker, { context, nodeId: asked });
        assert.deepEqual([broker.nodeId, broker.partitions, broker.partitionsLed], [1, 2, 2]);
        assert.ok(broker.brokerEpoch > 0n && broker.startedMs > 0n);
        const { topicId } = await operator.route('t');
        const { logDirs } = await operator.ask(methods.describeLogDirs, {
          context,
          nodeId: asked,
          topicIds: [topicId],
        });
        assert.deepEqual(
          logDirs[0]?.partitions.map(({ topic, partition, firstDirtyOffset }) => [topic, partition, firstDirtyOffset]),
          [
            ['t', 0, -1n],
            ['t', 1, -1n],
          ],
        );
      }
      const about = (node: number) => ({ context, nodeId: node, topicIds: [] });
      await operator.refused(methods.describeBroker, about(7), 'BROKER_ID_NOT_REGISTERED', /registered are: 1/);
      await operator.refused(methods.describeLogDirs, about(7), 'BROKER_ID_NOT_REGISTERED', /registered are: 1/);
      await operator.refused(methods.describeLogDirs, about(-2), 'INVALID_REQUEST', /-2 is no node id/);
    });
  });

  test('passes a question about another one on to it, once', async () => {
    const asked: string[] = [];
    const image = {
      broker: (id: number) => (id === 2 ? { nodeId: 2, registration: { address: 'b:2' } } : undefined),
      brokers: () => [],
    };
    const peer = {
      unary: async (_method: unknown, request: { context: { hops: number } }) => {
        asked.push(`hops ${request.context.hops}`);
        return 'described';
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const transport = { connect: (address: string) => (asked.push(address), peer) };
    const neighbours = new Neighbours(
      nodeId(1),
      { current: { revision: 0n, ...image } } as unknown as ConstructorParameters<typeof Neighbours>[1],
      transport as unknown as ConstructorParameters<typeof Neighbours>[2],
      { monotonicMs: () => 0 },
    );
    const other = neighbours.other(2);
    assert.equal(other, 2);
    const { signal } = new AbortController();
    const forward = (hops: number): Promise<unknown> =>
      neighbours.forward(nodeId(2), methods.describeBroker, { context: { ...context, hops }, nodeId: 2 }, { signal });
    assert.equal(await forward(0), 'described');
    assert.deepEqual(asked, ['b:2', 'hops 1']);
    await assert.rejects(forward(1), /ask broker 2 itself/);
  });
});

test('metadata is told by ids of topics too, as members of groups know them; an id of nothing is said to be one', async () => {
  await withOperator(1, async (operator) => {
    await operator.createTopic('t', 2);
    const { topicId } = await operator.route('t');
    const about = { context, topics: [], allTopics: false, topicIds: [topicId, 'nothing_______________'] };
    const { topics } = await operator.ask(methods.getMetadata, about);
    assert.deepEqual(
      topics.map((topic) => [topic.name, topic.topicId, topic.partitions.length, topic.errorCode]),
      [
        ['t', topicId, 2, 0],
        ['', 'nothing_______________', 0, 100],
      ],
    );
  });
});
