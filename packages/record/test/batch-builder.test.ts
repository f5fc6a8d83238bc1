import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offset, producerEpoch, producerId } from '@tributary/model';
import {
  BatchBuilder,
  checkBatch,
  compressions,
  decodeBatch,
  encodeBatch,
  type NewRecord,
  type RecordView,
} from '@tributary/record';
import fc from 'fast-check';

const bytesOf = (payload: Uint8Array | string | null | undefined): string | null =>
  payload === null || payload === undefined ? null : Buffer.from(payload as string).toString('hex');

const plain = (record: NewRecord): object => ({
  timestamp: record.timestamp ?? 0,
  key: bytesOf(record.key),
  value: bytesOf(record.value),
  headers: (record.headers ?? []).map(({ key, value }) => ({ key, value: bytesOf(value) })),
});
const seen = (record: RecordView): object =>
  plain({ timestamp: record.timestamp, key: record.key, value: record.value, headers: record.headers });

/** Any text, lone surrogates included. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 })).map((units) => String.fromCharCode(...units)),
);
const anyPayload = fc.oneof(
  fc.constant(null),
  anyText,
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom('x'.repeat(63), 'x'.repeat(64), 'é'.repeat(40), 'y'.repeat(9000)),
);
const anyTimestamp = fc.oneof(
  fc.integer({ min: -1, max: 2 ** 52 - 2 }),
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_100 }),
);
const wellFormed = fc.string({ unit: 'grapheme' });
const anyRecord = fc.record({
  timestamp: anyTimestamp,
  key: anyPayload,
  value: anyPayload,
  headers: fc.array(fc.record({ key: wellFormed, value: fc.option(fc.uint8Array({ maxLength: 40 })) }), {
    maxLength: 4,
  }),
});

test('what is appended is what is read, in every codec', () => {
  fc.assert(
    fc.property(
      fc.array(anyRecord, { minLength: 1, maxLength: 30 }),
      fc.constantFrom(...compressions),
      (records, compression) => {
        const bytes = encodeBatch(records, { compression });
        assert.equal(checkBatch(bytes, 0, bytes.length, 'producer'), bytes.length);
        const batch = decodeBatch(bytes);
        assert.deepEqual(batch.records.map(seen), records.map(plain));
        assert.deepEqual(
          batch.records.map((record) => record.offset),
          records.map((_, index) => BigInt(index)),
        );
        assert.equal(batch.header.maxTimestamp, Math.max(...records.map(({ timestamp }) => timestamp)));
      },
    ),
    { numRuns: 400 },
  );
});

test('text accessors give the text that was appended', () => {
  const [record] = decodeBatch(encodeBatch([{ key: 'ключ', value: 'grüße-🌊' }])).records;
  assert.deepEqual([record?.keyText(), record?.valueText()], ['ключ', 'grüße-🌊']);
  const [empty] = decodeBatch(encodeBatch([{ value: null }])).records;
  assert.deepEqual([empty?.keyText(), empty?.valueText()], [null, null]);
});

test('a batch never exceeds its capacity, except for a single record that must', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 61, max: 5000 }),
      fc.array(anyRecord, { minLength: 1, maxLength: 50 }),
      (capacity, records) => {
        const builder = new BatchBuilder(capacity);
        for (const { timestamp, key, value, headers } of records) {
          const before = builder.estimatedSize;
          const taken = builder.append(timestamp, key, value, headers);
          if (!taken) {
            assert(builder.count > 0);
            assert.equal(builder.estimatedSize, before);
            break;
          }
          assert(builder.count === 1 || builder.estimatedSize <= capacity);
        }
        assert.equal(builder.build().length, builder.estimatedSize);
      },
    ),
  );
});

test('a batch is filled to its last byte', () => {
  const size = encodeBatch([{ value: 'first' }, { value: 'second' }]).length;
  for (const [capacity, fits] of [
    [size, true],
    [size - 1, false],
  ] as const) {
    const builder = new BatchBuilder(capacity);
    assert(builder.append(0, null, 'first'));
    assert.equal(builder.append(0, null, 'second'), fits);
  }
});

test('a refused record leaves the batch as it was', () => {
  const builder = new BatchBuilder(200);
  assert(builder.append(5, 'k', 'v'));
  const before = Buffer.from(builder.build({ copy: true }));
  assert.equal(builder.append(9, 'k', 'v'.repeat(200)), false);
  assert.deepEqual(Buffer.from(builder.build()), before);
});

test('a reset builder begins anew, and a copied batch outlives the reset', () => {
  const builder = new BatchBuilder(1000);
  builder.append(7, 'a', 'first');
  const first = builder.build({ copy: true });
  builder.reset();
  assert.deepEqual([builder.count, builder.estimatedSize], [0, 61]);
  builder.append(3, 'b', 'second');
  const second = builder.build();
  assert.deepEqual(decodeBatch(first).records.map(seen), [plain({ timestamp: 7, key: 'a', value: 'first' })]);
  assert.deepEqual(decodeBatch(second).records.map(seen), [plain({ timestamp: 3, key: 'b', value: 'second' })]);
});

test('the memory of one huge record is given back at reset', () => {
  const builder = new BatchBuilder(1000);
  builder.append(0, null, new Uint8Array(1_000_000));
  assert(builder.build().buffer.byteLength > 1_000_000);
  builder.reset();
  builder.append(0, null, 'x');
  assert(builder.build().buffer.byteLength <= 1000);
});

test('a batch may be built again with another producer epoch', () => {
  const builder = new BatchBuilder(1000);
  builder.append(0, null, 'x');
  const producer = { id: producerId(9n), epoch: producerEpoch(0), baseSequence: 4 };
  const old = decodeBatch(builder.build({ producer, copy: true })).header;
  const again = builder.build({
    producer: { ...producer, epoch: producerEpoch(1), baseSequence: 0 },
    baseOffset: offset(12n),
    transactional: true,
  });
  checkBatch(again, 0, again.length, 'producer');
  const { header } = decodeBatch(again);
  assert.deepEqual([old.producerId, old.producerEpoch, old.baseSequence, old.isTransactional], [9n, 0, 4, false]);
  assert.deepEqual(
    [header.producerId, header.producerEpoch, header.baseSequence, header.isTransactional, header.baseOffset],
    [9n, 1, 0, true, 12n],
  );
});

test('a timestamp that is no whole number of milliseconds is refused by name', () => {
  for (const timestamp of [Number.NaN, Number.POSITIVE_INFINITY, 1.5, -2, 2 ** 53]) {
    assert.throws(() => new BatchBuilder(100).append(timestamp, null, null), {
      name: 'TributaryError',
      error: 'INVALID_TIMESTAMP',
    });
  }
});
