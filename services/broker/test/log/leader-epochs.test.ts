import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LeaderEpoch, leaderEpoch, millis, nodeId, type Offset, offset } from '@tributary/model';
import { Partition, type ProduceOutcome } from '../../src/partition/partition.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { batch, term } from '../partition/batches.ts';
import { batches, config, start, testClock, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const small = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });
const at = (value: number): Offset => offset(BigInt(value));
const epoch = (value: number): LeaderEpoch => leaderEpoch(value);

describe('leader epochs', () => {
  test('are on the disk with the next checkpoint, and say where each ended', async () => {
    await onSimulatedDisk('epochs', async ({ disk }) => {
      const broker = await start(disk.mount());
      broker.log.beginEpoch(epoch(3), at(0));
      await broker.append(...batches(0, 5, { epoch: 3 }));
      await broker.log.sync();
      broker.log.beginEpoch(epoch(7), at(5));
      await broker.directory.checkpoint();
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

  // Else a follower that wrote in an epoch between would find nothing to compare with, and begin anew instead of cutting what was never committed.
  test('R2: the one under way goes on at the end of the log when its first write fails', async () => {
    await onSimulatedDisk(
      'epoch of a failed write',
      async ({ disk }) => {
        const { log, append } = await start(disk.mount());
        await append(...batches(0, 5, { epoch: 3 }));
        const partition = new Partition(nodeId(1), 't-0', config(), log, new ProducerState(), testClock());
        await partition.lead(term(5, [nodeId(1)], 1));
        disk.occupy(disk.freeBytes);
        const answered = Promise.withResolvers<ProduceOutcome>();
        partition.produce(batch({}), 5, 'leader', millis(2_000_000), answered.resolve);
        assert.equal((await answered.promise).kind, 'failed');
        assert.deepEqual(log.endOffsetFor(epoch(4)), { epoch: 3, end: 5n });
      },
      { capacity: 8_000_000 },
    );
  });
});
