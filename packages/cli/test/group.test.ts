import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GroupDescription, GroupMember, GroupPartitionLag } from '@tributary/client';
import { offset, topicId, TributaryError } from '@tributary/model';
import { changesBetween } from '../src/group/changes.ts';
import { assignmentText, groupJson, offsetRows, offsetsHead } from '../src/group/description.ts';
import { topicSelections } from '../src/group/selection.ts';
import { span, warningsOf } from '../src/group/warnings.ts';

const hour = 3_600;

function partition(number: number, about: Partial<GroupPartitionLag> = {}): GroupPartitionLag {
  return {
    topic: 'orders',
    topicId: topicId('AAAAAAAAAAAAAAAAAAAAAA'),
    partition: number,
    committedOffset: offset(12n),
    metadata: '',
    committedMs: 1_000,
    logStartOffset: offset(0n),
    highWatermark: offset(15n),
    lag: 3n,
    lagBytes: 300,
    lagSeconds: 0.42,
    lagSecondsEstimated: false,
    state: 'catching_up',
    memberId: 'one',
    secondsToLoss: undefined,
    error: undefined,
    ...about,
  };
}

function member(memberId: string, about: Partial<GroupMember> = {}): GroupMember {
  return {
    memberId,
    instanceId: undefined,
    clientId: `client-${memberId}`,
    host: '10.0.0.1',
    rack: undefined,
    memberEpoch: 4,
    topics: ['orders'],
    topicPattern: undefined,
    assigned: [],
    target: [],
    revoking: [],
    stalled: false,
    connected: true,
    silentMs: 5,
    ...about,
  };
}

function group(about: Partial<GroupDescription> = {}): GroupDescription {
  return {
    groupId: 'billing',
    phase: 'stable',
    groupEpoch: 4,
    assignmentEpoch: 4,
    assignor: 'sticky-uniform',
    assignorError: undefined,
    coordinator: 201,
    coordinatorAddress: '127.0.0.1:9097',
    expiresMs: undefined,
    members: [member('one')],
    partitions: [partition(0)],
    ...about,
  };
}

test('the columns are those of Kafka’s tools, with lag in seconds and a state, and - where there is nothing', () => {
  const nobody = { memberId: undefined, committedOffset: undefined, lag: undefined, lagSeconds: undefined } as const;
  const rows = offsetRows(
    group({
      partitions: [
        partition(0),
        partition(1, { ...nobody, state: 'no_commit' }),
        partition(2, { lagSeconds: 75.2, lagSecondsEstimated: true }),
      ],
    }),
  );
  const lines = rows.map((row) => row.join(' '));
  assert.equal(
    offsetsHead.join(' '),
    'GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG LAG-SECONDS STATE CONSUMER-ID HOST CLIENT-ID',
  );
  assert.deepEqual(lines, [
    'billing orders 0 12 15 3 0.4 catching_up one 10.0.0.1 client-one',
    'billing orders 1 - 15 - - no_commit - - -',
    'billing orders 2 12 15 3 ~75 catching_up one 10.0.0.1 client-one',
  ]);
});

test('programs get numbers, and null where there is nothing', () => {
  const { partitions } = groupJson(group({ partitions: [partition(0, { committedOffset: undefined })] }), []);
  assert.deepEqual(
    partitions.map(({ currentOffset, logEndOffset, lag, secondsToLoss, error }) => {
      return { currentOffset, logEndOffset, lag, secondsToLoss, error };
    }),
    [{ currentOffset: null, logEndOffset: 15, lag: 3, secondsToLoss: null, error: null }],
  );
});

test('what a member has is shown in ranges', () => {
  const assigned = [3, 0, 1, 2, 7].map((number) => ({ topic: 'orders', partition: number }));
  assert.equal(
    assignmentText({ assigned: [...assigned, { topic: 'audit', partition: 4 }] }),
    'audit[4], orders[0-3,7]',
  );
});

test('a warning comes when what was not read has lived longer than it has left, and not for every lag', () => {
  const sentences = (about: Partial<GroupPartitionLag>): readonly string[] =>
    warningsOf(group({ partitions: [partition(0, about)] }), 0);
  assert.deepEqual(sentences({ lagSeconds: hour, secondsToLoss: 100 * hour }), []);
  assert.deepEqual(sentences({ lag: 0n, lagSeconds: 0, secondsToLoss: 1 }), []);
  assert.match(
    sentences({ lagSeconds: 100 * hour, secondsToLoss: 3 * hour })[0] ?? '',
    /Retention will delete records that the group has not read: orders\/0 \(in 3\.0 h\)\. .*retention\.ms/,
  );
});

test('what is lost, unreachable, stalled or about to expire is said, with where and who', () => {
  const unreachable = {
    state: 'unreachable_data',
    error: new TributaryError('LEADER_NOT_AVAILABLE', 'It is down.'),
  } as const;
  const sentences = warningsOf(
    group({
      members: [member('one', { stalled: true })],
      partitions: [
        partition(0, { logStartOffset: offset(20n) }),
        partition(1, unreachable),
        partition(2, { state: 'expiring' }),
      ],
      assignorError: 'orders/1 is assigned twice.',
      expiresMs: 90_000,
    }),
    30_000,
  );
  assert.match(sentences[0] ?? '', /has deleted records that the group had not read, in orders\/0 \(8 offsets\)/);
  assert.match(sentences[1] ?? '', /No leader answers for orders\/1 \(It is down\)\./);
  assert.match(sentences[2] ?? '', /Member one \(client client-one at 10\.0\.0\.1\) does not poll/);
  assert.match(sentences[3] ?? '', /refused: orders\/1 is assigned twice\./);
  assert.match(sentences[4] ?? '', /expire in 60 s/);
  assert.equal(sentences.length, 5);
});

test('spans are told in the unit that fits', () => {
  assert.deepEqual([-5, 119, 121, 7_200, 200_000].map(span), ['0 s', '119 s', '2 min', '2.0 h', '2.3 d']);
});

test('a watch in a pipe tells each change once, and nothing of what stays', () => {
  const before = group();
  assert.deepEqual(changesBetween(before, group()), []);
  const after = group({
    phase: 'reconciling',
    coordinator: 202,
    members: [member('two')],
    partitions: [
      partition(0, { committedOffset: offset(15n), lag: 0n, state: 'ok', memberId: 'two', lagSeconds: 9 }),
      partition(1),
    ],
  });
  assert.deepEqual(changesBetween(before, after), [
    'group: stable → reconciling',
    'group: coordinator 201 → 202',
    'member one (client client-one at 10.0.0.1) has gone',
    'member two (client client-two at 10.0.0.1) has joined',
    'orders/0: current-offset 12 → 15, lag 3 → 0, state catching_up → ok, consumer-id one → two',
    'orders/1: current-offset 12, log-end-offset 15, lag 3, state catching_up, consumer-id one',
  ]);
  assert.deepEqual(changesBetween(after, group({ ...after, partitions: after.partitions.slice(0, 1) })), [
    'orders/1: no longer of the group',
  ]);
});

test('--topic takes a topic or some of its partitions, each topic once', () => {
  assert.deepEqual(topicSelections('b:3,1,3', topicSelections('a')), [
    { topic: 'a', partitions: undefined },
    { topic: 'b', partitions: [3, 1] },
  ]);
  for (const bad of ['', ':1', 'a:', 'a:x', 'a:1,', 'a:1:2', 'a:-1'])
    assert.throws(() => topicSelections(bad), /Allowed is a topic, or a topic with some of its partitions/, bad);
  assert.throws(() => topicSelections('a:1', topicSelections('a')), /given twice/);
});
