/** `__consumer_offsets`: made on first use, once, and the cluster's own from then on (ControllerService.EnsureOffsetsTopic). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError, limits, nodeId, offsetsTopicName } from '@tributary/model';
import { ConfigOperationType, ConfigResourceType, methods } from '@tributary/wire';
import type { OffsetsTopicWish } from '../src/offsets-desk.ts';
import { keys } from './pure-cluster.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

async function scene(
  wish: OffsetsTopicWish | undefined,
  story: (cluster: SimulatedCluster, controllers: readonly [CandidateProcess, CandidateProcess]) => Promise<void>,
): Promise<void> {
  const cluster = new SimulatedCluster(1);
  await cluster.scheduler.run(async () => {
    const controllers = [cluster.controller(10), cluster.controller(11)] as const;
    for (const each of controllers) {
      each.electionTimeoutMs = limits.controllerLeaseMs;
      each.offsetsTopic = wish;
      await each.start();
    }
    await story(cluster, controllers);
    for (const each of controllers) assert.equal(each.crashed, undefined);
  });
}

const ask = { context: undefined };
const refused = (error: string, sentence: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof TributaryError && thrown.error === error, String(thrown));
  assert.match(thrown.message, sentence);
  return true;
};

describe('__consumer_offsets', () => {
  test('is made by the first that asks, as compaction and the fence need it, and is the same for all that ask', () =>
    scene(undefined, async (cluster, [controller]) => {
      await cluster.broker(1).start();
      assert.equal((await cluster.stored()).topicCount, 0);
      const asking = Array.from({ length: 5 }, () => controller.call(methods.ensureOffsetsTopic, ask));
      const answers = [...(await Promise.all(asking)), await controller.call(methods.ensureOffsetsTopic, ask)];
      assert.equal(new Set(answers.map(({ topicId }) => topicId)).size, 1);
      const image = await cluster.stored();
      const topic = image.topicNamed(offsetsTopicName);
      assert.ok(answers.every(({ revision }) => revision === topic?.modRevision));
      assert.deepEqual(
        [image.topicCount, topic?.phase, topic?.partitions],
        [1, 'ready', limits.offsetsTopicPartitions],
      );
      assert.deepEqual(topic?.configs, {
        'cleanup.policy': 'compact',
        'flush.policy': 'commit',
        'unclean.leader.election.enable': 'false',
        'segment.bytes': String(limits.offsetsTopicSegment),
        'max.message.bytes': String(limits.batchBytesDefault),
      });
    }));

  test('is not made with fewer copies than wished for: who asks hears what is missing, and may ask again', () =>
    scene({ partitions: 4, replicationFactor: 2 }, async (cluster, [controller]) => {
      await cluster.broker(1).start();
      await assert.rejects(
        controller.call(methods.ensureOffsetsTopic, ask),
        refused(
          'COORDINATOR_NOT_AVAILABLE',
          /^Groups cannot be kept yet\. Topic "__consumer_offsets" with replication factor 2 needs as many brokers; running is only 1\./,
        ),
      );
      assert.equal((await cluster.stored()).topicCount, 0);
      await cluster.broker(2).start();
      await controller.call(methods.ensureOffsetsTopic, ask);
      const topic = (await cluster.stored()).topicNamed(offsetsTopicName);
      assert.deepEqual([topic?.partitions, topic?.replicationFactor], [4, 2]);
    }));

  test('of which half was made when its controller died is the same topic, finished by the next', () =>
    scene({ partitions: 500, replicationFactor: 1 }, async (cluster, [first, second]) => {
      await cluster.broker(1).start();
      await cluster.sleep(1_000);
      let transactions = 0;
      first.afterCommit = () => {
        if (++transactions === 2) first.kill();
      };
      void first.call(methods.ensureOffsetsTopic, ask);
      while (first.alive) await cluster.sleep(1);
      const half = (await cluster.stored()).topicNamed(offsetsTopicName);
      assert.equal(half?.phase, 'creating');
      while (!second.isActive) await cluster.sleep(100);
      const { topicId } = await second.call(methods.ensureOffsetsTopic, ask);
      assert.equal(topicId, half.topicId);
      const image = await cluster.stored();
      assert.deepEqual([image.topicNamed(offsetsTopicName)?.phase, image.partitionCount], ['ready', 500]);
    }));

  test('is refused to those who would create, delete or extend it, or take from it what groups rest on, before and after it is there', () =>
    scene({ partitions: 2, replicationFactor: 1 }, async (cluster, [controller]) => {
      await cluster.broker(1).start();
      const name = offsetsTopicName;
      const wish = { ...ask, name, partitions: 1, replicationFactor: 1, configs: {}, validateOnly: false };
      const creating = (): Promise<unknown> => controller.call(methods.createTopic, wish);
      await assert.rejects(
        creating(),
        refused('INVALID_TOPIC_EXCEPTION', /is the cluster's own: .* nobody can create/),
      );
      const { topicId } = await controller.call(methods.ensureOffsetsTopic, ask);
      await assert.rejects(creating(), refused('INVALID_TOPIC_EXCEPTION', /is the cluster's own/));
      await assert.rejects(
        controller.call(methods.deleteTopic, { ...ask, name }),
        refused('INVALID_TOPIC_EXCEPTION', /nobody can delete it/),
      );
      await assert.rejects(
        controller.call(methods.createPartitions, { ...ask, name, totalCount: 3, validateOnly: false }),
        refused(
          'INVALID_TOPIC_EXCEPTION',
          /nobody can add partitions to it: groups belong to partitions by their number/,
        ),
      );
      const change = {
        ...ask,
        resourceType: ConfigResourceType.TOPIC,
        resourceName: name,
        operations: [{ name: 'flush.policy', operation: ConfigOperationType.SET, value: 'async' }],
        validateOnly: false,
      };
      await assert.rejects(
        controller.call(methods.alterConfigs, change),
        refused('INVALID_CONFIG', /^flush\.policy of "__consumer_offsets" is commit and stays so/),
      );
      const topic = (await cluster.stored()).topicNamed(name);
      assert.deepEqual([topic?.topicId, topic?.partitions, topic?.configs['flush.policy']], [topicId, 2, 'commit']);
    }));

  test('goes on being made once a broker is there again that went in the middle of it', () =>
    scene({ partitions: 500, replicationFactor: 2 }, async (cluster, [controller]) => {
      await cluster.broker(1).start();
      const second = cluster.broker(2);
      await second.start();
      await cluster.sleep(1_000);
      const store = cluster.world.client({ machine: 'test', alive: true });
      const registration = keys.of({ kind: 'registration', nodeId: nodeId(2) });
      let transactions = 0;
      controller.commitMs = 100;
      controller.afterCommit = () => {
        if (++transactions !== 1) return;
        second.isStopped = true;
        void store.commit({ compare: [], put: [], delete: [registration] });
      };
      const asking = controller.call(methods.ensureOffsetsTopic, ask);
      await cluster.sleep(3_000);
      assert.equal((await cluster.stored()).topicNamed(offsetsTopicName)?.phase, 'creating');
      const again = controller.call(methods.ensureOffsetsTopic, ask);
      second.isStopped = false;
      assert.equal((await asking).topicId, (await again).topicId);
      const image = await cluster.stored();
      assert.deepEqual([image.topicNamed(offsetsTopicName)?.phase, image.partitionCount], ['ready', 500]);
    }));
});
