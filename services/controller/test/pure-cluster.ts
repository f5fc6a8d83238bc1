import assert from 'node:assert/strict';
import {
  type BrokerImage,
  type Expectation,
  type PartitionInfo,
  type Place,
  type RegistrationInfo,
  type StateTransaction,
  type Stored,
  type TopicInfo,
  ClusterImage,
  metadataKeys,
  placeOf,
} from '@tributary/metadata';
import {
  type BrokerEpoch,
  type NodeId,
  type TopicId,
  brokerEpoch,
  clusterId,
  directoryId,
  incarnationId,
  limits,
  nodeId,
  partitionIndex,
  topicId,
} from '@tributary/model';
import type { Losses } from '../src/brokers.ts';
import { type CoordinatorLosses, noCoordinatorLosses } from '../src/coordinators.ts';
import { type ControllerEvent, decide } from '../src/decide.ts';
import { type Proposal, judgeProposals } from '../src/isr-proposals.ts';
import type { Step } from '../src/step.ts';
import type { TopicDefaults } from '../src/topic-defaults.ts';
import type { NewTopic } from '../src/topics.ts';

/** Of every test's store. */
export const keys = metadataKeys('test');

export const defaults: TopicDefaults = { partitions: 1, replicationFactor: 1, minInsyncReplicas: 1 };

/** A cluster without a store: decisions are committed to the image at once, under the store's rules. */
export class PureCluster {
  image = ClusterImage.empty;
  readonly committed: Step[] = [];
  readonly defaults: TopicDefaults;
  readonly #gone = new Set<NodeId>();
  readonly #dead = new Map<NodeId, BrokerEpoch>();

  constructor(given: TopicDefaults = defaults) {
    this.defaults = given;
  }

  /** @throws when an expectation does not hold, or it is more than the store takes at once. */
  commit({ expect, put, delete: deletes }: StateTransaction): void {
    // One comparison more is the fence.
    assert.ok(
      expect.length + 1 <= limits.transactionOperations && put.length + deletes.length <= limits.transactionOperations,
    );
    for (const expectation of expect) assert.ok(holds(this.image, expectation), JSON.stringify(expectation, plain));
    const revision = this.image.revision + 1n;
    const puts = put.map((value) => {
      const createRevision = revisionsAt(this.image, placeOf(value))?.createRevision ?? revision;
      return { kind: 'put', value, createRevision, modRevision: revision } as const;
    });
    this.image = this.image.apply(revision, [
      ...puts,
      ...deletes.map((place) => ({ kind: 'delete', place }) as const),
    ]).image;
  }

  /** Decides and commits. @returns the steps. */
  handle(event: ControllerEvent): readonly Step[] {
    const steps = decide(this.image, event);
    for (const step of steps) {
      this.commit(step.transaction);
      this.committed.push(step);
    }
    return steps;
  }

  /** Set by tests. */
  coordinatorLosses: CoordinatorLosses = noCoordinatorLosses;

  get losses(): Losses {
    return { gone: this.#gone, dead: this.#dead };
  }

  reconcileEvent(): ControllerEvent {
    return {
      kind: 'reconcile',
      freshClusterId: clusterId('cluster-1'),
      losses: this.losses,
      coordinators: this.coordinatorLosses,
      reconfigured: 'all',
      defaults: this.defaults,
    };
  }

  /** All that the image calls for, until it is at rest. */
  settle(): readonly Step[] {
    const steps: Step[] = [];
    for (let rounds = 0; ; rounds++) {
      assert.ok(rounds < 1_000, 'it comes to rest');
      const more = this.handle(this.reconcileEvent());
      if (more.length === 0) return steps;
      steps.push(...more);
    }
  }

  register(id: number, more: Partial<RegistrationInfo> = {}): void {
    const place: Place = { kind: 'registration', nodeId: nodeId(id) };
    if (this.image.broker(nodeId(id))?.registration !== undefined)
      this.commit({ expect: [], put: [], delete: [place] });
    this.commit({
      expect: [{ place, is: 'absent' }],
      put: [{ kind: 'registration', value: registration(id, more) }],
      delete: [],
    });
    this.#gone.delete(nodeId(id));
  }

  /** Its lease has run out, and the controller has seen it. */
  lose(id: number): void {
    this.commit({ expect: [], put: [], delete: [{ kind: 'registration', nodeId: nodeId(id) }] });
    this.#gone.add(nodeId(id));
  }

  /** Its lease has run out, and nobody calls that a death. */
  vanish(id: number): void {
    this.commit({ expect: [], put: [], delete: [{ kind: 'registration', nodeId: nodeId(id) }] });
  }

  /** Its registration lives; the controller takes it to be dead. */
  declareDead(id: number): void {
    this.#dead.set(nodeId(id), this.epoch(id));
    this.#gone.add(nodeId(id));
  }

  epoch(id: number): BrokerEpoch {
    return brokerEpoch(this.broker(id).registration?.createRevision ?? 0n);
  }

  /** What broker `id` proposes of partition 0, as of the state that there is. @returns the verdict's kind or error. */
  propose(id: number, topic: TopicId, isr: readonly number[], more: Partial<Proposal> = {}): string {
    return this.proposeAt(id, topic, 0, isr, more);
  }

  proposeAt(id: number, topic: TopicId, index: number, isr: readonly number[], more: Partial<Proposal> = {}): string {
    const { leaderEpoch, partitionEpoch } = this.partition(topic, index);
    const members = isr.map((each) => ({ nodeId: nodeId(each), brokerEpoch: this.epoch(each) }));
    const proposal = {
      topicId: topic,
      partition: partitionIndex(index),
      leaderEpoch,
      partitionEpoch,
      isr: members,
      ...more,
    };
    const judged = judgeProposals(this.image, { nodeId: nodeId(id), brokerEpoch: this.epoch(id) }, [proposal]);
    this.handle({ kind: 'change-isr', judged });
    const [verdict] = judged.verdicts;
    return verdict?.kind === 'refused' ? verdict.error : (verdict?.kind ?? 'none');
  }

  leave(id: number): readonly Step[] {
    return this.handle({ kind: 'leave', nodeId: nodeId(id), brokerEpoch: this.epoch(id) });
  }

  elect(election: 'preferred' | 'unclean', topic: TopicId, partitions: readonly number[] = [0]): readonly Step[] {
    const names = partitions.map((each) => ({ topicId: topic, partition: partitionIndex(each) }));
    return this.handle({ kind: 'elect-leaders', election, names, losses: this.losses, defaults: this.defaults });
  }

  /** Registered and let in. */
  join(id: number, more: Partial<RegistrationInfo> = {}): readonly Step[] {
    this.register(id, more);
    return this.settle();
  }

  create(name: string, wish: Partial<NewTopic> = {}): TopicId {
    const topic: NewTopic = {
      topicId: topicId(`id-${name}`),
      name,
      partitions: 0,
      replicationFactor: 0,
      configs: {},
      ...wish,
    };
    this.handle({ kind: 'create-topic', topic, defaults: this.defaults });
    this.settle();
    return topic.topicId;
  }

  confirmRemoval(id: TopicId, node: number, directory = `directory-${node}`): void {
    const value = { topicId: id, nodeId: nodeId(node), directoryId: directoryId(directory) };
    this.commit({ expect: [], put: [{ kind: 'removal', value }], delete: [] });
  }

  partition(id: TopicId, index = 0): Stored<PartitionInfo> {
    const found = this.image.partition(id, partitionIndex(index));
    assert.ok(found !== undefined);
    return found;
  }

  topic(id: TopicId): Stored<TopicInfo> {
    const found = this.image.topic(id);
    assert.ok(found !== undefined);
    return found;
  }

  broker(id: number): BrokerImage {
    const found = this.image.broker(nodeId(id));
    assert.ok(found !== undefined);
    return found;
  }
}

export function registration(id: number, more: Partial<RegistrationInfo> = {}): RegistrationInfo {
  return {
    nodeId: nodeId(id),
    incarnationId: incarnationId(`incarnation-${id}`),
    directoryId: directoryId(`directory-${id}`),
    address: `broker-${id}:9095`,
    host: `host-${id}`,
    rack: '',
    versionMin: 1,
    versionMax: 1,
    lossy: false,
    suspects: [],
    configs: {},
    ...more,
  };
}

/** Leader, its epoch and the ISR, for comparison in one line. */
export function leadership({ leader, leaderEpoch, isr, eligibleLeaderReplicas }: PartitionInfo): string {
  const elr = eligibleLeaderReplicas.length === 0 ? '' : ` elr ${eligibleLeaderReplicas.join(',')}`;
  return `leader ${leader ?? 'none'} epoch ${leaderEpoch} isr ${isr.join(',')}${elr}`;
}

function holds(image: ClusterImage, expectation: Expectation): boolean {
  const revisions = revisionsAt(image, expectation.place);
  switch (expectation.is) {
    case 'absent':
      return revisions === undefined;
    case 'created-at':
      return revisions?.createRevision === expectation.revision;
    case 'modified-at':
      return revisions?.modRevision === expectation.revision;
  }
}

type Revisions = { readonly createRevision: bigint; readonly modRevision: bigint };

function revisionsAt(image: ClusterImage, place: Place): Revisions | undefined {
  switch (place.kind) {
    case 'cluster':
      return image.cluster;
    case 'controller':
      return image.controller;
    case 'registration':
      return image.broker(place.nodeId)?.registration;
    case 'broker-status':
      return image.broker(place.nodeId)?.status;
    case 'coordinator-registration':
      return image.coordinator(place.nodeId);
    case 'group-partition':
      return image.groupPartition(place.partition);
    case 'broker-configs':
      return image.configsSet(place.scope);
    case 'topic':
      return image.topic(place.topicId);
    case 'topic-name':
      // The image does not keep the name's own revisions; only its absence is ever expected.
      return image.topicNamed(place.name);
    case 'partition':
      return image.partition(place.topicId, place.partition);
    case 'producer-ids':
      return image.producerIds;
    case 'removal':
      return image.removalsOf(place.topicId).get(place.nodeId);
  }
}

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
