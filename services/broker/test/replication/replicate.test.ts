import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerEpoch, nodeId } from '@tributary/model';
import { withReplicas } from './replica-set.ts';

test('P5, R3: acks=all is answered once every member of the ISR has synced it, and no sooner', async () => {
  await withReplicas(1, 3, async (set) => {
    await set.append(1, ['first']);
    set.machine(3).disk.syncDelayFactor = 1_000;
    let answered = false;
    const answer = set.append(1, ['second']).then(() => {
      answered = true;
    });
    await set.until('all have written it', () => [1, 2, 3].every((id) => set.end(id) === 2));
    await set.passed(100);
    assert.equal(answered, false);
    assert.deepEqual(
      [1, 2, 3].map((id) => set.highWatermark(id)),
      [1, 1, 1],
    );
    await answer;
    assert.equal(set.partition(3).state.durable, 2n);
    await set.until('all know', () => [1, 2, 3].every((id) => set.highWatermark(id) === 2));
    const [one, two, three] = await Promise.all([1, 2, 3].map((id) => set.contents(id)));
    assert.equal(one?.length, 2);
    assert.deepEqual([two, three], [one, one]);
  });
});

test('a follower whose disk was full for a moment comes back by itself, however quiet its leader is', async () => {
  await withReplicas(2, 2, async (set) => {
    await set.append(1, ['first']);
    set.fill(2, true);
    const answer = set.append(1, ['x'.repeat(100_000)]);
    await set.until('the leader has it', () => set.end(1) === 2);
    await set.passed(200);
    assert.equal(set.end(2), 1);
    set.fill(2, false);
    await set.until('the follower has it', () => set.end(2) === 2, 3_000);
    await answer;
    await set.untilEqual(2);
  });
});

test('L4: a replica that is new comes into step also where the log begins in the middle of a batch', async () => {
  await withReplicas(3, 2, async (set) => {
    await set.append(1, ['a', 'b', 'c', 'd']);
    await set.append(1, ['e']);
    await set.decide({ isr: [1] });
    await set.deleteBelow(1, 2);
    await set.replaceDisk(2);
    await set.untilEqual(2);
    await set.until('the start follows', () => set.partition(2).startOffset === 2n);
  });
});

test('R2: a follower that begins beyond where an unclean leader ends begins anew', async () => {
  await withReplicas(4, 3, async (set) => {
    await set.append(1, ['a']);
    set.kill(3);
    await set.decide({ isr: [1, 2] });
    for (const value of ['b', 'c', 'd']) await set.append(1, [value]);
    await set.deleteBelow(1, 3);
    await set.until('the start follows', () => set.partition(2).startOffset === 3n);
    set.kill(1);
    set.kill(2);
    await set.start(3);
    await set.decide({ leader: 3, epoch: 2, isr: [3], uncleanEpoch: 2 });
    await set.append(3, ['other']);
    await set.start(1);
    await set.start(2);
    await set.announce();
    await set.untilEqual(1, 2);
    assert.deepEqual(
      [1, 2].map((id) => set.partition(id).startOffset),
      [0n, 0n],
    );
  });
});

test('R2: what only a leader had that has failed goes, what was committed stays', async () => {
  await withReplicas(5, 3, async (set) => {
    await set.append(1, ['kept']);
    for (const id of [2, 3]) {
      set.world.network.silence('b1', `b${id}`);
    }
    const lost = set.produce(1, ['lost'], 'leader');
    assert.equal((await lost).kind, 'appended');
    await set.decide({ leader: 2, epoch: 2, isr: [2, 3], minIsr: 2 }, [2, 3]);
    await set.append(2, ['instead']);
    set.world.network.heal();
    assert.equal(set.end(1), 2);
    await set.announce();
    await set.untilEqual(1, 3);
    assert.match((await set.contents(1)).join(' '), /0 in 1: .*kept.*1 in 2: .*instead/s);
    assert.equal(set.logged(1, 'replica-cut'), 1);
  });
});

test('R2: a follower that knows something to be committed keeps it from a leader that lacks it, until another one leads', async () => {
  await withReplicas(6, 3, async (set) => {
    set.kill(3);
    await set.decide({ isr: [1, 2] });
    for (const value of ['a', 'b']) await set.append(1, [value]);
    await set.until('it is known', () => set.highWatermark(2) === 2);
    await set.start(3);
    // Nobody may elect it: this is a controller that has gone wrong.
    await set.decide({ leader: 3, epoch: 2, isr: [3] });
    await set.append(3, ['wrong']);
    await set.passed(200);
    assert.deepEqual([set.end(1), set.end(2)], [2, 2]);
    assert.deepEqual(
      [1, 2].map((id) => set.logged(id, 'replica-contradicts-its-leader')),
      [1, 1],
    );
    await set.decide({ leader: 1, epoch: 3, isr: [1, 2] });
    await set.append(1, ['c']);
    await set.untilEqual(2);
  });
});

test('R1: a session that another one has taken the place of hears so when it acknowledges, also where nothing more is written', async () => {
  await withReplicas(7, 2, async (set) => {
    await set.append(1, ['first']);
    set.machine(2).disk.syncDelayFactor = 1_000;
    const answer = set.append(1, ['second']);
    await set.until('it is written', () => set.end(2) === 2);
    // What an older stream still carried, to a leader that had stood still.
    const late = { node: nodeId(2), brokerEpoch: brokerEpoch(set.at(2).epoch), attachment: 1_000_000 };
    assert.equal(set.partition(1).state.leadership?.attach(late), true);
    await set.until('it is told', () => set.logged(2, 'replica-refused') === 1, 60_000);
    await answer;
  });
});

test('R9: a member of the ISR that lacks the last batches of a new leader, which has nothing in memory, is not throttled', async () => {
  const settings = { 'leader.replication.throttled.rate': '1000' };
  await withReplicas(
    8,
    3,
    async (set) => {
      await set.append(1, ['kept']);
      set.world.network.silence('b1', 'b3');
      for (let n = 0; n < 3; n++) await set.append(1, ['x'.repeat(900_000)], 'leader');
      await set.until('2 has it', () => set.end(2) === 4);
      await set.decide({ leader: 2, epoch: 2 });
      await set.untilEqual(3);
    },
    { settings },
  );
});
