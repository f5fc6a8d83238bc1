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
  partition(): Promise<Stored<PartitionInfo>>;
}

/** A controller, three brokers, and a topic with a replica on each. */
async function scene(
  more: { readonly configs: Readonly<Record<string, string>>; readonly leaderImbalanceCheckMs?: number },
  story: (scene: Scene, brokers: readonly ReturnType<SimulatedCluster['broker']>[]) => Promise<void>,
): Promise<void> {
  const cluster = new SimulatedCluster(1);
  await cluster.scheduler.run(async () => {
    const controller = cluster.controller(10);
    controller.leaderImbalanceCheckMs = more.leaderImbalanceCheckMs;
    await controller.start();
    const brokers = [1, 2, 3].map((id) => cluster.broker(id));
    for (const each of brokers) await each.start();
    await cluster.sleep(sessionMs);
    const wish = { context: undefined, name: 'orders', partitions: 1, replicationFactor: 3, validateOnly: false };
    const { topicId: id } = await controller.call(methods.createTopic, { ...wish, configs: { ...more.configs } });
    const partition = async (): Promise<Stored<PartitionInfo>> => {
      const found = (await cluster.stored()).partitionsOf(topicId(id))[0];
      assert.ok(found !== undefined);
      return found;
    };
    await story({ cluster, controller, id, partition }, brokers);
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
        return { nodeId: each.id, brokerEpoch: each.registration?.brokerEpoch ?? 0n };
      });
      brokers[1]?.say([{ proposalId: 1n, topicId: topic, partition: 0, leaderEpoch, partitionEpoch, isr }]);
      await cluster.sleep(4_000);
      assert.equal(leadership(await partition()), 'leader 1 epoch 2 isr 1,2,3');
    }));
});
