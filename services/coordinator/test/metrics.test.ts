import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offset, partitionIndex, topicId } from '@tributary/model';
import { createMetrics } from '@tributary/runtime';
import { registerCoordinatorMetrics } from '../src/coordinator.ts';
import { CoordinatorFacts } from '../src/facts.ts';
import { Groups } from '../src/group/groups.ts';
import { groupSettings } from '../src/group/settings.ts';
import type { GroupReport } from '../src/lag/lag-desk.ts';

const commit = {
  offset: offset(40n),
  leaderEpoch: undefined,
  metadata: '',
  committedMs: 0,
  memberId: '',
  sequence: 0n,
};

function report(partition: number, records: bigint | undefined): GroupReport['partitions'][number] {
  return {
    standing: {
      place: { topicId: topicId('t'), partition: partitionIndex(partition) },
      commit: records === undefined ? undefined : commit,
      memberId: 'one',
      isRevoking: false,
    },
    topic: 'orders',
    lag: {
      log: {
        logStart: 0n,
        highWatermark: 60n,
        nowMs: 0,
        bytes: 123n,
        timestampMs: undefined,
        isEstimated: false,
        lostAtMs: undefined,
      },
      records,
      seconds: records === undefined ? undefined : 2.5,
      secondsToLoss: undefined,
      state: records === undefined ? 'no_commit' : 'ok',
    },
    why: '',
  };
}

const reports: readonly GroupReport[] = [
  {
    snapshot: {
      groupId: 'billing',
      phase: 'stable',
      group: {
        groupEpoch: 1,
        assignmentEpoch: 1,
        createdMs: 0,
        emptySinceMs: undefined,
        assignor: 'range',
        assignorError: undefined,
      },
      members: [],
      commits: [],
      expiresMs: undefined,
    },
    partitions: [report(0, 20n), report(1, 7n), report(2, undefined)],
  },
];

test('lag has the names of kafka_exporter; what is unknown is left out, and not 0', async () => {
  const metrics = await createMetrics({});
  const groups = new Groups({ settings: groupSettings, compile: () => () => false });
  const facts = new CoordinatorFacts();
  facts.commits = 3;
  const shards = [{ phase: 'serving' as const, groups, parkedCount: 2 }];
  registerCoordinatorMetrics(metrics, { shards, lag: { reports }, facts });
  const { body } = await metrics.expose();
  for (const line of [
    'kafka_consumergroup_members{consumergroup="billing"} 0',
    'kafka_consumergroup_current_offset{consumergroup="billing",topic="orders",partition="0"} 40',
    'kafka_consumergroup_current_offset_sum{consumergroup="billing",topic="orders"} 80',
    'kafka_consumergroup_lag{consumergroup="billing",topic="orders",partition="1"} 7',
    'kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"} 27',
    'tributary_consumergroup_lag_seconds{consumergroup="billing",topic="orders",partition="0"} 2.5',
    'tributary_consumergroup_lag_bytes{consumergroup="billing",topic="orders",partition="0"} 123',
    'tributary_consumergroup_state{consumergroup="billing",state="ok"} 2',
    'tributary_consumergroup_state{consumergroup="billing",state="no_commit"} 1',
    'tributary_coordinator_shards{state="serving"} 1',
    'tributary_coordinator_parked 2',
    'tributary_coordinator_commits_total 3',
  ])
    assert.ok(body.includes(`${line}\n`), `${line}\n\n${body}`);
  assert.doesNotMatch(body, /kafka_consumergroup_lag\{.*partition="2"/);
});
