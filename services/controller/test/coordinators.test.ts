/** Who coordinates the groups of which partition (G1, M5). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, nodeId } from '@tributary/model';
import fc from 'fast-check';
import { describeCluster } from '../src/cluster-description.ts';
import { coordinatorOf, coordinatorShare, ownership } from '../src/coordinators.ts';
import { decide } from '../src/decide.ts';
import { PureCluster } from './pure-cluster.ts';
import { PureGroups } from './pure-coordinators.ts';

function owned(cluster: PureGroups): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { coordinator } of cluster.assignments) {
    const name = String(coordinator ?? '-');
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** By coordinators 201 and up to that. */
function served(partitions: number, coordinators: number): PureGroups {
  const cluster = new PureGroups(partitions);
  for (let id = 201; id < 201 + coordinators; id++) {
    cluster.comes(id);
    cluster.settle();
  }
  return cluster;
}

const reasons = (steps: ReturnType<PureGroups['settle']>): string[] =>
  steps.flatMap(({ groupMoves = [] }) => groupMoves);

describe('partitions of groups', () => {
  test('are shared by those who come, within one, and no more of them move than that takes', () => {
    const cluster = new PureGroups(10);
    assert.equal(ownership(cluster.image).withoutOwner, 10);
    cluster.comes(201);
    assert.deepEqual(reasons(cluster.settle()), Array(10).fill('unowned'));
    cluster.comes(202);
    assert.deepEqual(reasons(cluster.settle()), Array(5).fill('balance'));
    cluster.comes(203);
    assert.equal(reasons(cluster.settle()).length, 3);
    assert.deepEqual(
      Object.values(owned(cluster)).toSorted((a, b) => a - b),
      [3, 3, 4],
    );
    const { partitions, withoutOwner } = ownership(cluster.image);
    assert.deepEqual([partitions, withoutOwner], [10, 0]);
  });

  test('concern nobody before __consumer_offsets is there', () => {
    const cluster = new PureCluster();
    cluster.join(1);
    assert.deepEqual(ownership(cluster.image), { partitions: 0, owned: new Map(), withoutOwner: 0 });
    assert.deepEqual(decide(cluster.image, cluster.reconcileEvent()), []);
  });

  test('go to nobody where no coordinator is left, and to the next that comes', () => {
    const cluster = served(3, 1);
    cluster.goes(201);
    assert.deepEqual(reasons(cluster.settle()), Array(3).fill('coordinator-lost'));
    assert.equal(cluster.owners, '- - -');
    assert.deepEqual(
      cluster.assignments.map(({ writerEpoch, coordinatorEpoch }) => [writerEpoch, coordinatorEpoch]),
      Array(3).fill([2n, undefined]),
    );
    assert.deepEqual(cluster.settle(), [], 'and it is at rest');
    cluster.comes(205);
    cluster.settle();
    assert.equal(cluster.owners, '205 205 205');
    assert.deepEqual(new Set(cluster.assignments.map(({ writerEpoch }) => writerEpoch)), new Set([3n]));
  });

  test('stay with one that is leaving only where nobody else is there', () => {
    const cluster = served(4, 1);
    cluster.saysLeaving(201);
    assert.deepEqual(cluster.settle(), []);
    assert.deepEqual(coordinatorShare(cluster.image, nodeId(201), cluster.coordinatorLosses), {
      toMove: 0,
      withoutSuccessor: 4,
    });
    cluster.comes(202);
    const share = coordinatorShare(cluster.image, nodeId(201), cluster.coordinatorLosses);
    assert.deepEqual(share, { toMove: 4, withoutSuccessor: 0 });
    assert.deepEqual(reasons(cluster.settle()), Array(4).fill('coordinator-leaving'));
    assert.equal(cluster.owners, '202 202 202 202');
    assert.ok(
      cluster.isRegistered(201),
      'it serves until it has seen that it owns nothing, and takes its registration with it',
    );
    assert.deepEqual(cluster.settle(), []);
  });

  test('of a dead coordinator move before its registration ends, and one that comes back is another', () => {
    const cluster = served(6, 2);
    cluster.dies(202);
    const steps = cluster.settle();
    assert.deepEqual(reasons(steps), Array(3).fill('coordinator-lost'));
    assert.deepEqual(steps.at(-1)?.transaction.delete, [{ kind: 'coordinator-registration', nodeId: 202 }]);
    assert.equal(cluster.isRegistered(202), false);
    cluster.comes(202);
    assert.deepEqual(reasons(cluster.settle()), Array(3).fill('balance'));
  });

  test('wait for one whose registration went, as long as that is no death (M5), whoever else comes', () => {
    const cluster = served(6, 2);
    const before = cluster.assignments.filter(({ coordinator }) => coordinator === 202);
    cluster.goes(202, true);
    assert.deepEqual(cluster.settle(), []);
    cluster.comes(203);
    cluster.settle();
    assert.deepEqual(
      cluster.assignments.filter(({ coordinator }) => coordinator === 202),
      before,
    );
    cluster.graceEnds(202);
    assert.deepEqual(reasons(cluster.settle()), Array(3).fill('coordinator-lost'));
    assert.deepEqual(owned(cluster), { 201: 3, 203: 3 });
  });

  test('of one that has registered anew stay where they were, with a new writer epoch: it is another owner', () => {
    const cluster = served(6, 2);
    const [owners, before] = [cluster.owners, cluster.assignments];
    cluster.comes(202);
    assert.equal(ownership(cluster.image).withoutOwner, 3);
    assert.deepEqual(reasons(cluster.settle()), Array(3).fill('coordinator-returned'));
    assert.equal(cluster.owners, owners);
    for (const [i, { coordinator, coordinatorEpoch, writerEpoch }] of cluster.assignments.entries()) {
      const isOf202 = coordinator === 202;
      assert.equal(coordinatorEpoch, cluster.coordinatorEpoch(coordinator ?? 0));
      assert.equal(writerEpoch, (before[i]?.writerEpoch ?? 0n) + (isOf202 ? 1n : 0n));
    }
  });

  test('are not given to a coordinator that does not speak the version of the cluster (M7)', () => {
    const cluster = new PureGroups(2);
    cluster.comes(201, { versionMin: 2, versionMax: 3 });
    assert.deepEqual(cluster.settle(), []);
    cluster.comes(202);
    cluster.settle();
    assert.equal(cluster.owners, '202 202');
  });

  test('what nobody serves comes first', () => {
    const cluster = served(150, 2);
    cluster.comes(203);
    cluster.comes(202);
    const all = reasons(cluster.settle());
    const first = all.indexOf('balance');
    assert.deepEqual(new Set(all.slice(first)), new Set(['balance']));
    assert.deepEqual(new Set(all.slice(0, first)), new Set(['coordinator-returned', 'coordinator-lost']));
  });
});

type Event = {
  readonly does: 'comes' | 'goes' | 'awaited' | 'graceEnds' | 'dies' | 'saysLeaving';
  readonly id: number;
};

/** Where it makes sense. */
function happens(cluster: PureGroups, { does, id }: Event): void {
  const isThere = cluster.isRegistered(id);
  if (does === 'comes') cluster.comes(id);
  else if (does === 'graceEnds') cluster.graceEnds(id);
  else if (!isThere) return;
  else if (does === 'awaited') cluster.goes(id, true);
  else cluster[does](id);
}

const anyEvents = fc.array(
  fc.record({
    does: fc.constantFrom('comes' as const, 'comes', 'goes', 'awaited', 'graceEnds', 'dies', 'saysLeaving'),
    id: fc.integer({ min: 201, max: 205 }),
  }),
  { maxLength: 25 },
);

describe('whatever happens to coordinators', () => {
  test('each change of owner, and nothing else, raises a writer epoch; the able share what is not waited for', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), anyEvents, (partitions, events) => {
        const cluster = new PureGroups(partitions);
        for (const event of events) {
          happens(cluster, event);
          const before = cluster.assignments;
          cluster.settle();
          const { dead, leaving, awaited } = cluster.coordinatorLosses;
          const able = [...cluster.image.coordinators()].filter(
            ({ nodeId: node, createRevision }) =>
              dead.get(node) !== createRevision && leaving.get(node) !== createRevision,
          );
          for (const [i, now] of cluster.assignments.entries()) {
            const was = before[i];
            const isSame = was?.coordinator === now.coordinator && was?.coordinatorEpoch === now.coordinatorEpoch;
            if (isSame) assert.equal(now.writerEpoch, was?.writerEpoch);
            else assert.ok(now.writerEpoch > (was?.writerEpoch ?? 0n), 'a change of owner raises it');
            const owner = was?.coordinator;
            const isWaitedFor = owner !== undefined && awaited.has(owner) && !cluster.isRegistered(owner);
            assert.ok(isSame || !isWaitedFor, 'what is waited for stays');
          }
          const shares = able.map(({ nodeId: node, createRevision }) => {
            const mine = cluster.assignments.filter(({ coordinator }) => coordinator === node);
            assert.ok(mine.every(({ coordinatorEpoch }) => coordinatorEpoch === createRevision));
            return mine.length;
          });
          const waitedFor = cluster.assignments.filter(({ coordinator: owner }) => {
            return owner !== undefined && awaited.has(owner) && !cluster.isRegistered(owner);
          });
          if (able.length === 0) continue;
          assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join());
          assert.equal(
            shares.reduce((sum, each) => sum + each, waitedFor.length),
            partitions,
          );
        }
      }),
      { numRuns: 200 },
    );
  });

  test('no transaction is larger than the store takes, however many partitions and coordinators there are', () => {
    const cluster = new PureGroups(400);
    // Each move of another rests on two registrations of its own.
    for (let id = 201; id <= 330; id++) cluster.comes(id);
    const sharing = cluster.settle();
    for (let id = 201; id <= 330; id++) cluster.comes(id);
    const returning = cluster.settle();
    for (let id = 201; id <= 300; id++) cluster.dies(id);
    const dying = cluster.settle();
    const most = [...sharing, ...returning, ...dying].map(({ transaction: { expect, put } }) => [
      expect.length + 1,
      put.length,
    ]);
    assert.ok(most.every((each) => Math.max(...each) <= limits.transactionOperations));
    assert.equal(ownership(cluster.image).withoutOwner, 0);
  });
});

describe('a controller that dies after any transaction about coordinators', () => {
  test('is followed by one that ends the same', () => {
    const scenes: Readonly<Record<string, (cluster: PureGroups) => void>> = {
      comes: (cluster) => cluster.comes(204),
      dies: (cluster) => cluster.dies(202),
      goes: (cluster) => cluster.goes(202),
      leaves: (cluster) => cluster.saysLeaving(202),
      returns: (cluster) => cluster.comes(202),
    };
    for (const [name, happen] of Object.entries(scenes)) {
      const ends = new Set<string>();
      for (let done = 0; done <= 6; done++) {
        const cluster = served(400, 3);
        happen(cluster);
        const steps = decide(cluster.image, cluster.reconcileEvent());
        assert.ok(steps.length > 1, `${name}: ${steps.length} transactions`);
        for (const step of steps.slice(0, done)) cluster.commit(step.transaction);
        cluster.settle();
        ends.add(cluster.assignments.map(({ coordinator, writerEpoch }) => `${coordinator}@${writerEpoch}`).join());
      }
      assert.equal(ends.size, 1, name);
    }
  });

  test('and what it had planned is refused once a coordinator that it rests on has registered anew, or another took the partition', () => {
    const cluster = served(4, 1);
    cluster.comes(202);
    const late = decide(cluster.image, cluster.reconcileEvent());
    cluster.comes(202);
    for (const { transaction } of late) assert.throws(() => cluster.commit(transaction), /coordinator-registration/);
    cluster.settle();
    cluster.comes(203);
    const [step] = decide(cluster.image, cluster.reconcileEvent());
    assert.ok(step !== undefined);
    cluster.commit(step.transaction);
    assert.throws(() => cluster.commit(step.transaction), /group-partition/);
  });

  test('a registration is ended only in the epoch that is dead', () => {
    const cluster = served(4, 2);
    cluster.dies(202);
    const late = decide(cluster.image, cluster.reconcileEvent()).at(-1);
    assert.ok(late !== undefined);
    cluster.comes(202);
    assert.throws(() => cluster.commit(late.transaction), /coordinator-registration/);
    cluster.settle();
    assert.ok(cluster.isRegistered(202));
  });
});

describe('the cluster described', () => {
  test('says of each coordinator how it stands and what it owns, and how many partitions nobody serves', () => {
    const cluster = served(6, 3);
    cluster.saysLeaving(203);
    cluster.comes(202);
    const heard = { silent: [nodeId(201)], leaving: cluster.coordinatorLosses.leaving };
    const { coordinators, groupPartitions, groupPartitionsWithoutOwner } = describeCluster(cluster.image, heard);
    assert.deepEqual(
      coordinators.map(({ nodeId: node, standing, partitionsOwned }) => [node, standing, partitionsOwned]),
      [
        [201, 2, 2],
        [202, 1, 0],
        [203, 3, 2],
      ],
    );
    assert.deepEqual([groupPartitions, groupPartitionsWithoutOwner], [6, 2]);
  });

  test('a coordinator that is not registered, or was in another life, is told so', () => {
    const cluster = served(1, 1);
    const epoch = cluster.coordinatorEpoch(201);
    assert.equal(coordinatorOf(cluster.image, nodeId(201), epoch).address, 'coordinator-201:9097');
    assert.throws(() => coordinatorOf(cluster.image, nodeId(201), epoch - 1n), { error: 'STALE_BROKER_EPOCH' });
    assert.throws(() => coordinatorOf(cluster.image, nodeId(9), epoch), { error: 'BROKER_ID_NOT_REGISTERED' });
  });
});
