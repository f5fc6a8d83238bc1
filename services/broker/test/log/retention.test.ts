import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Offset, offset } from '@tributary/model';
import fc from 'fast-check';
import { counting } from './counting-files.ts';
import { bases, batch, batches, config, folder, range, readAll, start, testClock } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const at = (value: number): Offset => offset(BigInt(value));

describe('retention', () => {
  test('keeps at least retention.bytes, at least retention.ms, and everything above the high watermark', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          batchCount: fc.integer({ min: 1, max: 60 }),
          step: fc.integer({ min: -20, max: 100 }),
          retentionMs: fc.option(fc.integer({ min: 0, max: 4_000 }), { nil: undefined }),
          retentionBytes: fc.option(fc.integer({ min: 0, max: 6_000 }), { nil: undefined }),
          highWatermark: fc.integer({ min: 0, max: 60 }),
          age: fc.integer({ min: 0, max: 6_000 }),
        }),
        async ({ batchCount, step, retentionMs, retentionBytes, highWatermark, age }) => {
          await onSimulatedDisk('retention', async ({ disk }) => {
            const settings = {
              'retention.ms': String(retentionMs ?? -1),
              'retention.bytes': String(retentionBytes ?? -1),
              'segment.bytes': '1024',
            };
            const broker = await start(disk.mount(), { config: config(settings) });
            const written = range(0, batchCount).map((index) =>
              batch({ at: BigInt(index), timestamp: 10_000 + index * step }),
            );
            for (const one of written) await broker.append(one);
            const hw = Math.min(highWatermark, batchCount);
            broker.log.noteHighWatermark(at(hw));
            const now = 10_000 + Math.max(0, batchCount * step) + age;
            const { sizeBytes, segmentCount } = broker.log;
            const preview = await broker.log.preview.byRetention(config(settings), now);
            const gone = await broker.log.enforceRetention(now);
            assert.deepEqual(
              [preview.start, preview.records, preview.bytes],
              [broker.log.startOffset, Number(broker.log.startOffset), sizeBytes - broker.log.sizeBytes],
            );
            const begins = Number(broker.log.startOffset);
            assert.ok(begins <= hw, `start ${begins}, HW ${hw}`);
            let newer = written.slice(begins).reduce((sum, one) => sum + one.bytes.length, 0);
            for (const one of written.slice(0, begins).toReversed()) {
              const isOld = retentionMs !== undefined && one.maxTimestamp < now - retentionMs;
              const isBehindEnough = retentionBytes !== undefined && newer >= retentionBytes;
              assert.ok(isOld || isBehindEnough, `batch ${one.baseOffset} went`);
              newer += one.bytes.length;
            }
            assert.equal(gone > 0, begins > 0);
            assert.deepEqual(bases(await readAll(broker.log)), range(begins, batchCount));
            if (retentionMs === undefined && retentionBytes === undefined) assert.equal(gone, 0);
            // Nothing stays that could go: the oldest closed segment is needed.
            if (gone > 0) assert.equal(await broker.log.enforceRetention(now), 0);
            assert.ok(broker.log.sizeBytes <= sizeBytes && broker.log.segmentCount <= segmentCount + 1);
            await broker.directory.close();
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  test('persists the new start before a file goes, and removes the files after file.delete.delay.ms', async () => {
    await onSimulatedDisk('delete delay', async ({ disk }) => {
      const clock = testClock();
      const settings = config({ 'segment.bytes': '1024', 'retention.bytes': '1024', 'file.delete.delay.ms': '777' });
      const counted = counting(disk.mount());
      const broker = await start(counted.files, { config: settings, clock });
      for (const one of batches(0, 50)) await broker.append(one);
      broker.log.noteHighWatermark(at(50));
      counted.calls.length = 0;
      const gone = await broker.log.enforceRetention(clock.now);
      assert.ok(gone > 1);
      const renames = counted.calls.flatMap(({ call, path }) =>
        call === 'rename' && !path.includes('.snapshot') ? [path] : [],
      );
      assert.match(renames[0] ?? '', /checkpoints\.tmp$/);
      assert.match(renames[1] ?? '', /\.log$|index$/);
      const away = async (): Promise<readonly string[]> =>
        (await counted.files.list(`data/${folder}`)).filter((name) => name.endsWith('.deleted'));
      assert.ok((await away()).length >= gone);
      assert.deepEqual(
        clock.sleepers.map(({ ms }) => ms),
        [777],
      );
      for (const { wake } of clock.sleepers) wake();
      while ((await away()).length > 0) await disk.mount().list('data');
      disk.crash('process');
      const again = await start(disk.mount(), { config: settings });
      assert.equal(again.log.startOffset, broker.log.startOffset);
    });
  });

  test('of records without a timestamp goes by when they were written', async () => {
    await onSimulatedDisk('no timestamps', async ({ disk }) => {
      const clock = testClock();
      const broker = await start(disk.mount(), {
        config: config({ 'segment.bytes': '1024', 'retention.ms': '500' }),
        clock,
      });
      for (const one of batches(0, 30)) await broker.append({ ...one, maxTimestamp: -1 });
      broker.log.noteHighWatermark(at(30));
      assert.equal(await broker.log.enforceRetention(clock.now + 500), 0);
      assert.ok((await broker.log.enforceRetention(clock.now + 501)) > 0);
      assert.equal(broker.log.startOffset, 30n);
      assert.equal(broker.log.endOffset, 30n);
    });
  });

  test('never raises the start above the high watermark when asked to', async () => {
    await onSimulatedDisk('above', async ({ disk }) => {
      const broker = await start(disk.mount());
      await broker.append(...batches(0, 10));
      broker.log.noteHighWatermark(at(6));
      await assert.rejects(broker.log.advanceStart(at(7)), /cannot pass the high watermark 6/);
      // What is known of producers is as of 10 (P3).
      assert.equal(await broker.log.advanceStart(at(6)), false);
      broker.log.noteHighWatermark(at(10));
      assert.equal(await broker.log.advanceStart(at(6)), true);
      assert.equal(broker.log.startOffset, 6n);
    });
  });
});
