import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CommitOffsetsRequest,
  type DeleteGroupsRequest,
  type DeleteOffsetsRequest,
  type DescribeGroupsResponse,
  ErrorCode,
  GroupDescription,
  GroupPartitionDescription,
  GroupPhase,
  LagState,
  type ListGroupsResponse,
  MemberDescription,
  methods,
} from '@tributary/wire';
import { failsWith } from './fails-with.ts';
import { fill } from './reading.ts';
import { type World, world } from './world.ts';

const done: { readonly errorCode: ErrorCode; readonly errorMessage: string } = {
  errorCode: ErrorCode.UNSPECIFIED,
  errorMessage: '',
};

/** What a coordinator says of group `g`. */
function describes(w: World, about: Partial<GroupDescription>): void {
  const group = GroupDescription.fromPartial({ groupId: 'g', coordinatorId: 201, expiresMs: -1n, ...about });
  w.cluster.answers.set(
    methods.describeGroups.path,
    (): DescribeGroupsResponse => ({ throttleMs: 0, groups: [group] }),
  );
}

function commits(w: World, answer = done): CommitOffsetsRequest[] {
  const heard: CommitOffsetsRequest[] = [];
  w.cluster.answers.set(methods.commitOffsets.path, (request: CommitOffsetsRequest) => {
    heard.push(request);
    return { throttleMs: 0, results: request.offsets.map(() => answer) };
  });
  return heard;
}

const committed = (topicId: string, partition: number, offset: bigint, topic = 't'): GroupPartitionDescription =>
  GroupPartitionDescription.fromPartial({ topic, topicId, partition, committedOffset: offset, highWatermark: -1n });

test('groups are listed by their ids, with what the list lacks and why', async () => {
  await using w = await world();
  const group = { phase: GroupPhase.STABLE, members: 2, assignor: 'range', coordinatorId: 201 };
  w.cluster.answers.set(
    methods.listGroups.path,
    (): ListGroupsResponse => ({
      throttleMs: 0,
      groups: [
        { groupId: 'b', ...group },
        { groupId: 'a', ...group },
      ],
      missing: [{ partition: 7, errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, errorMessage: 'Nobody owns it.' }],
    }),
  );
  const { groups, missing } = await w.client.admin.groups.list();
  assert.deepEqual(
    groups.map(({ groupId, phase, members }) => [groupId, phase, members]),
    [
      ['a', 'stable', 2],
      ['b', 'stable', 2],
    ],
  );
  assert.deepEqual(
    missing.map(({ partition, error }) => [partition, error.error, error.message]),
    [[7, 'COORDINATOR_NOT_AVAILABLE', 'Nobody owns it.']],
  );
});

test('a description names topics where the coordinator has ids, and leaves out what nobody could measure', async () => {
  await using w = await world();
  const assigned = [
    { topicId: 'id', partition: 1 },
    { topicId: 'gone', partition: 0 },
  ];
  describes(w, {
    phase: GroupPhase.RECONCILING,
    members: [MemberDescription.fromPartial({ memberId: 'm', assigned })],
    partitions: [
      GroupPartitionDescription.fromPartial({
        ...committed('id', 1, 5n),
        logStartOffset: 0n,
        highWatermark: 9n,
        lag: 4n,
        lagBytes: 40n,
        lagSeconds: 1.5,
        state: LagState.CATCHING_UP,
        memberId: 'm',
        secondsToLoss: -1,
      }),
      GroupPartitionDescription.fromPartial({
        ...committed('id', 2, -1n),
        lag: -1n,
        state: LagState.UNREACHABLE_DATA,
        errorMessage: 'It is down.',
      }),
    ],
  });
  const { phase, members, partitions, expiresMs } = await w.client.admin.groups.describe('g');
  assert.deepEqual([phase, expiresMs], ['reconciling', undefined]);
  assert.deepEqual(members[0]?.assigned, [
    { topic: 'gone', partition: 0 },
    { topic: 't', partition: 1 },
  ]);
  const shown = partitions.map(({ committedOffset, highWatermark, lag, lagSeconds, secondsToLoss, state, error }) => {
    return [committedOffset, highWatermark, lag, lagSeconds, secondsToLoss, state, error?.message];
  });
  assert.deepEqual(shown, [
    [5n, 9n, 4n, 1.5, undefined, 'catching_up', undefined],
    [undefined, undefined, undefined, undefined, undefined, 'unreachable_data', 'It is down.'],
  ]);
});

test('a coordinator that still loads is asked again; a group that does not exist is an error at once', async () => {
  await using w = await world();
  let asked = 0;
  const answer = (errorCode: ErrorCode, errorMessage: string): DescribeGroupsResponse => ({
    throttleMs: 0,
    groups: [GroupDescription.fromPartial({ groupId: 'g', errorCode, errorMessage })],
  });
  w.cluster.answers.set(methods.describeGroups.path, () =>
    asked++ < 3
      ? answer(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'It loads.')
      : answer(ErrorCode.GROUP_ID_NOT_FOUND, 'There is no group "g".'),
  );
  await assert.rejects(w.client.admin.groups.describe('g'), failsWith('GROUP_ID_NOT_FOUND', /no group "g"/));
  assert.equal(asked, 4);
});

test('a group with members keeps its offsets: the error names them, and nothing is committed', async () => {
  await using w = await world();
  w.cluster.createTopic('t', 1);
  const heard = commits(w);
  describes(w, { members: [MemberDescription.fromPartial({ memberId: 'm', clientId: 'app', host: '10.0.0.1' })] });
  await assert.rejects(
    w.client.admin.groups.resetOffsets('g', { to: { kind: 'earliest' }, of: [{ topic: 't' }] }),
    failsWith('NON_EMPTY_GROUP', /has a member: m \(client app at 10\.0\.0\.1\)\./),
  );
  assert.deepEqual(heard, []);
});

test('a reset goes to the beginning, the end, a time, an offset or so far from what is committed, and never beyond the log', async () => {
  await using w = await world();
  const topic = w.cluster.createTopic('t', 2);
  fill(w, topic.partitions[0], 100);
  const heard = commits(w);
  describes(w, { partitions: [committed(topic.id, 0, 40n)] });
  const of = [{ topic: 't', partitions: [0] }];
  const after = async (to: Parameters<typeof w.client.admin.groups.resetOffsets>[1]['to']) =>
    (await w.client.admin.groups.resetOffsets('g', { to, of })).map(({ before, after: next }) => [before, next]);
  assert.deepEqual(await after({ kind: 'earliest' }), [[40n, 0n]]);
  assert.deepEqual(await after({ kind: 'latest' }), [[40n, 100n]]);
  assert.deepEqual(await after({ kind: 'time', timestampMs: 41_500 }), [[40n, 42n]]);
  assert.deepEqual(await after({ kind: 'time', timestampMs: 1e15 }), [[40n, 100n]]);
  assert.deepEqual(await after({ kind: 'offset', offset: 7n }), [[40n, 7n]]);
  assert.deepEqual(await after({ kind: 'offset', offset: 700n }), [[40n, 100n]]);
  assert.deepEqual(await after({ kind: 'shift', by: -15n }), [[40n, 25n]]);
  assert.deepEqual(await after({ kind: 'shift', by: -50n }), [[40n, 0n]]);
  assert.deepEqual(
    heard.map(({ memberId, offsets }) => [memberId, offsets[0]?.topicId, offsets[0]?.offset]),
    [0n, 100n, 42n, 100n, 7n, 100n, 25n, 0n].map((offset) => ['', topic.id, offset]),
  );
});

test('a dry run says the same and only asks; what cannot be shifted or is refused stays, each with its reason', async () => {
  await using w = await world();
  const topic = w.cluster.createTopic('t', 2);
  const heard = commits(w, { errorCode: ErrorCode.OFFSET_OUT_OF_RANGE, errorMessage: 'Too far.' });
  describes(w, { partitions: [committed(topic.id, 0, 0n)] });
  const { groups } = w.client.admin;
  const results = await groups.resetOffsets(
    'g',
    { to: { kind: 'shift', by: 1n }, of: [{ topic: 't' }] },
    { validateOnly: true },
  );
  assert.deepEqual(
    results.map(({ partition, after, error }) => [partition, after, error?.error]),
    [
      [0, undefined, 'OFFSET_OUT_OF_RANGE'],
      [1, undefined, 'INVALID_REQUEST'],
    ],
  );
  assert.deepEqual(
    heard.map(({ validateOnly, offsets }) => [validateOnly, offsets.length]),
    [[true, 1]],
  );
});

test('a deletion whose answer was lost is done, not a group that was never there', async () => {
  await using w = await world();
  const there = new Set(['g', 'h']);
  let lost = 0;
  w.cluster.answers.set(methods.deleteGroups.path, ({ groupIds: [id = ''] }: DeleteGroupsRequest) => {
    const wasThere = there.delete(id);
    if (id === 'g' && lost++ === 0)
      return {
        throttleMs: 0,
        groups: [{ groupId: id, errorCode: ErrorCode.REQUEST_TIMED_OUT, errorMessage: 'Late.' }],
      };
    const answer = wasThere
      ? done
      : { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, errorMessage: `There is no group "${id}".` };
    return { throttleMs: 0, groups: [{ groupId: id, ...answer }] };
  });
  const outcomes = await w.client.admin.groups.delete(['g', 'h', 'x']);
  assert.deepEqual(
    outcomes.map(({ groupId, error }) => [groupId, error?.error]),
    [
      ['g', undefined],
      ['h', undefined],
      ['x', 'GROUP_ID_NOT_FOUND'],
    ],
  );
});

test('offsets of a topic that is gone can be deleted, by the id that was committed', async () => {
  await using w = await world();
  describes(w, { partitions: [committed('old', 3, 9n, 'was')] });
  let asked: DeleteOffsetsRequest | undefined;
  w.cluster.answers.set(methods.deleteOffsets.path, (request: DeleteOffsetsRequest) => {
    asked = request;
    return {
      throttleMs: 0,
      results: [{ errorCode: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, errorMessage: 'm reads it.' }],
    };
  });
  const [outcome] = await w.client.admin.groups.deleteOffsets('g', [{ topic: 'was', partition: 3 }]);
  assert.deepEqual(asked?.partitions, [{ topicId: 'old', partition: 3 }]);
  assert.deepEqual([outcome?.topic, outcome?.partition, outcome?.error?.message], ['was', 3, 'm reads it.']);
});
