import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, offset } from '@tributary/model';
import { batches, config, folder, range, start, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });

describe('producer snapshots', () => {
  test('are taken as segments close; few stay; a start after a kill replays only what follows the newest', async () => {
    await onSimulatedDisk('snapshots', async ({ disk, scheduler }) => {
      const broker = await start(disk.mount(), { config: small });
      for (const one of batches(0, 200)) {
        await broker.append(one);
        if (Number(one.baseOffset) % 10 === 0) await broker.log.sync();
      }
      await broker.log.sync();
      await broker.directory.checkpoint();
      // They are written in the background.
      await scheduler.pause(1_000_000);
      const snapshots = (await disk.mount().list(`data/${folder}`)).filter((name) => name.endsWith('.snapshot'));
      assert.ok(snapshots.length >= 2 && snapshots.length <= limits.snapshotsKept + 1, snapshots.join(' '));
      disk.crash('process');
      const again = await start(disk.mount(), { config: small });
      assert.deepEqual(again.replay.seen, range(0, 200).map(String));
      assert.ok(again.replay.replayed < 60, `${again.replay.replayed} batches replayed`);
    });
  });

  for (const room of ['enough', 'none'] as const) {
    test(`P3: what retention takes is in a snapshot before it goes, with ${room} room on the disk`, async () => {
      await onSimulatedDisk(
        `secured ${room}`,
        async ({ disk }) => {
          const broker = await start(disk.mount(), { config: config() });
          await broker.append(...batches(0, 20));
          await broker.log.sync();
          broker.log.noteHighWatermark(offset(20n));
          if (room === 'none') disk.occupy(disk.freeBytes);
          await broker.log.advanceStart(offset(20n));
          assert.equal(broker.log.startOffset, 20n);
          disk.crash('power');
          disk.occupy(0);
          const again = await start(disk.mount(), { config: config(), host: testHost('boot-2') });
          assert.equal(again.log.startOffset, 20n);
          assert.deepEqual(again.replay.seen, range(0, 20).map(String));
        },
        { capacity: 2_000_000 },
      );
    });
  }

  test('P3: the log start follows only once what is known of the producers below it is committed: no cut takes that', async () => {
    await onSimulatedDisk('cut', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: config() });
      const { log } = broker;
      let end = 0;
      const append = async (count: number): Promise<void> => {
        await broker.append(...batches(end, end + count));
        end += count;
      };
      await append(10);
      log.noteHighWatermark(offset(5n));
      assert.equal(await log.advanceStart(offset(5n)), false);
      assert.equal(log.startOffset, 0n);
      // Others come, and push out none that is waited for.
      for (let i = 0; i < 5; i++) {
        await log.producers.asOf(offset(0n));
        await append(2);
        assert.equal(await log.advanceStart(offset(5n)), false);
      }
      log.noteHighWatermark(offset(10n));
      assert.equal(await log.advanceStart(offset(5n)), true);
      for (let i = 0; i < 5; i++) {
        await log.producers.asOf(offset(0n));
        await append(2);
      }
      await log.truncateTo(offset(11n));
      assert.equal(log.producers.isWhole, true);
      assert.equal(log.startOffset, 5n);
    });
  });
});
