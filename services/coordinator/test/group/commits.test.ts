import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { decodeChange, encodeChange } from '../../src/group/journal-codec.ts';
import { refusedAs, Shard } from './shard.ts';

function owned(): Shard {
  const shard = new Shard();
  shard.topics.add('orders', 2);
  shard.join('a');
  return shard;
}

test('an older commit of a member never overwrites its newer one, and a member may go back (G4)', () => {
  const shard = owned();
  const place = shard.topics.place('orders', 0);
  shard.commit('a', place, 10n, { sequence: 2n });
  strictEqual(shard.commit('a', place, 5n, { sequence: 1n }).kind, 'ok');
  strictEqual(shard.committed(place), 10n);
  shard.commit('a', place, 3n, { sequence: 3n });
  strictEqual(shard.committed(place), 3n);
});

test('what a member gives up it may still commit; what it has got anew, not in an older epoch (G3)', () => {
  const shard = owned();
  shard.join('b');
  const [given] = shard.member('a').revoking;
  if (given === undefined) throw new Error('nothing to give up');
  strictEqual(shard.commit('a', given, 4n, { sequence: 1n }).kind, 'ok');
  shard.applied('a');
  refusedAs(shard.commit('a', given, 5n, { sequence: 2n }), 'STALE_MEMBER_EPOCH', /does not own it/);
  refusedAs(shard.commit('b', given, 5n, { memberEpoch: 2 }), 'STALE_MEMBER_EPOCH', /since epoch 3 only/);
  strictEqual(shard.commit('b', given, 5n).kind, 'ok');
  strictEqual(shard.committed(given), 5n);
});

test('commits that cannot be are refused, each by its name', () => {
  const shard = owned();
  const place = shard.topics.place('orders', 0);
  const beyond = shard.topics.place('orders', 2);
  refusedAs(shard.commit('a', beyond, 1n), 'UNKNOWN_TOPIC_OR_PARTITION', /has 2 partitions/);
  refusedAs(shard.commit('a', place, 9n, { logEnd: 8n }), 'OFFSET_OUT_OF_RANGE', /ends at 8/);
  refusedAs(shard.commit('a', place, -1n), 'OFFSET_OUT_OF_RANGE', /negative/);
  refusedAs(shard.commit('a', place, 1n, { metadata: 'ü'.repeat(2_049) }), 'OFFSET_METADATA_TOO_LARGE', /4096 bytes/);
  refusedAs(shard.commit('z', place, 1n, { memberEpoch: 1 }), 'UNKNOWN_MEMBER_ID', /z is no member/);
  refusedAs(shard.commit('a', place, 1n, { memberEpoch: 9 }), 'FENCED_MEMBER_EPOCH', /epoch 9/);
  refusedAs(shard.commit('', place, 1n), 'NON_EMPTY_GROUP', /1 members/);
  refusedAs(shard.carryOut(shard.groups.deleteGroup('g')), 'NON_EMPTY_GROUP', /stop them/);
  refusedAs(shard.carryOut(shard.groups.deleteGroup('h')), 'GROUP_ID_NOT_FOUND', /no group "h"/);
  strictEqual(shard.committed(place), undefined);
  strictEqual(shard.commit('a', place, 8n, { logEnd: 8n, metadata: 'ü'.repeat(2_048) }).kind, 'ok');
});

test('a group without members takes commits from outside, and goes when nothing has happened for the retention (G6)', () => {
  const shard = owned();
  const place = shard.topics.place('orders', 0);
  shard.ask({ memberId: 'a', memberEpoch: -1 });
  const validated = shard.journal.length;
  strictEqual(shard.commit('', place, 7n, { validateOnly: true }).kind, 'ok');
  strictEqual(shard.journal.length, validated);
  shard.commit('', place, 7n);
  const retention = 7 * 24 * 60 * 60_000;
  shard.wallMs += retention - 1;
  shard.carryOut(shard.groups.sweep('g', shard.at));
  strictEqual(shard.committed(place), 7n);
  shard.wallMs += 1;
  shard.carryOut(shard.groups.sweep('g', shard.at));
  strictEqual(shard.groups.has('g'), false);
  strictEqual(shard.replayed().has('g'), false);
});

test('every change is read from the journal as it was written, and equal keys are equal bytes', () => {
  const shard = owned();
  shard.join('b', { instanceId: 'two', topicPattern: 'ord.*', userData: Uint8Array.of(1, 2) });
  shard.commit('a', shard.topics.place('orders', 0), 3n, { sequence: 1n, metadata: 'so far' });
  shard.ask({ memberId: 'b', memberEpoch: -1 });
  for (const change of shard.journal) {
    const { key, value } = encodeChange(change);
    deepStrictEqual(decodeChange(key, value), change);
    deepStrictEqual(encodeChange(change).key, key);
  }
  // Field 9 of a newer version's keys.
  strictEqual(decodeChange(Uint8Array.of(0x48, 0x01), null), undefined);
});
