import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../src/limits.ts';
import { type ConnectionMemory, MemoryBudget, type Share } from '../src/memory-budget.ts';

const large = limits.largeShare;

/** Calls on several connections, and the order in which they lost what they held. */
class World {
  readonly budget: MemoryBudget;
  readonly evicted: string[] = [];

  constructor(total: number, perConnection = total) {
    this.budget = new MemoryBudget(total, perConnection);
  }

  call(name: string, connection: ConnectionMemory = this.budget.connection()): Share {
    return connection.share(() => void this.evicted.push(name));
  }
}

test('whoever holds much and has made no progress for longest loses it first; a small one that is being served does not', () => {
  const world = new World(4 * large);
  const canary = world.call('canary');
  canary.take(100);
  const [first, second, third] = ['first', 'second', 'third'].map((name) => world.call(name));
  first?.take(large);
  second?.take(large);
  third?.take(large);
  first?.progressed();
  world.call('fourth').take(large);
  assert.deepEqual(world.evicted, ['second']);
  world.call('fifth').take(2 * large);
  assert.deepEqual(world.evicted, ['second', 'third', 'first']);
});

test('where only small ones are left they too make room; work that is under way is not taken away, and what has no room is refused', () => {
  const world = new World(large);
  const connection = world.budget.connection();
  world.call('small').take(1_000);
  const pinned = world.call('pinned');
  pinned.take(large / 2);
  pinned.pin();
  assert.ok(connection.take(large / 2));
  assert.deepEqual(world.evicted, ['small']);
  assert.ok(!connection.take(1));
  connection.give(large / 2);
  assert.ok(connection.take(1));
  pinned.close();
  connection.give(1);
  assert.equal(world.budget.used, 0);
});

test('one connection has no more than its part, whatever is free', () => {
  const world = new World(100 * large, 2 * large);
  const connection = world.budget.connection();
  world.call('a', connection).take(large);
  world.call('b', connection).take(large);
  world.call('other').take(large);
  world.call('c', connection).take(large);
  assert.deepEqual(world.evicted, ['a']);
  assert.ok(!connection.take(1));
});

test('whatever calls do, the bound holds after each step, and in the end nothing is held', () => {
  const step = fc.record({
    call: fc.nat(11),
    bytes: fc.integer({ min: 1, max: 3 * large }),
    what: fc.constantFrom('take', 'give', 'progress', 'keep', 'close', 'work'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const world = new World(8 * large, 4 * large);
      const connections = [0, 1, 2].map(() => world.budget.connection());
      const held = new Map<number, { readonly share: Share; bytes: number }>();
      let atWork = 0;
      const open = (call: number) => {
        const connection = connections[call % 3] ?? world.budget.connection();
        const mine = { share: connection.share(() => held.delete(call)), bytes: 0 };
        held.set(call, mine);
        return mine;
      };
      for (const { call, bytes, what } of steps) {
        const mine = held.get(call) ?? open(call);
        if (what === 'take') {
          mine.bytes += bytes;
          mine.share.take(bytes);
        } else if (what === 'give' && mine.bytes > 0) {
          const given = Math.min(bytes, mine.bytes);
          mine.bytes -= given;
          mine.share.give(given);
        } else if (what === 'progress') mine.share.progressed();
        else if (what === 'keep' && mine.bytes > 0) mine.share.keep((mine.bytes = Math.ceil(mine.bytes / 2)));
        else if (what === 'close') {
          held.delete(call);
          mine.share.close();
        } else if (what === 'work' && connections[0]?.take(bytes) === true) atWork += bytes;
        const sum = [...held.values()].reduce((total, one) => total + one.bytes, atWork);
        assert.equal(world.budget.used, sum);
        assert.ok(world.budget.used <= world.budget.total, `${world.budget.used} of ${world.budget.total}`);
        for (const connection of connections) assert.ok(connection.used <= world.budget.perConnection);
      }
      for (const { share } of held.values()) share.close();
      connections[0]?.give(atWork);
      assert.equal(world.budget.used, 0);
    }),
  );
});

test('for work that would find no room even so, nobody loses anything', () => {
  const world = new World(4 * large);
  const [busy, other] = [world.budget.connection(), world.budget.connection()];
  assert.ok(busy.take(3 * large));
  world.call('reader').take(large);
  assert.ok(!other.take(2 * large));
  assert.deepEqual(world.evicted, []);
  assert.ok(other.take(large));
  assert.deepEqual(world.evicted, ['reader']);
  busy.give(3 * large);
  other.give(large);
  assert.deepEqual([world.budget.used, world.budget.fixed], [0, 0]);
});
