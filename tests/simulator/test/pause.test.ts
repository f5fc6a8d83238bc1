import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Codec, UnaryMethod } from '@tributary/ports';
import type { ProcessMain } from '../process.ts';
import { World } from '../world.ts';

const texts: Codec<string> = {
  encode: (message) => Buffer.from(message),
  decode: (bytes) => Buffer.from(bytes).toString(),
};
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test/Ask', request: texts, response: texts };
const never = new AbortController().signal;

describe('a paused process', () => {
  test('does nothing, and when it goes on it meets all that came meanwhile', async () => {
    const world = new World(1);
    const machine = world.machine('m');
    const seen: string[] = [];
    const server: ProcessMain = async ({ transport, clock, files }, stop) => {
      await transport.serve('m:1', (handlers) => {
        handlers.unary(ask, (request) => {
          seen.push(request);
          return Promise.resolve('yes');
        });
      });
      const file = await files.open('book', 'append');
      while (!stop.aborted) {
        await clock.sleep(10, stop);
        await file.append([Buffer.from('.')]);
        seen.push('tick');
      }
    };
    await world.run(async () => {
      const paused = machine.start('server', server);
      await world.scheduler.pause(50_000);
      machine.pause(paused);
      const before = seen.length;
      world.machine('c').start('client', async ({ transport }) => {
        await using peer = transport.connect('m:1');
        await Promise.all(['1', '2'].map((each) => peer.unary(ask, each, { deadlineMs: 5_000 })));
        seen.push('answered');
      });
      await world.scheduler.pause(200_000);
      assert.equal(seen.length, before);
      machine.resume(paused);
      await world.scheduler.pause(5_000);
      assert.deepEqual(
        seen
          .slice(before)
          .filter((each) => each !== 'tick')
          .sort(),
        ['1', '2', 'answered'],
      );
      // One tick was due; the others begin to be counted when it goes on.
      assert.equal(seen.slice(before).filter((each) => each === 'tick').length, 1);
    });
  });

  test('keeps no lease alive, and finds out when it goes on', async () => {
    const world = new World(2);
    const machine = world.machine('m');
    let lost = false;
    await world.run(async () => {
      const holder = machine.start('holder', async ({ metadata }) => {
        const lease = await metadata.lease(2_000, never);
        await metadata.commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] });
        lease.lost.addEventListener('abort', () => (lost = true));
        await new Promise(() => undefined);
      });
      await world.scheduler.pause(5_000_000);
      assert.equal(world.metadata.keys.entries('a').length, 1);
      machine.pause(holder);
      await world.scheduler.pause(3_000_000);
      assert.equal(world.metadata.keys.entries('a').length, 0);
      assert.equal(lost, false);
      machine.resume(holder);
      await world.scheduler.pause(10_000);
      assert.equal(lost, true);
    });
  });

  test('can be killed', async () => {
    const world = new World(3);
    const machine = world.machine('m');
    let ticks = 0;
    await world.run(async () => {
      const killed = machine.start('ticker', async ({ clock }, stop) => {
        for (; ; ticks++) await clock.sleep(10, stop);
      });
      await world.scheduler.pause(50_000);
      machine.pause(killed);
      const before = ticks;
      killed.kill();
      assert.equal((await killed.ended).how, 'killed');
      machine.resume(killed);
      await world.scheduler.pause(50_000);
      assert.equal(ticks, before);
    });
  });
});
