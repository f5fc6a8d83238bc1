import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId, offset } from '@tributary/model';
import { Led, termOf } from './leaderships.ts';

test('R3: the high watermark is the smallest durable end over the ISR, the leader’s own included', () => {
  const led = new Led();
  led.end = 50n;
  const two = led.has(2, 30n);
  led.has(3, 40n);
  assert.equal(led.committable(), 30n);
  led.acknowledge(2, two, 45n);
  assert.equal(led.committable(), 40n);
  assert.equal(led.committable(35n), 35n);
});

test('R3: in a new epoch the high watermark is held until every member has acknowledged in it', () => {
  const led = new Led({}, 20n);
  assert.equal(led.committable(), undefined);
  const two = led.has(2, 20n);
  assert.equal(led.committable(), undefined);
  const three = led.attach(3);
  // It is attached, and has said nothing yet.
  assert.equal(led.committable(), undefined);
  led.acknowledge(3, three, 18n);
  assert.equal(led.committable(), 18n);
  led.acknowledge(2, two, 20n);
  assert.equal(led.committable(), 18n);
});

test('R3: below the effective min ISR the high watermark is held, however much a replica that is only proposed has', () => {
  const led = new Led({ isr: [1], minIsr: 2 });
  led.end = 9n;
  led.has(2, 9n);
  assert.equal(led.committable(), undefined);
  led.propose(0n);
  assert.deepEqual(led.leadership.maximalIsr, [1, 2]);
  assert.equal(led.committable(), undefined);
  led.update({ isr: [1, 2], at: 1 });
  assert.equal(led.committable(), 9n);
});

test('R3: who is proposed counts at once; who is to leave counts until the image says that it has left', () => {
  const joining = new Led({ isr: [1, 2] });
  joining.end = 9n;
  const two = joining.has(2, 5n);
  const three = joining.has(3, 5n);
  assert.equal(joining.due(5n), 'expanding to 1, 2, 3');
  joining.propose(5n);
  joining.acknowledge(2, two, 9n);
  assert.equal(joining.committable(), 5n);
  joining.acknowledge(3, three, 9n);
  assert.equal(joining.committable(), 9n);

  const leaving = new Led();
  leaving.end = 9n;
  const there = leaving.has(2, 9n);
  leaving.has(3, 5n);
  leaving.now = 10_001;
  leaving.acknowledge(2, there, 9n);
  assert.equal(leaving.due(5n), 'shrinking to 1, 2');
  leaving.propose(5n);
  assert.equal(leaving.committable(), 5n);
  leaving.update({ isr: [1, 2], at: 1 });
  assert.equal(leaving.committable(), 9n);
});

test('R1: an attach resets what the replica said before, and nothing that an older session says counts', () => {
  const led = new Led({ isr: [1, 2], replicas: [1, 2] });
  led.end = 9n;
  const before = led.has(2, 9n);
  const now = led.attach(2);
  assert.equal(led.committable(), undefined);
  assert.equal(led.acknowledge(2, before, 9n), false);
  assert.equal(led.committable(), undefined);
  assert.equal(led.acknowledge(2, now, 3n), true);
  assert.equal(led.committable(), 3n);
  // That an older one ends changes nothing either.
  led.leadership.detach(nodeId(2), before);
  assert.equal(led.leadership.isCurrent(nodeId(2), now ?? 0), true);
});

test('R1: an older incarnation cannot attach over a newer one, nor can a broker without a replica', () => {
  const led = new Led({ isr: [1, 2], replicas: [1, 2] });
  const newer = led.attach(2, 40n);
  assert.equal(led.attach(2, 39n), undefined);
  assert.equal(led.attach(3), undefined);
  assert.equal(led.acknowledge(2, newer, 0n), true);
});

test('R3: a member whose stream has broken still counts, with what it has acknowledged in this epoch', () => {
  const led = new Led({ isr: [1, 2], replicas: [1, 2] });
  led.end = 9n;
  const session = led.has(2, 4n);
  led.leadership.detach(nodeId(2), session);
  assert.equal(led.committable(), 4n);
  assert.equal(led.acknowledge(2, session, 9n), false);
  assert.equal(led.committable(), 4n);
});

test('R4: nobody joins below the high watermark, nor below the start of the epoch, unfit, detached, or before it has spoken', () => {
  const led = new Led({ isr: [1], minIsr: 1 }, 20n);
  led.end = 30n;
  const two = led.attach(2);
  assert.equal(led.due(10n), undefined);
  // The high watermark of a new leader may lie below what was committed.
  led.acknowledge(2, two, 19n);
  assert.equal(led.due(10n), undefined);
  led.acknowledge(2, two, 20n);
  assert.equal(led.due(10n), 'expanding to 1, 2');
  assert.equal(led.due(10n, false), undefined);
  assert.equal(led.due(21n), undefined);
  led.leadership.detach(nodeId(2), two ?? 0);
  assert.equal(led.due(10n), undefined);
});

test('M4: there is one proposal at a time', () => {
  const led = new Led({ isr: [1], minIsr: 1 });
  const change = led.leadership;
  led.has(2, 0n);
  const first = led.propose(0n);
  led.has(3, 0n);
  assert.equal(led.due(0n), undefined);
  assert.throws(() => change.propose(first), /one proposal at a time/);
});

test('M4: only an image with a higher partition epoch ends a proposal, whatever that image decided', () => {
  const led = new Led({ isr: [1, 2], at: 4 });
  led.end = 9n;
  led.has(2, 9n);
  led.has(3, 7n);
  const change = led.propose(7n);
  // An image that is behind: the same state once more, with other settings.
  led.update({ isr: [1, 2], at: 4, minIsr: 1 });
  assert.equal(led.leadership.proposal, change);
  assert.equal(led.committable(), 7n);
  // One that is ahead, and has decided something else: the proposal can never be decided any more.
  led.update({ isr: [1, 2], at: 5 });
  assert.equal(led.leadership.proposal, undefined);
  assert.equal(led.committable(), 9n);
  // The refusal comes after another proposal was made: it is not of that one.
  const next = led.propose(7n);
  led.leadership.refused(change);
  assert.equal(led.leadership.proposal, next);
  assert.equal(led.committable(), 7n);
  led.leadership.refused(next);
  assert.equal(led.committable(), 9n);
});

test('M4: a refused proposal leaves nothing behind', () => {
  const led = new Led({ isr: [1, 2] });
  led.end = 9n;
  led.has(2, 9n);
  led.has(3, 3n);
  const change = led.propose(3n);
  assert.equal(led.committable(), 3n);
  led.leadership.refused(change);
  assert.deepEqual(led.leadership.maximalIsr, [1, 2]);
  assert.equal(led.committable(), 9n);
});

test('an epoch is led by one object: another epoch is another leadership', () => {
  assert.throws(() => new Led().update({ epoch: 6 }), /another epoch/);
});

test('L4: nobody joins whose log begins before the leader’s: that part was compared with nobody’s', () => {
  const led = new Led({ isr: [1, 2] });
  led.end = 60n;
  led.has(2, 60n);
  led.has(3, 60n);
  assert.equal(led.due(60n, true, 50n), undefined);
  assert.equal(led.due(60n, true, 0n), 'expanding to 1, 2, 3');
});

test('R4: a member that has not been caught up for replica.lag.time.max.ms is proposed for removal, also when it is silent or gone', () => {
  for (const how of ['silent', 'detached', 'never came', 'slow'] as const) {
    const led = new Led({ isr: [1, 2], replicas: [1, 2], minIsr: 1 });
    const session = how === 'never came' ? undefined : led.has(2, 0n);
    led.end = 9n;
    if (how === 'detached') led.leadership.detach(nodeId(2), session ?? 0);
    led.now = 9_999;
    if (how === 'slow') led.acknowledge(2, session, 1n);
    assert.equal(led.due(0n), undefined, how);
    led.now = 10_001;
    if (how === 'slow') led.acknowledge(2, session, 2n);
    assert.equal(led.due(0n), 'shrinking to 1', how);
  }
});

test('a member that has everything of an idle leader stays, however long nothing is said', () => {
  const led = new Led({ isr: [1, 2], replicas: [1, 2] });
  led.end = 9n;
  led.has(2, 9n);
  led.now = 1_000_000;
  assert.equal(led.due(9n), undefined);
  // And has its time from when there is more.
  led.end = 10n;
  led.now += 9_999;
  assert.equal(led.due(9n), undefined);
  led.now += 2;
  assert.equal(led.due(9n), 'shrinking to 1');
});

test('a member a few milliseconds behind stays in step under a load that never pauses, one that falls further and further behind does not', () => {
  for (const [delayMs, slower, expected] of [
    [5, 1n, undefined],
    [40, 1n, undefined],
    [5, 2n, 'shrinking to 1'],
  ] as const) {
    const led = new Led({ isr: [1, 2], replicas: [1, 2] });
    const session = led.attach(2);
    const ends: bigint[] = [];
    let seen: string | undefined;
    // It acknowledges every millisecond what the leader had some milliseconds ago.
    for (led.now = 0; led.now < 60_000 && seen === undefined; led.now++) {
      led.end += 10n;
      ends.push(led.end);
      const had = ends[Math.trunc((led.now - delayMs) / Number(slower))];
      if (had !== undefined) led.acknowledge(2, session, had);
      if (led.now % 500 === 0) seen = led.due(0n);
    }
    assert.equal(seen, expected, `${delayMs} ms behind`);
  }
});

test('R8: after a failed write was undone the epoch begins no later than the log ends', () => {
  const { leadership } = new Led({}, 20n);
  leadership.cut(offset(25n));
  assert.equal(leadership.startOffset, 20n);
  leadership.cut(offset(15n));
  assert.equal(leadership.startOffset, 15n);
});

test('L5, L4: what all replicas have passed, and the log start that all members know', () => {
  const led = new Led({ isr: [1, 2] });
  led.end = 9n;
  const two = led.has(2, 8n);
  assert.equal(led.leadership.passedByAll(offset(9n)), 0n);
  const three = led.has(3, 5n);
  assert.equal(led.leadership.passedByAll(offset(9n)), 5n);
  assert.equal(led.leadership.isStartKnown(offset(4n)), false);
  led.acknowledge(2, two, 9n, 4n);
  assert.equal(led.leadership.isStartKnown(offset(4n)), true);
  // Whoever is about to join must know it too.
  led.acknowledge(3, three, 9n, 3n);
  led.propose(9n);
  assert.equal(led.leadership.isStartKnown(offset(4n)), false);
});

test('a replica that is no longer assigned is forgotten, and one that is new begins with nothing', () => {
  const led = new Led({ isr: [1, 2] });
  led.end = 9n;
  led.has(2, 9n);
  const three = led.has(3, 9n);
  led.update({ isr: [1, 2], replicas: [1, 2], at: 1 });
  assert.equal(led.acknowledge(3, three, 9n), false);
  led.update({ isr: [1, 2], replicas: [1, 2, 4], at: 2 });
  assert.deepEqual(
    [...led.leadership.followers()].map(({ node, acknowledged }) => [node, acknowledged]),
    [
      [2, 9n],
      [4, undefined],
    ],
  );
  assert.equal(termOf({}).epoch, led.leadership.epoch);
});
