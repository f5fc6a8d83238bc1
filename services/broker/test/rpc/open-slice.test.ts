import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset } from '@tributary/model';
import { type Compression, encodeBatch } from '@tributary/record';
import fc from 'fast-check';
import { OpenSlice } from '../../src/rpc/open-slice.ts';

interface Drawn {
  readonly compression: Compression;
  /** Sizes of the records' values. */
  readonly sizes: readonly number[];
  readonly control: boolean;
  /** Offsets that are missing before the batch. */
  readonly gap: number;
  /** Begins another piece of what the log gives out. */
  readonly apart: boolean;
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  compression: fc.constantFrom('none', 'gzip', 'lz4', 'zstd', 'snappy'),
  sizes: fc.array(fc.nat(40), { minLength: 1, maxLength: 6 }),
  control: fc.boolean(),
  gap: fc.nat(2),
  apart: fc.boolean(),
});

interface Log {
  readonly slices: readonly Uint8Array[];
  readonly next: number;
  /** Offsets and sizes of records for readers. */
  readonly records: readonly { readonly at: number; readonly size: number }[];
}

function logOf(batches: readonly Drawn[]): Log {
  const slices: Uint8Array[] = [];
  const records: { at: number; size: number }[] = [];
  let next = 0;
  for (const { compression, sizes, control, gap, apart } of batches) {
    next += gap;
    const values = sizes.map((size, index) => ({ value: Buffer.alloc(size, index), timestamp: 1 }));
    const bytes = encodeBatch(values, { compression, control, baseOffset: offset(BigInt(next)) });
    const last = slices.at(-1);
    if (apart || last === undefined) slices.push(bytes);
    else slices[slices.length - 1] = Buffer.concat([last, bytes]);
    if (!control) sizes.forEach((size, index) => records.push({ at: next + index, size }));
    next += sizes.length;
  }
  return { slices, next, records };
}

test('E1: exactly the records from the position to the bound come, in order, whatever the batches, and never more than the credit', () => {
  const positions = fc.tuple(
    fc.array(drawn, { minLength: 1, maxLength: 8 }),
    fc.nat(40),
    fc.option(fc.nat(40)),
    fc.nat(60),
  );
  fc.assert(
    fc.property(positions, ([batches, from, until, credit]) => {
      const log = logOf(batches);
      const bounds = {
        from: offset(BigInt(from)),
        next: offset(BigInt(log.next)),
        until: until === null ? undefined : offset(BigInt(until)),
      };
      const open = new OpenSlice(log.slices, bounds);
      const expected = log.records.filter(({ at }) => at >= from && (until === null || at < until));
      const read: number[] = [];
      let allowed = credit;
      for (;;) {
        const taken = open.take(allowed);
        assert.ok(taken.bytes <= allowed);
        allowed = credit;
        for (const record of taken.records) read.push(Number(record.offset));
        if (taken.why.kind === 'end') break;
        assert.equal(taken.why.kind, 'credit');
        const needed = taken.why.kind === 'credit' ? taken.why.bytes : 0;
        assert.equal(needed, expected[read.length]?.size);
        allowed = Math.max(credit, needed);
      }
      assert.deepEqual(
        read,
        expected.map(({ at }) => at),
      );
      const end = Math.min(log.next, until ?? log.next);
      assert.ok(Number(open.position) >= Math.min(end, Math.max(from, end)), `${open.position}`);
    }),
  );
});

test('a chunk is bounded in bytes and in records, and one record always fits', () => {
  const small = encodeBatch(Array.from({ length: 20_000 }, () => ({ value: '' })));
  const large = encodeBatch([{ value: Buffer.alloc(limits.subscribeChunk * 2) }, { value: 'x' }]);
  const sizes: number[] = [];
  for (const bytes of [small, large]) {
    const open = new OpenSlice([bytes], { from: offset(0n), next: offset(20_000n), until: undefined });
    sizes.push(open.take(Number.POSITIVE_INFINITY).records.length);
  }
  assert.ok((sizes[0] ?? 0) < limits.subscribeChunk / limits.subscribeRecord + 1);
  assert.equal(sizes[1], 1);
});

test('what stands before a damaged batch is given out, then where reading may go on behind it', () => {
  const batches = [0, 2, 4].map((at) =>
    encodeBatch([{ value: 'a' }, { value: 'b' }], { baseOffset: offset(BigInt(at)) }),
  );
  const damaged = batches[1] ?? new Uint8Array();
  damaged[damaged.length - 1] = 1;
  const open = new OpenSlice([Buffer.concat(batches)], { from: offset(1n), next: offset(6n), until: undefined });
  const taken = open.take(Number.POSITIVE_INFINITY);
  assert.deepEqual(
    taken.records.map((record) => record.offset),
    [1n],
  );
  assert.ok(taken.why.kind === 'broken');
  assert.deepEqual([taken.why.error.error, taken.why.next], ['CORRUPT_MESSAGE', 4n]);
});

test('a batch that is cut off is an error, not an end', () => {
  const whole = encodeBatch([{ value: 'a' }]);
  const cut = encodeBatch([{ value: 'b' }], { baseOffset: offset(1n) }).subarray(0, 40);
  const open = new OpenSlice([Buffer.concat([whole, cut])], { from: offset(0n), next: offset(2n), until: undefined });
  const taken = open.take(Number.POSITIVE_INFINITY);
  assert.equal(taken.records.length, 1);
  assert.ok(taken.why.kind === 'broken' && taken.why.error.error === 'CORRUPT_MESSAGE');
});
