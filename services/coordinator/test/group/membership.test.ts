import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { heartbeatIntervalMs } from '../../src/group/settings.ts';
import { digest, placesOf, refusedAs, Shard, subscription } from './shard.ts';

function shardOf(partitions: number): Shard {
  const shard = new Shard();
  shard.topics.add('orders', partitions);
  return shard;
}

test('the first member gets everything at once', () => {
  const shard = shardOf(3);
  const reply = shard.join('a');
  strictEqual(reply.kind, 'ok');
  deepStrictEqual(shard.assigned('a'), ['orders.1-0', 'orders.1-1', 'orders.1-2']);
  strictEqual(shard.groups.list()[0]?.phase, 'stable');
});

test('a partition goes to another member only after the one that had it gave it up (G5); what stays is never taken away', () => {
  const shard = shardOf(4);
  shard.join('a');
  const before = shard.member('a').assignmentVersion;
  shard.join('b');
  deepStrictEqual(shard.assigned('b'), []);
  strictEqual(shard.assigned('a').length, 2);
  strictEqual(shard.member('a').revoking.length, 2);
  deepStrictEqual(
    shard.told.map(({ memberId }) => memberId),
    ['a'],
  );
  strictEqual(shard.groups.list()[0]?.phase, 'reconciling');
  shard.ask({ memberId: 'a', memberEpoch: 2, appliedVersion: before });
  deepStrictEqual(shard.assigned('b'), []);
  const kept = shard.assigned('a');
  shard.applied('a');
  deepStrictEqual(shard.assigned('a'), kept);
  strictEqual(shard.assigned('b').length, 2);
  deepStrictEqual(
    shard.told.map(({ memberId }) => memberId),
    ['a', 'b'],
  );
  strictEqual(shard.groups.list()[0]?.phase, 'stable');
});

test('what a member leaves behind is free at once; the last one leaves an empty group', () => {
  const shard = shardOf(4);
  shard.join('a');
  shard.join('b');
  shard.ask({ memberId: 'a', memberEpoch: -1 });
  strictEqual(shard.assigned('b').length, 4);
  strictEqual(shard.ask({ memberId: 'a', memberEpoch: -1 }).kind, 'ok');
  shard.ask({ memberId: 'b', memberEpoch: -1 });
  const [group] = shard.groups.list();
  deepStrictEqual([group?.phase, group?.members], ['empty', 0]);
});

test('a join that is asked again, an older epoch and an older version are answered with what holds now', () => {
  const shard = shardOf(4);
  shard.join('a');
  shard.join('b');
  const changes = shard.journal.length;
  for (const memberEpoch of [0, 1, 2]) {
    const reply = shard.ask({ memberId: 'a', memberEpoch, appliedVersion: 1, subscription: subscription() });
    deepStrictEqual(reply.kind === 'ok' && reply.value.member, shard.member('a'));
  }
  strictEqual(shard.journal.length, changes);
});

test('who is no member, or of a history that is gone, is told to join anew', () => {
  const shard = shardOf(1);
  shard.join('a');
  refusedAs(shard.ask({ memberId: 'b', memberEpoch: 3 }), 'UNKNOWN_MEMBER_ID', /b is no member of group "g"/);
  refusedAs(shard.ask({ memberId: 'a', memberEpoch: 9 }), 'FENCED_MEMBER_EPOCH', /names epoch 9/);
  refusedAs(shard.ask({ memberId: 'a', memberEpoch: 2, appliedVersion: 9 }), 'FENCED_MEMBER_EPOCH', /version 9/);
});

test('bad input is refused in one sentence, and the group goes on', () => {
  const shard = shardOf(1);
  const joined = (wishes: Parameters<Shard['join']>[1]) => shard.join('a', wishes);
  refusedAs(shard.ask({ memberId: 'a', groupId: '' }), 'INVALID_GROUP_ID', /empty/);
  refusedAs(shard.ask({ memberId: 'a', groupId: 'g'.repeat(250) }), 'INVALID_GROUP_ID', /250 characters; at most 249/);
  refusedAs(shard.ask({ memberId: '' }), 'INVALID_REQUEST', /member id is empty/);
  refusedAs(shard.ask({ memberId: 'm'.repeat(250) }), 'INVALID_REQUEST', /250 characters; at most 249/);
  refusedAs(shard.ask({ memberId: 'a' }), 'INVALID_REQUEST', /without saying to what/);
  refusedAs(joined({ topics: [] }), 'INVALID_REQUEST', /to nothing/);
  refusedAs(joined({ topics: ['a b'] }), 'INVALID_TOPIC_EXCEPTION', /only letters/);
  refusedAs(joined({ topicPattern: '(a' }), 'INVALID_REGULAR_EXPRESSION', /missing closing/);
  refusedAs(joined({ assignor: 'best' }), 'UNSUPPORTED_ASSIGNOR', /sticky-uniform, range, rack/);
  refusedAs(joined({ assignor: 'client:mine' }), 'UNSUPPORTED_ASSIGNOR', /does not offer to compute "mine"/);
  refusedAs(
    joined({ sessionTimeoutMs: 999 }),
    'INVALID_SESSION_TIMEOUT',
    /999; the coordinator allows 1000 to 1800000/,
  );
  refusedAs(joined({ sessionTimeoutMs: 1_800_001 }), 'INVALID_SESSION_TIMEOUT', /1800001/);
  refusedAs(joined({ maxPollIntervalMs: -1 }), 'INVALID_REQUEST', /max.poll.interval.ms/);
  refusedAs(joined({ instanceId: 'i'.repeat(250) }), 'INVALID_REQUEST', /group.instance.id/);
  refusedAs(joined({ userData: new Uint8Array(20_000) }), 'INVALID_REQUEST', /20000 bytes/);
  strictEqual(shard.journal.length, 0);
  strictEqual(joined({}).kind, 'ok');
  refusedAs(shard.join('a', { instanceId: 'other' }), 'INVALID_REQUEST', /cannot change its group.instance.id/);
});

test('a group has no more members than it may have', () => {
  const shard = new Shard({ membersMax: 2 });
  shard.join('a');
  shard.join('b');
  refusedAs(shard.join('c'), 'GROUP_MAX_SIZE_REACHED', /has 2 members/);
});

test('a static member that comes back gets its place, without a rebalance, and the older one is fenced', () => {
  const shard = shardOf(4);
  shard.join('a', { instanceId: 'one' });
  shard.join('b', { instanceId: 'two' });
  shard.applied('a');
  const had = shard.assigned('a');
  const other = shard.member('b');
  shard.told.length = 0;
  shard.join('c', { instanceId: 'one' });
  deepStrictEqual(shard.assigned('c'), had);
  strictEqual(shard.member('b'), other);
  deepStrictEqual(
    shard.told.map(({ memberId, answer }) => [memberId, answer.kind === 'refused' && answer.error]),
    [['a', 'FENCED_INSTANCE_ID']],
  );
  refusedAs(shard.ask({ memberId: 'a', memberEpoch: 3 }), 'FENCED_INSTANCE_ID', /under group.instance.id "one"/);
  refusedAs(shard.commit('a', shard.topics.place('orders', 0), 1n, { memberEpoch: 3 }), 'UNKNOWN_MEMBER_ID', /a is no/);
});

test("a static member's place waits for a session timeout while it is away, then goes", () => {
  const shard = shardOf(4);
  shard.join('a', { instanceId: 'one' });
  shard.join('b', { instanceId: 'two' });
  shard.applied('a');
  shard.now = 5_000;
  shard.ask({ memberId: 'a', memberEpoch: -2 });
  strictEqual(shard.assigned('b').length, 2);
  shard.ask({ memberId: 'b', memberEpoch: 3 });
  refusedAs(shard.ask({ memberId: 'a', memberEpoch: 3 }), 'UNKNOWN_MEMBER_ID', /no member/);
  shard.now = 14_999;
  shard.ask({ memberId: 'b', memberEpoch: 3 });
  shard.expire();
  strictEqual(shard.assigned('b').length, 2);
  shard.now = 15_000;
  shard.expire();
  strictEqual(shard.assigned('b').length, 4);
});

test('a broken stream is the end of a member soon, of a static one only after its session: who starts again finds its place', () => {
  const shard = shardOf(4);
  shard.join('a', { instanceId: 'x' });
  shard.join('b');
  shard.applied('a');
  for (const id of ['a', 'b']) {
    shard.sessions.opened('g', id);
    shard.sessions.closed('g', id, shard.now);
  }
  shard.now += 2_000;
  shard.expire();
  strictEqual(shard.groups.list()[0]?.members, 1);
  strictEqual(shard.join('a2', { instanceId: 'x' }).kind, 'ok');
  strictEqual(shard.assigned('a2').length, 4);
});

test('a member that polls all the time is not ended for want of news of it, however short its max.poll.interval.ms', () => {
  const shard = shardOf(1);
  shard.join('a', { maxPollIntervalMs: 1_000 });
  const everyMs = heartbeatIntervalMs(shard.member('a'));
  for (let turn = 0; turn < 20; turn++) {
    shard.sessions.heard('g', 'a', shard.now, 0);
    shard.now += everyMs;
    shard.expire();
  }
  strictEqual(shard.groups.list()[0]?.members, 1);
  shard.now += 1_000;
  shard.expire();
  strictEqual(shard.groups.list()[0]?.members, 0);
});

test('who is away gives up nothing that others wait for', () => {
  const shard = shardOf(4);
  shard.join('a', { instanceId: 'one' });
  shard.ask({ memberId: 'a', memberEpoch: -2 });
  shard.join('b');
  strictEqual(shard.assigned('b').length, 2);
  strictEqual(shard.join('c', { instanceId: 'one' }).kind, 'ok');
  strictEqual(shard.assigned('c').length, 2);
});

test('added partitions and new topics that a pattern matches are assigned; deleted ones are given up and their commits go (G6)', () => {
  const shard = shardOf(2);
  shard.join('a', { topics: [], topicPattern: 'ord.*|pay' });
  const changed = (...names: string[]) => {
    const concerned = shard.groups.concernedBy(new Set(names), new Set());
    for (const id of concerned) shard.carryOut(shard.groups.topicsChanged(id, shard.at));
    return concerned;
  };
  shard.topics.grow('orders', 3);
  deepStrictEqual(changed('orders'), ['g']);
  strictEqual(shard.assigned('a').length, 3);
  shard.topics.add('pay', 1).add('payments', 1);
  deepStrictEqual(changed('payments'), []);
  changed('pay');
  deepStrictEqual(shard.assigned('a').at(-1), 'pay.2-0');
  const epoch = shard.member('a').memberEpoch;
  changed('pay');
  strictEqual(shard.member('a').memberEpoch, epoch);
  const old = shard.topics.place('orders', 0);
  strictEqual(shard.commit('a', old, 5n).kind, 'ok');
  shard.topics.remove('orders');
  shard.topics.add('orders', 3);
  changed('orders');
  strictEqual(shard.committed(old), undefined);
  refusedAs(shard.commit('a', old, 6n), 'UNKNOWN_TOPIC_ID', /no topic with id orders.1/);
  shard.applied('a');
  deepStrictEqual(shard.assigned('a'), ['orders.4-0', 'orders.4-1', 'orders.4-2', 'pay.2-0']);
});

test('a changed subscription assigns anew; a topic that is not there yet is waited for', () => {
  const shard = shardOf(2);
  shard.join('a', { topics: ['later'] });
  deepStrictEqual(shard.assigned('a'), []);
  shard.ask({ memberId: 'a', memberEpoch: 2, subscription: subscription({ topics: ['orders', 'later'] }) });
  strictEqual(shard.assigned('a').length, 2);
  shard.topics.add('later', 1);
  for (const id of shard.groups.concernedBy(new Set(['later']), new Set())) {
    shard.carryOut(shard.groups.topicsChanged(id, shard.at));
  }
  strictEqual(shard.assigned('a').length, 3);
});

test('a client-side assignor: one member is asked; what it computes is checked, and taken', () => {
  const shard = shardOf(2);
  const mine = { assignor: 'client:mine', clientAssignors: ['mine'], userData: Uint8Array.of(7) };
  const asked = shard.join('a', mine);
  strictEqual(asked.kind === 'ok' && asked.value.taskEpoch, 2);
  const task = shard.groups.task('g', shard.topics);
  deepStrictEqual([task?.assignor, task?.members.length, task?.members[0]?.userData[0]], ['mine', 1, 7]);
  const place = (partition: number) => shard.topics.place('orders', partition);
  const answer = (memberId: string, partitions: number[], groupEpoch: number) =>
    shard.ask({
      memberId,
      memberEpoch: 1,
      computed: { groupEpoch, members: [{ memberId, partitions: partitions.map(place) }], errorMessage: '' },
    });
  strictEqual(shard.groups.list()[0]?.phase, 'assigning');
  answer('a', [1, 0], 2);
  deepStrictEqual(shard.assigned('a'), placesOf([place(0), place(1)]));
  shard.join('b', mine);
  answer('a', [0, 0], 3);
  const described = shard.groups.describe('g');
  if (described.kind !== 'ok') throw new Error('refused');
  strictEqual(described.value.group.assignorError, 'client:mine: orders-0 is given twice, to a and a');
  strictEqual(described.value.phase, 'stable');
  strictEqual(shard.assigned('a').length, 2);
});

test('a client-side assignor that says nothing in time costs a session timeout, no more', () => {
  const shard = shardOf(2);
  shard.join('a', { assignor: 'client:mine', clientAssignors: ['mine'] });
  shard.now = 9_999;
  shard.ask({ memberId: 'a', memberEpoch: 1 });
  shard.expire();
  deepStrictEqual(shard.assigned('a'), []);
  shard.now = 10_000;
  shard.expire();
  strictEqual(shard.assigned('a').length, 2);
});

test('what is read again is what was decided', () => {
  const shard = shardOf(5);
  shard.join('a', { instanceId: 'one' });
  shard.join('b');
  shard.applied('a');
  shard.commit('b', shard.member('b').assigned[0] ?? shard.topics.place('orders', 0), 4n, { sequence: 1n });
  shard.join('c', { instanceId: 'one' });
  shard.ask({ memberId: 'b', memberEpoch: -1 });
  deepStrictEqual(digest(shard.replayed()), digest(shard.groups));
});
