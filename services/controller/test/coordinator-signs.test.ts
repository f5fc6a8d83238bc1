import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nodeId } from '@tributary/model';
import { CoordinatorSigns } from '../src/coordinator-signs.ts';
import { PureGroups } from './pure-coordinators.ts';

const sessionMs = 6_000;

/** Coordinators 201 and 202, registered before the term, own two partitions each; both were heard at 0. */
function heard() {
  const cluster = new PureGroups(4);
  for (const id of [201, 202]) {
    cluster.comes(id);
    cluster.settle();
  }
  const signs = new CoordinatorSigns(sessionMs);
  signs.begin(0, cluster.image.revision);
  const beat = (nowMs: number, ...ids: readonly number[]): void => {
    for (const id of ids) signs.heard(nodeId(id), cluster.coordinatorEpoch(id), nowMs);
  };
  beat(0, 201, 202);
  const judge = (nowMs: number, isHushed = false) => {
    const { dead, awaited, silent, againAtMs } = signs.judge(cluster.image, nowMs, isHushed);
    return { dead: [...dead.keys()], awaited: [...awaited], silent, againAtMs };
  };
  /** As the controller's watch tells it. */
  const goes = (id: number): void => {
    const before = cluster.image.coordinator(nodeId(id));
    cluster.goes(id);
    signs.registrationChanged(nodeId(id), before, false);
  };
  const comes = (id: number): void => {
    cluster.comes(id);
    signs.registrationChanged(nodeId(id), undefined, true);
  };
  return { cluster, signs, beat, judge, goes, comes };
}

describe('silence of a coordinator (R10)', () => {
  test('is a death after the session timeout, no earlier, and the next look comes at that moment', () => {
    const { beat, judge } = heard();
    beat(5_000, 201);
    assert.deepEqual(judge(5_999), { dead: [], awaited: [], silent: [], againAtMs: 6_000 });
    assert.deepEqual(judge(6_000), { dead: [202], awaited: [], silent: [202], againAtMs: 11_000 });
    beat(6_001, 202);
    assert.deepEqual(judge(6_002).dead, []);
  });

  test('is none while the controller may itself be cut off, or nobody is heard who could take over', () => {
    const { beat, judge } = heard();
    beat(5_000, 201);
    assert.deepEqual(judge(6_000, true).dead, []);
    assert.deepEqual(judge(6_000, true).silent, [202]);
    assert.deepEqual(judge(8_001).dead, [], 'the other one is about to be silent, too');
    assert.deepEqual(judge(20_000), { dead: [], awaited: [], silent: [201, 202], againAtMs: undefined });
  });
});

describe('an owner whose registration is gone', () => {
  test('is awaited for a session timeout of silence where it registered before the term: the store may have been away (M5)', () => {
    const { beat, judge, goes } = heard();
    beat(4_000, 202);
    goes(202);
    beat(9_000, 201);
    assert.deepEqual(judge(9_500), { dead: [], awaited: [202], silent: [], againAtMs: 10_000 });
    assert.deepEqual(judge(10_000).awaited, []);
  });

  test('is not where it registered, and went, under the eyes of this controller, unless it attends', () => {
    const { signs, judge, goes, comes, cluster } = heard();
    comes(202);
    const epoch = cluster.coordinatorEpoch(202);
    signs.opened(nodeId(202), epoch, 100);
    goes(202);
    assert.deepEqual(judge(200).awaited, [202]);
    signs.closed(nodeId(202), epoch);
    assert.deepEqual(judge(200).awaited, []);
    comes(202);
    goes(202);
    assert.deepEqual(judge(300).awaited, []);
  });

  test('is not where it had said that it was leaving', () => {
    const { signs, judge, goes, cluster } = heard();
    signs.leaves(nodeId(202), cluster.coordinatorEpoch(202));
    goes(202);
    assert.deepEqual(judge(100).awaited, []);
    signs.begin(200, cluster.image.revision);
    assert.deepEqual(judge(300).awaited, [202], 'which the next controller has to hear for itself');
  });
});
