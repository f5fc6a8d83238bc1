import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StickyEven } from '../src/sticky-even.ts';

const everywhere = (): boolean => true;

test('without keys all partitions get as many bytes, but for a turn and a record, whatever the sizes', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 2_000 });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 12 }),
      fc.nat(100),
      fc.integer({ min: 1, max: 3_000 }),
      (all, partitions, start, quota) => {
        const sticky = new StickyEven(quota, start);
        const bytes = Array.from({ length: partitions }, () => 0);
        for (const size of all) {
          const partition = sticky.choose(partitions, everywhere);
          bytes[partition] = (bytes[partition] ?? 0) + size;
          sticky.used(size);
        }
        assert.ok(Math.max(...bytes) - Math.min(...bytes) <= 2 * quota + 5_000, `bytes ${bytes.join(' ')}`);
      },
    ),
  );
});

test('a partition keeps its turn until its batch is full or its share used up', () => {
  const sticky = new StickyEven(1_000, 0);
  const first = sticky.choose(3, everywhere);
  sticky.used(600);
  assert.equal(sticky.choose(3, everywhere), first);
  sticky.used(600);
  const second = sticky.choose(3, everywhere);
  assert.notEqual(second, first);
  sticky.used(100);
  assert.notEqual(sticky.full(3, everywhere), second);
});

test('partitions without a leader are passed over, unless none has one', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.nat(7)),
      fc.array(fc.integer({ min: 1, max: 4_000 }), { maxLength: 200 }),
      (partitions, down, sizes) => {
        const available = (partition: number): boolean => !down.includes(partition);
        const some = Array.from({ length: partitions }, (_, partition) => partition).some(available);
        const sticky = new StickyEven(1_000, 3);
        for (const size of sizes) {
          const partition = sticky.choose(partitions, available);
          assert.ok(partition >= 0 && partition < partitions);
          assert.ok(!some || available(partition));
          sticky.used(size);
        }
      },
    ),
  );
});
