import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorName } from '@tributary/model';
import { methods } from '@tributary/wire';
import { commit, commitOf, fetched, publish } from './calls.ts';
import { context, TestMember, withCoordinators } from './scene.ts';

test('a member joins, gets every partition, commits what it read, and its commits are found', async () => {
  await withCoordinators(1, 1, async (scene) => {
    const topicId = await scene.createTopic('orders', 3);
    await publish(scene, 'orders', 1, 10);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    await member.connect();
    await member.until(({ partitions }) => partitions.length === 3);
    assert.deepEqual(await commit(scene, member, 'billing', [commitOf(topicId, 1, 7n)]), ['done']);
    assert.deepEqual(await fetched(scene, 'billing'), ['1: 7']);
    assert.deepEqual(await commit(scene, member, 'billing', [commitOf(topicId, 1, 11n)]), ['OFFSET_OUT_OF_RANGE']);
    assert.deepEqual(await commit(scene, member, 'billing', [commitOf(topicId, 1, 10n)]), ['done']);
  });
});

test('two members share; when the stream of one breaks the other has all within a second', async () => {
  await withCoordinators(2, 1, async (scene) => {
    await scene.createTopic('orders', 4);
    const one = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    const two = new TestMember(scene, 'billing', 'two', { topics: ['orders'] });
    await one.connect();
    await one.until(({ partitions }) => partitions.length === 4);
    await two.connect();
    await Promise.all([one, two].map((each) => each.until(({ partitions }) => partitions.length === 2)));
    two.disconnect();
    const begunMs = scene.clock.monotonicMs();
    await one.until(({ partitions }) => partitions.length === 4);
    assert(scene.clock.monotonicMs() - begunMs < 1_000, `${scene.clock.monotonicMs() - begunMs} ms`);
  });
});

test('the owner is killed: its groups move, no member loses a partition, commits succeed again', async () => {
  await withCoordinators(3, 2, async (scene) => {
    const topicId = await scene.createTopic('orders', 4);
    await publish(scene, 'orders', 0, 100);
    const members = ['one', 'two'].map((id) => new TestMember(scene, 'billing', id, { topics: ['orders'] }));
    for (const member of members) await member.connect();
    await Promise.all(members.map((each) => each.until(({ partitions }) => partitions.length === 2)));
    const before = members.map(({ partitions }) => [...partitions].sort());
    const reader = members.find(({ partitions }) => partitions.includes(`${topicId}/0`));
    assert(reader !== undefined);
    assert.deepEqual(await commit(scene, reader, 'billing', [commitOf(topicId, 0, 40n)]), ['done']);
    const owner = await scene.ownerOf('billing');
    scene.process(owner).kill();
    const begunMs = scene.clock.monotonicMs();
    assert.deepEqual(await commit(scene, reader, 'billing', [commitOf(topicId, 0, 50n)]), ['done']);
    const tookMs = scene.clock.monotonicMs() - begunMs;
    assert(tookMs < 4_000, `${tookMs} ms`);
    assert.notEqual(await scene.ownerOf('billing'), owner);
    for (const member of members) await member.connect();
    const told = members.map(({ answers }) => answers.length);
    await Promise.all(members.map((each, index) => each.until(({ answers }) => answers.length > (told[index] ?? 0))));
    assert.deepEqual(
      members.map(({ partitions }) => [...partitions].sort()),
      before,
    );
    assert.deepEqual(
      members.flatMap(({ errors }) => errors).filter((error) => error !== 'NOT_COORDINATOR'),
      [],
    );
    assert.deepEqual(await fetched(scene, 'billing'), ['0: 50']);
  });
});

test('one that leaves hands over what it owns before it goes, and streams end with NOT_COORDINATOR', async () => {
  await withCoordinators(4, 2, async (scene) => {
    await scene.createTopic('orders', 2);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    await member.connect();
    await member.until(({ partitions }) => partitions.length === 2);
    const owner = await scene.ownerOf('billing');
    scene.process(owner).askToStop();
    await member.until(({ isConnected }) => !isConnected);
    assert.deepEqual(member.errors, ['NOT_COORDINATOR']);
    assert.notEqual(await scene.ownerOf('billing'), owner);
  });
});

test('a description carries lag of one snapshot, and where a group stands in each partition', async () => {
  await withCoordinators(5, 1, async (scene) => {
    const topicId = await scene.createTopic('orders', 2);
    await publish(scene, 'orders', 0, 10);
    assert.deepEqual(await commit(scene, undefined, 'billing', [commitOf(topicId, 0, 4n)]), ['done']);
    const request = { context, groupIds: ['billing', 'nobody'], includeLag: true };
    const { groups } = await scene.asked('billing', methods.describeGroups, request);
    const [billing, nobody] = groups;
    assert.equal(errorName(nobody?.errorCode ?? 0), 'GROUP_ID_NOT_FOUND');
    assert.deepEqual(
      billing?.partitions.map((each) => [
        each.topic,
        each.partition,
        each.committedOffset,
        each.highWatermark,
        each.lag,
      ]),
      [['orders', 0, 4n, 10n, 6n]],
    );
  });
});
