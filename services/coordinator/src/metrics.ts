/**
 * What a coordinator tells Prometheus. Lag is as of the last look, every `lag.poll.interval.ms`, and exported by the owner of the group alone; what
 * kafka_exporter has carries its names and labels, so that existing dashboards work.
 */
import type { Metrics } from '@tributary/runtime';
import type { CoordinatorFacts } from './facts.ts';
import type { GroupReport, LagDesk, PartitionReport } from './lag/lag-desk.ts';
import { lagStates } from './lag/partition-lag.ts';
import type { Shard } from './shard/shard.ts';

interface Watched {
  readonly shards: Iterable<Pick<Shard, 'phase' | 'groups' | 'parkedCount'>>;
  readonly lag: Pick<LagDesk, 'reports'>;
  readonly facts: CoordinatorFacts;
}

export function registerCoordinatorMetrics(metrics: Metrics, coordinator: Watched): void {
  registerShards(metrics, coordinator);
  registerCounts(metrics, coordinator);
  registerGroups(metrics, coordinator);
  registerLag(metrics, coordinator);
}

function registerShards(metrics: Metrics, { shards }: Watched): void {
  const phases = ['fencing', 'loading', 'serving'] as const;
  metrics.gauge<'state'>({
    name: 'tributary_coordinator_shards',
    help: 'Partitions of __consumer_offsets that this coordinator owns, by what they are at.',
    labelNames: ['state'],
    collect() {
      const all = [...shards];
      for (const state of phases) this.set({ state }, all.filter(({ phase }) => phase === state).length);
    },
  });
  const total = (name: string, help: string, of: (shard: Pick<Shard, 'groups' | 'parkedCount'>) => number): void => {
    metrics.gauge<never>({
      name,
      help,
      collect() {
        let sum = 0;
        for (const shard of shards) sum += of(shard);
        this.set(sum);
      },
    });
  };
  total('tributary_coordinator_groups', 'Groups that this coordinator owns.', ({ groups }) => [...groups.ids()].length);
  total('tributary_coordinator_parked', 'Answers that wait for the journal.', ({ parkedCount }) => parkedCount);
}

function registerCounts(metrics: Metrics, { facts }: Watched): void {
  const count = (name: string, help: string, value: () => number): void => {
    metrics.counter<never>({
      name: `tributary_coordinator_${name}`,
      help,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  count('commits_total', 'Offsets committed.', () => facts.commits);
  count('commits_refused_total', 'Offsets that were refused.', () => facts.commitsRefused);
  count('joins_total', 'Requests to join.', () => facts.joins);
  count('heartbeats_total', 'Signs of life of members.', () => facts.heartbeats);
  count('members_expired_total', 'Members whose time was over.', () => facts.expiredMembers);
  count('rebalances_total', 'Changes of a group: of its members, or of what they are to have.', () => facts.rebalances);
  count('fence_renewals_total', 'Writes that did nothing but renew a fence (G2).', () => facts.fenceRenewals);
  count('fenced_total', 'Writes refused because another coordinator owns the partition.', () => facts.fenced);
  count('journal_writes_total', 'Batches written to the journal.', () => facts.writes);
  count('journal_records_total', 'Records written to the journal.', () => facts.recordsWritten);
  count('journal_write_seconds_total', 'From sending a batch to its acknowledgement.', () => facts.writeSeconds);
  count('loads_total', 'Partitions of the journal that were read.', () => facts.loads);
  count('load_seconds_total', 'From becoming the owner of a partition to serving it.', () => facts.loadSeconds);
  count('loaded_records_total', 'Records of the journal that were read.', () => facts.recordsLoaded);
  count('loaded_bytes_total', 'Bytes of the journal that were read.', () => facts.bytesLoaded);
}

function registerGroups(metrics: Metrics, { lag }: Watched): void {
  metrics.gauge<'consumergroup'>({
    name: 'kafka_consumergroup_members',
    help: 'Members of the group.',
    labelNames: ['consumergroup'],
    collect() {
      this.reset();
      for (const { snapshot } of lag.reports) this.set({ consumergroup: snapshot.groupId }, snapshot.members.length);
    },
  });
  const summed = (name: string, help: string, of: (report: PartitionReport) => number | undefined): void => {
    metrics.gauge<'consumergroup' | 'topic'>({
      name,
      help,
      labelNames: ['consumergroup', 'topic'],
      collect() {
        this.reset();
        for (const [consumergroup, report] of partitionsOf(lag.reports)) {
          const value = of(report);
          if (value !== undefined) this.inc({ consumergroup, topic: report.topic }, value);
        }
      },
    });
  };
  summed('kafka_consumergroup_current_offset_sum', 'Committed offsets, summed over the partitions.', offsetOf);
  summed('kafka_consumergroup_lag_sum', 'Records not yet committed, summed over the partitions.', recordsOf);
}

const offsetOf = ({ standing }: PartitionReport): number | undefined =>
  standing.commit === undefined ? undefined : Number(standing.commit.offset);
const recordsOf = ({ lag }: PartitionReport): number | undefined =>
  lag.records === undefined ? undefined : Number(lag.records);

function registerLag(metrics: Metrics, { lag }: Watched): void {
  const ofPartition = (name: string, help: string, of: (report: PartitionReport) => number | undefined): void => {
    metrics.gauge<'consumergroup' | 'topic' | 'partition'>({
      name,
      help,
      labelNames: ['consumergroup', 'topic', 'partition'],
      collect() {
        // What was given up since must not stay.
        this.reset();
        for (const [consumergroup, report] of partitionsOf(lag.reports)) {
          const value = of(report);
          const { topic, standing } = report;
          if (value !== undefined) this.set({ consumergroup, topic, partition: standing.place.partition }, value);
        }
      },
    });
  };
  ofPartition('kafka_consumergroup_current_offset', 'Committed offset.', offsetOf);
  ofPartition('kafka_consumergroup_lag', 'Records not yet committed.', recordsOf);
  const seconds = 'Age of the first record that is not committed, in seconds; 0: there is none.';
  ofPartition('tributary_consumergroup_lag_seconds', seconds, ({ lag: { seconds: age } }) => age);
  ofPartition('tributary_consumergroup_lag_bytes', 'Bytes not yet committed.', ({ lag: { log, records } }) =>
    log === undefined || records === undefined ? undefined : Number(log.bytes),
  );
  const loss = 'Until retention deletes what has not been committed, in seconds; absent: nothing will.';
  ofPartition('tributary_consumergroup_seconds_to_loss', loss, ({ lag: { secondsToLoss } }) => secondsToLoss);
  metrics.gauge<'consumergroup' | 'state'>({
    name: 'tributary_consumergroup_state',
    help: 'Partitions of the group, by how it stands with them.',
    labelNames: ['consumergroup', 'state'],
    collect() {
      this.reset();
      for (const { snapshot, partitions } of lag.reports) {
        const consumergroup = snapshot.groupId;
        for (const state of lagStates) this.set({ consumergroup, state }, 0);
        for (const report of partitions) this.inc({ consumergroup, state: report.lag.state });
      }
    },
  });
}

/** Those whose topic is gone are left out. */
function* partitionsOf(reports: readonly GroupReport[]): Generator<readonly [string, PartitionReport]> {
  for (const { snapshot, partitions } of reports)
    for (const report of partitions) if (report.topic !== '') yield [snapshot.groupId, report];
}
