import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorName } from '@tributary/model';
import { methods } from '@tributary/wire';
import { commit, commitOf, fetched, publish } from './calls.ts';
import { context, TestMember, withCoordinators } from './scene.ts';

/** Characters that no compression makes fewer, nearly. */
function noise(length: number, seed: number): string {
  let state = seed + 1;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    text += String.fromCharCode(33 + ((state >>> 16) % 90));
  }
  return text;
}

test('a commit larger than a batch of the journal may be is durable as a whole, and its coordinator goes on', async () => {
  await withCoordinators(301, 1, async (scene) => {
    const topicId = await scene.createTopic('orders', 1);
    await publish(scene, 'orders', 0, 500);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    await member.connect();
    await member.until(({ partitions }) => partitions.length === 1);
    const offsets = Array.from({ length: 400 }, (_, index) => ({
      ...commitOf(topicId, 0, BigInt(index)),
      metadata: noise(4_096, index),
    }));
    const results = await commit(scene, member, 'billing', offsets);
    assert.equal(results.filter((each) => each === 'done').length, 400);
    assert.deepEqual(member.errors, []);
    assert.deepEqual(await fetched(scene, 'billing'), ['0: 399']);
    scene.process(1).kill();
    scene.restart(1);
    assert.deepEqual(await fetched(scene, 'billing'), ['0: 399']);
  });
});

test('a subscription that no batch of the journal holds is refused, and its group goes on', async () => {
  await withCoordinators(302, 1, async (scene) => {
    await scene.createTopic('orders', 2);
    const one = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    await one.connect();
    await one.until(({ partitions }) => partitions.length === 2);
    const names = Array.from(
      { length: 8_000 },
      (_, index) => `${index}.${noise(200, index).replace(/[^a-z0-9]/gi, '_')}`,
    );
    const large = new TestMember(scene, 'billing', 'two', { topics: names });
    await large.connect();
    await large.until(({ answers }) => answers.length > 0);
    assert.deepEqual(new Set(large.errors), new Set(['INVALID_REQUEST']));
    const known = one.answers.length;
    await one.until(({ answers }) => answers.length > known);
    assert.deepEqual(one.errors, []);
  });
});

test('what a client says of itself is cut, not written as it came', async () => {
  await withCoordinators(303, 1, async (scene) => {
    await scene.createTopic('orders', 1);
    const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    const owner = await scene.ownerOf('billing');
    const said = { ...context, clientId: noise(2_000_000, 1), host: noise(2_000_000, 2) };
    const subscription = { ...member.subscription };
    const request = { member: member.request({ context: said, subscription }) };
    const answer = await scene.at(owner).unary(methods.heartbeat, request, { deadlineMs: 20_000 });
    assert.equal(errorName(answer.member?.errorCode ?? -1), errorName(0));
    const asked = { context, groupIds: ['billing'], includeLag: false };
    const { groups } = await scene.asked('billing', methods.describeGroups, asked);
    assert.deepEqual(
      groups[0]?.members.map(({ clientId, host }) => [clientId.length, host.length]),
      [[249, 249]],
    );
  });
});
