/** G1: the fence goes where the log goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offsetsTopicName, producerEpoch, producerId } from '@tributary/model';
import { type ReplicaSet, withReplicas } from './replica-set.ts';

const options = { topic: offsetsTopicName };
const by = (writer: bigint, baseSequence: number) => ({
  id: producerId(writer),
  epoch: producerEpoch(0),
  baseSequence,
});

async function refused(set: ReplicaSet, at: number, writer: bigint, sequence = 0): Promise<string> {
  const outcome = await set.produce(at, ['late'], 'all', by(writer, sequence));
  return outcome.kind === 'failed' ? outcome.error.error : outcome.kind;
}

test('G1: a new leader refuses whom the old one refused, and knows the sequences of the newest writer', async () => {
  await withReplicas(
    21,
    3,
    async (set) => {
      await set.append(1, ['old'], 'all', by(3n, 0));
      await set.append(1, ['fence'], 'all', by(4n, 0));
      await set.append(1, ['new'], 'all', by(4n, 1));
      await set.untilEqual(2, 3);
      set.kill(1);
      await set.decide({ leader: 2, epoch: 2, isr: [2, 3] });
      assert.equal(await refused(set, 2, 3n, 1), 'PRODUCER_FENCED');
      assert.equal(await refused(set, 2, 4n, 5), 'OUT_OF_ORDER_SEQUENCE_NUMBER');
      const again = await set.produce(2, ['new'], 'all', by(4n, 1));
      assert.equal(again.kind === 'appended' && again.baseOffset, 2n);
    },
    options,
  );
});

test('G1: a fence that was never committed goes with the batch that is cut, and the older writer goes on until it is written again', async () => {
  await withReplicas(
    22,
    3,
    async (set) => {
      await set.append(1, ['old'], 'all', by(3n, 0));
      await set.untilEqual(2, 3);
      // Broker 1 alone takes the fence, and cannot commit it.
      set.world.network.silence('b1', 'b2');
      set.world.network.silence('b1', 'b3');
      void set.produce(1, ['fence'], 'all', by(4n, 0));
      await set.until('it is written', () => set.end(1) === 2);
      assert.equal(await refused(set, 1, 3n, 1), 'PRODUCER_FENCED');
      await set.decide({ leader: 2, epoch: 2, isr: [2, 3] }, [2, 3]);
      assert.equal(await set.append(2, ['older'], 'all', by(3n, 1)), 1n);
      set.world.network.heal();
      await set.announce();
      await set.untilEqual(1);
      await set.decide({ isr: [1, 2, 3] });
      await set.decide({ leader: 1, epoch: 3 });
      assert.equal(await set.append(1, ['older still'], 'all', by(3n, 2)), 2n);
      assert.equal(await set.append(1, ['fence'], 'all', by(4n, 0)), 3n);
      assert.equal(await refused(set, 1, 3n, 3), 'PRODUCER_FENCED');
    },
    options,
  );
});

test('G1: a replica that begins above 0, where the batches of the newest writer are gone, has the fence from its leader', async () => {
  await withReplicas(
    23,
    2,
    async (set) => {
      await set.decide({ isr: [1] });
      await set.append(1, ['old'], 'all', by(3n, 0));
      for (let n = 0; n < 6; n++) await set.append(1, [`v${n}`], 'all', by(4n, n));
      await set.deleteBelow(1, 7);
      await set.replaceDisk(2);
      await set.until('it begins where its leader does', () => set.end(2) === 7 && set.partition(2).startOffset === 7n);
      await set.decide({ isr: [1, 2] });
      await set.until('it is committed', () => set.highWatermark(2) === 7);
      await set.decide({ leader: 2, epoch: 2 });
      assert.equal(await refused(set, 2, 3n, 1), 'PRODUCER_FENCED');
      assert.equal(await set.append(2, ['v6'], 'all', by(4n, 6)), 7n);
    },
    options,
  );
});

test('G1: a restart, clean, by a kill or without power, leaves the fence as it was', async () => {
  for (const how of ['kill', 'power'] as const) {
    await withReplicas(
      24,
      1,
      async (set) => {
        await set.append(1, ['old'], 'all', by(3n, 0));
        await set.append(1, ['fence'], 'all', by(4n, 0));
        if (how === 'power') await set.losePower(1);
        else set.kill(1);
        await set.start(1);
        await set.decide({ epoch: 2 });
        assert.equal(await refused(set, 1, 3n, 1), 'PRODUCER_FENCED');
        assert.equal(await refused(set, 1, 4n, 0), 'appended', 'its repetition');
        assert.equal(set.end(1), 2);
      },
      options,
    );
  }
});
