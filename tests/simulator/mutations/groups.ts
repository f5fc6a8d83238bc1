/** Planted bugs that only coordinators and members of groups can show. */
import type { Mutation } from './list.ts';

type Planted = Omit<Mutation, 'story'>;

const planted: readonly Planted[] = [
  {
    name: 'the fence is not checked by the leader',
    rule: 'G1',
    file: 'services/broker/src/partition/partition-state.ts',
    find: 'return fenceRefusal({ partition: this.name, header, acks, writerEpoch }, this.producers.fence);',
    replace: 'return fenceRefusal({ partition: this.name, header, acks, writerEpoch }, undefined);',
  },
  {
    name: 'a heartbeat is answered on an unrenewed fence',
    rule: 'G2',
    file: 'services/coordinator/src/shard/freshness.ts',
    find: 'return nowMs - this.#sentMs <= timeoutMs / 2;',
    replace: 'return nowMs >= 0 && timeoutMs >= 0;',
  },
  {
    name: 'sessions are not granted anew after a takeover',
    rule: 'G2',
    file: 'services/coordinator/src/shard/shard.ts',
    find: "    this.#sessions.grantAll(clock.monotonicMs());\n    this.#phase = 'serving';",
    replace: "    this.#phase = 'serving';",
  },
  {
    name: 'assigned before it is given up',
    rule: 'G5',
    file: 'services/coordinator/src/group/reconcile.ts',
    find: 'const revoking = [...member.revoking, ...lost];',
    replace: 'const revoking = [...member.revoking];',
  },
  {
    name: 'an older commit over a newer one',
    rule: 'G4',
    file: 'services/coordinator/src/group/commits.ts',
    find: 'return stored !== undefined && sequence !== 0n && stored.memberId === memberId && sequence <= stored.sequence;',
    replace: 'return stored !== undefined && stored.memberId === memberId && sequence < 0n;',
  },
  {
    name: 'a commit is accepted for a topic that was created again',
    rule: 'G6',
    file: 'services/coordinator/src/group/commits.ts',
    find: '  if (topic === undefined) {\n    return refusal(',
    replace: '  if (topic === undefined) return undefined;\n  if (offset === undefined) {\n    return refusal(',
  },
];

export const groupMutations: readonly Mutation[] = planted.map((mutation) => ({ ...mutation, story: 'groups' }));
