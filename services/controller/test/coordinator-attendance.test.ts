/** Coordinators attend to the controller as brokers do (R10): who is there, who leaves, and who is dead. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, nodeId } from '@tributary/model';
import { methods } from '@tributary/wire';
import type { CoordinatorProcess } from './coordinator-process.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;

interface Scene {
  readonly cluster: SimulatedCluster;
  readonly controller: CandidateProcess;
  readonly first: CoordinatorProcess;
  readonly second: CoordinatorProcess;
  /** Of six partitions; '-': nobody. */
  owners(): Promise<string>;
  isRegistered(id: number): Promise<boolean>;
}

/** Coordinators 201 and 202 share six partitions. */
async function scene(story: (scene: Scene) => Promise<void>, controllers = 1): Promise<void> {
  const cluster = new SimulatedCluster(1);
  await cluster.scheduler.run(async () => {
    const candidates = Array.from({ length: controllers }, (_, i) => cluster.controller(10 + i));
    for (const each of candidates) {
      each.electionTimeoutMs = limits.controllerLeaseMs;
      each.offsetsTopic = { partitions: 6, replicationFactor: 1 };
      await each.start();
    }
    const [controller] = candidates;
    assert.ok(controller !== undefined);
    await cluster.broker(1).start();
    await controller.call(methods.ensureOffsetsTopic, { context: undefined });
    const [first, second] = [cluster.coordinator(201), cluster.coordinator(202)];
    await first.start();
    await second.start();
    await cluster.sleep(1_000);
    const owners = async (): Promise<string> =>
      [...(await cluster.stored()).groupPartitions()]
        .toSorted((a, b) => a.partition - b.partition)
        .map(({ coordinator }) => coordinator ?? '-')
        .join(' ');
    const isRegistered = async (id: number): Promise<boolean> =>
      (await cluster.stored()).coordinator(nodeId(id)) !== undefined;
    assert.equal(await owners(), '201 201 201 202 202 202');
    await story({ cluster, controller, first, second, owners, isRegistered });
    for (const each of candidates) assert.equal(each.crashed, undefined);
  });
}

describe('a coordinator that attends', () => {
  test('is answered each sign of life, and keeps what it owns', () =>
    scene(async ({ cluster, first, owners }) => {
      await cluster.sleep(5 * sessionMs);
      assert.equal(first.answers[0]?.sessionTimeoutMs, sessionMs);
      assert.ok(first.answers.length >= 25, `${first.answers.length} answers`);
      assert.equal(await owners(), '201 201 201 202 202 202');
    }));

  test('keeps it when its streams break, as long as it answers at its address', () =>
    scene(async ({ cluster, second, owners }) => {
      const epoch = second.registration?.current?.epoch;
      for (let i = 0; i < 5; i++) {
        second.breakStream();
        await cluster.sleep(1_000);
      }
      assert.equal(second.registration?.current?.epoch, epoch, 'nobody took it for dead');
      assert.equal(await owners(), '201 201 201 202 202 202');
    }));

  test('has nothing to propose', () =>
    scene(async ({ cluster, second }) => {
      const proposal = { proposalId: 1n, topicId: 't', partition: 0, leaderEpoch: 0, partitionEpoch: 0, isr: [] };
      second.say({ proposals: [proposal] });
      await cluster.sleep(100);
      assert.match(String(second.ends[0]), /Coordinator 202 has no partitions to propose anything of/);
    }));

  test('hands over all it owns when it is leaving, hears when that is done, and is not given any back', () =>
    scene(async ({ cluster, first, second, owners, isRegistered }) => {
      second.isLeaving = true;
      second.say({});
      await cluster.sleep(500);
      assert.equal(await owners(), '201 201 201 201 201 201');
      const said = second.answers.flatMap(({ leave }) => leave ?? []);
      assert.deepEqual([said.at(-1)?.toMove, said.at(-1)?.withoutSuccessor], [0, 0]);
      await cluster.sleep(2 * sessionMs);
      assert.equal(await owners(), '201 201 201 201 201 201');
      await second.stop();
      first.isLeaving = true;
      first.say({});
      await cluster.sleep(500);
      const last = first.answers.flatMap(({ leave }) => leave ?? []).at(-1);
      assert.deepEqual([last?.toMove, last?.withoutSuccessor], [0, 6]);
      assert.equal(await isRegistered(202), false);
    }));
});

describe('the death of a coordinator', () => {
  test('as a process is seen at once: nothing listens where it was', () =>
    scene(async ({ cluster, second, owners, isRegistered }) => {
      second.kill();
      await cluster.sleep(200);
      assert.equal(await owners(), '201 201 201 201 201 201');
      assert.equal(await isRegistered(202), false);
    }));

  test('by silence is one after the session timeout; one that was alive after all registers anew and gets a share', () =>
    scene(async ({ cluster, second, owners, isRegistered }) => {
      second.isStopped = true;
      await cluster.sleep(sessionMs - 1_500);
      assert.equal(await owners(), '201 201 201 202 202 202');
      await cluster.sleep(2_600);
      assert.equal(await owners(), '201 201 201 201 201 201');
      second.isStopped = false;
      await cluster.sleep(2_000);
      assert.ok(await isRegistered(202));
      assert.equal((await owners()).match(/202/g)?.length, 3);
    }));

  test('is shown while it is only silence', () =>
    scene(async ({ cluster, controller, first, second }) => {
      for (const each of [first, second]) each.isStopped = true;
      await cluster.sleep(2 * sessionMs);
      // With nobody to take over from them, they stay.
      const { coordinators, groupPartitionsWithoutOwner } = await controller.call(methods.describeCluster, {
        context: undefined,
      });
      assert.deepEqual(
        coordinators.map(({ nodeId: node, standing, partitionsOwned }) => [node, standing, partitionsOwned]),
        [
          [201, 2, 3],
          [202, 2, 3],
        ],
      );
      assert.equal(groupPartitionsWithoutOwner, 0);
    }));

  test('is seen although its controller died with it', () =>
    scene(async ({ cluster, controller, second, owners }) => {
      controller.kill();
      second.kill();
      await cluster.sleep(limits.controllerLeaseMs + 2_000);
      assert.equal(await owners(), '201 201 201 201 201 201');
    }, 2));

  test('of the last one leaves the groups to nobody, until one comes', () =>
    scene(async ({ cluster, first, second, owners }) => {
      second.kill();
      await cluster.sleep(200);
      first.kill();
      await cluster.sleep(2 * sessionMs);
      assert.equal(await owners(), '- - - - - -');
      await cluster.coordinator(203).start();
      await cluster.sleep(500);
      assert.equal(await owners(), '203 203 203 203 203 203');
    }));
});
