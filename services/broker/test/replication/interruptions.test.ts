/** R1, R2: streams that break, leaders that fall silent, and roles that change in the middle of something. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset } from '@tributary/model';
import { withReplicas } from './replica-set.ts';

test('a stream that breaks is begun again, and nothing comes twice or is left out', async () => {
  await withReplicas(1, 2, async (set) => {
    for (let n = 0; n < 40; n++) {
      void set.produce(1, [`v${n}`]);
      await set.passed(3);
      if (n % 8 === 3) set.world.network.breakOne();
    }
    await set.until('all are there', () => set.end(1) === 40 && set.highWatermark(1) === 40);
    await set.untilEqual(2);
    assert.ok(set.logged(2, 'replication-interrupted') >= 3);
  });
});

test('R3: a leader that is not heard commits nothing, and its follower says so to readers and comes back', async () => {
  await withReplicas(2, 2, async (set) => {
    await set.append(1, ['a']);
    set.world.network.silence('b2', 'b1');
    set.world.network.silence('b1', 'b2');
    let answered = false;
    const answer = set.append(1, ['b']).then(() => {
      answered = true;
    });
    await set.passed(limits.replicaSilenceMs + limits.replicaBeatMs + 100);
    assert.equal(answered, false);
    assert.equal(set.highWatermark(1), 1);
    assert.equal(set.partition(2).isFresh(), false);
    assert.ok(set.logged(2, 'replication-interrupted') >= 1);
    set.world.network.heal();
    await answer;
    await set.untilEqual(2);
    assert.equal(set.partition(2).isFresh(), true);
  });
});

test('R2: whenever a follower is elected in the middle of its writes or of a cut, a batch of an epoch comes only behind a comparison in it, and no leader’s log is cut', async () => {
  for (let afterMicros = 0; afterMicros < 2_000; afterMicros += 250) {
    await withReplicas(afterMicros + 3, 3, async (set) => {
      await set.append(1, ['kept']);
      set.world.network.silence('b1', 'b2');
      set.world.network.silence('b1', 'b3');
      void set.produce(1, ['lost'], 'leader');
      await set.passed(2);
      await set.decide({ leader: 2, epoch: 2, isr: [2, 3] }, [2, 3]);
      await set.append(2, ['second']);
      set.world.network.heal();
      // Broker 1 is told to follow, and so to cut; while it does, it leads again.
      await set.decide({ isr: [1, 2, 3] }, []);
      const told = set.announce();
      const burst = Array.from({ length: 5 }, (_, n) => set.produce(2, [`burst ${n}`], 'leader'));
      await set.world.scheduler.pause(afterMicros + 1);
      const ends = [1, 2, 3].map((id) => set.end(id));
      await set.decide({ leader: 3, epoch: 3, isr: [2, 3] });
      const led = set.partition(3);
      const begun = led.state.leadership?.startOffset ?? 0n;
      assert.ok(begun >= BigInt(ends[2] ?? 0), 'a leader keeps what it had when it was elected');
      await set.append(3, ['third']);
      await Promise.all([told, ...burst]);
      await set.untilEqual(1, 2);
      const epochs = (await set.contents(1)).map((each) => Number(/ in (\d+):/.exec(each)?.[1]));
      assert.deepEqual(
        epochs,
        epochs.toSorted((a, b) => a - b),
        'epochs never go back within a log',
      );
      assert.ok(set.end(1) > Number(begun));
    });
  }
});

test('R1: what a leader of an older epoch still sends is not taken, whoever leads now', async () => {
  await withReplicas(9, 3, async (set) => {
    await set.append(1, ['a']);
    // It takes long from 1 to 3: what it has sent arrives under the next leader.
    set.world.network.slow('b1', 'b3', 500);
    void set.produce(1, ['late'], 'leader');
    await set.passed(2);
    await set.decide({ leader: 2, epoch: 2, isr: [2, 3] }, [2, 3]);
    await set.until('3 follows 2', () => set.partition(3).isFresh());
    const before = await set.contents(3);
    await set.passed(500);
    const now = await set.contents(3);
    assert.deepEqual(now.slice(0, before.length), before);
    await set.announce();
    await set.append(2, ['b']);
    await set.untilEqual(1, 3);
  });
});

test('R9: a replica that is far behind comes on a stream of its own, no faster than the throttle lets it, and then joins the others', async () => {
  const rate = 1_000_000;
  const settings = { 'leader.replication.throttled.rate': String(rate) };
  await withReplicas(
    10,
    2,
    async (set) => {
      set.kill(2);
      await set.decide({ isr: [1] });
      // More than the memory for all tails.
      const value = 'x'.repeat(900_000);
      const count = Math.ceil(limits.tailCache / value.length) + 4;
      for (let n = 0; n < count; n++) await set.append(1, [value]);
      assert.equal(set.partition(1).log.tail.reaches(offset(0n)), false);
      await set.start(2);
      const counted = set.countPushes();
      await set.announce();
      const begunMicros = set.world.scheduler.nowMicros;
      await set.until('half way', () => set.end(2) >= 3, 20_000);
      const seconds = (set.world.scheduler.nowMicros - begunMicros) / 1e6;
      assert.ok(counted.bytes <= rate * seconds + 2 * 900_000, `${counted.bytes} bytes in ${seconds} s`);
      await set.until('it has caught up', () => set.end(2) === count, 60_000);
      await set.append(1, ['live']);
      await set.untilEqual(2);
    },
    { settings },
  );
});

test('what is on the way to a follower that does not sync stays within its window', async () => {
  await withReplicas(11, 2, async (set) => {
    await set.append(1, ['first']);
    await set.decide({ isr: [1] });
    set.machine(2).disk.syncDelayFactor = 20_000;
    const counted = set.countPushes();
    const value = 'x'.repeat(500_000);
    for (let n = 0; n < 20; n++) await set.append(1, [value]);
    await set.passed(100);
    const most = limits.replicaWindow + limits.fetchChunk + 600_000;
    assert.ok(counted.bytes > limits.replicaWindow / 2 && counted.bytes <= most, `${counted.bytes} bytes`);
    set.machine(2).disk.syncDelayFactor = 1;
    await set.until('it has caught up', () => set.end(2) === 21, 60_000);
    await set.untilEqual(2);
  });
});
