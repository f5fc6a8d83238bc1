import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BrokerEpoch, nodeId } from '@tributary/model';
import { LifeSigns } from '../src/life-signs.ts';
import { ways } from '../src/probe.ts';
import { PureCluster } from './pure-cluster.ts';

const sessionMs = 6_000;

/** So many brokers, let in; each heard at 0 on a stream of its own. */
function heard(brokers: number): {
  readonly cluster: PureCluster;
  readonly signs: LifeSigns;
  beat(nowMs: number, ...nodes: readonly number[]): void;
  dead(nowMs: number): readonly number[];
  isCutOff(nowMs: number): boolean;
} {
  const cluster = new PureCluster();
  const signs = new LifeSigns(sessionMs);
  const nodes = Array.from({ length: brokers }, (_, i) => i + 1);
  for (const node of nodes) cluster.join(node);
  signs.begin(0, cluster.image.revision);
  const epoch = (node: number): BrokerEpoch => cluster.epoch(node);
  for (const node of nodes) signs.opened(nodeId(node), epoch(node), 0);
  return {
    cluster,
    signs,
    beat: (nowMs, ...which) => {
      for (const node of which) signs.heard(nodeId(node), epoch(node), nowMs);
    },
    dead: (nowMs) => [...signs.judge(cluster.image, nowMs).dead.keys()],
    isCutOff: (nowMs) => signs.judge(cluster.image, nowMs).isCutOff,
  };
}

describe('silence of a broker (R10)', () => {
  test('is a death after the session timeout, no earlier, and the next look comes at that moment', () => {
    const { cluster, signs, beat, dead } = heard(3);
    beat(5_000, 2, 3);
    assert.deepEqual(dead(5_999), []);
    assert.equal(signs.judge(cluster.image, 5_000).againAtMs, 6_000);
    assert.deepEqual(dead(6_000), [1]);
    beat(6_001, 1);
    assert.deepEqual(dead(6_002), []);
  });

  test('begins with the last sign of life also where the store has let a registration from before the term go (M5)', () => {
    const { cluster, signs, beat } = heard(3);
    beat(5_500, 1, 2, 3);
    cluster.lose(1);
    const gone = (nowMs: number): readonly number[] => [...signs.judge(cluster.image, nowMs).gone];
    assert.deepEqual(gone(6_000), []);
    beat(11_000, 2, 3);
    assert.equal(signs.judge(cluster.image, 11_000).againAtMs, 11_500);
    assert.deepEqual(gone(11_500), [1]);
  });

  test('of most brokers is no death while those whose leases ran out since the term began have had no time to register anew (M5)', () => {
    const { cluster, signs, beat } = heard(3);
    const gone = (nowMs: number): readonly number[] => [...signs.judge(cluster.image, nowMs).gone];
    beat(500, 1, 2, 3);
    cluster.lose(1);
    assert.deepEqual(gone(1_000), []);
    cluster.lose(2);
    cluster.lose(3);
    assert.deepEqual(gone(5_900), []);
    assert.deepEqual(gone(6_999), []);
    assert.equal(signs.judge(cluster.image, 6_999).againAtMs, 7_000);
    assert.deepEqual(gone(7_000), [1]);
    assert.deepEqual(gone(11_899), [1]);
    assert.deepEqual(gone(11_900), [1, 2, 3]);
  });

  test('of most brokers is their death where their leases ran out long after the term began', () => {
    const { cluster, signs, beat } = heard(3);
    beat(50_000, 1, 2, 3);
    for (const node of [1, 2, 3]) cluster.lose(node);
    assert.deepEqual([...signs.judge(cluster.image, 55_999).gone], []);
    assert.deepEqual([...signs.judge(cluster.image, 56_000).gone], [1, 2, 3]);
  });

  test('is not waited for when a broker has said that it was leaving, and its registration is gone', () => {
    const { signs, cluster, beat } = heard(3);
    beat(20_000, 1, 2, 3);
    cluster.leave(1);
    cluster.lose(1);
    assert.deepEqual([...signs.judge(cluster.image, 20_001).gone], [1]);
  });

  test('is what counts, and not a registration that went in this term, of a broker that attends (M5)', () => {
    const { cluster, signs } = heard(2);
    cluster.join(3);
    const epoch = cluster.epoch(3);
    signs.opened(nodeId(3), epoch, 1_000);
    const before = cluster.image.broker(nodeId(3))?.registration;
    cluster.lose(3);
    signs.registrationChanged(nodeId(3), before, false);
    const gone = (nowMs: number): readonly number[] => [...signs.judge(cluster.image, nowMs).gone];
    assert.deepEqual(gone(1_100), []);
    signs.closed(nodeId(3), epoch);
    assert.deepEqual(gone(1_200), [3]);
  });

  test('of most brokers is the silence of their controller: none of them is dead, and it resigns unless leases run out', () => {
    const { signs, cluster, beat, dead, isCutOff } = heard(3);
    beat(1_000, 2);
    beat(5_000, 3);
    // The second is quiet for less than a session, and counts all the same.
    assert.deepEqual(dead(6_000), []);
    assert.equal(isCutOff(8_999), false);
    assert.equal(signs.judge(cluster.image, 7_500).againAtMs, 9_000);
    beat(9_900, 3);
    assert.equal(isCutOff(10_000), true);
    assert.deepEqual(dead(10_000), []);
    cluster.lose(1);
    assert.equal(isCutOff(10_000), false);
  });

  test('of one of two is its own; of both the controller’s; a sole broker has nobody to hand over to', () => {
    const two = heard(2);
    two.beat(5_000, 2);
    assert.deepEqual(two.dead(6_000), [1]);
    assert.equal(two.isCutOff(14_000), true);
    const one = heard(1);
    assert.deepEqual(one.dead(60_000), []);
    assert.equal(one.isCutOff(60_000), false);
  });

  test('counts from the beginning of the term for a broker that was never heard in it (M5)', () => {
    const { cluster, signs, beat } = heard(3);
    signs.begin(100_000, cluster.image.revision);
    beat(105_000, 2, 3);
    assert.deepEqual([...signs.judge(cluster.image, 105_999).dead.keys()], []);
    beat(106_000, 2, 3);
    assert.deepEqual([...signs.judge(cluster.image, 106_000).dead.keys()], [1]);
  });
});

describe('a broker that is not there any more (R10)', () => {
  test('is dead at once, also among many; and not while it has another stream, or for a later life', () => {
    const { cluster, signs, beat, dead } = heard(3);
    const epoch = cluster.epoch(1);
    signs.notThere(nodeId(1), epoch);
    assert.deepEqual(dead(10), []);
    signs.closed(nodeId(1), epoch);
    signs.notThere(nodeId(1), epoch);
    assert.deepEqual(dead(10), [1]);
    cluster.join(1);
    assert.deepEqual(dead(20), []);
    beat(30, 1);
    signs.notThere(nodeId(1), epoch);
    assert.deepEqual(dead(40), []);
  });

  test('that has never been heard may not have begun to listen, if it registered in this term', () => {
    const { cluster, signs, dead } = heard(2);
    cluster.join(3);
    assert.deepEqual(
      signs.unattending(ways.broker.registered(cluster.image), 10, 0).map(({ node }) => node),
      [3],
    );
    signs.notThere(nodeId(3), cluster.epoch(3));
    assert.deepEqual(dead(20), []);
    signs.begin(100, cluster.image.revision);
    assert.equal(signs.unattending(ways.broker.registered(cluster.image), 200, 0).length, 3);
    signs.notThere(nodeId(3), cluster.epoch(3));
    assert.deepEqual(dead(300), [3]);
  });
});
