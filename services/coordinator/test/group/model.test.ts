import { deepStrictEqual, fail, ok, strictEqual } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MemberRequest } from '../../src/group/decision.ts';
import { digest, placesOf, Shard, subscription } from './shard.ts';

/** What a member believes: it may process what it was told, and names as applied what it carried out. */
interface Client {
  memberId: string;
  epoch: number;
  version: number;
  sequence: bigint;
  /** Requests that are on their way, perhaps for ever, perhaps twice. */
  late: MemberRequest[];
}

class Model {
  readonly shard = new Shard();
  readonly clients = new Map<number, Client>();
  /** Epoch and version of each membership: they only rise. */
  readonly #seen = new Map<string, readonly [number, number]>();
  #lives = 0;

  constructor() {
    this.shard.topics.add('orders', 7).add('pay', 3);
  }

  step([kind, who, draw]: readonly [string, number, number]): void {
    const client = this.clients.get(who);
    if (kind === 'join' || client === undefined) this.#join(who, draw);
    else if (kind === 'beat') this.#beat(client, draw);
    else if (kind === 'late') this.#late(client, draw);
    else if (kind === 'leave') this.#leave(who, client);
    else if (kind === 'fence') this.#fence(who, client);
    else if (kind === 'commit') this.#commit(client, draw);
    else if (kind === 'grow') this.#grow();
    else deepStrictEqual(digest(this.shard.replayed()), digest(this.shard.groups));
    this.check();
  }

  #join(who: number, draw: number): void {
    const known = this.clients.get(who);
    const memberId = known?.memberId ?? `m${++this.#lives}`;
    const topics = draw % 3 === 0 ? ['orders'] : ['orders', 'pay'];
    const instanceId = who === 0 ? 'static' : '';
    const client = known ?? { memberId, epoch: 0, version: 0, sequence: 0n, late: [] };
    const reply = this.shard.ask({
      memberId,
      memberEpoch: client.epoch,
      subscription: subscription({ topics, instanceId }),
    });
    if (reply.kind === 'refused') this.clients.delete(who);
    // An answer that is lost: the client goes on as if it had never asked.
    else this.clients.set(who, client);
    if (reply.kind === 'ok' && draw % 4 !== 0) this.#hear(client, reply.value.member);
  }

  #hear(client: Client, member: { memberEpoch: number; assignmentVersion: number } | undefined): void {
    if (member === undefined || member.assignmentVersion < client.version) return;
    client.epoch = member.memberEpoch;
    client.version = member.assignmentVersion;
  }

  #beat(client: Client, draw: number): void {
    const request: MemberRequest = {
      groupId: 'g',
      memberId: client.memberId,
      memberEpoch: client.epoch,
      appliedVersion: client.version,
      subscription: undefined,
      computed: undefined,
      clientId: '',
      host: '',
    };
    if (client.epoch === 0) return;
    client.late.push(request);
    if (draw % 5 === 0) return;
    const reply = this.shard.ask(request);
    if (reply.kind === 'ok' && draw % 5 !== 1) this.#hear(client, reply.value.member);
  }

  #late(client: Client, draw: number): void {
    const request = client.late[draw % Math.max(1, client.late.length)];
    if (request !== undefined) this.shard.ask(request);
  }

  #leave(who: number, client: Client): void {
    this.shard.ask({ memberId: client.memberId, memberEpoch: who === 0 ? -2 : -1 });
    this.clients.delete(who);
  }

  #fence(who: number, { memberId, epoch }: Client): void {
    // Who never heard an answer has no life that another could be mistaken for; here it takes a new id at once.
    if (epoch === 0) this.clients.delete(who);
    const members = [{ memberId, why: 'session' as const }];
    this.shard.carryOut(this.shard.groups.expired({ groupId: 'g', members, task: false }, this.shard.at));
  }

  #commit(client: Client, draw: number): void {
    const { shard } = this;
    const place = shard.topics.place(draw % 2 === 0 ? 'orders' : 'pay', draw % 3);
    const owner = this.owners().get(placesOf([place])[0] ?? '');
    client.sequence += 1n;
    const before = shard.committed(place);
    const verdict = shard.commit(client.memberId, place, BigInt(draw), {
      memberEpoch: client.epoch,
      sequence: client.sequence,
    });
    if (owner !== client.memberId) strictEqual(verdict.kind, 'refused', 'G3: a commit of somebody who does not own it');
    if (verdict.kind === 'refused') {
      strictEqual(shard.committed(place), before);
      return;
    }
    const older = { memberEpoch: client.epoch, sequence: client.sequence - 1n };
    if (older.sequence > 0n) shard.commit(client.memberId, place, 999n, older);
    strictEqual(shard.committed(place), BigInt(draw), 'G4: an older commit over a newer one');
  }

  #grow(): void {
    const { shard } = this;
    const partitions = (shard.topics.named('pay')?.partitions ?? 0) + 1;
    if (partitions > 6) return;
    shard.topics.grow('pay', partitions);
    for (const id of shard.groups.concernedBy(new Set(['pay']), new Set())) {
      shard.carryOut(shard.groups.topicsChanged(id, shard.at));
    }
  }

  /** Who may commit what: what a member has, and what it still gives up. */
  owners(): Map<string, string> {
    const owners = new Map<string, string>();
    const described = this.shard.groups.describe('g');
    if (described.kind === 'refused') return owners;
    for (const { memberId, member } of described.value.members) {
      for (const place of placesOf([...member.assigned, ...member.revoking])) {
        const other = owners.get(place);
        if (other !== undefined) fail(`G5: ${place} is with ${other} and ${memberId}`);
        owners.set(place, memberId);
      }
    }
    return owners;
  }

  check(): void {
    this.owners();
    const described = this.shard.groups.describe('g');
    if (described.kind === 'refused') return;
    for (const { memberId, member } of described.value.members) {
      const [epoch, version] = this.#seen.get(memberId) ?? [0, 0];
      ok(member.memberEpoch >= epoch && member.assignmentVersion >= version, 'epochs and versions only rise');
      this.#seen.set(memberId, [member.memberEpoch, member.assignmentVersion]);
    }
  }

  /** Everybody who is there answers, twice: the longest way is to give up, then to take over. */
  quiet(): void {
    const ids = () => {
      const described = this.shard.groups.describe('g');
      return described.kind === 'ok' ? described.value.members.filter(({ member }) => !member.away) : [];
    };
    for (let round = 0; round < 2; round++) {
      for (const { memberId } of ids()) {
        this.shard.applied(memberId);
        this.check();
      }
    }
    const described = this.shard.groups.describe('g');
    if (described.kind === 'refused' || described.value.members.length === 0) return;
    strictEqual(described.value.phase, 'stable');
    const orders = [...this.owners().keys()].filter((place) => place.startsWith('orders'));
    strictEqual(orders.length, 7, 'every partition has an owner once it is quiet');
  }
}

test('whatever comes, is lost, repeated or late: one owner, no commit of another, replay is the same, and all is owned when it is quiet', () => {
  const kind = fc.constantFrom(
    'join',
    'beat',
    'beat',
    'beat',
    'late',
    'leave',
    'fence',
    'commit',
    'commit',
    'grow',
    'crash',
  );
  const steps = fc.array(fc.tuple(kind, fc.nat(4), fc.nat(60)), { maxLength: 80, size: 'max' });
  fc.assert(
    fc.property(steps, (list) => {
      const model = new Model();
      for (const step of list) model.step(step);
      model.quiet();
    }),
    { numRuns: 300 },
  );
});
