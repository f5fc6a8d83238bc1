import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { commit, commitOf, fetched, publish } from './calls.ts';
import { context, type Scene, TestMember, withCoordinators } from './scene.ts';

/** A commit that goes to one coordinator, whoever owns the group. @returns what came of it, in the end. */
function commitAt(scene: Scene, index: number, topicId: string, offset: bigint): Promise<string> {
  const request = {
    context,
    groupId: 'billing',
    memberId: '',
    memberEpoch: 0,
    offsets: [commitOf(topicId, 0, offset)],
    sequence: 0n,
    validateOnly: false,
  };
  const asked = scene.at(index).unary(methods.commitOffsets, request, { deadlineMs: 60_000 });
  return asked.then(
    ({ results }) => (results[0]?.errorCode === 0 ? 'done' : 'refused'),
    (thrown: unknown) => TributaryError.from(thrown).error,
  );
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`G1: an owner that was paused is refused by its successor's fence, and tells nobody that it was not (seed ${seed})`, async () => {
    await withCoordinators(100 + seed, 2, async (scene) => {
      const topicId = await scene.createTopic('orders', 1);
      await publish(scene, 'orders', 0, 100);
      assert.deepEqual(await commit(scene, undefined, 'billing', [commitOf(topicId, 0, 40n)]), ['done']);
      const owner = await scene.ownerOf('billing');
      // Some have been decided by then, some have not.
      const asked = [41n, 42n, 43n].map((offset) => commitAt(scene, owner, topicId, offset));
      await scene.clock.sleep(seed - 1, scene.stop);
      scene.pause(owner);
      asked.push(commitAt(scene, owner, topicId, 44n));
      while ((await scene.ownerOf('billing')) === owner) await scene.clock.sleep(100, scene.stop);
      assert.deepEqual(await commit(scene, undefined, 'billing', [commitOf(topicId, 0, 50n)]), ['done']);
      scene.resume(owner);
      const late = commitAt(scene, owner, topicId, 45n);
      const outcomes = await Promise.all([...asked, late]);
      assert.ok(!outcomes.slice(3).includes('done'), outcomes.join());
      assert.deepEqual(await fetched(scene, 'billing'), ['0: 50']);
    });
  });
}

test('G2: an owner that cannot write answers no sign of life, and ends nobody: once it can, every member has what it had', async () => {
  await withCoordinators(200, 1, async (scene) => {
    await scene.createTopic('orders', 2);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'], sessionTimeoutMs: 3_000 });
    await member.connect();
    await member.until(({ partitions }) => partitions.length === 2);
    scene.killBroker();
    // Half a session timeout from the last write on it may not answer.
    await scene.clock.sleep(1_600, scene.stop);
    const told = member.answers.length;
    for (let i = 0; i < 10; i++) {
      // Then it gives up for longer than its session: nobody would have heard it.
      if (i < 4) member.say();
      await scene.clock.sleep(1_000, scene.stop);
    }
    assert.equal(member.answers.length, told, 'answered without a recent write');
    scene.startBroker();
    await scene.clock.sleep(2_000, scene.stop);
    await member.until(({ answers }) => answers.length > told);
    assert.deepEqual(member.errors, []);
    assert.equal(member.partitions.length, 2);
    // Silence counts again from here on.
    member.disconnect();
    const other = new TestMember(scene, 'billing', 'two', { topics: ['orders'] });
    await other.connect();
    await other.until(({ partitions }) => partitions.length === 2);
  });
});

test('G2: a member has one and a half session timeouts at a new owner, however long nobody owned its group', async () => {
  await withCoordinators(201, 1, async (scene) => {
    await scene.createTopic('orders', 2);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'], sessionTimeoutMs: 2_000 });
    await member.connect();
    await member.until(({ partitions }) => partitions.length === 2);
    scene.process(1).kill();
    await scene.clock.sleep(20_000, scene.stop);
    scene.restart(1);
    while ((await fetched(scene, 'billing')).length > 0) await scene.clock.sleep(10, scene.stop);
    // Longer than a session timeout, shorter than one and a half.
    await scene.clock.sleep(2_600, scene.stop);
    const told = member.answers.length;
    await member.connect();
    await member.until(({ answers }) => answers.length > told);
    assert.deepEqual(
      member.errors.filter((error) => error !== 'NOT_COORDINATOR'),
      [],
    );
    assert.equal(member.partitions.length, 2);
  });
});

test('what was committed is found by whoever reads the journal next', async () => {
  await withCoordinators(202, 2, async (scene) => {
    const topicId = await scene.createTopic('orders', 3);
    for (let partition = 0; partition < 3; partition++) await publish(scene, 'orders', partition, 9);
    const groups = Array.from({ length: 30 }, (_, index) => `group-${index}`);
    await Promise.all(
      groups.map((group, index) => commit(scene, undefined, group, [commitOf(topicId, index % 3, BigInt(index % 9))])),
    );
    for (const index of [1, 2]) scene.process(index).kill();
    await scene.clock.sleep(1_000, scene.stop);
    for (const index of [1, 2]) scene.restart(index);
    const found = await Promise.all(groups.map((group) => fetched(scene, group)));
    assert.deepEqual(
      found,
      groups.map((_, index) => [`${index % 3}: ${index % 9}`]),
    );
  });
});
