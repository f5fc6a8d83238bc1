import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offset, partitionIndex, topicId } from '@tributary/model';
import type { GroupSnapshot } from '../src/group/decision.ts';
import { Movements } from '../src/lag/movements.ts';
import { type LogFacts, partitionLag, type Standing } from '../src/lag/partition-lag.ts';

const place = { topicId: topicId('t'), partition: partitionIndex(0) };
const week = 7 * 24 * 3_600_000;

const standing = (committed: bigint | undefined, rest: Partial<Standing> = {}): Standing => ({
  place,
  commit:
    committed === undefined
      ? undefined
      : {
          offset: offset(committed),
          leaderEpoch: undefined,
          metadata: '',
          committedMs: 0,
          memberId: '',
          sequence: 0n,
        },
  memberId: 'one',
  isRevoking: false,
  ...rest,
});

const log = (rest: Partial<LogFacts> = {}): LogFacts => ({
  logStart: 10n,
  highWatermark: 100n,
  nowMs: 50_000,
  bytes: 1n,
  timestampMs: 49_000,
  isEstimated: false,
  lostAtMs: undefined,
  ...rest,
});

const snapshot = (rest: Partial<GroupSnapshot> = {}): GroupSnapshot => ({
  groupId: 'g',
  phase: 'stable',
  group: {
    groupEpoch: 1,
    assignmentEpoch: 1,
    createdMs: 0,
    emptySinceMs: undefined,
    assignor: 'sticky-uniform',
    assignorError: undefined,
  },
  // Who they are does not matter here.
  members: [{ memberId: 'one', member: {} as never }],
  commits: [],
  expiresMs: undefined,
  ...rest,
});

const around = (rest: Partial<GroupSnapshot> = {}, isStalled = false) => ({
  snapshot: snapshot(rest),
  isStalled,
  wallMs: 0,
  retentionMs: week,
});

test('G7: lag counts from the log start where the commit lies before it, and is never negative', () => {
  assert.equal(partitionLag(standing(40n), log(), around()).records, 60n);
  assert.equal(partitionLag(standing(3n), log(), around()).records, 90n);
  // A leader that was elected uncleanly may know less than was committed.
  assert.equal(partitionLag(standing(120n), log(), around()).records, 0n);
});

test('where nothing was committed, or no leader answers, lag is unknown and not 0', () => {
  const none = partitionLag(standing(undefined), log(), around());
  assert.deepEqual([none.records, none.state], [undefined, 'no_commit']);
  const away = partitionLag(standing(40n), undefined, around());
  assert.deepEqual([away.records, away.state], [undefined, 'unreachable_data']);
});

test('a state says what is the matter', () => {
  const states = [
    partitionLag(standing(40n), log(), around()),
    partitionLag(standing(40n), log({ timestampMs: 1_000 }), around()),
    partitionLag(standing(40n), log(), around({}, true)),
    partitionLag(standing(100n), log({ timestampMs: undefined }), around({}, true)),
    partitionLag(standing(40n, { isRevoking: true }), log(), around()),
    partitionLag(standing(40n, { memberId: undefined }), log(), around({ phase: 'reconciling' })),
    partitionLag(standing(40n, { memberId: undefined }), log(), around({ members: [], expiresMs: week })),
    partitionLag(standing(40n, { memberId: undefined }), log(), around({ members: [], expiresMs: week / 20 })),
  ].map(({ state }) => state);
  assert.deepEqual(states, [
    'ok',
    'catching_up',
    'stalled',
    'ok',
    'rebalancing',
    'rebalancing',
    'no_members',
    'expiring',
  ]);
});

test('retention that will take what has not been read is told ahead, in seconds', () => {
  assert.equal(partitionLag(standing(40n), log({ lostAtMs: 110_000 }), around()).secondsToLoss, 60);
  assert.equal(partitionLag(standing(100n), log({ lostAtMs: 110_000 }), around()).secondsToLoss, undefined);
});

test('a commit that does not move stands still only after a minute, and only while there is something to read', () => {
  const movements = new Movements();
  const at = offset(5n);
  movements.saw('g', 'p', at, true, 0);
  assert.equal(movements.isStill('g', 'p', at, 59_000), false);
  movements.saw('g', 'p', at, true, 59_000);
  assert.equal(movements.isStill('g', 'p', at, 60_000), true);
  assert.equal(movements.isStill('g', 'p', offset(6n), 60_000), false);
  movements.saw('g', 'p', at, false, 61_000);
  movements.saw('g', 'p', at, true, 62_000);
  assert.equal(movements.isStill('g', 'p', at, 70_000), false);
  movements.forgetBefore(63_000);
  movements.saw('g', 'p', at, true, 200_000);
  assert.equal(movements.isStill('g', 'p', at, 200_000), false);
});
