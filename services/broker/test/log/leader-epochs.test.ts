import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LeaderEpoch, leaderEpoch, type Offset, offset } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { counting } from './counting-files.ts';
import { batches, config, start, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });
const at = (value: number): Offset => offset(BigInt(value));
const epoch = (value: number): LeaderEpoch => leaderEpoch(value);

describe('leader epochs', () => {
  test('that could not be written down are, by the next call', async () => {
    await onSimulatedDisk('epoch not written', async ({ disk }) => {
      const counted = counting(disk.mount());
      const broker = await start(counted.files);
      await broker.log.beginEpoch(epoch(3), at(0));
      counted.before = (call, path) => {
        if (call === 'append' && path.includes('checkpoints')) throw new FileError('full', `${path}: no space`);
      };
      for (let attempt = 0; attempt < 2; attempt++)
        await assert.rejects(broker.log.beginEpoch(epoch(7), at(0)), /the disk is full/);
      counted.before = () => {};
      await broker.log.beginEpoch(epoch(7), at(0));
      disk.crash('power');
      assert.equal((await start(disk.mount(), { host: testHost('boot-2') })).log.latestEpoch, 7);
    });
  });

  test('are on the disk when beginEpoch returns, and say where each ended', async () => {
    await onSimulatedDisk('epochs', async ({ disk }) => {
      const broker = await start(disk.mount());
      await broker.log.beginEpoch(epoch(3), at(0));
      await broker.append(...batches(0, 5, { epoch: 3 }));
      await broker.log.sync();
      await broker.log.beginEpoch(epoch(7), at(5));
      disk.crash('power');
      const again = await start(disk.mount(), { host: testHost('boot-2') });
      assert.equal(again.log.latestEpoch, 7);
      assert.deepEqual(again.log.endOffsetFor(epoch(3)), { epoch: 3, end: 5n });
      assert.deepEqual(again.log.endOffsetFor(epoch(5)), { epoch: 3, end: 5n });
      assert.deepEqual(again.log.endOffsetFor(epoch(7)), { epoch: 7, end: 5n });
      assert.equal(again.log.endOffsetFor(epoch(8)), undefined);
    });
  });

  test('are found again in the batches when only those are left', async () => {
    await onSimulatedDisk('epochs in batches', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: small });
      for (const number of [1, 2, 5])
        await broker.append(...batches(number * 20 - 20, number === 2 ? 80 : number * 20, { epoch: number }));
      await broker.log.sync();
      disk.crash('process');
      const files = disk.mount();
      await files.remove('data/checkpoints');
      const again = await start(files, { config: small });
      assert.deepEqual(again.log.endOffsetFor(epoch(1)), { epoch: 1, end: 20n });
      assert.deepEqual(again.log.endOffsetFor(epoch(2)), { epoch: 2, end: 80n });
      assert.equal(again.log.latestEpoch, 5);
    });
  });
});
