// pure
/** What the metadata store holds, typed. One value per key; `state.proto` is its written form (M1). */
import type {
  BrokerEpoch,
  ClusterId,
  DirectoryId,
  IncarnationId,
  LeaderEpoch,
  NodeId,
  PartitionEpoch,
  PartitionIndex,
  TopicId,
  WriterEpoch,
} from '@tributary/model';

/** A value with the revisions at which its key was created and last written. */
export type Stored<T> = T & { readonly createRevision: bigint; readonly modRevision: bigint };

export interface ClusterInfo {
  readonly clusterId: ClusterId;
  /** Finalised cluster version (M7). */
  readonly version: number;
  /** Incremented by the operator's restore command (M6). */
  readonly restoreGeneration: number;
}

/** The active controller. Its create revision is the fence of all that it writes (M3). */
export interface ControllerInfo {
  readonly nodeId: NodeId;
  /** Of this candidacy; a node that is elected again has another. */
  readonly incarnationId: IncarnationId;
  readonly address: string;
}

/** A broker's own word, under its lease. Its create revision is the broker epoch. */
export interface RegistrationInfo {
  readonly nodeId: NodeId;
  readonly incarnationId: IncarnationId;
  readonly directoryId: DirectoryId;
  /** host:port of the advertised listener. */
  readonly address: string;
  readonly host: string;
  /** '' where none is configured. */
  readonly rack: string;
  readonly versionMin: number;
  readonly versionMax: number;
  /** The previous stop was unclean and the machine has restarted since (L1). */
  readonly lossy: boolean;
  readonly suspects: readonly PartitionName[];
  /** Dynamic settings that it was started with: they hold where the cluster has none. */
  readonly configs: Readonly<Record<string, string>>;
}

/** The controller's word on a registration (R6). */
export interface BrokerStatus {
  readonly nodeId: NodeId;
  /** The registration that this is about. */
  readonly brokerEpoch: BrokerEpoch;
  readonly incarnationId: IncarnationId;
  readonly directoryId: DirectoryId;
  readonly fenced: boolean;
  /** It is shutting down: neither elected nor let into an ISR. */
  readonly leaving: boolean;
}

/** A coordinator's own word, under its lease. Its create revision is the coordinator epoch. */
export interface CoordinatorInfo {
  readonly nodeId: NodeId;
  readonly incarnationId: IncarnationId;
  /** host:port at which GroupService is served. */
  readonly address: string;
  readonly host: string;
  /** '' where none is configured. */
  readonly rack: string;
  readonly versionMin: number;
  readonly versionMax: number;
}

/** Who coordinates the groups of one partition of `__consumer_offsets` (G1). The controller's word; its key stays for ever, so that epochs only rise. */
export interface GroupPartitionInfo {
  readonly partition: PartitionIndex;
  /** undefined: nobody. */
  readonly coordinator: NodeId | undefined;
  /** The registration that this is about; undefined: none. */
  readonly coordinatorEpoch: BrokerEpoch | undefined;
  /** Raised with every change of owner, also to nobody. */
  readonly writerEpoch: WriterEpoch;
}

/** Instead of a node id: the settings of all brokers. */
export const allBrokers = 'all';
export type ConfigScope = NodeId | typeof allBrokers;

/** Dynamic settings, checked. Those of one broker lie over those of all. */
export interface BrokerConfigsInfo {
  readonly scope: ConfigScope;
  readonly configs: Readonly<Record<string, string>>;
}

export interface PartitionName {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
}

/**
 * - `creating`: not shown; the controller, or its successor, writes the missing partitions, then `ready`.
 * - `ready`: until somebody deletes it. Where it has fewer keys of partitions than it says, they are being added.
 * - `deleting`: its name is free, its partitions' keys go; brokers remove their folders and confirm, then its key goes (M6).
 */
export type TopicPhase = 'creating' | 'ready' | 'deleting';

export interface TopicInfo {
  readonly topicId: TopicId;
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** What the user set, checked; the rest has defaults. */
  readonly configs: Readonly<Record<string, string>>;
  readonly phase: TopicPhase;
  /** While `deleting`: the folders whose removal is not yet confirmed. */
  readonly removingReplicas: readonly Replica[];
}

export interface Replica {
  readonly nodeId: NodeId;
  /** The data directory that holds it; a node with another one does not have this replica. */
  readonly directoryId: DirectoryId;
}

export type FlushPolicy = 'commit' | 'async';

export interface PartitionInfo extends PartitionName {
  /** undefined: none, see {@link leaderlessReason} of the controller. */
  readonly leader: NodeId | undefined;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  /** In order of preference. */
  readonly replicas: readonly Replica[];
  readonly isr: readonly NodeId[];
  readonly eligibleLeaderReplicas: readonly NodeId[];
  /** While ISR and ELR are empty or members were removed after a lossy stop: who had been members (R7). */
  readonly lastMembers: readonly NodeId[];
  readonly adding: readonly NodeId[];
  readonly removing: readonly NodeId[];
  readonly effectiveMinIsr: number;
  readonly effectiveFlushPolicy: FlushPolicy;
  /** Leader epoch of the last unclean election; undefined: none. */
  readonly uncleanEpoch: LeaderEpoch | undefined;
  readonly possibleLoss: boolean;
}

/** A replica's word that the folder of a deleted topic is gone (M6). */
export interface RemovalInfo {
  readonly topicId: TopicId;
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
}

/** Which key. */
export type Place =
  | { readonly kind: 'cluster' }
  | { readonly kind: 'controller' }
  | { readonly kind: 'registration'; readonly nodeId: NodeId }
  | { readonly kind: 'broker-status'; readonly nodeId: NodeId }
  | { readonly kind: 'coordinator-registration'; readonly nodeId: NodeId }
  | { readonly kind: 'group-partition'; readonly partition: PartitionIndex }
  | { readonly kind: 'broker-configs'; readonly scope: ConfigScope }
  | { readonly kind: 'topic'; readonly topicId: TopicId }
  | { readonly kind: 'topic-name'; readonly name: string }
  | { readonly kind: 'partition'; readonly topicId: TopicId; readonly partition: PartitionIndex }
  | { readonly kind: 'producer-ids' }
  | { readonly kind: 'removal'; readonly topicId: TopicId; readonly nodeId: NodeId };

/** A key's value; which key follows from it. */
export type Value =
  | { readonly kind: 'cluster'; readonly value: ClusterInfo }
  | { readonly kind: 'controller'; readonly value: ControllerInfo }
  | { readonly kind: 'registration'; readonly value: RegistrationInfo }
  | { readonly kind: 'broker-status'; readonly value: BrokerStatus }
  | { readonly kind: 'coordinator-registration'; readonly value: CoordinatorInfo }
  | { readonly kind: 'group-partition'; readonly value: GroupPartitionInfo }
  | { readonly kind: 'broker-configs'; readonly value: BrokerConfigsInfo }
  | { readonly kind: 'topic'; readonly value: TopicInfo }
  | { readonly kind: 'topic-name'; readonly value: { readonly name: string; readonly topicId: TopicId } }
  | { readonly kind: 'partition'; readonly value: PartitionInfo }
  | { readonly kind: 'producer-ids'; readonly value: { readonly nextId: bigint } }
  | { readonly kind: 'removal'; readonly value: RemovalInfo };

/** One key's change, as the image takes it. */
export type StateChange =
  | { readonly kind: 'put'; readonly value: Value; readonly createRevision: bigint; readonly modRevision: bigint }
  | { readonly kind: 'delete'; readonly place: Place };

/** What must still be so when a transaction commits. */
export type Expectation =
  | { readonly place: Place; readonly is: 'absent' }
  | { readonly place: Place; readonly is: 'created-at'; readonly revision: bigint }
  | { readonly place: Place; readonly is: 'modified-at'; readonly revision: bigint };

/** A transaction in typed form. */
export interface StateTransaction {
  readonly expect: readonly Expectation[];
  readonly put: readonly Value[];
  readonly delete: readonly Place[];
}
