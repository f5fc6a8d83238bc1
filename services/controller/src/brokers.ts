// pure
/** What the controller makes of brokers that come, leave and go (R6, R10). Each sequence ends with the broker's status; a takeover begins it again. */
import { type BrokerEpoch, type NodeId, TributaryError, brokerEpoch } from '@tributary/model';
import type {
  BrokerImage,
  ClusterImage,
  Expectation,
  PartitionInfo,
  RegistrationInfo,
  Replica,
  Stored,
} from '@tributary/metadata';
import { type Candidates, type Verdict, admit, depart, fence } from './leader-election.ts';
import { type Grounds, changesOf, partitionSteps } from './partition-changes.ts';
import type { PartitionReason, Step } from './step.ts';
import { type TopicDefaults, mayLose } from './topic-defaults.ts';

/** What the controller knows of brokers beside the image. */
export interface Losses {
  /** Brokers whose absence is a death (M5). */
  readonly gone: ReadonlySet<NodeId>;
  /** Registrations, by their epoch, that are there although their broker is dead (R10). */
  readonly dead: ReadonlyMap<NodeId, BrokerEpoch>;
}

export const noLosses: Losses = { gone: new Set(), dead: new Map() };

/** Sees one broker out, or one new registration in, or hands over what one leaves; [] when all brokers have the status that they should have. */
export function settleBrokers(image: ClusterImage, losses: Losses, defaults: TopicDefaults): readonly Step[] {
  const candidates = candidatesIn(image, losses, defaults);
  const brokers = [...image.brokers()];
  // Somebody waits for the leaders that a death calls for.
  for (const broker of brokers) {
    const { nodeId, registration, status } = broker;
    if (registration === undefined) {
      if (status !== undefined && !status.fenced && losses.gone.has(nodeId)) return seeOut(image, broker, candidates);
    } else if (losses.dead.get(nodeId) === epochIn(registration)) {
      return seeOut(image, broker, candidates);
    }
  }
  for (const broker of brokers) {
    const { registration, status } = broker;
    if (registration !== undefined && status?.brokerEpoch !== epochIn(registration))
      return letIn(image, broker, registration, candidates);
  }
  for (const broker of brokers) {
    const steps = handOver(image, broker, candidates);
    if (steps.length > 0) return steps;
  }
  return [];
}

function letIn(
  image: ClusterImage,
  broker: BrokerImage,
  registration: Stored<RegistrationInfo>,
  candidates: Candidates,
): readonly Step[] {
  const { nodeId, directoryId, incarnationId } = registration;
  // Decisions about this registration must not outlive it.
  const expectSame = registrationStays(registration);
  const speaks = image.cluster === undefined || within(registration, image.cluster.version);
  const suspects = new Set(registration.suspects.map((each) => `${each.topicId}/${each.partition}`));
  const replica: Replica = { nodeId, directoryId };
  const after = (partition: PartitionInfo): PartitionInfo => {
    // What its previous incarnation led, it leads no more (R6), and this one may not.
    if (!speaks) return fence(partition, nodeId, candidates);
    return admit(partition, replica, verdictOn(partition, registration, suspects), candidates);
  };
  const why = `registration of broker ${nodeId}`;
  const partitions = changePartitions(image, nodeId, after, why, 'broker-registered', expectSame);
  if (broker.status?.fenced === true && partitions.some(isElected(nodeId))) return [toBeMissed(broker, expectSame)];
  const status = {
    nodeId,
    directoryId,
    incarnationId,
    brokerEpoch: epochIn(registration),
    // A version that it does not speak keeps it out (M7).
    fenced: !speaks,
    leaving: false,
  };
  const last: Step = {
    why: speaks ? `broker ${nodeId} unfenced` : `broker ${nodeId} kept out: it does not speak the cluster's version`,
    transaction: {
      expect: [expectSame, statusUnchanged(broker)],
      put: [{ kind: 'broker-status', value: status }],
      delete: [],
    },
  };
  return [...partitions, last];
}

/** Of a fenced one nobody takes notice when it goes: before it leads anything it counts as one that was in, registered anew, and was not let in yet. */
function toBeMissed(broker: BrokerImage, expectSame: Expectation): Step {
  const { nodeId, status } = broker;
  return {
    why: `broker ${nodeId} about to lead`,
    transaction: {
      expect: [expectSame, statusUnchanged(broker)],
      put: status === undefined ? [] : [{ kind: 'broker-status', value: { ...status, fenced: false, leaving: false } }],
      delete: [],
    },
  };
}

const isElected =
  (node: NodeId) =>
  ({ transaction }: Step): boolean =>
    transaction.put.some((value) => value.kind === 'partition' && value.value.leader === node);

/** A registration that is still there goes with the last step: a broker that was alive after all finds out, and registers anew. */
function seeOut(image: ClusterImage, broker: BrokerImage, candidates: Candidates): readonly Step[] {
  const { nodeId, registration, status } = broker;
  const place = { kind: 'registration', nodeId } as const;
  const expectSame: Expectation =
    registration === undefined ? { place, is: 'absent' } : registrationStays(registration);
  const after = (partition: PartitionInfo): PartitionInfo => fence(partition, nodeId, candidates);
  const partitions = changePartitions(image, nodeId, after, `loss of broker ${nodeId}`, 'broker-lost', expectSame);
  const last: Step = {
    why: `broker ${nodeId} fenced`,
    transaction: {
      expect: [expectSame, statusUnchanged(broker)],
      put: status === undefined ? [] : [{ kind: 'broker-status', value: { ...status, fenced: true } }],
      delete: registration === undefined ? [] : [place],
    },
  };
  return [...partitions, last];
}

/** What a leaving broker leads goes to others, and it out of the ISRs that are large enough without it. */
function handOver(image: ClusterImage, { nodeId, registration, status }: BrokerImage, candidates: Candidates): Step[] {
  if (registration === undefined || status?.leaving !== true || status.fenced) return [];
  const after = (partition: PartitionInfo): PartitionInfo => depart(partition, nodeId, candidates);
  const why = `leaving of broker ${nodeId}`;
  return changePartitions(image, nodeId, after, why, 'broker-leaving', registrationStays(registration));
}

/**
 * A broker says that it is about to stop. [] when that is known. It holds for the registration: another one is another life.
 * @throws TributaryError, see {@link registrationOf}.
 */
export function leave(image: ClusterImage, node: NodeId, epoch: BrokerEpoch): readonly Step[] {
  const registration = registrationOf(image, node, epoch);
  const broker = image.broker(node);
  // Not let in yet: it leads nothing.
  if (broker?.status?.brokerEpoch !== epoch || broker.status.leaving) return [];
  const { createRevision: _created, modRevision: _modified, ...status } = broker.status;
  return [
    {
      why: `broker ${node} leaving`,
      transaction: {
        expect: [registrationStays(registration), statusUnchanged(broker)],
        put: [{ kind: 'broker-status', value: { ...status, leaving: true } }],
        delete: [],
      },
    },
  ];
}

/** What a leaving broker still leads. */
export interface LeavingShare {
  /** And somebody else could. */
  readonly toMove: number;
  /** And nobody else can. */
  readonly withoutSuccessor: number;
}

export function leavingShare(image: ClusterImage, node: NodeId, losses: Losses, defaults: TopicDefaults): LeavingShare {
  const candidates = candidatesIn(image, losses, defaults);
  let [toMove, withoutSuccessor] = [0, 0];
  for (const partition of image.partitions()) {
    if (partition.leader !== node || image.topic(partition.topicId)?.phase === 'deleting') continue;
    if (depart(partition, node, candidates).leader === node) withoutSuccessor++;
    else toMove++;
  }
  return { toMove, withoutSuccessor };
}

function verdictOn(partition: PartitionInfo, registration: RegistrationInfo, suspects: ReadonlySet<string>): Verdict {
  const mine = partition.replicas.find((each) => each.nodeId === registration.nodeId);
  if (mine?.directoryId !== registration.directoryId) return 'other-directory';
  if (registration.lossy && partition.effectiveFlushPolicy === 'async') return 'lossy';
  return suspects.has(`${partition.topicId}/${partition.partition}`) ? 'suspect' : 'keeps';
}

/** @param expect how the registration of that broker must be. */
function changePartitions(
  image: ClusterImage,
  node: NodeId,
  after: (partition: PartitionInfo) => PartitionInfo,
  why: string,
  reason: PartitionReason,
  expect: Expectation,
): Step[] {
  const steps = (count: number): string => `${count} partitions change at the ${why}`;
  const changes = changesOf(livePartitions(image), after);
  return partitionSteps(changes, steps, reason, [expect], electedStay(image, node));
}

/** Whoever is elected must still be who it was when it was chosen (R6). @param known whose registration is compared anyway. */
export function electedStay(image: ClusterImage, known?: NodeId): Grounds {
  return {
    brokersOf: ({ before, after }) =>
      after.leader === undefined || after.leader === known || after.leaderEpoch === before.leaderEpoch
        ? []
        : [after.leader],
    expect: (node) => {
      const registration = image.broker(node)?.registration;
      return registration === undefined ? [] : [registrationStays(registration)];
    },
  };
}

/** Without those whose keys are about to go. */
export function* livePartitions(image: ClusterImage): Generator<Stored<PartitionInfo>> {
  for (const partition of image.partitions()) if (image.topic(partition.topicId)?.phase !== 'deleting') yield partition;
}

export function candidatesIn(image: ClusterImage, losses: Losses, defaults: TopicDefaults): Candidates {
  return {
    canLead: (replica) => canLead(image, losses, replica),
    isFenced: (nodeId) => image.broker(nodeId)?.status?.fenced ?? true,
    directoryOf: (nodeId) => image.broker(nodeId)?.registration?.directoryId,
    mayLose: (topicId) => {
      const topic = image.topic(topicId);
      return topic !== undefined && mayLose(image, topic, defaults);
    },
  };
}

/** Registered with that directory, let in, not leaving, and not known to be dead. */
export function canLead(image: ClusterImage, losses: Losses, { nodeId, directoryId }: Replica): boolean {
  const { registration, status } = image.broker(nodeId) ?? {};
  if (registration === undefined || registration.directoryId !== directoryId) return false;
  const epoch = epochIn(registration);
  const isIn = status?.fenced === false && status.brokerEpoch === epoch && !status.leaving;
  return isIn && losses.dead.get(nodeId) !== epoch;
}

/** @throws TributaryError BROKER_ID_NOT_REGISTERED; STALE_BROKER_EPOCH where it is registered in another epoch. */
export function registrationOf(image: ClusterImage, node: NodeId, epoch: bigint): Stored<RegistrationInfo> {
  const registration = image.broker(node)?.registration;
  if (registration === undefined)
    throw new TributaryError('BROKER_ID_NOT_REGISTERED', `Broker ${node} is not registered.`);
  if (registration.createRevision === epoch) return registration;
  throw new TributaryError(
    'STALE_BROKER_EPOCH',
    `Broker ${node} speaks of epoch ${epoch}; its registration has epoch ${registration.createRevision}.`,
  );
}

const registrationStays = ({ nodeId, createRevision }: Stored<RegistrationInfo>): Expectation => {
  return { place: { kind: 'registration', nodeId }, is: 'created-at', revision: createRevision };
};

const epochIn = (registration: Stored<RegistrationInfo>): BrokerEpoch => brokerEpoch(registration.createRevision);

const within = (registration: RegistrationInfo, version: number): boolean => {
  return registration.versionMin <= version && version <= registration.versionMax;
};

function statusUnchanged({ nodeId, status }: BrokerImage): Expectation {
  const place = { kind: 'broker-status', nodeId } as const;
  return status === undefined ? { place, is: 'absent' } : { place, is: 'modified-at', revision: status.modRevision };
}
