import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorTable, type ErrorName } from '@tributary/model';
import type { ErrorCode, MemberResponse } from '@tributary/wire';
import fc from 'fast-check';
import { Membership } from '../../src/group/membership.ts';

const answer = (more: Partial<MemberResponse> = {}): MemberResponse => ({
  ...{ throttleMs: 0, errorCode: 0, errorMessage: '', memberId: 'm', memberEpoch: 1, heartbeatIntervalMs: 100 },
  ...{ sessionTimeoutMs: 1_000, assignment: undefined, task: undefined, sequence: 0n },
  ...more,
});
const assignment = (version: bigint, ...partitions: number[]) => ({
  assignment: { version, partitions: partitions.map((partition) => ({ topicId: 't', partition })) },
});
const refused = (error: ErrorName, sequence: bigint): MemberResponse =>
  answer({ errorCode: errorTable[error].code as ErrorCode, errorMessage: error, sequence });

test('answers in any order, lost, late or twice, never take back a newer assignment or epoch', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 30 }), (order) => {
      const membership = new Membership('m', 1_000);
      const answers = Array.from({ length: 10 }, (_, index) => {
        const { sequence } = membership.sign(index);
        return answer({ sequence, memberEpoch: index + 1, ...assignment(BigInt(index + 1), index) });
      });
      let newest = -1;
      for (const index of order) {
        const each = answers[index];
        assert.ok(each);
        const outcome = membership.take(each);
        assert.equal(outcome.kind, index > newest ? 'heard' : 'nothing');
        newest = Math.max(newest, index);
        assert.equal(membership.epoch, newest + 1);
        assert.deepEqual([...membership.assigned.keys()], [`t/${newest}`]);
      }
    }),
  );
});

test('what was pushed is not undone by the answer to a request that was made before it', () => {
  const membership = new Membership('m', 1_000);
  const { sequence } = membership.sign(0);
  assert.deepEqual(membership.take(answer({ memberEpoch: 3, ...assignment(2n, 1, 2) })), {
    ...{ kind: 'heard', changed: true, task: undefined },
  });
  assert.deepEqual(membership.take(answer({ memberEpoch: 2, sequence, ...assignment(1n, 1) })), {
    ...{ kind: 'heard', changed: false, task: undefined },
  });
  assert.deepEqual([membership.epoch, [...membership.assigned.keys()]], [3, ['t/1', 't/2']]);
});

test('ownership lasts a session timeout from the sending of the newest sign of life that was answered (G3)', () => {
  const membership = new Membership('m', 5_000);
  assert.equal(membership.ownsUntil, Number.NEGATIVE_INFINITY);
  const first = membership.sign(100);
  membership.sign(200);
  // Pushes prove nothing.
  membership.take(answer());
  assert.equal(membership.ownsUntil, Number.NEGATIVE_INFINITY);
  membership.take(answer({ sequence: first.sequence }));
  assert.equal(membership.ownsUntil, 1_100);
  membership.take(refused('COORDINATOR_LOAD_IN_PROGRESS', 2n));
  assert.equal(membership.ownsUntil, 1_100);
});

test('an unanswered sign of life is known since it was sent; a new stream begins anew and says everything', () => {
  const membership = new Membership('m', 5_000);
  assert.equal(membership.sign(10).isWhole, true);
  membership.take(answer({ sequence: 1n }));
  assert.equal(membership.dueAt, 110);
  assert.equal(membership.sign(110).isWhole, false);
  membership.sign(200);
  assert.equal(membership.unansweredSince, 110);
  membership.streamOpened();
  assert.equal(membership.unansweredSince, undefined);
  assert.deepEqual(membership.sign(300), {
    ...{ memberId: 'm', memberEpoch: 1, appliedVersion: 0n, sequence: 4n, isWhole: true },
  });
});

test('fenced is over for good; another coordinator, or a refusal, is not', () => {
  for (const error of ['UNKNOWN_MEMBER_ID', 'FENCED_MEMBER_EPOCH', 'FENCED_INSTANCE_ID'] as const) {
    const membership = new Membership('m', 1_000);
    const { sequence } = membership.sign(0);
    assert.equal(membership.take(refused(error, sequence)).kind, 'over');
    assert.equal(membership.take(answer({ ...assignment(5n, 1) })).kind, 'nothing');
    assert.equal(membership.assigned.size, 0);
  }
  const membership = new Membership('m', 1_000);
  membership.take(answer(assignment(1n, 1)));
  for (const [index, error] of (
    ['NOT_COORDINATOR', 'COORDINATOR_LOAD_IN_PROGRESS', 'GROUP_MAX_SIZE_REACHED'] as const
  ).entries()) {
    const { sequence } = membership.sign(index);
    assert.equal(membership.take(refused(error, sequence)).kind, index < 2 ? 'look-up' : 'refused');
  }
  assert.deepEqual([...membership.assigned.keys()], ['t/1']);
});

test('a carried out version is said at once, and never an older one', () => {
  const membership = new Membership('m', 1_000);
  membership.sign(0);
  membership.carriedOut(3n);
  assert.equal(membership.dueAt, Number.NEGATIVE_INFINITY);
  membership.carriedOut(2n);
  assert.equal(membership.sign(1).appliedVersion, 3n);
});
