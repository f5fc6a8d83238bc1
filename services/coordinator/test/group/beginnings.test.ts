import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../../src/group/change.ts';
import { Groups } from '../../src/group/groups.ts';
import { groupSettings } from '../../src/group/settings.ts';
import { compileTopicPattern } from '../../src/group/topic-pattern.ts';
import { Shard } from './shard.ts';

/** A small generator: which step comes next. */
function chances(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** @returns who has what, each partition with its owners. */
function owners(groups: Groups): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const reply = groups.describe('g');
  if (reply.kind === 'refused') return found;
  for (const { memberId, member } of reply.value.members)
    for (const { topicId, partition } of [...member.assigned, ...member.revoking]) {
      const place = `${topicId}/${partition}`;
      found.set(place, [...(found.get(place) ?? []), memberId]);
    }
  return found;
}

function targets(groups: Groups): string[] {
  const reply = groups.describe('g');
  if (reply.kind === 'refused') return [];
  return reply.value.members
    .flatMap(({ member }) => member.target.map(({ topicId, partition }) => `${topicId}/${partition}`))
    .sort();
}

function step(shard: Shard, random: (below: number) => number, serial: number, there: string[]): void {
  shard.now += 100;
  const pick = (): string | undefined => there[random(there.length)];
  const instance = `seat ${random(3)}`;
  const id = `m${serial}`;
  switch (random(8)) {
    case 0:
    case 1:
      shard.join(id, { topicPattern: '.*', topics: [] });
      there.push(id);
      return;
    case 2:
      shard.join(id, { topicPattern: '.*', topics: [], instanceId: instance });
      there.push(id);
      return;
    case 3: {
      const gone = pick();
      if (gone !== undefined) shard.ask({ memberId: gone, memberEpoch: random(2) === 0 ? -1 : -2 });
      return;
    }
    case 4:
      shard.topics.grow('orders', 4 + random(12));
      shard.carryOut(shard.groups.topicsChanged('g', shard.at));
      return;
    default: {
      const one = pick();
      const reply = one === undefined ? undefined : shard.groups.answer('g', one);
      if (one !== undefined && reply?.kind === 'ok' && reply.value.member?.away === false) shard.applied(one);
    }
  }
}

test('no beginning of a decision gives a partition two owners, and whoever reads only that assigns what is missing', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = chances(seed);
    const shard = new Shard();
    shard.topics.add('orders', 6);
    const there: string[] = [];
    for (let serial = 0; serial < 40; serial++) {
      const before: Change[] = [...shard.journal];
      step(shard, random, serial, there);
      const decided = shard.journal.slice(before.length);
      for (let count = 1; count < decided.length; count++) {
        const groups = new Groups({ settings: groupSettings, compile: compileTopicPattern });
        for (const change of [...before, ...decided.slice(0, count)]) groups.apply(change);
        const where = `seed ${seed}, step ${serial}, ${count} of ${decided.length}: ${decided.map(({ kind }) => kind).join()}`;
        for (const [place, by] of owners(groups)) assert.equal(by.length, 1, `${where}: ${place} of ${by.join()}`);
        for (const change of groups.topicsChanged('g', shard.at).changes) groups.apply(change);
        const wanted = targets(groups);
        const topic = shard.topics.named('orders');
        if (wanted.length > 0) assert.equal(new Set(wanted).size, topic?.partitions, where);
        assert.equal(new Set(wanted).size, wanted.length, where);
      }
    }
  }
});
