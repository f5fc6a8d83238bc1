import assert from 'node:assert/strict';
import type { CoordinatorInfo, Place } from '@tributary/metadata';
import {
  type BrokerEpoch,
  type NodeId,
  brokerEpoch,
  incarnationId,
  nodeId,
  offsetsTopicName,
  partitionIndex,
} from '@tributary/model';
import { PureCluster } from './pure-cluster.ts';

function coordinatorInfo(id: number, more: Partial<CoordinatorInfo> = {}): CoordinatorInfo {
  return {
    nodeId: nodeId(id),
    incarnationId: incarnationId(`coordinator-${id}`),
    address: `coordinator-${id}:9097`,
    host: `host-${id}`,
    rack: '',
    versionMin: 1,
    versionMax: 1,
    ...more,
  };
}

/** A broker, `__consumer_offsets`, and whichever coordinators a test registers. */
export class PureGroups extends PureCluster {
  readonly #dead = new Map<NodeId, BrokerEpoch>();
  readonly #leaving = new Map<NodeId, BrokerEpoch>();
  readonly #awaited = new Set<NodeId>();

  constructor(partitions: number) {
    super();
    this.join(1);
    this.create(offsetsTopicName, { partitions });
    this.coordinatorLosses = { dead: this.#dead, leaving: this.#leaving, awaited: this.#awaited };
  }

  /** Under a new epoch, whatever was registered before. */
  comes(id: number, more: Partial<CoordinatorInfo> = {}): void {
    if (this.image.coordinator(nodeId(id)) !== undefined) this.#delete(id);
    const value = coordinatorInfo(id, more);
    this.commit({
      expect: [{ place: place(id), is: 'absent' }],
      put: [{ kind: 'coordinator-registration', value }],
      delete: [],
    });
    this.#awaited.delete(nodeId(id));
  }

  /** Its registration is gone. @param isAwaited which is no death yet (M5). */
  goes(id: number, isAwaited = false): void {
    this.#delete(id);
    if (isAwaited) this.#awaited.add(nodeId(id));
  }

  graceEnds(id: number): void {
    this.#awaited.delete(nodeId(id));
  }

  /** Its registration lives; the controller takes it to be dead. */
  dies(id: number): void {
    this.#dead.set(nodeId(id), this.coordinatorEpoch(id));
  }

  saysLeaving(id: number): void {
    this.#leaving.set(nodeId(id), this.coordinatorEpoch(id));
  }

  coordinatorEpoch(id: number): BrokerEpoch {
    const found = this.image.coordinator(nodeId(id));
    assert.ok(found !== undefined);
    return brokerEpoch(found.createRevision);
  }

  isRegistered(id: number): boolean {
    return this.image.coordinator(nodeId(id)) !== undefined;
  }

  /** Of each partition in order: node, its epoch and the writer epoch. */
  get assignments() {
    const { partitions = 0 } = this.image.topicNamed(offsetsTopicName) ?? {};
    return Array.from({ length: partitions }, (_, i) => {
      const { coordinator, coordinatorEpoch, writerEpoch = 0n } = this.image.groupPartition(partitionIndex(i)) ?? {};
      return { coordinator, coordinatorEpoch, writerEpoch };
    });
  }

  /** Node ids, '-' for nobody. */
  get owners(): string {
    return this.assignments.map(({ coordinator }) => coordinator ?? '-').join(' ');
  }

  #delete(id: number): void {
    this.commit({ expect: [], put: [], delete: [place(id)] });
  }
}

const place = (id: number): Place => ({ kind: 'coordinator-registration', nodeId: nodeId(id) });
