/** Whether a cluster is healthy; if not, what is wrong and who can mend it. */
import type { BrokerReport, ClusterReport, CoordinatorReport, PartitionTrouble } from '@tributary/client';

/** Partitions that a sentence names: one tells as much as a hundred with the same trouble. */
const namedMax = 3;

export interface Problem {
  readonly kind:
    | 'no_cluster'
    | 'no_controller'
    | 'broker'
    | 'coordinator'
    | 'groups'
    | 'offline'
    | 'under_min_isr'
    | 'under_replicated';
  /** One sentence or two: what, where, and what to do. */
  readonly sentence: string;
}

/** The worst first. */
export function problemsOf(report: ClusterReport): readonly Problem[] {
  const { brokers, offline, underMinIsr, underReplicated } = report;
  const partitions = (count: number): string => (count === 1 ? '1 partition is' : `${count} partitions are`);
  const problems: Problem[] = [];
  if (offline > 0)
    problems.push({
      kind: 'offline',
      sentence: `${partitions(offline)} without a leader, and can be neither written nor read${examples(report, 'offline', offline)}`,
    });
  if (underMinIsr > 0)
    problems.push({
      kind: 'under_min_isr',
      sentence: `${partitions(underMinIsr)} in sync with fewer replicas than min.insync.replicas, so that acks=all is refused${examples(report, 'under_min_isr', underMinIsr)}`,
    });
  problems.push(...brokers.flatMap((broker) => brokerProblem(broker)));
  problems.push(...groupProblems(report));
  if (underReplicated > 0)
    problems.push({
      kind: 'under_replicated',
      sentence: `${partitions(underReplicated)} in sync with fewer replicas than there are to be${examples(report, 'under_replicated', underReplicated)}`,
    });
  if (!brokers.some(({ standing }) => standing === 'active'))
    problems.push({ kind: 'broker', sentence: 'No broker is active: nothing can be written or read. Start one.' });
  return problems;
}

function groupProblems({ coordinators, groupPartitions, groupPartitionsWithoutOwner }: ClusterReport): Problem[] {
  const problems: Problem[] = [];
  if (groupPartitionsWithoutOwner > 0) {
    const what = `The groups of ${groupPartitionsWithoutOwner} of ${groupPartitions} partitions of __consumer_offsets have no coordinator: joining and committing wait`;
    const why =
      coordinators.length === 0 ? '. Start a coordinator.' : ' until the controller has given them to one, in seconds.';
    problems.push({ kind: 'groups', sentence: `${what}${why}` });
  }
  return [...problems, ...coordinators.flatMap((each) => coordinatorProblem(each))];
}

/** One that is leaving hands over what it has: that is no problem by itself. */
function coordinatorProblem({ id, address, host, standing, partitionsOwned }: CoordinatorReport): readonly Problem[] {
  const who = `Coordinator ${id} at ${address}${host === '' ? '' : ` (host ${host})`}`;
  switch (standing) {
    case 'registered':
    case 'leaving':
      return [];
    case 'silent':
      return [
        {
          kind: 'coordinator',
          sentence: `${who} is registered, but the controller hears nothing of it${partitionsOwned === 0 ? '' : `, and it owns ${partitionsOwned} of the partitions of __consumer_offsets`}: its log says why, if it runs.`,
        },
      ];
    case 'unknown':
      return [
        { kind: 'coordinator', sentence: `${who} is in a state that this command does not know: use a newer one.` },
      ];
  }
}

/** @param count of all that are so: those that are worse off, too, and are named there. */
function examples({ troubles }: ClusterReport, kind: Problem['kind'], count: number): string {
  const named = troubles.filter(({ trouble }) => trouble === kind).slice(0, namedMax);
  if (named.length === 0) return '.';
  const more = count > named.length ? [`and ${count - named.length} more`] : [];
  return `: ${[...named.map(example), ...more].join('; ')}.`;
}

function example({ topic, partition, reason }: PartitionTrouble): string {
  const because = reason.replace(/\.$/, '');
  return because === '' ? `${topic}/${partition}` : `${topic}/${partition} (${because})`;
}

function brokerProblem({ id, address, host, standing, replicas }: BrokerReport): readonly Problem[] {
  const who = `Broker ${id}${address === '' ? '' : ` at ${address}`}${host === '' ? '' : ` (host ${host})`}`;
  switch (standing) {
    case 'active':
      return [];
    case 'fenced':
      return [{ kind: 'broker', sentence: `${who} runs, but is not let in: its log and its /readyz say why.` }];
    case 'leaving':
      return [{ kind: 'broker', sentence: `${who} is shutting down. It is whole again once it has been started.` }];
    case 'absent':
      // One that holds nothing may have gone for good.
      return replicas === 0
        ? []
        : [
            {
              kind: 'broker',
              sentence: `${who} is not there, and ${replicas} ${replicas === 1 ? 'replica is' : 'replicas are'} on its disk: start it, with that disk.`,
            },
          ];
    case 'unknown':
      return [{ kind: 'broker', sentence: `${who} is in a state that this command does not know: use a newer one.` }];
  }
}
