// pure
/** What the controller makes of brokers that come and go (R6). Each sequence ends with the broker's status; a takeover begins it again. */
import { type BrokerEpoch, type NodeId, brokerEpoch } from '@tributary/model';
import type {
  BrokerImage,
  ClusterImage,
  Expectation,
  PartitionInfo,
  RegistrationInfo,
  Replica,
  Stored,
} from '@tributary/metadata';
import { type Candidates, type Verdict, admit, fence } from './leader-election.ts';
import { type Step, chunks } from './step.ts';

/** Lets one new registration in, or sees one broker out; [] when all brokers have the status that they should have. */
export function settleBrokers(image: ClusterImage, gone: ReadonlySet<NodeId>): readonly Step[] {
  for (const broker of image.brokers()) {
    const { registration, status } = broker;
    if (registration === undefined) {
      if (status !== undefined && !status.fenced && gone.has(broker.nodeId)) return seeOut(image, broker);
    } else if (status?.brokerEpoch !== epochIn(registration)) {
      return letIn(image, broker, registration);
    }
  }
  return [];
}

function letIn(image: ClusterImage, broker: BrokerImage, registration: Stored<RegistrationInfo>): readonly Step[] {
  const { nodeId, directoryId, incarnationId } = registration;
  // Decisions about this registration must not outlive it.
  const expectSame: Expectation = {
    place: { kind: 'registration', nodeId },
    is: 'created-at',
    revision: registration.createRevision,
  };
  const speaks = image.cluster === undefined || within(registration, image.cluster.version);
  const suspects = new Set(registration.suspects.map((each) => `${each.topicId}/${each.partition}`));
  const replica: Replica = { nodeId, directoryId };
  const candidates = candidatesIn(image);
  const after = (partition: PartitionInfo): PartitionInfo => {
    return admit(partition, replica, verdictOn(partition, registration, suspects), candidates);
  };
  const partitions = speaks ? changePartitions(image, after, `registration of broker ${nodeId}`, [expectSame]) : [];
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

function seeOut(image: ClusterImage, broker: BrokerImage): readonly Step[] {
  const { nodeId, status } = broker;
  if (status === undefined) return [];
  const expectGone: Expectation = { place: { kind: 'registration', nodeId }, is: 'absent' };
  const candidates = candidatesIn(image);
  const partitions = changePartitions(
    image,
    (partition) => fence(partition, nodeId, candidates),
    `loss of broker ${nodeId}`,
    [expectGone],
  );
  const last: Step = {
    why: `broker ${nodeId} fenced`,
    transaction: {
      expect: [expectGone, statusUnchanged(broker)],
      put: [{ kind: 'broker-status', value: { ...status, fenced: true } }],
      delete: [],
    },
  };
  return [...partitions, last];
}

function verdictOn(partition: PartitionInfo, registration: RegistrationInfo, suspects: ReadonlySet<string>): Verdict {
  const mine = partition.replicas.find((each) => each.nodeId === registration.nodeId);
  if (mine?.directoryId !== registration.directoryId) return 'other-directory';
  if (registration.lossy && partition.effectiveFlushPolicy === 'async') return 'lossy';
  return suspects.has(`${partition.topicId}/${partition.partition}`) ? 'suspect' : 'keeps';
}

function changePartitions(
  image: ClusterImage,
  after: (partition: PartitionInfo) => PartitionInfo,
  why: string,
  expect: readonly Expectation[],
): Step[] {
  const changes: { readonly before: Stored<PartitionInfo>; readonly after: PartitionInfo }[] = [];
  for (const before of image.partitions()) {
    // Its keys are about to go.
    if (image.topic(before.topicId)?.phase === 'deleting') continue;
    const next = after(before);
    if (next !== before) changes.push({ before, after: next });
  }
  return chunks(changes).map((part) => ({
    why: `${part.length} partitions change at the ${why}`,
    transaction: {
      expect: [...expect, ...part.map(({ before }) => unchanged(before))],
      put: part.map((change) => ({ kind: 'partition', value: change.after })),
      delete: [],
    },
  }));
}

export function candidatesIn(image: ClusterImage): Candidates {
  return {
    canLead: ({ nodeId, directoryId }) => {
      const broker = image.broker(nodeId);
      const epoch = broker?.registration === undefined ? undefined : epochIn(broker.registration);
      return (
        broker?.status?.fenced === false &&
        broker.status.brokerEpoch === epoch &&
        broker.registration?.directoryId === directoryId
      );
    },
    isFenced: (nodeId) => image.broker(nodeId)?.status?.fenced ?? true,
    directoryOf: (nodeId) => image.broker(nodeId)?.registration?.directoryId,
  };
}

const epochIn = (registration: Stored<RegistrationInfo>): BrokerEpoch => brokerEpoch(registration.createRevision);

const within = (registration: RegistrationInfo, version: number): boolean => {
  return registration.versionMin <= version && version <= registration.versionMax;
};

const unchanged = ({ topicId, partition, modRevision }: Stored<PartitionInfo>): Expectation => {
  return { place: { kind: 'partition', topicId, partition }, is: 'modified-at', revision: modRevision };
};

function statusUnchanged({ nodeId, status }: BrokerImage): Expectation {
  const place = { kind: 'broker-status', nodeId } as const;
  return status === undefined ? { place, is: 'absent' } : { place, is: 'modified-at', revision: status.modRevision };
}
