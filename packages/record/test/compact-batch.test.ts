import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { offset, producerEpoch, producerId, TributaryError } from '@tributary/model';
import {
  checkBatch,
  checkKeys,
  compressions,
  decodeBatch,
  deleteHorizonOf,
  emptiedBatch,
  encodeBatch,
  KeptRecords,
  newestTimestampOf,
  openBatch,
  RecordSpans,
  readBatchHeader,
  stampLogAppendTime,
} from '@tributary/record';
import fc from 'fast-check';

const text = fc.option(fc.string({ maxLength: 30 }), { nil: null });
const records = fc.array(
  fc.record({
    timestamp: fc.integer({ min: -1, max: 2 ** 41 }),
    key: text,
    value: text,
    headers: fc.array(fc.record({ key: fc.string({ maxLength: 5 }), value: fc.uint8Array({ maxLength: 9 }) }), {
      maxLength: 2,
    }),
    keep: fc.boolean(),
  }),
  { minLength: 1, maxLength: 20 },
);
const producer = { id: producerId(7n), epoch: producerEpoch(3), baseSequence: 40 };

const shown = (batch: Uint8Array) =>
  decodeBatch(batch).records.map((record) => ({
    offset: record.offset,
    timestamp: record.timestamp,
    key: record.keyText(),
    value: record.valueText(),
    headers: record.headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString('hex')]),
  }));

describe('taking records out of a batch', () => {
  test('leaves the others as they were, offsets and timestamps included, with and without a delete horizon', () => {
    fc.assert(
      fc.property(
        records,
        fc.constantFrom(...compressions),
        fc.option(fc.nat(2 ** 41), { nil: undefined }),
        (all, compression, horizon) => {
          const bytes = encodeBatch(all, { baseOffset: offset(1_000n), compression, producer });
          const kept = new KeptRecords(openBatch(bytes));
          while (kept.next()) if (all[kept.spans.offsetDelta]?.keep === true) kept.keep();
          if (kept.count === 0) return;
          const built = kept.build(bytes, 0, horizon);
          assert.equal(checkBatch(built, 0, built.length, 'log'), built.length);
          assert.deepEqual(
            shown(built),
            shown(bytes).filter((_, index) => all[index]?.keep === true),
          );
          const [was, is] = [readBatchHeader(bytes, 0), readBatchHeader(built, 0)];
          assert.equal(deleteHorizonOf(built, 0), horizon);
          assert.equal(is.maxTimestamp, Math.max(...all.filter(({ keep }) => keep).map(({ timestamp }) => timestamp)));
          for (const field of [
            'baseOffset',
            'lastOffsetDelta',
            'producerId',
            'producerEpoch',
            'baseSequence',
            'compression',
          ] as const)
            assert.equal(is[field], was[field], field);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of log append time keeps it for all of them, whatever the base timestamp', () => {
    const bytes = encodeBatch([
      { timestamp: 2 ** 52 - 2, key: 'a', value: null },
      { timestamp: 2 ** 52 - 2, key: 'b', value: 'v' },
    ]);
    stampLogAppendTime(bytes, 0, 5_000);
    const kept = new KeptRecords(openBatch(bytes));
    while (kept.next()) if (kept.spans.offsetDelta === 0) kept.keep();
    assert.deepEqual(
      shown(kept.build(bytes, 0, 9_000)).map(({ timestamp }) => timestamp),
      [5_000],
    );
  });

  test('all of them leaves the header, by which its producer is still known, and no timestamp for indexes', () => {
    for (const compression of compressions) {
      const bytes = encodeBatch(
        [
          { timestamp: 9, key: 'a', value: 'v' },
          { timestamp: 8, key: 'b', value: 'v' },
        ],
        { compression, producer },
      );
      const empty = emptiedBatch(bytes, 0);
      assert.equal(checkBatch(empty, 0, empty.length, 'log'), 61);
      assert.deepEqual(shown(empty), []);
      const header = readBatchHeader(empty, 0);
      assert.deepEqual([header.lastSequence, header.maxTimestamp, newestTimestampOf(empty, 0)], [41, 9, -1]);
    }
  });

  test('of a malformed batch is refused at its first wrong byte, and never reads outside', () => {
    const whole = encodeBatch([
      { key: 'key', value: 'value' },
      { key: 'other', value: null },
    ]);
    const section = whole.subarray(61);
    fc.assert(
      fc.property(fc.nat(section.length - 1), fc.nat(255), (position, byte) => {
        const bytes = Uint8Array.from(section);
        bytes[position] = byte;
        const spans = new RecordSpans(bytes, 0, bytes.length);
        try {
          while (spans.next()) assert.ok(spans.end <= bytes.length && spans.keyStart + spans.keyLength <= spans.end);
        } catch (thrown) {
          assert.ok(thrown instanceof TributaryError && thrown.error === 'CORRUPT_MESSAGE', String(thrown));
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('records without a key are found in any codec', () => {
  for (const compression of compressions) {
    checkKeys(encodeBatch([{ key: '', value: null }], { compression }), 0);
    const bytes = encodeBatch(
      [
        { key: 'a', value: 'v' },
        { key: null, value: 'v' },
      ],
      { compression },
    );
    assert.throws(
      () => checkKeys(bytes, 0),
      (thrown) =>
        thrown instanceof TributaryError && thrown.error === 'INVALID_RECORD' && /record 1 /.test(thrown.message),
    );
  }
});
