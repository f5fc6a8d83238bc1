/** F1, G1: what a broker passes on to coordinators. These are played: they say what the story wants, and keep what they were told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorName, limits, TributaryError } from '@tributary/model';
import type { CallContext, Service } from '@tributary/ports';
import {
  type CommitOffsetsRequest,
  type CommitOffsetsResponse,
  type DescribeGroupsRequest,
  type ErrorCode,
  type GroupDescription,
  GroupPhase,
  type ListGroupsResponse,
  methods,
  type RequestContext,
} from '@tributary/wire';
import { context } from './one-broker.ts';
import { clientHost, type Stubs, withStubs } from './stub-coordinators.ts';
import { refused } from './with-groups.ts';

const deadlineMs = 60_000;
const isNot = 'NOT_COORDINATOR';
const isNotCode = new TributaryError(isNot, '').code as ErrorCode;

const commitOf = (groupId: string, about: RequestContext = context): CommitOffsetsRequest => ({
  context: about,
  groupId,
  memberId: '',
  memberEpoch: 0,
  offsets: [{ topicId: 't', partition: 0, offset: 5n, leaderEpoch: -1, metadata: 'm' }],
  sequence: 0n,
  validateOnly: false,
});

const committedAs = (errorCode: ErrorCode, errorMessage = ''): CommitOffsetsResponse => ({
  throttleMs: 0,
  results: [{ errorCode, errorMessage }],
});

/** A coordinator that keeps the commits it was asked for. */
function keeper(answer: (call: CallContext) => Promise<CommitOffsetsResponse> | CommitOffsetsResponse) {
  const heard: CommitOffsetsRequest[] = [];
  const service: Service = (handlers) =>
    handlers.unary(methods.commitOffsets, async (request, call) => {
      heard.push(request);
      return await answer(call);
    });
  return { heard, service };
}

const commit = async ({ peer }: Stubs, groupId: string): Promise<string> => {
  const { results } = await peer.unary(methods.commitOffsets, commitOf(groupId), { deadlineMs });
  return errorName(results[0]?.errorCode ?? -1);
};

describe('a request about a group', () => {
  test('reaches the owner of its partition as it came, with who asks, from where, and that it has come by a hop', async () => {
    const owner = keeper(() => committedAs(0));
    const other = keeper(() => committedAs(0));
    await withStubs(1, [owner.service, other.service], async (stubs) => {
      await stubs.assign(0, 7);
      await stubs.assign(1, 8);
      const asked = commitOf(stubs.groupIn(0), { ...context, clientId: 'app', principal: 'alice' });
      await stubs.peer.unary(methods.commitOffsets, asked, { deadlineMs });
      const [{ context: told, ...rest } = asked] = owner.heard;
      const { context: _, ...sent } = asked;
      assert.deepEqual([owner.heard.length, other.heard.length, rest], [1, 0, sent]);
      assert.deepEqual(
        [told?.clientId, told?.principal, told?.originalPrincipal, told?.host, told?.hops],
        ['app', 'alice', 'alice', clientHost, 1],
      );
      assert.ok((told?.minRevision ?? 0n) > 0n, 'M4: the owner is to know what it was chosen by');
    });
  });

  test('a heartbeat says the same within its member', async () => {
    const seen: (RequestContext | undefined)[] = [];
    const service: Service = (handlers) =>
      handlers.unary(methods.heartbeat, async ({ member }) => {
        seen.push(member?.context);
        return { member: undefined };
      });
    await withStubs(2, [service], async (stubs) => {
      await stubs.assign(0, 7);
      await stubs.peer.unary(methods.heartbeat, { member: memberOf(stubs.groupIn(0)) }, { deadlineMs });
      assert.deepEqual(
        seen.map((each) => [each?.clientId, each?.originalPrincipal, each?.host, each?.hops]),
        [['app', 'alice', clientHost, 1]],
      );
    });
  });

  test('NOT_COORDINATOR: it is asked again, once, at whoever the image names by then', async () => {
    const first = keeper(() => committedAs(isNotCode));
    const next = keeper(() => committedAs(0));
    await withStubs(3, [first.service, next.service], async (stubs) => {
      await stubs.assign(0, 7);
      const committing = commit(stubs, stubs.groupIn(0));
      await stubs.clock.sleep(limits.coordinatorWaitMs / 2, never);
      assert.deepEqual([first.heard.length, next.heard.length], [1, 0]);
      await stubs.assign(0, 8);
      assert.equal(await committing, errorName(0));
      assert.deepEqual([first.heard.length, next.heard.length], [1, 1]);
    });
  });

  test('it is not asked a third time, and not a second time where nobody else owns the group', async () => {
    const first = keeper(() => committedAs(isNotCode));
    const next = keeper(() => committedAs(isNotCode));
    await withStubs(4, [first.service, next.service], async (stubs) => {
      await stubs.assign(0, 7);
      const atMs = stubs.clock.monotonicMs();
      assert.equal(await commit(stubs, stubs.groupIn(0)), isNot);
      const tookMs = stubs.clock.monotonicMs() - atMs;
      assert.ok(tookMs >= limits.coordinatorWaitMs - 1 && tookMs < limits.coordinatorWaitMs + 100, `${tookMs} ms`);
      assert.deepEqual([first.heard.length, next.heard.length], [1, 0]);
      const committing = commit(stubs, stubs.groupIn(0));
      await stubs.clock.sleep(100, never);
      await stubs.assign(0, 8);
      assert.equal(await committing, isNot);
      assert.deepEqual([first.heard.length, next.heard.length], [2, 1]);
    });
  });

  test('an owner that is silent is given up, and hears so, when the image shows another', async () => {
    const silence = Promise.withResolvers<string>();
    const first = keeper(async ({ signal }) => {
      signal.addEventListener('abort', () => silence.resolve('given up'));
      return await new Promise(() => undefined);
    });
    const next = keeper(() => committedAs(0));
    await withStubs(5, [first.service, next.service], async (stubs) => {
      await stubs.assign(0, 7);
      const committing = commit(stubs, stubs.groupIn(0));
      await stubs.clock.sleep(100, never);
      const atMs = stubs.clock.monotonicMs();
      await stubs.assign(0, 8);
      assert.equal(await committing, errorName(0));
      assert.ok(stubs.clock.monotonicMs() - atMs < 100);
      assert.equal(await silence.promise, 'given up');
    });
  });

  test('an owner that is gone: COORDINATOR_NOT_AVAILABLE, or the next one where there is one in time', async () => {
    const next = keeper(() => committedAs(0));
    await withStubs(6, [keeper(() => committedAs(0)).service, next.service], async (stubs) => {
      await stubs.assign(0, 7);
      stubs.coordinator(7).kill();
      await stubs.clock.sleep(100, never);
      assert.equal(await refused(commit(stubs, stubs.groupIn(0))), 'COORDINATOR_NOT_AVAILABLE');
      const committing = commit(stubs, stubs.groupIn(0));
      await stubs.clock.sleep(100, never);
      await stubs.assign(0, 8);
      assert.equal(await committing, errorName(0));
    });
  });

  test('F1: what has come by a hop goes no further', async () => {
    const heard: string[] = [];
    const every: Service = (handlers) => {
      const hear = (name: string) => (): Promise<never> => {
        heard.push(name);
        return Promise.reject(new TributaryError('UNKNOWN_SERVER_ERROR', name));
      };
      for (const method of [methods.heartbeat, methods.commitOffsets, methods.fetchOffsets, methods.deleteOffsets])
        handlers.unary<unknown, never>(method as never, hear(method.path));
      for (const method of [methods.listGroups, methods.describeGroups, methods.deleteGroups])
        handlers.unary<unknown, never>(method as never, hear(method.path));
      handlers.stream(methods.join, hear('Join'));
    };
    await withStubs(7, [every], async (stubs) => {
      for (let partition = 0; partition < 4; partition++) await stubs.assign(partition, 7);
      const { peer } = stubs;
      const groupId = stubs.groupIn(0);
      const hopped = { ...context, hops: 1 };
      const about = { context: hopped, groupId, partitions: [] };
      const groups = { context: hopped, groupIds: [groupId] };
      const member = { ...memberOf(groupId), context: hopped };
      const join = peer.stream(methods.join, never);
      join.send({ member });
      const calls = [
        peer.unary(methods.heartbeat, { member }, { deadlineMs }),
        peer.unary(methods.commitOffsets, commitOf(groupId, hopped), { deadlineMs }),
        peer.unary(methods.fetchOffsets, { ...about, memberId: '', memberEpoch: 0 }, { deadlineMs }),
        peer.unary(methods.deleteOffsets, about, { deadlineMs }),
        peer.unary(methods.listGroups, { context: hopped }, { deadlineMs }),
        peer.unary(methods.describeGroups, { ...groups, includeLag: false }, { deadlineMs }),
        peer.unary(methods.deleteGroups, { ...groups, validateOnly: false }, { deadlineMs }),
        Array.fromAsync(join),
      ];
      assert.deepEqual(
        await Promise.all(calls.map(refused)),
        calls.map(() => isNot),
      );
      assert.deepEqual(heard, []);
    });
  });
});

describe('what concerns several groups', () => {
  test('ListGroups asks each owner once, puts their groups in order, and says which partitions nobody could be asked about', async () => {
    const asked: number[] = [];
    const lists = (id: number, groupIds: readonly string[]): Service => {
      const groups = groupIds.map((groupId): ListGroupsResponse['groups'][number] => ({
        groupId,
        phase: GroupPhase.STABLE,
        members: 1,
        assignor: 'range',
        coordinatorId: id,
      }));
      return (handlers) =>
        handlers.unary(methods.listGroups, async () => {
          asked.push(id);
          return { throttleMs: 0, groups, missing: [] };
        });
    };
    const loading = { partition: 1, errorCode: 14 as ErrorCode, errorMessage: 'still loading' };
    const half: Service = (handlers) =>
      handlers.unary(methods.listGroups, async () => ({ throttleMs: 0, groups: [], missing: [loading] }));
    const services = [lists(7, ['c', 'a']), half, lists(9, ['b'])];
    await withStubs(8, services, async (stubs) => {
      const list = () => stubs.peer.unary(methods.listGroups, { context }, { deadlineMs });
      await stubs.assign(0, 7);
      await stubs.assign(1, 8);
      await stubs.assign(2, 7);
      await stubs.assign(3, undefined);
      await stubs.clock.sleep(50, never);
      const some = await list();
      assert.deepEqual(
        some.groups.map(({ groupId, coordinatorId }) => `${groupId}@${coordinatorId}`),
        ['a@7', 'c@7'],
      );
      assert.deepEqual(told(some), ['1 COORDINATOR_LOAD_IN_PROGRESS', '3 COORDINATOR_NOT_AVAILABLE']);
      assert.deepEqual(asked, [7]);
      stubs.coordinator(7).kill();
      await stubs.assign(1, 9);
      await stubs.assign(3, 9);
      await stubs.clock.sleep(50, never);
      const others = await list();
      assert.deepEqual(
        others.groups.map(({ groupId }) => groupId),
        ['b'],
      );
      assert.deepEqual(told(others), ['0 COORDINATOR_NOT_AVAILABLE', '2 COORDINATOR_NOT_AVAILABLE']);
    });
  });

  test('ListGroups: what changes hands while it is asked about is missing, not silently absent', async () => {
    const leave = Promise.withResolvers<void>();
    const slow: Service = (handlers) =>
      handlers.unary(methods.listGroups, async () => {
        await leave.promise;
        return { throttleMs: 0, groups: [], missing: [] };
      });
    await withStubs(9, [slow, slow], async (stubs) => {
      for (const partition of [0, 1, 2, 3]) await stubs.assign(partition, 7);
      const listing = stubs.peer.unary(methods.listGroups, { context }, { deadlineMs });
      await stubs.clock.sleep(50, never);
      await stubs.assign(2, 8);
      await stubs.clock.sleep(50, never);
      leave.resolve();
      assert.deepEqual(told(await listing), [`2 ${isNot}`]);
    });
  });

  test('DescribeGroups is split by owner and answered in order, each group for itself', async () => {
    const seven = describer(7);
    const eight = describer(8);
    await withStubs(10, [seven.service, eight.service], async (stubs) => {
      await stubs.assign(0, 7);
      await stubs.assign(1, 8);
      await stubs.assign(2, 7);
      const [zero, one, two, three] = [0, 1, 2, 3].map((partition) => stubs.groupIn(partition));
      const groupIds = [two ?? '', one ?? '', '', zero ?? '', three ?? '', one ?? ''];
      const answers = await describeThese(stubs, groupIds);
      assert.deepEqual(answers, [
        `${two} by 7`,
        `${one} by 8`,
        ' INVALID_GROUP_ID',
        `${zero} by 7`,
        `${three} COORDINATOR_NOT_AVAILABLE`,
        `${one} by 8`,
      ]);
      assert.deepEqual(
        [...seven.heard, ...eight.heard].map(({ groupIds: ids, includeLag, context: about }) => ({
          ids: ids.toSorted(inOrder),
          includeLag,
          hops: about?.hops,
        })),
        [
          { ids: [zero ?? '', two ?? ''].toSorted(inOrder), includeLag: true, hops: 1 },
          { ids: [one], includeLag: true, hops: 1 },
        ],
      );
      const many = Array.from({ length: limits.groupsPerRequest + 1 }, () => 'g');
      assert.equal(await refused(describeThese(stubs, many)), 'INVALID_REQUEST');
    });
  });

  test('a group that moves while it is described is described by its new owner; those beside it are, too', async () => {
    const leave = Promise.withResolvers<void>();
    const slow = describer(7, leave.promise);
    const eight = describer(8);
    await withStubs(11, [slow.service, eight.service], async (stubs) => {
      await stubs.assign(0, 7);
      await stubs.assign(1, 7);
      const ids = [stubs.groupIn(0), stubs.groupIn(1)];
      const describing = describeThese(stubs, ids);
      await stubs.clock.sleep(50, never);
      await stubs.assign(0, 8);
      await stubs.clock.sleep(50, never);
      leave.resolve();
      assert.deepEqual(await describing, [`${ids[0]} by 8`, `${ids[1]} by 7`]);
    });
  });

  test('DeleteGroups is split likewise, and no group is deleted where it was not asked for', async () => {
    const heard: string[] = [];
    const deletes = (id: number): Service => {
      return (handlers) =>
        handlers.unary(methods.deleteGroups, async ({ groupIds, validateOnly }) => {
          heard.push(...groupIds.map((groupId) => `${groupId} at ${id} ${validateOnly}`));
          return {
            throttleMs: 0,
            groups: groupIds.map((groupId) => ({ groupId, errorCode: 0, errorMessage: `${id}` })),
          };
        });
    };
    await withStubs(12, [deletes(7), deletes(8)], async (stubs) => {
      await stubs.assign(0, 7);
      await stubs.assign(1, 8);
      const groupIds = [stubs.groupIn(1), stubs.groupIn(0)];
      const request = { context, groupIds, validateOnly: true };
      const { groups } = await stubs.peer.unary(methods.deleteGroups, request, { deadlineMs });
      assert.deepEqual(
        groups.map(({ groupId, errorMessage }) => `${groupId} ${errorMessage}`),
        [`${groupIds[0]} 8`, `${groupIds[1]} 7`],
      );
      assert.deepEqual(
        heard.toSorted(inOrder),
        [`${groupIds[1]} at 7 true`, `${groupIds[0]} at 8 true`].toSorted(inOrder),
      );
    });
  });
});

const never = new AbortController().signal;

function memberOf(groupId: string) {
  return {
    context: { ...context, clientId: 'app', principal: 'alice' },
    groupId,
    memberId: 'm',
    memberEpoch: 0,
    appliedVersion: 0n,
    subscription: undefined,
    sincePollMs: -1n,
    computed: undefined,
    sequence: 1n,
  };
}

const inOrder = (one: string, other: string): number => (one < other ? -1 : 1);

const told = ({ missing }: ListGroupsResponse): readonly string[] =>
  missing.map(({ partition, errorCode }) => `${partition} ${errorName(errorCode)}`);

async function describeThese({ peer }: Stubs, groupIds: string[]): Promise<readonly string[]> {
  const { groups } = await peer.unary(methods.describeGroups, { context, groupIds, includeLag: true }, { deadlineMs });
  return groups.map(({ groupId, errorCode, coordinatorId }) =>
    errorCode === 0 ? `${groupId} by ${coordinatorId}` : `${groupId} ${errorName(errorCode)}`,
  );
}

/** Describes what it is asked about, once it may. */
function describer(coordinatorId: number, may?: Promise<void>) {
  const heard: DescribeGroupsRequest[] = [];
  const none: ErrorCode = 0;
  const empty = { errorCode: none, errorMessage: '', phase: GroupPhase.EMPTY, groupEpoch: 1, assignmentEpoch: 1 };
  const rest = { assignor: '', coordinatorAddress: '', members: [], partitions: [], assignorError: '' };
  const service: Service = (handlers) =>
    handlers.unary(methods.describeGroups, async (request) => {
      heard.push(request);
      await may;
      const groups = request.groupIds.map(
        (groupId): GroupDescription => ({ ...empty, ...rest, groupId, coordinatorId, expiresMs: -1n }),
      );
      return { throttleMs: 0, groups };
    });
  return { heard, service };
}
