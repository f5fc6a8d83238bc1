import assert from 'node:assert/strict';
import { test } from 'node:test';
import { methods } from '@tributary/wire';
import { context, type Scene, TestMember, withCoordinators } from './scene.ts';

/** Another group in the same partition of the journal. */
async function besides(scene: Scene, groupId: string): Promise<string> {
  const partitionOf = async (id: string): Promise<number> => {
    const request = { context: { ...context, hops: 0 }, groupId: id };
    return (await scene.broker.unary(methods.findCoordinator, request, { deadlineMs: 5_000 })).partition;
  };
  const partition = await partitionOf(groupId);
  for (let i = 0; ; i++) if ((await partitionOf(`${groupId}-${i}`)) === partition) return `${groupId}-${i}`;
}

test('G2: a member of another group that comes with a short session puts off nobody’s end', async () => {
  await withCoordinators(401, 1, async (scene) => {
    await scene.createTopic('orders', 4);
    const other = await besides(scene, 'billing');
    const one = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
    const two = new TestMember(scene, 'billing', 'two', { topics: ['orders'] });
    for (const member of [one, two]) await member.connect();
    await Promise.all([one, two].map((each) => each.until(({ partitions }) => partitions.length === 2)));
    await scene.clock.sleep(1_000, scene.stop);
    two.disconnect();
    const begunMs = scene.clock.monotonicMs();
    await scene.clock.sleep(200, scene.stop);
    const passer = new TestMember(scene, other, 'passer', { topics: ['orders'], sessionTimeoutMs: 1_000 });
    await passer.connect();
    await one.until(({ partitions }) => partitions.length === 4);
    const tookMs = scene.clock.monotonicMs() - begunMs;
    assert(tookMs < 1_100, `${tookMs} ms`);
  });
});

test('a coordinator that stood still first hears what was said meanwhile, then sees who is silent', async () => {
  for (const stillMs of [700, 1_500, 3_000]) {
    await withCoordinators(402, 1, async (scene) => {
      await scene.createTopic('orders', 4);
      const member = new TestMember(scene, 'billing', 'one', { topics: ['orders'] });
      await member.connect();
      await member.until(({ partitions }) => partitions.length === 4);
      member.say();
      await scene.clock.sleep(300, scene.stop);
      member.disconnect();
      await scene.clock.sleep(100, scene.stop);
      scene.pause(1);
      const known = member.answers.length;
      await member.connect();
      await scene.clock.sleep(stillMs, scene.stop);
      scene.resume(1);
      await member.until(({ answers }) => answers.length > known);
      assert.deepEqual(member.errors, []);
      assert.equal(member.partitions.length, 4);
    });
  }
});
