/** Planted bugs that only several brokers and controllers can show. */
import type { Mutation } from './list.ts';

type Planted = Omit<Mutation, 'story'>;

const planted: readonly Planted[] = [
  {
    name: 'truncate by the high watermark',
    rule: 'R2',
    file: 'services/broker/src/replication/follower-stream.ts',
    find: "    if (wire === undefined || this.#wire !== wire || !this.#replicas.has(replica) || replica.state !== 'detached')\n      return;\n",
    replace:
      "    if (wire === undefined || this.#wire !== wire || !this.#replicas.has(replica) || replica.state !== 'detached')\n      return;\n    await replica.partition.cut(replica.term, replica.partition.highWatermark);\n",
  },
  {
    name: 'a follower acknowledges before it has flushed',
    rule: 'L2',
    file: 'services/broker/src/replication/followed-replica.ts',
    find: 'const endOffset = partition.state.durable;',
    replace: 'const endOffset = partition.state.written;',
  },
  {
    name: 'an ISR proposal of another incarnation than the one that attached',
    rule: 'M4, R6',
    file: 'services/broker/src/replication/isr-keeper.ts',
    find: '      broker.registration?.createRevision === brokerEpoch &&\n',
    replace: '',
    also: [
      {
        file: 'services/broker/src/replication/isr-keeper.ts',
        find: '(leadership.attachedEpoch(nodeId) ?? registered)',
        replace: 'registered',
      },
    ],
  },
  {
    name: 'the high watermark over the committed ISR alone',
    rule: 'R3',
    file: 'services/broker/src/partition/leadership.ts',
    find: '    this.#proposal = change;\n    this.#maximal = union(this.#term.isr, change.isr);',
    replace:
      '    this.#proposal = change;\n    this.#maximal = change.isr.length < this.#term.isr.length ? change.isr : this.#term.isr;',
  },
  {
    name: 'the high watermark moves before all members have acknowledged in the new epoch',
    rule: 'R3',
    file: 'services/broker/src/partition/leadership.ts',
    find: '      if (acknowledged === undefined) return undefined;\n      if (acknowledged < least) least = acknowledged;',
    replace: '      if (acknowledged !== undefined && acknowledged < least) least = acknowledged;',
  },
  {
    name: 'joining the ISR below the start of the epoch',
    rule: 'R4',
    file: 'services/broker/src/partition/leadership.ts',
    find: 'const least = highWatermark > this.#startOffset ? highWatermark : this.#startOffset;',
    replace: 'const least = highWatermark;',
  },
  {
    name: 'acting on a reply ahead of the watch',
    rule: 'M4',
    file: 'services/broker/src/attendance/attendance.ts',
    find: 'if (errorCode !== 0) await this.#ports.images.reached(revision, signal);',
    replace: '',
  },
  {
    name: "a stale session's acknowledgement counts",
    rule: 'R1',
    file: 'services/broker/src/partition/leadership.ts',
    find: '    if (follower?.attached?.attachment !== attachment) return false;\n    follower.acknowledged = end;',
    replace: '    if (follower === undefined) return false;\n    follower.acknowledged = end;',
  },
  {
    name: 'an acknowledgement survives the attach of a new session',
    rule: 'R1',
    file: 'services/broker/src/partition/leadership.ts',
    find: '    follower.attached = attached;\n    follower.acknowledged = undefined;',
    replace: '    follower.attached = attached;',
  },
  {
    name: 'an empty disk under an old id is trusted',
    rule: 'R6',
    file: 'services/controller/src/brokers.ts',
    find: "if (mine?.directoryId !== registration.directoryId) return 'other-directory';",
    replace: '',
  },
  {
    name: 'the ELR is kept over a lowered min ISR',
    rule: 'R5',
    file: 'services/controller/src/effective-settings.ts',
    find: 'eligibleLeaderReplicas: partition.isr.length >= minIsr ? [] : partition.eligibleLeaderReplicas,',
    replace: '',
  },
  {
    name: 'effective min ISR and ELR change in transactions of their own',
    rule: 'R5',
    file: 'services/controller/src/effective-settings.ts',
    find: '    effectiveMinIsr: minIsr,\n',
    replace:
      '    effectiveMinIsr: partition.eligibleLeaderReplicas.length > 0 && partition.isr.length >= minIsr ? partition.effectiveMinIsr : minIsr,\n',
  },
  {
    name: 'a duplicate is answered early after a failover',
    rule: 'P2',
    file: 'services/broker/src/partition/partition.ts',
    find: 'this.#park(decision.lastOffset, acks, deadline, { baseOffset: decision.baseOffset, logAppendTimeMs, answer });',
    replace:
      "this.#park(decision.lastOffset, 'leader', deadline, { baseOffset: decision.baseOffset, logAppendTimeMs, answer });",
  },
  {
    name: 'two controllers act',
    rule: 'M3',
    file: 'services/controller/src/office.ts',
    find: 'expect: [term.fence, ...step.transaction.expect],',
    replace: 'expect: step.transaction.expect,',
  },
  {
    name: 'death is declared from a lease that was lost while etcd was away',
    rule: 'M5',
    file: 'services/controller/src/signs.ts',
    find: 'else if (before !== undefined && before.modRevision > this.#tookOverAt) this.#vanished.add(node);',
    replace: 'else this.#vanished.add(node);',
  },
  {
    name: 'leading on in an old epoch after a restart, with replicas',
    rule: 'R6',
    file: 'services/broker/src/replicas.ts',
    find: 'if (info.leader === this.#me && this.#admitted && !isGoing) {',
    replace: 'if (info.leader === this.#me && !isGoing) {',
  },
  {
    name: "a refused proposal's late copy is accepted",
    rule: 'M4',
    file: 'services/controller/src/isr-proposals.ts',
    find: '  if (now.partitionEpoch !== proposal.partitionEpoch) {',
    replace: '  if (now.partitionEpoch < proposal.partitionEpoch) {',
    also: [
      {
        file: 'services/controller/src/attendance.ts',
        find: '      await older?.settled.promise;\n',
        replace: '',
      },
      {
        file: 'services/controller/src/attendance.ts',
        find: '    older?.over.abort(\n',
        replace: '    void String(\n',
      },
    ],
  },
  {
    name: 'an older copy of a directory is trusted',
    rule: 'R6',
    file: 'services/broker/src/older-copy.ts',
    find: 'if (unknown === undefined) return;',
    replace: "if (unknown !== '') return;",
  },
  {
    name: 'a controller that is cut off declares all dead',
    rule: 'R10',
    file: 'services/controller/src/life-signs.ts',
    find: 'if (!isMost && registered > 1) for',
    replace: 'if (registered > 1) for',
  },
];

export const clusterMutations: readonly Mutation[] = planted.map((each) => ({ ...each, story: 'cluster' }));
