/** One partition through anything that can befall its brokers, beside a model of who holds what was acknowledged. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PartitionInfo, Replica } from '@tributary/metadata';
import {
  type NodeId,
  directoryId,
  leaderEpoch,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
} from '@tributary/model';
import fc from 'fast-check';
import { type Candidates, type Verdict, admit, fence } from '../src/leader-election.ts';

type Step =
  | { readonly kind: 'gone'; readonly node: number }
  | { readonly kind: 'back'; readonly node: number; readonly as: Exclude<Verdict, 'other-directory'> }
  | { readonly kind: 'new disk'; readonly node: number }
  | { readonly kind: 'old disk'; readonly node: number }
  /** The leader takes a caught-up follower into the ISR. */
  | { readonly kind: 'rejoin'; readonly node: number }
  /** A record is acknowledged, if the partition can. */
  | { readonly kind: 'acknowledge' };

const nodes = [1, 2, 3].map((id) => nodeId(id));
const someNode = fc.integer({ min: 1, max: 3 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('gone' as const), node: someNode }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('back' as const), node: someNode, as: fc.constant('keeps' as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('back' as const),
      node: someNode,
      as: fc.constantFrom('suspect' as const, 'lossy' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('new disk' as const, 'old disk' as const), node: someNode }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('rejoin' as const), node: someNode }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'acknowledge' as const }) },
);

/** The brokers and their disks. */
class Model implements Candidates {
  readonly policy: 'commit' | 'async';
  partition: PartitionInfo;
  acknowledged = 0;
  readonly mayLose = (): boolean => false;
  #disks = 0;
  readonly #up = new Map<NodeId, boolean>(nodes.map((node) => [node, true]));
  readonly #directory = new Map<NodeId, string>(nodes.map((node) => [node, `first-${node}`]));
  /** Records that a directory holds without a gap. */
  readonly #holds = new Map<string, number>(nodes.map((node) => [`first-${node}`, 0]));
  /** A suspect or lossy stop happened where nobody else had the data: what is then served may lack some, and says so elsewhere. */
  excused = false;

  constructor(policy: 'commit' | 'async', effectiveMinIsr: number) {
    this.policy = policy;
    this.partition = {
      topicId: topicId('t'),
      partition: partitionIndex(0),
      leader: nodes[0],
      leaderEpoch: leaderEpoch(0),
      partitionEpoch: partitionEpoch(0),
      replicas: nodes.map((node) => ({ nodeId: node, directoryId: directoryId(`first-${node}`) })),
      isr: nodes,
      eligibleLeaderReplicas: [],
      lastMembers: [],
      adding: [],
      removing: [],
      effectiveMinIsr,
      effectiveFlushPolicy: policy,
      uncleanEpoch: undefined,
      possibleLoss: false,
    };
  }

  canLead({ nodeId: node, directoryId: directory }: Replica): boolean {
    return this.#up.get(node) === true && this.#directory.get(node) === directory;
  }

  isFenced(node: NodeId): boolean {
    return this.#up.get(node) !== true;
  }

  directoryOf(node: NodeId): Replica['directoryId'] | undefined {
    return this.#up.get(node) === true ? directoryId(this.#directory.get(node) ?? '') : undefined;
  }

  holdings(node: NodeId): number {
    return this.#holds.get(this.#directory.get(node) ?? '') ?? 0;
  }

  take(step: Step): void {
    switch (step.kind) {
      case 'gone':
        this.#up.set(nodeId(step.node), false);
        this.#become(fence(this.partition, nodeId(step.node), this));
        return;
      case 'back':
        this.#back(nodeId(step.node), step.as);
        return;
      case 'new disk':
      case 'old disk':
        this.#changeDisk(nodeId(step.node), step.kind === 'new disk' ? `disk-${++this.#disks}` : `first-${step.node}`);
        return;
      case 'rejoin':
        this.#rejoin(nodeId(step.node));
        return;
      case 'acknowledge':
        this.#acknowledge();
        return;
    }
  }

  #changeDisk(node: NodeId, directory: string): void {
    this.#directory.set(node, directory);
    if (!this.#holds.has(directory)) this.#holds.set(directory, 0);
    this.#back(node, 'keeps');
  }

  #back(node: NodeId, as: Exclude<Verdict, 'other-directory'>): void {
    this.#up.set(node, false);
    const directory = this.#directory.get(node) ?? '';
    const replica = { nodeId: node, directoryId: directoryId(directory) };
    const assigned = this.partition.replicas.find((each) => each.nodeId === node)?.directoryId;
    const lossy = as === 'lossy' && this.policy === 'async';
    const verdict: Verdict =
      assigned !== replica.directoryId ? 'other-directory' : lossy ? 'lossy' : as === 'suspect' ? 'suspect' : 'keeps';
    // Both may have lost what they had not made durable.
    if (verdict === 'suspect' || verdict === 'lossy') this.#holds.set(directory, Math.max(0, this.holdings(node) - 1));
    const next = admit(this.partition, replica, verdict, this);
    if (next.leader === node && (verdict === 'suspect' || verdict === 'lossy')) this.excused = true;
    this.#up.set(node, true);
    this.#become(next);
  }

  #rejoin(node: NodeId): void {
    const { leader, isr, replicas, effectiveMinIsr, eligibleLeaderReplicas } = this.partition;
    const replica = replicas.find((each) => each.nodeId === node);
    if (leader === undefined || replica === undefined || isr.includes(node) || !this.canLead(replica)) return;
    this.#holds.set(replica.directoryId, this.holdings(leader));
    const joined = [...isr, node];
    const elr = eligibleLeaderReplicas.filter((each) => each !== node);
    this.#become({
      ...this.partition,
      isr: joined,
      eligibleLeaderReplicas: joined.length >= effectiveMinIsr ? [] : elr,
      partitionEpoch: partitionEpoch(this.partition.partitionEpoch + 1),
    });
  }

  #acknowledge(): void {
    const { leader, isr, effectiveMinIsr } = this.partition;
    if (leader === undefined || isr.length < effectiveMinIsr || this.excused) return;
    if (!isr.every((node) => this.#up.get(node) === true)) return;
    this.acknowledged++;
    for (const node of isr) this.#holds.set(this.#directory.get(node) ?? '', this.acknowledged);
  }

  #become(next: PartitionInfo): void {
    const before = this.partition;
    this.partition = next;
    if (next === before) return;
    assert.equal(next.partitionEpoch, before.partitionEpoch + 1, 'each change has its partition epoch');
    if (next.leader !== before.leader)
      assert.equal(next.leaderEpoch, before.leaderEpoch + 1, 'another leader has another epoch');
    assert.ok(next.leaderEpoch >= before.leaderEpoch);
    this.#checkMembers();
    if (next.leader !== undefined && next.leaderEpoch > before.leaderEpoch) this.#checkElected(next.leader);
  }

  #checkMembers(): void {
    const { leader, isr, eligibleLeaderReplicas: elr, replicas, effectiveMinIsr, lastMembers } = this.partition;
    if (leader !== undefined) assert.ok(isr.includes(leader), 'the leader is in sync with itself');
    assert.ok(isr.every((node) => !elr.includes(node)));
    for (const node of [...isr, ...elr]) assert.ok(replicas.some((each) => each.nodeId === node));
    if (elr.length > 0 && leader !== undefined)
      assert.ok(isr.length < effectiveMinIsr, 'R5: with enough in sync nobody else is eligible');
    assert.ok(isr.length + elr.length + lastMembers.length > 0, 'it is always known who has the data');
  }

  #checkElected(leader: NodeId): void {
    assert.equal(this.#up.get(leader), true, 'a leader is there');
    if (this.policy === 'commit')
      assert.equal(this.partition.uncleanEpoch, undefined, 'no unclean election that nobody allowed');
    if (this.partition.uncleanEpoch === this.partition.leaderEpoch) this.excused = true;
    if (!this.excused) assert.equal(this.holdings(leader), this.acknowledged, 'a leader has all that was acknowledged');
  }
}

describe('elections', () => {
  for (const policy of ['commit', 'async'] as const) {
    test(`of a partition with flush.policy=${policy}: whoever leads has all that was acknowledged, or the loss is on record`, () => {
      let [elected, leaderless, excused] = [0, 0, 0];
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 3 }),
          fc.array(anyStep, { minLength: 15, maxLength: 40, size: 'max' }),
          (minIsr, steps) => {
            const model = new Model(policy, minIsr);
            for (const step of steps) model.take(step);
            elected += model.partition.leaderEpoch;
            if (model.partition.leader === undefined) leaderless++;
            if (model.excused) excused++;
          },
        ),
        { numRuns: 3_000 },
      );
      assert.ok(
        elected > 3_000 && leaderless > 100 && excused > 10,
        `${elected} elections, ${leaderless} without a leader, ${excused} excused`,
      );
    });
  }

  test('once every broker is back with its disk, the partition has a leader', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(
          anyStep.filter((step) => step.kind !== 'new disk' && !(step.kind === 'back' && step.as === 'lossy')),
          { minLength: 10, maxLength: 30, size: 'max' },
        ),
        (minIsr, steps) => {
          const model = new Model('commit', minIsr);
          for (const step of steps) model.take(step);
          for (const node of [1, 2, 3]) model.take({ kind: 'back', node, as: 'keeps' });
          assert.notEqual(model.partition.leader, undefined);
        },
      ),
    );
  });
});
