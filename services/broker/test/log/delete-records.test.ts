import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Offset, TributaryError, offset } from '@tributary/model';
import fc from 'fast-check';
import { bases, batch, batches, config, range, readAll, start, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const at = (value: number): Offset => offset(BigInt(value));
const small = config({ 'segment.bytes': '1024', 'file.delete.delay.ms': '0' });

describe('a later log start (L4)', () => {
  test('takes exactly what its preview said, serves nothing below, and is there after a crash', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.nat(60), { minLength: 1, maxLength: 4 }),
        fc.constantFrom('commit', 'async'),
        async (count, starts, policy) => {
          await onSimulatedDisk('delete records', async ({ disk }) => {
            const settings = config({ 'segment.bytes': '1024', 'flush.policy': policy });
            const broker = await start(disk.mount(), { config: settings });
            for (const one of batches(0, count)) await broker.append(one);
            broker.log.noteHighWatermark(at(count));
            if (policy === 'commit') await broker.log.sync();
            let reached = 0;
            for (const wanted of starts) {
              const to = Math.min(wanted, count);
              const before = broker.log.sizeBytes;
              const preview = broker.log.preview.below(at(to));
              assert.equal(await broker.log.advanceStart(at(to)), true);
              assert.equal(preview.records, Math.max(0, to - reached));
              assert.equal(preview.bytes, before - broker.log.sizeBytes);
              reached = Math.max(reached, to);
              assert.equal(broker.log.startOffset, BigInt(reached));
              if (reached === count) assert.equal(broker.log.sizeBytes, 0);
            }
            assert.deepEqual(bases(await readAll(broker.log)), range(reached, count));
            if (reached > 0)
              assert.throws(() => broker.log.read(at(reached - 1), 100, 100, at(count)), /holds offsets/);
            disk.crash('power');
            const again = await start(disk.mount(), { config: settings, host: testHost('boot-2') });
            assert.equal(again.log.startOffset, BigInt(reached), `policy ${policy}`);
            assert.ok(again.log.endOffset >= again.log.startOffset);
            assert.deepEqual(bases(await readAll(again.log)), range(reached, Number(again.log.endOffset)));
            await again.directory.close();
          });
        },
      ),
      {
        numRuns: 60,
        examples: [
          [49, [1, 0], 'async'],
          [4, [3], 'async'],
        ],
      },
    );
  });

  test('never passes the high watermark', async () => {
    await onSimulatedDisk('above', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: small });
      for (const one of batches(0, 10)) await broker.append(one);
      broker.log.noteHighWatermark(at(4));
      await assert.rejects(
        broker.log.advanceStart(at(5)),
        (thrown) => thrown instanceof TributaryError && thrown.error === 'OFFSET_OUT_OF_RANGE',
      );
      assert.equal(broker.log.startOffset, 0n);
    });
  });

  test('waits for a snapshot of the producers, which the next write takes, while records are always under way (P3)', async () => {
    await onSimulatedDisk('busy', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: small });
      for (const one of batches(0, 10)) await broker.append(one);
      broker.log.noteHighWatermark(at(10));
      // A batch that is accepted, and not yet written.
      const next = batch({ at: 10n });
      broker.replay.apply(next.baseOffset, offset(11n));
      assert.equal(await broker.log.advanceStart(at(5)), false);
      assert.equal(broker.log.startOffset, 0n);
      await broker.log.append([next]);
      broker.replay.apply(offset(11n), offset(12n));
      assert.equal(
        await broker.log.advanceStart(at(5)),
        false,
        'a cut could take the snapshot: it is above the high watermark',
      );
      broker.log.noteHighWatermark(at(11));
      assert.equal(await broker.log.advanceStart(at(5)), true, 'although the state runs ahead again');
      assert.equal(broker.log.startOffset, 5n);
    });
  });
});
