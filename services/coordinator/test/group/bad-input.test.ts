import { deepStrictEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { digest, refusedAs, Shard, type subscription } from './shard.ts';

test('what a member asks wrongly is refused in a sentence that says what, and changes nothing', () => {
  const shard = new Shard();
  shard.topics.add('orders', 4);
  shard.join('a');
  const before = digest(shard.groups);
  const join = (wishes: Parameters<typeof subscription>[0]) => shard.join('b', wishes);
  refusedAs(shard.ask({ memberId: 'a', memberEpoch: -3 }), 'INVALID_REQUEST', /member epoch is -3/);
  refusedAs(shard.ask({ memberId: 'b', groupId: '' }), 'INVALID_GROUP_ID', /empty/);
  refusedAs(shard.ask({ memberId: 'b', groupId: 'g'.repeat(250) }), 'INVALID_GROUP_ID', /250 characters/);
  refusedAs(shard.ask({ memberId: '' }), 'INVALID_REQUEST', /member id is empty/);
  refusedAs(shard.ask({ memberId: 'b' }), 'INVALID_REQUEST', /without saying to what/);
  refusedAs(join({ topics: [] }), 'INVALID_REQUEST', /to nothing/);
  refusedAs(join({ topics: ['no/topic'] }), 'INVALID_TOPIC_EXCEPTION', /no\/topic/);
  refusedAs(join({ topicPattern: '(' }), 'INVALID_REGULAR_EXPRESSION', /\(/);
  refusedAs(join({ assignor: 'roundrobin' }), 'UNSUPPORTED_ASSIGNOR', /sticky-uniform, range, rack/);
  refusedAs(join({ clientAssignors: ['x'.repeat(250)] }), 'INVALID_REQUEST', /250 characters/);
  const names = Array.from({ length: 2_000 }, (_, index) => `${'x'.repeat(200)}${index}`);
  refusedAs(join({ topics: names }), 'INVALID_REQUEST', /use a pattern/);
  refusedAs(join({ sessionTimeoutMs: 10 }), 'INVALID_SESSION_TIMEOUT', /1000 to 1800000/);
  deepStrictEqual(digest(shard.groups), before);
});
