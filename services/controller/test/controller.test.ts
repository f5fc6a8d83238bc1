import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClusterImage, isUnfenced } from '@tributary/metadata';
import { TributaryError, limits, nodeId } from '@tributary/model';
import { ConfigOperationType, ConfigResourceType, methods } from '@tributary/wire';
import { leadership } from './pure-cluster.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;

async function simulated(seed: number, story: (cluster: SimulatedCluster) => Promise<void>): Promise<void> {
  const cluster = new SimulatedCluster(seed);
  await cluster.scheduler.run(() => story(cluster));
}

const newTopic = (
  name: string,
  partitions: number,
  more: { readonly replicationFactor?: number; readonly validateOnly?: boolean } = {},
) => {
  return { context: undefined, name, partitions, replicationFactor: 0, configs: {}, validateOnly: false, ...more };
};
const named = (name: string) => ({ context: undefined, name });
const isError =
  (error: string, sentence = /./) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    assert.equal(thrown.error, error);
    assert.match(thrown.message, sentence);
    return true;
  };

describe('a controller', () => {
  test('is elected, names the cluster, lets brokers in, and serves what it is asked', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      await cluster.broker(1).start();
      const created = await controller.call(methods.createTopic, newTopic('orders', 3));
      assert.deepEqual([created.partitions, created.replicationFactor], [3, 1]);
      const stored = await cluster.stored();
      assert.ok(created.revision <= stored.revision && stored.topicNamed('orders')?.topicId === created.topicId);
      const listed = await controller.call(methods.listTopics, { context: undefined });
      assert.deepEqual(
        listed.topics.map((topic) => topic.name),
        ['orders'],
      );
      const described = await controller.call(methods.describeTopic, named('orders'));
      assert.deepEqual(
        described.partitions.map(({ partition, leaderId, reason }) => [partition, leaderId, reason]),
        [
          [0, 1, ''],
          [1, 1, ''],
          [2, 1, ''],
        ],
      );
      assert.equal(described.topic?.topicId, created.topicId);
      const deleted = await controller.call(methods.deleteTopic, named('orders'));
      assert.equal(deleted.topicId, created.topicId);
      await assert.rejects(
        controller.call(methods.describeTopic, named('orders')),
        isError('UNKNOWN_TOPIC_OR_PARTITION', /"orders"/),
      );
      await cluster.sleep(1_000);
      const after = await cluster.stored();
      assert.deepEqual([after.topicCount, after.partitionCount, [...after.removals()].length], [0, 0, 0]);
    }));

  test('refuses what is wrong before anything is written, and validates without creating', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      await cluster.broker(1).start();
      const { revision } = await cluster.stored();
      await assert.rejects(
        controller.call(methods.createTopic, newTopic('a b', 1)),
        isError('INVALID_TOPIC_EXCEPTION'),
      );
      await assert.rejects(
        controller.call(methods.createTopic, newTopic('a', 1, { replicationFactor: 2 })),
        isError('INVALID_REPLICATION_FACTOR'),
      );
      await assert.rejects(controller.call(methods.deleteTopic, named('a')), isError('UNKNOWN_TOPIC_OR_PARTITION'));
      const valid = await controller.call(methods.createTopic, newTopic('a', 7, { validateOnly: true }));
      assert.deepEqual([valid.partitions, valid.replicationFactor], [7, 1]);
      assert.equal((await cluster.stored()).revision, revision);
    }));

  test('of several creations of one name at once makes one', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      await cluster.broker(1).start();
      const all = await Promise.allSettled(
        Array.from({ length: 10 }, () => controller.call(methods.createTopic, newTopic('orders', 2))),
      );
      assert.equal(all.filter((each) => each.status === 'fulfilled').length, 1);
      for (const each of all) if (each.status === 'rejected') isError('TOPIC_ALREADY_EXISTS')(each.reason);
    }));

  test('hands out producer ids in blocks that never meet, to current incarnations only', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      const broker = cluster.broker(1);
      await broker.start();
      const request = { context: undefined, brokerId: 1, brokerEpoch: broker.registration?.epoch ?? 0n };
      const blocks = await Promise.all([1, 2, 3, 4].map(() => controller.call(methods.allocateProducerIds, request)));
      assert.deepEqual(
        blocks.map((block) => block.firstId).sort((a, b) => Number(a - b)),
        [0n, 1_000n, 2_000n, 3_000n],
      );
      broker.kill();
      await cluster.broker(1).start();
      await assert.rejects(controller.call(methods.allocateProducerIds, request), isError('STALE_BROKER_EPOCH'));
    }));

  test('answers for a revision that it has not yet seen once it has, and not for one that does not come', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      await cluster.broker(1).start();
      const { revision } = await cluster.stored();
      const context = {
        clusterId: '',
        clientId: '',
        principal: '',
        originalPrincipal: '',
        host: '',
        hops: 0,
        minRevision: revision + 1n,
      };
      const waiting = controller.call(methods.listTopics, { context });
      await controller.call(methods.createTopic, newTopic('orders', 1));
      assert.equal((await waiting).topics.length, 1);
      const far = controller.call(methods.listTopics, { context: { ...context, minRevision: revision + 1_000n } });
      await assert.rejects(far, isError('REQUEST_TIMED_OUT', /did not reach/));
      const foreign = controller.call(methods.listTopics, {
        context: { ...context, minRevision: 0n, clusterId: 'another' },
      });
      await assert.rejects(foreign, isError('INCONSISTENT_CLUSTER_ID', /another/));
    }));

  test('sees a broker out when its lease has run out, and in when it is back', () =>
    simulated(1, async (cluster) => {
      const controller = cluster.controller(10);
      await controller.start();
      const broker = cluster.broker(1);
      await broker.start();
      const { topicId: id } = await controller.call(methods.createTopic, newTopic('orders', 1));
      const show = async (): Promise<string> => {
        const [partition] = (await cluster.stored()).partitionsOf(id as never);
        return partition === undefined ? 'absent' : leadership(partition);
      };
      broker.kill();
      await cluster.sleep(sessionMs + 1_000);
      assert.equal(await show(), 'leader none epoch 1 isr 1');
      const described = await controller.call(methods.describeTopic, named('orders'));
      assert.match(described.partitions[0]?.reason ?? '', /broker 1 \(not running\)/);
      await cluster.broker(1).start();
      assert.equal(await show(), 'leader 1 epoch 2 isr 1');
    }));
});

describe('two controllers', () => {
  test('one is active; the other refuses, naming it, and takes over when it stops, at once', () =>
    simulated(1, async (cluster) => {
      const first = cluster.controller(10);
      const second = cluster.controller(11);
      await first.start();
      await second.start();
      assert.deepEqual([first.isActive, second.isActive], [true, false]);
      await assert.rejects(
        second.call(methods.listTopics, { context: undefined }),
        isError('NOT_CONTROLLER', /node 10 at controller-10:9096/),
      );
      await first.controller?.[Symbol.asyncDispose]();
      await cluster.sleep(500);
      assert.deepEqual([first.isActive, second.isActive], [false, true]);
    }));

  test('one that is cut off stops acting before the other begins', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      await simulated(seed, async (cluster) => {
        const first = cluster.controller(10);
        const second = cluster.controller(11);
        await first.start();
        await second.start();
        cluster.world.cutOff('controller-10', true);
        for (let waitedMs = 0; !second.isActive; waitedMs += 50) {
          assert.ok(waitedMs < 3 * sessionMs);
          await cluster.sleep(50);
        }
        assert.ok(!first.isActive);
        cluster.world.cutOff('controller-10', false);
        await cluster.sleep(2 * sessionMs);
        assert.deepEqual([first.isActive, second.isActive], [false, true]);
      });
    }
  });

  test('after a takeover an absent broker is given a session timeout to come back (M5)', () =>
    simulated(1, async (cluster) => {
      const first = cluster.controller(10);
      await first.start();
      const broker = cluster.broker(1);
      await broker.start();
      const { topicId: id } = await first.call(methods.createTopic, newTopic('orders', 1));
      const epoch = async (): Promise<number | undefined> =>
        (await cluster.stored()).partitionsOf(id as never)[0]?.leaderEpoch;
      first.kill();
      broker.kill();
      await cluster.sleep(sessionMs + 2_000);
      assert.equal((await cluster.stored()).broker(nodeId(1))?.registration, undefined);
      const second = cluster.controller(11);
      await second.start();
      await cluster.sleep(sessionMs - 1_000);
      assert.equal(await epoch(), 0);
      await cluster.sleep(2_000);
      assert.equal(await epoch(), 1);
    }));

  test('a lease from before a takeover that runs out right after it is no death within that time either: the store may have been away (M5)', () =>
    simulated(1, async (cluster) => {
      const first = cluster.controller(10);
      await first.start();
      const broker = cluster.broker(1);
      await broker.start();
      const { topicId: id } = await first.call(methods.createTopic, newTopic('orders', 1));
      const epoch = async (): Promise<number | undefined> =>
        (await cluster.stored()).partitionsOf(id as never)[0]?.leaderEpoch;
      first.kill();
      const second = cluster.controller(11);
      void second.start();
      await cluster.sleep(sessionMs / 2);
      broker.powerOff();
      while (!second.isActive) await cluster.sleep(10);
      const tookOverMs = cluster.clock.monotonicMs();
      assert.notEqual((await cluster.stored()).broker(nodeId(1))?.registration, undefined);
      while ((await cluster.stored()).broker(nodeId(1))?.registration !== undefined) await cluster.sleep(10);
      await cluster.sleep(100);
      assert.ok(cluster.clock.monotonicMs() < tookOverMs + sessionMs);
      assert.equal(await epoch(), 0);
      await cluster.sleep(tookOverMs + sessionMs + 1_000 - cluster.clock.monotonicMs());
      assert.equal(await epoch(), 1);
    }));
});

/** What does not depend on when and by whom it was done. */
function shape(image: ClusterImage): unknown {
  return {
    topics: [...image.topics()].map((topic) => `${topic.name} ${topic.partitions} ${topic.phase}`).sort(),
    partitions: [...image.partitions()]
      .map(
        (each) =>
          `${image.topic(each.topicId)?.name}/${each.partition} leader ${each.leader} isr ${each.isr.join(',')} min ${each.effectiveMinIsr}`,
      )
      .sort(),
    brokers: [...image.brokers()].map((broker) => `${broker.nodeId} ${isUnfenced(broker)}`).sort(),
    removals: [...image.removals()].length,
    named: image.cluster !== undefined,
  };
}

describe('a controller that dies', () => {
  /** Create one large topic, delete another, extend and change the first, restart a broker: some thirty transactions. */
  async function story(cluster: SimulatedCluster, onCommit: (first: CandidateProcess) => void): Promise<ClusterImage> {
    const first = cluster.controller(10);
    const second = cluster.controller(11);
    const brokers = [1, 2, 3].map((id) => cluster.broker(id));
    onCommit(first);
    void first.start();
    await cluster.sleep(10);
    void second.start();
    for (const broker of brokers) await broker.start();
    const active = async (): Promise<CandidateProcess> => {
      while (!first.isActive && !second.isActive) await cluster.sleep(20);
      return first.isActive ? first : second;
    };
    /** As a client does: again until it has succeeded, or is told that it has. */
    const insist = async (act: (controller: CandidateProcess) => Promise<unknown>, done: string): Promise<void> => {
      for (;;) {
        const controller = await active();
        const died = (async (): Promise<'died'> => {
          while (controller.isActive) await cluster.sleep(100);
          return 'died';
        })();
        const outcome = await Promise.race([act(controller).catch((thrown: unknown) => thrown), died]);
        if (outcome === 'died' || (outcome instanceof TributaryError && outcome.error === 'NOT_CONTROLLER')) continue;
        if (outcome instanceof TributaryError && outcome.error !== done) throw outcome;
        return;
      }
    };
    await insist((controller) => controller.call(methods.createTopic, newTopic('gone', 200)), 'TOPIC_ALREADY_EXISTS');
    await insist(
      (controller) => controller.call(methods.createTopic, newTopic('wide', 250, { replicationFactor: 2 })),
      'TOPIC_ALREADY_EXISTS',
    );
    await insist((controller) => controller.call(methods.deleteTopic, named('gone')), 'UNKNOWN_TOPIC_OR_PARTITION');
    const grown = { context: undefined, name: 'wide', totalCount: 420, validateOnly: false };
    await insist((controller) => controller.call(methods.createPartitions, grown), 'INVALID_PARTITIONS');
    const minInsync = { name: 'min.insync.replicas', operation: ConfigOperationType.SET, value: '2' };
    const altered = {
      context: undefined,
      resourceType: ConfigResourceType.TOPIC,
      resourceName: 'wide',
      operations: [minInsync],
      validateOnly: false,
    };
    await insist((controller) => controller.call(methods.alterConfigs, altered), 'TOPIC_ALREADY_EXISTS');
    brokers[0]?.kill();
    await cluster.broker(1).start();
    await cluster.sleep(3 * sessionMs);
    assert.deepEqual([first.crashed, second.crashed], [undefined, undefined]);
    return cluster.stored();
  }

  test('after, or in the middle of, any of its transactions is followed by one that ends the same', async () => {
    let expected: unknown;
    let transactions = 0;
    await simulated(1, async (cluster) => {
      expected = shape(await story(cluster, (first) => (first.afterCommit = () => transactions++)));
    });
    assert.ok(transactions >= 20, `${transactions} transactions`);
    assert.deepEqual((expected as { topics: string[] }).topics, ['wide 420 ready']);
    for (let dieAt = 1; dieAt <= transactions; dieAt++) {
      for (const when of ['beforeCommit', 'afterCommit'] as const) {
        await simulated(dieAt, async (cluster) => {
          const ended = await story(cluster, (first) => {
            let seen = 0;
            first[when] = () => {
              if (++seen === dieAt) first.kill();
            };
          });
          const { topics, brokers, removals, partitions } = shape(ended) as {
            topics: string[];
            brokers: string[];
            removals: number;
            partitions: string[];
          };
          assert.deepEqual(
            { topics, brokers, removals },
            { topics: ['wide 420 ready'], brokers: ['1 true', '2 true', '3 true'], removals: 0 },
          );
          assert.equal(partitions.length, 420);
          assert.ok(partitions.every((each) => !each.includes('undefined') && each.endsWith('min 2')));
        });
      }
    }
  });
});

describe('controllers amid faults of the store', () => {
  test('never let an id be given twice, a leader epoch go back, or an acknowledged topic be lost, and come to rest', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      await simulated(seed, async (cluster) => {
        const controllers = [cluster.controller(10), cluster.controller(11)];
        for (const each of controllers) await each.start();
        const broker = cluster.broker(1);
        await broker.start();
        const stop = { now: false };
        const epochs = watchEpochs(cluster, stop);
        const faults = trouble(cluster, stop);
        const created: string[] = [];
        const blocks: bigint[] = [];
        for (let i = 0; i < 30; i++) {
          const active = controllers.find((each) => each.isActive);
          await cluster.sleep(cluster.random.between(1, 1_500));
          if (active === undefined) continue;
          const name = `t${i}`;
          const brokerEpoch = broker.registration?.epoch ?? 0n;
          await Promise.allSettled([
            active.call(methods.createTopic, newTopic(name, 1 + (i % 3) * 60)).then(() => created.push(name)),
            active
              .call(methods.allocateProducerIds, { context: undefined, brokerId: 1, brokerEpoch })
              .then(({ firstId }) => blocks.push(firstId)),
          ]);
        }
        stop.now = true;
        await faults;
        await epochs;
        await cluster.sleep(4 * sessionMs);
        const ended = await cluster.stored();
        assert.ok(
          created.length > 3 && blocks.length > 1,
          `seed ${seed}: ${created.length} topics, ${blocks.length} blocks`,
        );
        assert.equal(new Set(blocks).size, blocks.length);
        for (const name of created) assert.equal(ended.topicNamed(name)?.phase, 'ready');
        assert.equal(ended.unsettledTopics.size, 0);
        assert.equal(controllers.filter((each) => each.isActive).length, 1);
        assert.deepEqual(
          controllers.map((each) => each.crashed),
          [undefined, undefined],
        );
      });
    }
  });

  async function trouble(cluster: SimulatedCluster, stop: { now: boolean }): Promise<void> {
    const { world, random } = cluster;
    while (!stop.now) {
      await cluster.sleep(random.between(50, 3_000));
      const kind = random.below(7);
      if (kind === 0) world.loseNextCommit(random.chance(0.5) ? 'done' : 'not done');
      if (kind === 1) world.breakWatches();
      if (kind === 2) world.killWatch();
      if (kind === 3) world.compactNow();
      if (kind === 4) world.takeLease();
      if (kind === 5) {
        world.away = true;
        await cluster.sleep(random.between(100, 8_000));
        world.away = false;
      }
      if (kind === 6) {
        const machine = `controller-${random.between(10, 11)}`;
        world.cutOff(machine, true);
        await cluster.sleep(random.between(100, 10_000));
        world.cutOff(machine, false);
      }
    }
  }

  async function watchEpochs(cluster: SimulatedCluster, stop: { now: boolean }): Promise<void> {
    const seen = new Map<
      string,
      { readonly leaderEpoch: number; readonly partitionEpoch: number; readonly leader: number | undefined }
    >();
    let clusterId: string | undefined;
    while (!stop.now) {
      await cluster.sleep(1_000);
      const image = await cluster.stored().catch(() => undefined);
      if (image === undefined) continue;
      clusterId ??= image.cluster?.clusterId;
      assert.equal(image.cluster?.clusterId, clusterId);
      for (const partition of image.partitions()) {
        const key = `${partition.topicId}/${partition.partition}`;
        const before = seen.get(key);
        if (before !== undefined) {
          assert.ok(partition.leaderEpoch >= before.leaderEpoch && partition.partitionEpoch >= before.partitionEpoch);
          if (partition.leader !== before.leader) assert.ok(partition.leaderEpoch > before.leaderEpoch);
        }
        seen.set(key, partition);
      }
    }
  }
});
