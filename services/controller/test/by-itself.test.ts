import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PartitionInfo, Stored } from '@tributary/metadata';
import { limits, topicId } from '@tributary/model';
import { methods } from '@tributary/wire';
import { leadership } from './pure-cluster.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;

interface Scene {
  readonly cluster: SimulatedCluster;
  readonly controller: CandidateProcess;
  readonly id: string;
  /** The first of that topic, 'orders' where none is named. */
  partition(of?: string): Promise<Stored<PartitionInfo>>;
  /** Another topic like it. */
  create(name: string): Promise<string>;
}

interface Wish {
  readonly configs: Readonly<Record<string, string>>;
  readonly leaderImbalanceCheckMs?: number;
  readonly brokers?: number;
  readonly replicationFactor?: number;
}

/** A controller, three brokers, and a topic with a replica on each, unless it is wished otherwise. */
async function scene(
  more: Wish,
  story: (scene: Scene, brokers: readonly ReturnType<SimulatedCluster['broker']>[]) => Promise<void>,
): Promise<void> {
  const cluster = new SimulatedCluster(1);
  await cluster.scheduler.run(async () => {
    const controller = cluster.controller(10);
    controller.leaderImbalanceCheckMs = more.leaderImbalanceCheckMs;
    await controller.start();
    const { brokers: count = 3, replicationFactor = 3 } = more;
    const brokers = Array.from({ length: count }, (_, i) => cluster.broker(i + 1));
    for (const each of brokers) await each.start();
    await cluster.sleep(sessionMs);
    const create = async (name: string): Promise<string> => {
      const wish = { context: undefined, name, partitions: 1, replicationFactor, validateOnly: false };
      return (await controller.call(methods.createTopic, { ...wish, configs: { ...more.configs } })).topicId;
    };
    const id = await create('orders');
    const partition = async (of = id): Promise<Stored<PartitionInfo>> => {
      const found = (await cluster.stored()).partitionsOf(topicId(of))[0];
      assert.ok(found !== undefined);
      return found;
    };
    await story({ cluster, controller, id, partition, create }, brokers);
    assert.equal(controller.crashed, undefined);
  });
}

describe('a controller, unasked', () => {
  test('asks all last replicas of an async partition that stopped lossily, and lets the furthest lead (R7)', () =>
    // Their leases run out one after another: all of them stay members.
    scene(
      { configs: { 'flush.policy': 'async', 'min.insync.replicas': '3' } },
      async ({ cluster, id, partition }, brokers) => {
        for (const each of brokers) each.powerOff();
        await cluster.sleep(2 * sessionMs);
        assert.match(leadership(await partition()), /leader none/);
        for (const [node, endOffset] of [
          [1, 40n],
          [2, 42n],
          [3, 41n],
        ] as const) {
          cluster.network.machineOn(`broker-${node}`);
          const back = cluster.broker(node);
          back.isLossy = true;
          // One cannot say at first.
          if (node !== 2) back.log = { topicId: id, lastEpoch: 0, endOffset };
          await back.start();
          if (node !== 2) continue;
          void cluster.sleep(3_000).then(() => {
            back.log = { topicId: id, lastEpoch: 0, endOffset };
          });
        }
        await cluster.sleep(1_000);
        assert.match(leadership(await partition()), /leader none/);
        await cluster.sleep(sessionMs);
        const { uncleanEpoch, leaderEpoch, possibleLoss } = await partition();
        assert.match(leadership(await partition()), /leader 2 epoch \d+ isr 2$/);
        assert.deepEqual([uncleanEpoch, possibleLoss], [leaderEpoch, true]);
      },
    ));

  test('does so while other partitions wait for a replica that cannot say', () =>
    scene(
      {
        configs: { 'flush.policy': 'async', 'min.insync.replicas': '2' },
        brokers: 4,
        replicationFactor: 2,
      },
      async ({ cluster, partition, create }, brokers) => {
        const other = await create('other');
        const nodesOf = async (of?: string) => (await partition(of)).replicas.map(({ nodeId }) => nodeId);
        const [mute, telling] = [await nodesOf(), await nodesOf(other)];
        assert.equal(new Set([...mute, ...telling]).size, 4);
        for (const nodes of [mute, telling]) {
          for (const node of nodes) brokers[node - 1]?.powerOff();
          await cluster.sleep(3 * sessionMs);
          for (const node of nodes) {
            cluster.network.machineOn(`broker-${node}`);
            const back = cluster.broker(node);
            back.isLossy = true;
            if (nodes === telling) back.log = { topicId: other, lastEpoch: 0, endOffset: BigInt(node) };
            await back.start();
          }
          await cluster.sleep(sessionMs);
        }
        assert.match(leadership(await partition()), /leader none/);
        assert.equal((await partition(other)).leader, Math.max(...telling));
      },
    ));

  test('lets somebody lead who was passed over as dead, and was heard again before it was seen out', () =>
    scene(
      { configs: { 'min.insync.replicas': '1' }, brokers: 5, replicationFactor: 2 },
      async ({ cluster, controller, partition, create }, brokers) => {
        const { leader, replicas } = await partition();
        const [first, second] = replicas.map(({ nodeId }) => brokers[nodeId - 1]);
        assert.ok(first !== undefined && second !== undefined && leader === first.id && first.id < second.id);
        for (const each of [first, second]) each.isStopped = true;
        // The controller is busy while both fall silent, and the second is heard again while the first is seen out.
        await cluster.sleep(sessionMs - 2_000);
        controller.commitMs = 4_000;
        await create('other');
        assert.ok(second.isStopped);
        controller.beforeCommit = () => {
          second.isStopped = false;
        };
        await cluster.sleep(3 * sessionMs);
        const now = await partition();
        assert.deepEqual([now.leader, now.uncleanEpoch], [second.id, undefined]);
      },
    ));

  test('gives preferred leaders back what they led, once they are in sync', () =>
    scene({ configs: {}, leaderImbalanceCheckMs: 2_000 }, async ({ cluster, partition }, brokers) => {
      brokers[0]?.kill();
      await cluster.sleep(1_000);
      assert.equal(leadership(await partition()), 'leader 2 epoch 1 isr 2,3');
      const back = cluster.broker(1);
      await back.start();
      await cluster.sleep(5_000);
      assert.equal(leadership(await partition()), 'leader 2 epoch 1 isr 2,3');
      const { topicId: topic, leaderEpoch, partitionEpoch } = await partition();
      const isr = [back, ...brokers.slice(1)].map((each) => {
        return { nodeId: each.id, brokerEpoch: each.registration?.epoch ?? 0n };
      });
      brokers[1]?.say([{ proposalId: 1n, topicId: topic, partition: 0, leaderEpoch, partitionEpoch, isr }]);
      await cluster.sleep(4_000);
      assert.equal(leadership(await partition()), 'leader 1 epoch 2 isr 1,2,3');
    }));
});
