import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClusterImage, type PartitionInfo, isUnfenced } from '@tributary/metadata';
import { limits, nodeId } from '@tributary/model';
import { type IsrProposal, ElectionType, methods } from '@tributary/wire';
import type { BrokerProcess } from './broker-process.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;
/** Each sweep over them takes several transactions. */
const partitions = 300;

const inOrder = (nodes: readonly number[]): number[] => nodes.toSorted((a, b) => a - b);

interface Told {
  /** Transactions of the first controller from the moment at which the topic was there. */
  transactions: number;
  ended: ClusterImage;
}

/**
 * Three brokers that attend, a wide topic with three replicas: ISRs shrink by proposals and grow again, a broker leaves, another is killed, both come back,
 * and preferred leaders lead again. The first of two controllers dies where `onTransaction` kills it.
 */
async function story(seed: number, onTransaction: (first: CandidateProcess, count: number) => void): Promise<Told> {
  const cluster = new SimulatedCluster(seed);
  let told: Told | undefined;
  await cluster.scheduler.run(async () => {
    const controllers = [cluster.controller(10), cluster.controller(11)];
    for (const each of controllers) each.electionTimeoutMs = limits.controllerLeaseMs;
    const [first] = controllers;
    assert.ok(first !== undefined);
    for (const each of controllers) await each.start();
    const brokers = new Map<number, BrokerProcess>([1, 2, 3].map((id) => [id, cluster.broker(id)]));
    for (const each of brokers.values()) await each.start();
    // The controller's own picture may be a little older.
    await cluster.sleep(sessionMs);
    const wish = { context: undefined, name: 'wide', partitions, replicationFactor: 3, validateOnly: false };
    await first.call(methods.createTopic, { ...wish, configs: { 'min.insync.replicas': '2' } });
    let transactions = 0;
    first.afterCommit = () => onTransaction(first, ++transactions);
    /** As leaders do: until the state shows it. */
    const settleIsr = async (wanted: (partition: PartitionInfo) => readonly number[]): Promise<void> => {
      for (let round = 0; ; round++) {
        assert.ok(round < 40, 'proposals are decided in the end');
        const image = await cluster.stored();
        const due = [...image.partitions()].filter((each) => wanted(each).join() !== inOrder(each.isr).join());
        if (due.length === 0) return;
        for (const [id, broker] of brokers) {
          const mine = due.filter(({ leader }) => leader === id);
          if (mine.length > 0) broker.say(mine.map((each, i) => proposal(image, each, wanted(each), BigInt(i))));
        }
        await cluster.sleep(500);
      }
    };
    const until = async (condition: (image: ClusterImage) => boolean): Promise<void> => {
      for (let round = 0; !condition(await cluster.stored()); round++) {
        assert.ok(round < 60, 'it comes to that');
        await cluster.sleep(500);
      }
    };
    await cluster.sleep(500);
    await settleIsr(({ leader = -1 }) => inOrder([leader, (leader % 3) + 1]));
    await settleIsr(() => [1, 2, 3]);
    const leaver = brokers.get(2);
    assert.ok(leaver !== undefined);
    leaver.isLeaving = true;
    await until((image) => [...image.partitions()].every(({ leader, isr }) => leader !== 2 && isr.length === 2));
    leaver.kill();
    brokers.delete(2);
    await until((image) => !isUnfenced(image.broker(nodeId(2))));
    brokers.get(3)?.kill();
    brokers.delete(3);
    await until((image) => [...image.partitions()].every(({ leader }) => leader === 1));
    for (const id of [2, 3]) {
      const back = cluster.broker(id);
      brokers.set(id, back);
      await back.start();
    }
    await cluster.sleep(500);
    await settleIsr(() => [1, 2, 3]);
    const election = { context: undefined, electionType: ElectionType.PREFERRED, topics: [], validateOnly: false };
    const isBalanced = (image: ClusterImage): boolean =>
      [...image.partitions()].every(({ leader, replicas }) => leader === replicas[0]?.nodeId);
    for (let round = 0; !isBalanced(await cluster.stored()); round++) {
      assert.ok(round < 40, 'elections are held in the end');
      const active = controllers.find((each) => each.isActive);
      // Whoever dies while it is asked answers nothing.
      void active?.call(methods.electLeaders, election).catch(() => undefined);
      await cluster.sleep(500);
    }
    await cluster.sleep(sessionMs);
    for (const each of controllers) assert.equal(each.crashed, undefined);
    told = { transactions, ended: await cluster.stored() };
  });
  assert.ok(told !== undefined);
  return told;
}

function proposal(image: ClusterImage, partition: PartitionInfo, isr: readonly number[], id: bigint): IsrProposal {
  const { topicId, partition: index, leaderEpoch, partitionEpoch } = partition;
  const members = isr.map((node) => {
    return { nodeId: node, brokerEpoch: image.broker(nodeId(node))?.registration?.createRevision ?? 0n };
  });
  return { proposalId: id, topicId, partition: index, leaderEpoch, partitionEpoch, isr: members };
}

describe('a controller that dies after any transaction of proposals, leaving, deaths and elections', () => {
  test('is followed by one that ends the same: all in sync, led by whom they prefer, and nobody is fenced', async () => {
    const { transactions } = await story(1, () => undefined);
    assert.ok(transactions >= 20, `${transactions} transactions`);
    for (let dieAt = 1; dieAt <= transactions; dieAt++) {
      let died = false;
      const { ended } = await story(dieAt, (first, count) => {
        if (count !== dieAt) return;
        died = true;
        first.kill();
      });
      assert.ok(died, `at transaction ${dieAt}`);
      const brokers = [...ended.brokers()].map((each) => [each.nodeId, isUnfenced(each), each.status?.leaving]);
      assert.deepEqual(
        brokers,
        [1, 2, 3].map((id) => [id, true, false]),
        `at transaction ${dieAt}`,
      );
      assert.equal(ended.partitionCount, partitions);
      for (const { leader, replicas, isr, eligibleLeaderReplicas, possibleLoss } of ended.partitions()) {
        assert.equal(leader, replicas[0]?.nodeId);
        assert.deepEqual([inOrder(isr), eligibleLeaderReplicas, possibleLoss], [[1, 2, 3], [], false]);
      }
    }
  });
});
