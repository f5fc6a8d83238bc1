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

  test('P3: after a cut has taken the newest, one from before the log start does not count for the producers below that', async () => {
    await onSimulatedDisk('cut', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: config() });
      for (const [end, from] of [
        [10, 5],
        [20, 12],
      ] as const) {
        await broker.append(...batches(end - 10, end));
        broker.log.noteHighWatermark(offset(BigInt(from)));
        assert.equal(await broker.log.advanceStart(offset(BigInt(from))), true);
      }
      assert.equal(broker.log.producers.isWhole, true);
      await broker.log.truncateTo(offset(15n));
      assert.equal(broker.log.producers.isWhole, false);
    });
  });
});
