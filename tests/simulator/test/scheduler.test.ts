import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MachineClock } from '../clock.ts';
import { Scheduler } from '../scheduler.ts';
import { SeededRandom } from '../seeded-random.ts';

const scheduler = (seed: string): Scheduler => new Scheduler(new SeededRandom(seed));

describe('virtual time', () => {
  test('runs events in the order of their times, however they were asked for', async () => {
    const order: number[] = [];
    const time = scheduler('order');
    const random = new SeededRandom('delays');
    await time.run(async () => {
      for (let i = 0; i < 1_000; i++) {
        const delay = random.between(1, 10_000);
        time.after(delay, () => order.push(delay));
      }
      await time.pause(20_000);
    });
    assert.equal(order.length, 1_000);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    );
  });

  test('chooses an order among events of one instant by the seed, and the same one each time', async () => {
    const orders = new Map<string, string>();
    for (const seed of ['a', 'b', 'c', 'a', 'b', 'c']) {
      const order: number[] = [];
      const time = scheduler(seed);
      await time.run(async () => {
        for (let i = 0; i < 8; i++) time.after(5, () => order.push(i));
        await time.pause(10);
      });
      const text = order.join();
      assert.equal(orders.get(seed) ?? text, text);
      orders.set(seed, text);
    }
    assert.ok(new Set(orders.values()).size > 1);
  });

  test('stands still until everything that an event set off has happened', async () => {
    const time = scheduler('still');
    const seen: number[] = [];
    await time.run(async () => {
      time.after(2, () => seen.push(time.nowMicros));
      await time.pause(1);
      for (let i = 0; i < 100; i++) await Promise.resolve();
      seen.push(time.nowMicros);
      await time.pause(10);
    });
    assert.deepEqual(seen, [1, 2]);
  });

  test('says that nothing is left to wake the story, instead of waiting for ever', async () => {
    await assert.rejects(
      scheduler('deadlock').run(() => new Promise(() => undefined)),
      /deadlock at 0 µs/,
    );
  });

  test('a rejection that nobody waits for ends the run', async () => {
    const time = scheduler('floating');
    await assert.rejects(
      time.run(async () => {
        time.after(1, () => {
          void Promise.reject(new Error('dropped'));
        });
        await time.pause(100);
      }),
      /dropped/,
    );
    assert.ok(time.nowMicros < 100);
  });

  test('takes more than 200,000 events a second', async () => {
    const time = scheduler('speed');
    const events = 200_000;
    const begin = performance.now();
    await time.run(async () => {
      for (let chain = 0; chain < 50; chain++) {
        const next = (): void => {
          time.after(10, next);
        };
        next();
      }
      while (time.events < events) await time.pause(1_000);
    });
    const perSecond = (time.events / (performance.now() - begin)) * 1_000;
    // A fifth of the goal, so that a busy machine does not fail the test; the figure itself is in the message.
    assert.ok(perSecond > 40_000, `${Math.round(perSecond)} events/s`);
  });
});

describe('the clock of a machine', () => {
  test('wakes a sleeper after the time by its own pace, and not a dead one', async () => {
    const time = scheduler('sleep');
    const clock = new MachineClock(time, { rate: 2 });
    let alive = true;
    const ports = clock.forProcess(() => alive);
    const doomed = clock.forProcess(() => alive);
    let woke = false;
    await time.run(async () => {
      await ports.sleep(10, new AbortController().signal);
      assert.equal(time.nowMicros, 5_000);
      assert.equal(ports.monotonicMs(), 10);
      doomed.sleep(10, new AbortController().signal).then(
        () => (woke = true),
        () => (woke = true),
      );
      alive = false;
      await time.pause(100_000);
      assert.equal(ports.monotonicMs(), 10);
    });
    assert.equal(woke, false);
  });

  test('an aborted sleep ends at once with the reason', async () => {
    const time = scheduler('abort');
    const ports = new MachineClock(time).forProcess(() => true);
    await time.run(async () => {
      const stop = new AbortController();
      time.after(7, () => stop.abort(new Error('enough')));
      await assert.rejects(ports.sleep(1_000, stop.signal), /enough/);
      assert.equal(time.nowMicros, 7);
      await assert.rejects(ports.sleep(1_000, stop.signal), /enough/);
    });
  });

  test('the wall clock jumps and the monotonic one does not', async () => {
    const time = scheduler('wall');
    const clock = new MachineClock(time, { wallAheadMs: 500 });
    const ports = clock.forProcess(() => true);
    await time.run(async () => {
      const before = ports.wallMs();
      clock.jumpWall(-3_600_000);
      assert.equal(ports.wallMs(), before - 3_600_000);
      assert.equal(ports.monotonicMs(), 0);
      await time.pause(1);
    });
  });
});

describe('seeded chance', () => {
  test('a stream does not depend on what was drawn from another', () => {
    const one = new SeededRandom('seed');
    const two = new SeededRandom('seed');
    for (let i = 0; i < 10; i++) two.nextU32();
    two.stream('other').nextU32();
    const draws = (random: SeededRandom): number[] =>
      Array.from({ length: 20 }, () => random.stream('named').nextU32());
    assert.deepEqual(draws(one), draws(two));
  });

  test('is spread evenly, also over neighbouring seeds', () => {
    const buckets = new Array<number>(16).fill(0);
    for (let seed = 0; seed < 4_000; seed++) {
      const at = new SeededRandom(`seed ${seed}`).below(16);
      buckets[at] = (buckets[at] ?? 0) + 1;
    }
    for (const count of buckets) assert.ok(count > 180 && count < 320, `${buckets.join(' ')}`);
  });
});
