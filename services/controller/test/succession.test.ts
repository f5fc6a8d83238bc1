import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClusterImage, encodeTransaction } from '@tributary/metadata';
import { limits } from '@tributary/model';
import { methods } from '@tributary/wire';
import { keys } from './pure-cluster.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const leaseMs = limits.controllerLeaseMs;
/** From a death to the next one at work: found by the next question, then some transactions. */
const promptMs = limits.successionAskMs + 400;

type Pair = readonly [CandidateProcess, CandidateProcess];

/** Controller 10 is elected, controller 11 stands by. */
async function pair(story: (cluster: SimulatedCluster, controllers: Pair) => Promise<void>): Promise<void> {
  for (const seed of [1, 2, 3]) {
    const cluster = new SimulatedCluster(seed);
    await cluster.scheduler.run(async () => {
      const controllers = [cluster.controller(10), cluster.controller(11)] as const;
      for (const each of controllers) {
        each.electionTimeoutMs = leaseMs;
        await each.start();
      }
      await cluster.sleep(1_000);
      await story(cluster, controllers);
    });
  }
}

async function msUntil(cluster: SimulatedCluster, condition: () => boolean): Promise<number> {
  const beganMs = cluster.clock.monotonicMs();
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 3_000, 'it comes to that');
    await cluster.sleep(10);
  }
  return cluster.clock.monotonicMs() - beganMs;
}

const electedOf = async (cluster: SimulatedCluster): Promise<ClusterImage['controller']> =>
  (await cluster.stored()).controller;

describe('a controller that stands by takes over (M5)', () => {
  test('at once when the process of the elected one is gone, and not when its lease has run out', () =>
    pair(async (cluster, [first, second]) => {
      first.kill();
      const ms = await msUntil(cluster, () => second.isActive);
      assert.ok(ms <= promptMs, `${ms} ms`);
    }));

  test('at once when another incarnation has taken the place of the elected one, be it itself', () =>
    pair(async (cluster, [first, second]) => {
      second.kill();
      first.kill();
      const again = cluster.controller(10);
      again.electionTimeoutMs = leaseMs;
      const started = again.start();
      const ms = await msUntil(cluster, () => again.isActive);
      await started;
      assert.ok(ms <= promptMs, `${ms} ms`);
    }));

  test('never while one of which nothing is heard keeps its lease: silence is no proof', () =>
    pair(async (cluster, [first, second]) => {
      cluster.network.silence(first.machine, second.machine);
      cluster.network.silence(second.machine, first.machine);
      const { createRevision } = (await electedOf(cluster)) ?? {};
      await cluster.sleep(3 * leaseMs);
      assert.deepEqual([first.isActive, second.isActive], [true, false]);
      assert.equal((await electedOf(cluster))?.createRevision, createRevision, 'it was never unseated');
    }));

  test('from one that lives and was taken for gone, which resigns and writes nothing any more (M3)', () =>
    pair(async (cluster, [first, second]) => {
      const before = await electedOf(cluster);
      const term = before?.createRevision ?? 0n;
      const place = { kind: 'controller' } as const;
      const outsider = cluster.world.client({ machine: 'outsider', alive: true });
      const expect = [{ place, is: 'created-at', revision: term } as const];
      await outsider.commit(encodeTransaction(keys, { expect, put: [], delete: [place] }));
      const unseatedAt = await cluster.stored();
      let lateWrites = 0;
      first.afterCommit = (transaction) => {
        if (JSON.stringify(transaction, big).includes(String(term))) lateWrites++;
      };
      const ms = await msUntil(cluster, () => first.isActive || second.isActive);
      assert.ok(ms <= 2 * leaseMs, `${ms} ms`);
      const after = await electedOf(cluster);
      assert.ok(after !== undefined && after.createRevision > unseatedAt.revision, 'there is another term');
      assert.equal([first, second].filter((each) => each.isActive).length, 1);
      assert.equal(lateWrites, 0, 'nothing is written in the term that is over');
      await (first.isActive ? first : second).call(methods.listTopics, { context: undefined });
    }));
});

const big = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
