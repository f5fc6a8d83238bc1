import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offsetsTopicName, producerEpoch, producerId, TributaryError } from '@tributary/model';
import { encodeBatch } from '@tributary/record';
import { Acks, methods } from '@tributary/wire';
import { commit, commitOf, fetched, publish } from './calls.ts';
import { context, type Scene, withCoordinators } from './scene.ts';

const deadlineMs = 10_000;
const fromOutside = { ...context, hops: 0 };

/** In the name of the partition's owner, whose own next write is then out of sequence: it begins anew, and reads this. */
async function writeGarbage(scene: Scene, groupId: string): Promise<number> {
  const asked = { context: fromOutside, groupId };
  const { partition, writerEpoch } = await scene.broker.unary(methods.findCoordinator, asked, { deadlineMs });
  const named = { context: fromOutside, topics: [offsetsTopicName], topicIds: [], allTopics: false };
  const { topics } = await scene.broker.unary(methods.getMetadata, named, { deadlineMs });
  const topicId = topics[0]?.topicId ?? '';
  const leaderEpoch = topics[0]?.partitions.find((each) => each.partition === partition)?.leaderEpoch ?? 0;
  const stream = scene.broker.stream(methods.produce, scene.stop);
  const answers = stream[Symbol.asyncIterator]();
  // The owner has written so much: tried until it fits.
  for (let baseSequence = 0; baseSequence < 50; baseSequence++) {
    const producer = { id: producerId(writerEpoch), epoch: producerEpoch(0), baseSequence };
    const record = { timestamp: 0, key: new Uint8Array([0xff, 0xff, 0xff]), value: null };
    const records = encodeBatch([record], { producer, compression: 'none' });
    const batch = { correlationId: baseSequence, topicId, partition, leaderEpoch, records, writerEpoch };
    stream.send({ context: fromOutside, acks: Acks.ALL, timeoutMs: 5_000, transactionalId: '', batches: [batch] });
    const { value } = await answers.next();
    const result = value?.results[0];
    if (result?.errorCode === 0 && result.baseOffset > 2n) break;
  }
  stream.cancel();
  return partition;
}

test('a journal that cannot be read keeps its own groups waiting, with the reason, and no others', async () => {
  await withCoordinators(501, 1, async (scene) => {
    const topicId = await scene.createTopic('orders', 1);
    await publish(scene, 'orders', 0, 100);
    assert.deepEqual(await commit(scene, undefined, 'billing', [commitOf(topicId, 0, 1n)]), ['done']);
    const partition = await writeGarbage(scene, 'billing');
    scene.process(1).kill();
    scene.restart(1);
    const describe = async () => await scene.at(1).unary(methods.describeCoordinator, { context }, { deadlineMs });
    assert.deepEqual(await fetched(scene, 'shipping'), []);
    const { coordinatorEpoch } = await describe();
    for (let offset = 1n; offset <= 20n; offset++) {
      assert.deepEqual(await commit(scene, undefined, 'shipping', [commitOf(topicId, 0, offset)]), ['done']);
      await scene.clock.sleep(1_000, scene.stop);
    }
    assert.equal((await describe()).coordinatorEpoch, coordinatorEpoch, 'it registered anew');
    const asked = { context, groupId: 'billing', partitions: [], memberId: '', memberEpoch: 0 };
    await assert.rejects(scene.at(1).unary(methods.fetchOffsets, asked, { deadlineMs }), (thrown) => {
      const { error, message } = TributaryError.from(thrown);
      assert.equal(error, 'COORDINATOR_LOAD_IN_PROGRESS');
      assert.match(message, new RegExp(`Partition ${partition} .* cannot be read`));
      return true;
    });
  });
});
