import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Disk } from '../../src/log/disk.ts';
import { IndexCache } from '../../src/log/index-cache.ts';
import { OffsetIndex } from '../../src/log/offset-index.ts';
import { TimeIndex } from '../../src/log/time-index.ts';
import { silent, testClock, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

interface Entry {
  readonly delta: number;
  readonly position: number;
}

/** Steps of delta and position; where among them the index is written, let go or read again from its file. */
const additions = fc.array(
  fc.record({
    delta: fc.integer({ min: 1, max: 1_000_000 }),
    position: fc.integer({ min: 1, max: 1_000_000 }),
    after: fc.constantFrom('nothing', 'nothing', 'persist', 'release', 'search', 'reopen'),
  }),
  { maxLength: 200 },
);

describe('the offset index', () => {
  test('finds for every offset the last entry not above it, however much of it is in the file', async () => {
    await fc.assert(
      fc.asyncProperty(
        additions,
        fc.array(fc.integer({ min: 0, max: 200_000_000 }), { maxLength: 30 }),
        async (steps, wanted) => {
          await onSimulatedDisk('offset index', async ({ disk }) => {
            const place = new Disk(disk.mount(), 'data', { clock: testClock(), host: testHost(), logger: silent });
            await place.files.makeDirectory('data');
            const cache = new IndexCache(0);
            let index = new OffsetIndex(place, cache, 'data/x.index', 'new');
            const entries: Entry[] = [{ delta: 0, position: 0 }];
            for (const step of steps) {
              const last = entries.at(-1) ?? { delta: 0, position: 0 };
              const entry = { delta: last.delta + step.delta, position: last.position + step.position };
              index.add(entry.delta, entry.position);
              entries.push(entry);
              if (step.after === 'persist' || step.after === 'reopen') assert.equal(await index.file.persist(), true);
              if (step.after === 'release') index.file.release();
              if (step.after === 'search') await index.floor(entry.delta);
              if (step.after !== 'reopen') continue;
              index = new OffsetIndex(place, cache, 'data/x.index', 'stored');
              index.continueAt(entry.position);
            }
            for (const delta of [
              ...wanted,
              ...entries.flatMap((entry) => [entry.delta - 1, entry.delta, entry.delta + 1]),
            ]) {
              if (delta < 0) continue;
              assert.deepEqual(
                await index.floor(delta),
                entries.findLast((entry) => entry.delta <= delta),
              );
            }
            assert.equal(await index.isSound(), true);
            assert.deepEqual(await index.last(), entries.at(-1));
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  test('cut at a position keeps what lies below, in the file too', async () => {
    await fc.assert(
      fc.asyncProperty(
        additions,
        fc.integer({ min: 1, max: 200_000_000 }),
        fc.boolean(),
        async (steps, position, persisted) => {
          await onSimulatedDisk('cut index', async ({ disk }) => {
            const place = new Disk(disk.mount(), 'data', { clock: testClock(), host: testHost(), logger: silent });
            await place.files.makeDirectory('data');
            const cache = new IndexCache(1 << 20);
            const index = new OffsetIndex(place, cache, 'data/x.index', 'new');
            const entries: Entry[] = [{ delta: 0, position: 0 }];
            for (const step of steps) {
              const last = entries.at(-1) ?? { delta: 0, position: 0 };
              entries.push({ delta: last.delta + step.delta, position: last.position + step.position });
            }
            for (const { delta, position: at } of entries) index.add(delta, at);
            if (persisted) await index.file.persist();
            const kept = await index.cut(position, 0x7fff_ffff);
            const expected = entries.filter((entry) => entry.position < position);
            assert.deepEqual(kept, expected.at(-1));
            index.add(kept.delta + 7, kept.position + 9);
            await index.file.persist();
            const stored = new OffsetIndex(place, cache, 'data/x.index', 'stored');
            assert.deepEqual(await stored.last(), { delta: kept.delta + 7, position: kept.position + 9 });
            assert.deepEqual(await stored.floor(kept.delta + 6), kept);
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  test('is not sound where bytes never reached the disk', async () => {
    await onSimulatedDisk('zeros', async ({ disk }) => {
      const files = disk.mount();
      const place = new Disk(files, 'data', { clock: testClock(), host: testHost(), logger: silent });
      await files.makeDirectory('data');
      const index = new OffsetIndex(place, new IndexCache(0), 'data/x.index', 'new');
      for (let at = 1; at < 10; at++) index.add(at * 3, at * 100);
      await index.file.persist();
      const file = await files.open('data/x.index', 'append');
      await file.append([Buffer.alloc(16)]);
      await file.close();
      const stored = new OffsetIndex(place, new IndexCache(0), 'data/x.index', 'stored');
      assert.equal(await stored.isSound(), false);
      assert.deepEqual(await stored.cut(1_000_000, 1_000_000), { delta: 27, position: 900 });
      assert.equal(await stored.isSound(), true);
    });
  });
});

describe('the time index', () => {
  test('finds for every time the last entry before it, past 2³² ms and back from its file', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: 4_000_000_000_000 }), { minLength: 1, maxLength: 50 }),
        fc.array(fc.integer({ min: 0, max: 4_000_000_000_000 }), { maxLength: 30 }),
        async (times, wanted) => {
          await onSimulatedDisk('time index', async ({ disk }) => {
            const place = new Disk(disk.mount(), 'data', { clock: testClock(), host: testHost(), logger: silent });
            await place.files.makeDirectory('data');
            const entries = times.sort((a, b) => a - b).map((timestamp, delta) => ({ timestamp, delta }));
            const index = new TimeIndex(place, new IndexCache(0), 'data/x.timeindex', 'new');
            for (const { timestamp, delta } of entries) index.add(timestamp, delta);
            index.close(entries.length);
            await index.file.persist();
            const stored = new TimeIndex(place, new IndexCache(0), 'data/x.timeindex', 'stored');
            for (const timestamp of [...wanted, ...times.flatMap((time) => [time, time + 1])]) {
              const found = await stored.before(timestamp);
              const expected = entries.findLast((entry) => entry.timestamp < timestamp);
              // Past the newest record, the end mark says that nothing is left.
              assert.deepEqual(
                found,
                timestamp > (entries.at(-1)?.timestamp ?? 0) + 1
                  ? { timestamp: (entries.at(-1)?.timestamp ?? 0) + 1, delta: entries.length }
                  : expected,
              );
            }
            assert.deepEqual(await stored.newestBelow(entries.length), entries.at(-1));
            assert.equal(await stored.newestBelow(entries.length + 1), undefined);
          });
        },
      ),
      { numRuns: 40 },
    );
  });
});
