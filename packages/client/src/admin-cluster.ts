/** What the active controller knows of the whole cluster, and elections by request. */
import { TributaryError } from '@tributary/model';
import { BrokerStanding, CoordinatorStanding, ElectionType, methods } from '@tributary/wire';
import { type AdminOptions, adminCall, type ChangeOptions, finalIfUnknown } from './admin-call.ts';
import type { Routing } from './routing.ts';

export interface ClusterReport {
  readonly clusterId: string;
  /** Node id of the active controller, which says all this. */
  readonly controller: number;
  readonly controllerAddress: string;
  /** Version of the cluster that all its parts speak. */
  readonly version: number;
  /** In the order of their ids; absent ones too. */
  readonly brokers: readonly BrokerReport[];
  /** Of all topics. */
  readonly partitions: number;
  /** Without a leader. */
  readonly offline: number;
  readonly underReplicated: number;
  /** `acks=all` is refused. */
  readonly underMinIsr: number;
  /** The first few of those. */
  readonly troubles: readonly PartitionTrouble[];
  /** Those registered, in the order of their ids. */
  readonly coordinators: readonly CoordinatorReport[];
  /** Of `__consumer_offsets`; 0 before the first use of a group. */
  readonly groupPartitions: number;
  /** Of them those whose groups nobody serves. */
  readonly groupPartitionsWithoutOwner: number;
}

export interface CoordinatorReport {
  readonly id: number;
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  /** `silent`: nothing is heard of it for a session timeout; `leaving`: is shutting down; `unknown`: something that this client has no name for. */
  readonly standing: 'registered' | 'silent' | 'leaving' | 'unknown';
  /** Of its registration: rises with each. */
  readonly coordinatorEpoch: bigint;
  /** Partitions of `__consumer_offsets` whose groups it serves. */
  readonly partitionsOwned: number;
}

export interface BrokerReport {
  readonly id: number;
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  /**
   * `active`: works; `fenced`: runs, and is not let in yet or kept out; `leaving`: is shutting down; `absent`: known, and not running; `unknown`:
   * something that this client has no name for.
   */
  readonly standing: 'active' | 'fenced' | 'leaving' | 'absent' | 'unknown';
  /** Of its registration: rises with each start. */
  readonly brokerEpoch: bigint;
  readonly directoryId: string;
  /** Partitions that it is to have a copy of. */
  readonly replicas: number;
  /** Of those, the ones whose copy is in sync. */
  readonly inSync: number;
  readonly leading: number;
}

export interface PartitionTrouble {
  readonly topic: string;
  readonly partition: number;
  /** The worst that holds: `offline`, `under_min_isr` or `under_replicated`. */
  readonly trouble: string;
  /** With who can mend it. */
  readonly reason: string;
}

export interface ElectionRequest {
  /**
   * `preferred`: the first of each partition's replicas, which must be in sync. `unclean`: somebody who may lack acknowledged records, for
   * partitions that nobody else can lead.
   */
  readonly kind: 'preferred' | 'unclean';
  /** Of these topics these partitions (none: all of the topic). 'all': every partition that needs it, `preferred` only. */
  readonly of: 'all' | readonly { readonly topic: string; readonly partitions: readonly number[] }[];
}

export interface ElectionOutcome {
  readonly topic: string;
  /** undefined: there is no such topic. */
  readonly partition: number | undefined;
  /** Node id; undefined: none. */
  readonly leaderBefore: number | undefined;
  readonly leader: number | undefined;
  /** Why nobody was elected; ELECTION_NOT_NEEDED where the right one led already. */
  readonly error: TributaryError | undefined;
}

/** @throws TributaryError: what lasted when the deadline came, such as NOT_CONTROLLER while there is none. */
export async function clusterReport(routing: Routing, options: AdminOptions): Promise<ClusterReport> {
  const {
    throttleMs: _,
    revision: __,
    controllerId,
    troubles,
    brokers,
    coordinators,
    ...report
  } = await routing.call(
    methods.describeCluster,
    () => ({ context: routing.context }),
    adminCall(routing, 'Asking the controller about the cluster', options),
  );
  return {
    ...report,
    controller: controllerId,
    brokers: brokers
      .map(({ nodeId, standing, ...about }) => ({ id: nodeId, ...about, standing: standingOf(standing) }))
      .toSorted((a, b) => a.id - b.id),
    troubles: troubles.map(({ topic, partition, trouble, reason }) => ({ topic, partition, trouble, reason })),
    coordinators: coordinators
      .map(({ nodeId, standing, ...about }) => ({ id: nodeId, ...about, standing: coordinatorStanding(standing) }))
      .toSorted((a, b) => a.id - b.id),
  };
}

function coordinatorStanding(standing: CoordinatorStanding): CoordinatorReport['standing'] {
  switch (standing) {
    case CoordinatorStanding.REGISTERED:
      return 'registered';
    case CoordinatorStanding.SILENT:
      return 'silent';
    case CoordinatorStanding.LEAVING:
      return 'leaving';
    case CoordinatorStanding.UNSPECIFIED:
      return 'unknown';
  }
}

function standingOf(standing: BrokerStanding): BrokerReport['standing'] {
  switch (standing) {
    case BrokerStanding.ACTIVE:
      return 'active';
    case BrokerStanding.FENCED:
      return 'fenced';
    case BrokerStanding.LEAVING:
      return 'leaving';
    case BrokerStanding.ABSENT:
      return 'absent';
    case BrokerStanding.UNSPECIFIED:
      return 'unknown';
  }
}

const kinds = { preferred: ElectionType.PREFERRED, unclean: ElectionType.UNCLEAN } as const;

/** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST; what lasted when the deadline came. */
export async function electLeaders(
  routing: Routing,
  { kind, of }: ElectionRequest,
  options: ChangeOptions,
): Promise<readonly ElectionOutcome[]> {
  const topics = of === 'all' ? [] : of.map(({ topic, partitions }) => ({ topic, partitions: [...partitions] }));
  if (of !== 'all' && of.length === 0) return [];
  const { validateOnly = false, signal } = options;
  const call = adminCall(routing, 'Electing leaders', options);
  const answer = await routing.retry(call, async (attempt, deadlineMs) => {
    const request = { context: routing.context, electionType: kinds[kind], topics, validateOnly };
    try {
      return await routing.callOnce(methods.electLeaders, request, attempt, deadlineMs, signal);
    } catch (thrown) {
      throw finalIfUnknown(thrown);
    }
  });
  if (!validateOnly) {
    routing.changedAt(answer.revision);
    // Producers and consumers that are open already learn of them at once.
    routing.refresh();
  }
  const numberOf = (value: number): number | undefined => (value < 0 ? undefined : value);
  return answer.results.map(({ topic, partition, errorCode, errorMessage, leaderBefore, leader }) => ({
    topic,
    partition: numberOf(partition),
    leaderBefore: numberOf(leaderBefore),
    leader: numberOf(leader),
    error: errorCode === 0 ? undefined : TributaryError.fromAnswer(errorCode, errorMessage),
  }));
}
