import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { offset } from '@tributary/model';
import { type Broker, batch, config, range, start } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });

describe('timestamps', () => {
  test('lead to the first record at or after them, also where they go back and forth', async () => {
    await onSimulatedDisk('times', async ({ disk, random }) => {
      const shapes = range(0, 150).map((index) => ({
        at: BigInt(index * 2),
        records: 2,
        timestamp: 5_000 + index * 3 + random.below(40),
      }));
      const stamps = shapes.flatMap<[number, number]>(({ timestamp }, index) => [
        [index * 2, timestamp],
        [index * 2 + 1, timestamp + 1],
      ]);
      const broker = await start(disk.mount(), { config: small });
      for (const shape of shapes) await broker.append(batch(shape));
      const check = async ({ log }: Broker): Promise<void> => {
        for (let wanted = 4_990; wanted < 5_520; wanted += 3) {
          const expected = stamps.find(([, stamp]) => stamp >= wanted);
          const found = await log.offsetForTimestamp(wanted);
          assert.deepEqual(
            found,
            expected && { offset: BigInt(expected[0]), timestampMs: expected[1] },
            `at ${wanted}`,
          );
        }
        const newest = Math.max(...stamps.map(([, stamp]) => stamp));
        const first = stamps.find(([, stamp]) => stamp === newest);
        assert.deepEqual(await log.offsetOfMaxTimestamp(), { offset: BigInt(first?.[0] ?? -1), timestampMs: newest });
      };
      await check(broker);
      broker.log.noteHighWatermark(offset(300n));
      await broker.log.sync();
      await broker.directory.checkpoint();
      disk.crash('process');
      const recovered = await start(disk.mount(), { config: small });
      await check(recovered);
      await recovered.directory.close();
      const last = await start(disk.mount(), { config: small });
      await check(last);
      // Also where the log begins within a batch, and within a segment whose newest record is gone.
      for (let from = 7; from < 300; from += 22) {
        while (!(await last.log.advanceStart(offset(BigInt(from)))));
        const readable = stamps.filter(([at]) => at >= from);
        const newest = readable.reduce((best, each) => (each[1] > best[1] ? each : best));
        assert.deepEqual(
          await last.log.offsetOfMaxTimestamp(),
          { offset: BigInt(newest[0]), timestampMs: newest[1] },
          `from ${from}`,
        );
        const first = readable.find(([, stamp]) => stamp >= 5_100);
        assert.deepEqual(
          await last.log.offsetForTimestamp(5_100),
          first && { offset: BigInt(first[0]), timestampMs: first[1] },
        );
      }
    });
  });
});
