import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClusterImage, GroupPartitionInfo } from '@tributary/metadata';
import { type PartitionIndex, limits, nodeId } from '@tributary/model';
import { methods } from '@tributary/wire';
import type { CoordinatorProcess } from './coordinator-process.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;
/** Each sweep over them takes several transactions. */
const partitions = 300;

/** Looks at what the store holds, again and again: a change of owner raises the writer epoch, and nothing lowers it (G1). */
class Watch {
  readonly #cluster: SimulatedCluster;
  #seen = new Map<PartitionIndex, GroupPartitionInfo>();

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  async look(): Promise<ClusterImage> {
    const image = await this.#cluster.stored();
    for (const now of image.groupPartitions()) {
      const before = this.#seen.get(now.partition);
      const isSame = before?.coordinator === now.coordinator && before?.coordinatorEpoch === now.coordinatorEpoch;
      if (isSame) assert.ok(before === undefined || now.writerEpoch >= before.writerEpoch);
      else assert.ok(now.writerEpoch > (before?.writerEpoch ?? 0n), 'a change of owner raises the writer epoch');
    }
    this.#seen = new Map([...image.groupPartitions()].map((each) => [each.partition, each]));
    return image;
  }

  async until(condition: (image: ClusterImage) => boolean): Promise<void> {
    for (let round = 0; !condition(await this.look()); round++) {
      assert.ok(round < 150, 'it comes to that');
      await this.#cluster.sleep(100);
    }
  }
}

/** Whether exactly these own all, in their present registrations, each as much as the others. */
const isShared = (image: ClusterImage, ...owners: readonly number[]): boolean => {
  const counts = new Map(owners.map((id) => [nodeId(id), 0]));
  for (const { coordinator, coordinatorEpoch } of image.groupPartitions()) {
    if (coordinator === undefined || image.coordinator(coordinator)?.createRevision !== coordinatorEpoch) return false;
    counts.set(coordinator, (counts.get(coordinator) ?? 0) + 1);
  }
  return counts.size === owners.length && [...counts.values()].every((count) => count === partitions / owners.length);
};

/**
 * A coordinator comes, `__consumer_offsets` is made, two more come, one leaves, one is killed and comes back, then another.
 * The first of two controllers dies where `onTransaction` kills it. @returns transactions of the first controller.
 */
async function story(seed: number, onTransaction: (first: CandidateProcess, count: number) => void): Promise<number> {
  const cluster = new SimulatedCluster(seed);
  let transactions = 0;
  await cluster.scheduler.run(async () => {
    const controllers = [cluster.controller(10), cluster.controller(11)] as const;
    for (const each of controllers) {
      each.electionTimeoutMs = limits.controllerLeaseMs;
      each.offsetsTopic = { partitions, replicationFactor: 1 };
      await each.start();
    }
    const [first] = controllers;
    await cluster.broker(1).start();
    await cluster.sleep(sessionMs);
    const watch = new Watch(cluster);
    first.afterCommit = () => onTransaction(first, ++transactions);
    const start = async (id: number): Promise<CoordinatorProcess> => {
      const process = cluster.coordinator(id);
      await process.start();
      return process;
    };
    const one = await start(201);
    await watch.until((image) => {
      const active = controllers.find((each) => each.isActive);
      // Whoever dies while it is asked answers nothing.
      void active?.call(methods.ensureOffsetsTopic, { context: undefined }).catch(() => undefined);
      return [...image.groupPartitions()].length === partitions;
    });
    await watch.until((image) => isShared(image, 201));
    const two = await start(202);
    await watch.until((image) => isShared(image, 201, 202));
    const three = await start(203);
    await watch.until((image) => isShared(image, 201, 202, 203));
    two.isLeaving = true;
    two.say({});
    await watch.until((image) => isShared(image, 201, 203));
    await two.stop();
    three.kill();
    await watch.until((image) => isShared(image, 201));
    await start(203);
    await watch.until((image) => isShared(image, 201, 203));
    one.kill();
    await watch.until((image) => isShared(image, 203));
    await start(201);
    await watch.until((image) => isShared(image, 201, 203));
    for (const each of controllers) assert.equal(each.crashed, undefined);
  });
  return transactions;
}

describe('a controller that dies after any transaction about coordinators that come, leave, die and return', () => {
  test('is followed by one that gives every partition of groups to those who live, and no writer epoch twice', async () => {
    const transactions = await story(1, () => undefined);
    assert.ok(transactions >= 20, `${transactions} transactions`);
    for (let dieAt = 1; dieAt <= transactions; dieAt++) {
      let died = false;
      await story(dieAt, (first, count) => {
        if (count !== dieAt) return;
        died = true;
        first.kill();
      });
      assert.ok(died, `at transaction ${dieAt}`);
    }
  });
});
