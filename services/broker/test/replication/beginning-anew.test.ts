/** P3, L4, L5: replicas that begin where their leader's log does, and what a crash on the way leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { producerEpoch, producerId } from '@tributary/model';
import { type ReplicaSet, withReplicas } from './replica-set.ts';

const sent = (baseSequence: number) => ({ id: producerId(7n), epoch: producerEpoch(0), baseSequence });

/** Broker 1 leads alone a log whose first six batches, and with them the first of producer 7, are gone. */
async function shortened(set: ReplicaSet): Promise<void> {
  await set.decide({ isr: [1] });
  for (let n = 0; n < 8; n++) await set.append(1, [`v${n}`], 'all', sent(n));
  await set.deleteBelow(1, 6);
  // A producer that has been quiet since: only a snapshot knows it.
  await set.append(1, ['other'], 'all', { ...sent(0), id: producerId(8n) });
}

const caughtUp = (set: ReplicaSet): boolean =>
  // The high watermark too: a log that a crash has left is of no use before its leader has agreed to it.
  set.end(2) === 9 && set.highWatermark(2) === 9 && set.partition(2).startOffset === 6n;

/** Who has begun anew leads: it must know the producers as its leader did. */
async function leads(set: ReplicaSet): Promise<void> {
  await set.decide({ isr: [1, 2] });
  await set.untilEqual(2);
  await set.decide({ leader: 2, epoch: set.decided.epoch + 1 });
  const again = await set.produce(2, ['v7'], 'all', sent(7));
  assert.deepEqual(again.kind === 'appended' && again.baseOffset, 7n);
  const gap = await set.produce(2, ['v9'], 'all', sent(9));
  assert.equal(gap.kind === 'failed' && gap.error.error, 'OUT_OF_ORDER_SEQUENCE_NUMBER');
  assert.equal(await set.append(2, ['v8'], 'all', sent(8)), 9n);
}

test('P3: a replica that begins above 0 knows the producers of what it never had', async () => {
  await withReplicas(1, 2, async (set) => {
    await shortened(set);
    await set.replaceDisk(2);
    await set.until('it has caught up', () => caughtUp(set));
    await leads(set);
  });
});

test('P3: wherever a crash cuts the new beginning short, and whatever it leaves, the replica comes back and knows the producers', async () => {
  for (const how of ['process', 'power'] as const) {
    let crashes = 0;
    for (let at = 1; at <= 60; at += how === 'power' ? 7 : 6) {
      await withReplicas(at, 2, async (set) => {
        await shortened(set);
        await set.replaceDisk(2);
        const { disk } = set.machine(2);
        const first = disk.operations;
        let hit = false;
        disk.onOperation = (number) => {
          hit ||= number - first >= at;
        };
        await set.until('it has caught up, or is hit', () => hit || caughtUp(set));
        disk.onOperation = undefined;
        if (hit) {
          crashes++;
          if (how === 'power') await set.losePower(2);
          else set.kill(2);
          await set.start(2);
          await set.announce();
        }
        await set.until('it has caught up', () => caughtUp(set));
        await leads(set);
      });
    }
    assert.ok(crashes >= 3, `${how}: ${crashes} crashes`);
  }
});

test('P3: a member that has lost what it knew of producers is not emptied while it could be elected', async () => {
  await withReplicas(3, 2, async (set) => {
    for (let n = 0; n < 8; n++) await set.append(1, [`v${n}`], 'all', sent(n));
    await set.deleteBelow(1, 6);
    await set.until('the start follows', () => set.partition(2).startOffset === 6n);
    await set.spoilProducers(2);
    await set.announce();
    await set.passed(300);
    assert.equal(set.end(2), 8);
    assert.equal(set.partition(2).log.producers.isWhole, false);
    await set.decide({ isr: [1] });
    await set.until('it has begun anew', () => set.logged(2, 'replica-restarted') === 1 && set.end(2) === 8);
    assert.equal(set.partition(2).log.producers.isWhole, true);
  });
});

test('L5: who is behind the tombstone horizon begins anew, who has all of it does not, and takes the horizon over', async () => {
  await withReplicas(4, 3, async (set) => {
    await set.append(1, ['a']);
    set.kill(3);
    await set.decide({ isr: [1, 2] });
    for (const value of ['b', 'c']) await set.append(1, [value]);
    // As compaction has it before it drops a tombstone.
    await set.partition(1).log.inheritTombstonesGone(set.partition(1).highWatermark);
    await set.start(3);
    await set.announce();
    await set.untilEqual(2, 3);
    assert.equal(set.logged(3, 'replica-restarted'), 1);
    assert.equal(set.logged(2, 'replica-restarted'), 0);
    assert.equal(set.partition(3).log.tombstonesGone, 3n);
    // It needs that only once.
    set.kill(3);
    await set.start(3);
    await set.announce();
    await set.append(1, ['d']);
    await set.untilEqual(3);
    assert.equal(set.logged(3, 'replica-restarted'), 0);
  });
});
