/** The log survives a crash at any disk operation (L2, L3, L6, P3): lost unsynced writes, torn tails, lost names, failed syncs, full disks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { offset } from '@tributary/model';
import type { Coverage } from '../../../../tests/simulator/coverage.ts';
import { type Crash, Machine } from './machine.ts';
import { onSimulatedDisk } from './on-disk.ts';
import { bases, batches, range, readAll, start, testHost } from './harness.ts';
import { Story, storyConfig } from './story.ts';

interface Plan {
  readonly seed: number;
  readonly how: Crash;
  /** Number of the disk operation, in the log's first lives, at which it happens; 0: at their end. */
  readonly at: number;
  /** Crash again at this operation of the recovery; 0: not. */
  readonly again?: number;
  /** At this operation the next sync is made to fail; 0: not. */
  readonly failSyncAt?: number;
  /** The disk is full from this operation on, for as many operations; 0: not. */
  readonly fullAt?: number;
  readonly fullFor?: number;
}

interface Outcome {
  /** Disk operations of the first lives. */
  readonly operations: number;
  /** How the log was opened after the crash. */
  readonly recovered: string;
  readonly coverage: Coverage;
}

const steps = 25;
const lives = 2;

async function survive(plan: Plan): Promise<Outcome> {
  const { seed, how, at, again = 0, failSyncAt = 0, fullAt = 0, fullFor = 0 } = plan;
  let operations = 0;
  let recovered = '';
  const capacity = fullAt > 0 ? 4_000_000 : Number.POSITIVE_INFINITY;
  const coverage = await onSimulatedDisk(
    seed,
    async (bench) => {
      const { disk, random } = bench;
      const story = new Story(random.stream('story'), { config: storyConfig('commit') });
      const machine = new Machine(bench, how);
      const mayDoubt = how === 'power' || failSyncAt > 0;
      try {
        await machine.run(
          async (files, host) => await story.live(files, { host }, steps, lives),
          at,
          (number) => {
            if (number === failSyncAt) disk.failSyncs(1);
            if (number === fullAt) disk.occupy(disk.freeBytes);
            if (number === fullAt + fullFor) disk.occupy(0);
          },
        );
        operations = disk.operations;
        disk.occupy(0);
        story.trace.push(`-- crashed (${how} at ${at})`);
        if (random.chance(0.5)) disk.evictPages();
        if (again > 0)
          await machine.run(
            async (files, host) => await story.check(await story.open(files, { host }), mayDoubt),
            again,
          );
        await machine.run(async (files, host) => {
          const broker = await story.open(files, { host });
          recovered = broker.log.recovery.how;
          await story.check(broker, mayDoubt);
          await story.adopt(broker);
        });
        // What recovery reported is on the disk, not only in its cache.
        machine.crash('power');
        await machine.run(async (files, host) => {
          const broker = await story.open(files, { host });
          await story.check(broker);
          await broker.directory.close();
        });
        await machine.run(async (files, host) => {
          await story.live(files, { host }, steps, 1);
          const broker = await story.open(files, { host });
          assert.equal(broker.log.recovery.how, 'clean');
          await story.check(broker);
        });
      } catch (thrown) {
        const where = `${JSON.stringify(plan)}: ${story.trace.join('; ')}`;
        throw new Error(`${thrown instanceof Error ? thrown.message : String(thrown)}\n${where}`, { cause: thrown });
      }
    },
    { capacity },
  );
  return { operations, recovered, coverage };
}

describe('a log that crashes', () => {
  for (const how of ['process', 'power'] as const) {
    test(`at each disk operation of its life (${how}) loses nothing that was flushed`, async () => {
      const { operations } = await survive({ seed: 1, how, at: 0 });
      assert.ok(operations > 100, `${operations} disk operations`);
      for (let at = 1; at <= operations; at += 1) await survive({ seed: 1, how, at });
    });

    test(`at some operation, and again while it recovers (${how}), loses nothing that was flushed`, async () => {
      for (let seed = 2; seed < 60; seed++) {
        await survive({ seed, how, at: 20 + ((seed * 37) % 250), again: 1 + ((seed * 13) % 60) });
      }
    });

    test(`after the disk was full for a while (${how}) loses nothing that was flushed`, async () => {
      let refusals = 0;
      for (let seed = 200; seed < 235; seed++) {
        const { coverage } = await survive({
          seed,
          how,
          at: seed % 3 === 0 ? 0 : 60 + ((seed * 37) % 250),
          fullAt: 40 + ((seed * 53) % 200),
          fullFor: 40,
        });
        refusals += coverage.of('disk: full');
      }
      assert.ok(refusals > 35, `the disk was full ${refusals} times`);
    });
  }

  test('because a sync failed trusts nothing that the page cache still shows, and loses nothing that was flushed', async () => {
    let rewritten = 0;
    for (let seed = 300; seed < 360; seed++) {
      const { recovered } = await survive({
        seed,
        how: 'process',
        at: 0,
        failSyncAt: 20 + ((seed * 29) % 200),
        again: seed % 2 === 0 ? 0 : 1 + ((seed * 13) % 60),
      });
      if (recovered === 'rewritten') rewritten++;
    }
    assert.ok(rewritten > 18, `only ${rewritten} logs were rewritten`);
  });

  test('after a cut over many segments finds what was written and flushed since, whichever names the disk had kept', async () => {
    for (let seed = 500; seed < 550; seed++) {
      await onSimulatedDisk(seed, async ({ disk }) => {
        const small = storyConfig('commit');
        const broker = await start(disk.mount(), { config: small });
        for (const one of batches(0, 80)) await broker.append(one);
        await broker.log.sync();
        await broker.directory.checkpoint();
        await broker.log.truncateTo(offset(5n));
        // Some stay in the segment that was cut: no new one makes the names durable by the way.
        const end = seed % 2 === 0 ? 45 : 12;
        const written = batches(5, end, { epoch: 1 });
        await broker.append(...written);
        await broker.log.sync();
        disk.crash('power');
        const again = await start(disk.mount(), { config: small, host: testHost('boot 2') });
        const read = await readAll(again.log);
        assert.deepEqual(bases(read), range(0, end), `seed ${seed}`);
        assert.ok(read.slice(5).every(({ epoch }) => epoch === 1));
        assert.deepEqual(again.log.health, { suspect: false, possibleLoss: false, damaged: [] });
      });
    }
  });

  test('after an append that the full disk undid finds what was written and flushed since', async () => {
    for (let seed = 600; seed < 650; seed++) {
      await onSimulatedDisk(
        seed,
        async ({ disk }) => {
          const small = storyConfig('commit');
          const broker = await start(disk.mount(), { config: small });
          for (const one of batches(0, 10)) await broker.append(one);
          await broker.log.sync();
          disk.occupy(disk.freeBytes - 2_500);
          await assert.rejects(broker.append(...batches(10, 60, { valueBytes: 40 })), /the disk is full/);
          disk.occupy(0);
          // Smaller ones: the segment that was not undone now reaches past where the undone one began.
          const end = seed % 2 === 0 ? 60 : 19;
          for (const one of batches(10, end, { epoch: 1 })) await broker.append(one);
          await broker.log.sync();
          disk.crash('power');
          const again = await start(disk.mount(), { config: small, host: testHost('boot 2') });
          assert.deepEqual(bases(await readAll(again.log)), range(0, end), `seed ${seed}`);
        },
        { capacity: 2_000_000 },
      );
    }
  });

  test('after a part of a batch was written and undone finds no trace of it, wherever the log went on', async () => {
    for (let seed = 700; seed < 750; seed++) {
      await onSimulatedDisk(
        seed,
        async ({ disk }) => {
          const small = storyConfig('commit');
          const broker = await start(disk.mount(), { config: small });
          await broker.append(...batches(0, 15));
          await broker.log.sync();
          disk.occupy(disk.freeBytes - 100);
          await assert.rejects(broker.append(...batches(15, 16, { valueBytes: 200 })), /the disk is full/);
          disk.occupy(0);
          // Too large for the segment that was written in part, which therefore gets nothing more.
          await broker.append(...batches(15, 30, { valueBytes: 500 }));
          await broker.log.sync();
          await broker.directory.checkpoint();
          disk.crash('power');
          const again = await start(disk.mount(), { config: small, host: testHost('boot 2') });
          assert.deepEqual(bases(await readAll(again.log)), range(0, 30), `seed ${seed}`);
        },
        { capacity: 2_000_000 },
      );
    }
  });
});
