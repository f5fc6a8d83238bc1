import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset } from '@tributary/model';
import type { File } from '@tributary/ports';
import { batchMagic, encodeBatch } from '@tributary/record';
import fc from 'fast-check';
import { findNextBatch } from '../../src/log/scan.ts';

/** A file of these bytes. */
function fileOf(bytes: Buffer): File {
  const refused = async (): Promise<never> => assert.fail('it is only read');
  return {
    size: bytes.length,
    read: async (into, position) => bytes.copy(into, 0, position),
    append: refused,
    truncate: refused,
    sync: refused,
    close: async () => {},
  };
}

const batch = Buffer.from(
  encodeBatch([{ timestamp: 1, key: null, value: Buffer.from('v') }], { baseOffset: offset(7n) }),
);
const find = async (bytes: Buffer, from: number, least = 0n): Promise<number | undefined> =>
  await findNextBatch(fileOf(bytes), from, bytes.length, offset(least));

test('the next whole batch behind damage is found wherever it begins, whatever lies before it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.nat(200), fc.integer({ min: limits.scanChunk - 130, max: limits.scanChunk + 130 })),
      fc.constantFrom(0, batchMagic, 0xff),
      fc.uint8Array({ maxLength: 80 }),
      async (damaged, filling, before) => {
        const bytes = Buffer.concat([Buffer.alloc(1 + damaged, filling), before, batch, batch]);
        assert.equal(await find(bytes, 0), 1 + damaged + before.length);
      },
    ),
    { numRuns: 150 },
  );
});

test('a batch that is cut, changed, or below the offset that is due is none', async () => {
  const damage = Buffer.alloc(100, batchMagic);
  assert.equal(await find(Buffer.concat([damage, batch.subarray(0, batch.length - 1)]), 0), undefined);
  const changed = Buffer.from(batch);
  changed[63] = (changed[63] ?? 0) ^ 1;
  assert.equal(await find(Buffer.concat([damage, changed]), 0), undefined);
  assert.equal(await find(Buffer.concat([damage, batch]), 0, 8n), undefined);
  assert.equal(await find(Buffer.concat([damage, changed, batch]), 0, 7n), 100 + changed.length);
});

test('gigabytes of damage are looked through as fast as they are read', async () => {
  const bytes = Buffer.concat([Buffer.alloc(64 * 1024 * 1024), batch]);
  const began = performance.now();
  assert.equal(await find(bytes, 0), bytes.length - batch.length);
  // One byte after the other it would be three seconds.
  assert.ok(performance.now() - began < 1_500);
});
