import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorName, leaderEpoch, offset, producerEpoch, producerId } from '@tributary/model';
import {
  type BatchOptions,
  BatchScanner,
  checkBatch,
  computeCrc,
  crc32c,
  decodeBatch,
  encodeBatch,
  encodeControlBatch,
  noProducer,
  readControlRecord,
  scanBatches,
  sequenceAfter,
  setProducer,
  stampBaseOffset,
  stampCrc,
  stampLeaderEpoch,
  stampLogAppendTime,
} from '@tributary/record';

const sample = (options: BatchOptions = {}): Buffer =>
  Buffer.from(
    encodeBatch(
      [
        { timestamp: 1000, key: 'k', value: 'v' },
        { timestamp: 2000, value: 'w' },
      ],
      options,
    ),
  );
const refused = (bytes: Uint8Array, error: ErrorName, pattern: RegExp, limit = bytes.length): void =>
  assert.throws(() => checkBatch(bytes, 0, limit, 'producer'), { name: 'TributaryError', error, message: pattern });
/** Changed behind a correct CRC: what a faulty client sends. */
const altered = (change: (bytes: Buffer) => unknown, options?: BatchOptions): Buffer => {
  const bytes = sample(options);
  change(bytes);
  stampCrc(bytes, 0);
  return bytes;
};

test('the CRC is Castagnoli’s, of a part of the bytes too', () => {
  const bytes = Buffer.from('..123456789..');
  assert.equal(crc32c(bytes, 2, 11), 0xe3069283);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test('each flipped bit inside the CRC’s range is found', () => {
  const bytes = sample();
  for (let at = 17; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      bytes[at]! ^= 1 << bit;
      refused(bytes, 'CORRUPT_MESSAGE', /CRC32C/);
      bytes[at]! ^= 1 << bit;
    }
  }
  checkBatch(bytes, 0, bytes.length, 'producer');
});

test('a batch cut anywhere, or whose length field lies, is refused', () => {
  const bytes = sample();
  for (let limit = 0; limit < bytes.length; limit++) refused(bytes, 'CORRUPT_MESSAGE', /are there/, limit);
  for (const length of [-1, 0, 48, 0x7fffffff, -0x80000000]) {
    const lying = sample();
    lying.writeInt32BE(length, 8);
    refused(lying, 'CORRUPT_MESSAGE', /length field/);
  }
});

test('an older message format is named as such, garbage as corrupt', () => {
  for (const magic of [0, 1])
    refused(
      altered((bytes) => bytes.writeInt8(magic, 16)),
      'UNSUPPORTED_FOR_MESSAGE_FORMAT',
      /message format/,
    );
  for (const magic of [-1, 3, 127])
    refused(
      altered((bytes) => bytes.writeInt8(magic, 16)),
      'CORRUPT_MESSAGE',
      /magic/,
    );
});

test('a producer’s batch must be dense and not empty; a compacted one need not', () => {
  const sparse = altered((bytes) => bytes.writeInt32BE(7, 23));
  refused(sparse, 'INVALID_RECORD', /dense/);
  checkBatch(sparse, 0, sparse.length, 'log');
  const emptied = Buffer.from(encodeBatch([]));
  refused(emptied, 'INVALID_RECORD', /dense/);
  checkBatch(emptied, 0, emptied.length, 'log');
  assert.deepEqual(decodeBatch(emptied).records, []);
});

test('counts that cannot be are corrupt, whoever sends them', () => {
  for (const [lastDelta, count] of [
    [-1, 0],
    [1, -1],
    [1, 3],
    [1, 0x7fffffff],
  ] as const) {
    const bytes = altered((raw) => {
      raw.writeInt32BE(lastDelta, 23);
      raw.writeInt32BE(count, 57);
    });
    for (const origin of ['producer', 'log'] as const) {
      assert.throws(() => checkBatch(bytes, 0, bytes.length, origin), {
        name: 'TributaryError',
        error: 'CORRUPT_MESSAGE',
      });
    }
  }
});

test('unknown codecs, control records and foreign timestamps are refused from a producer', () => {
  refused(
    altered((bytes) => bytes.writeInt16BE(5, 21)),
    'UNSUPPORTED_COMPRESSION_TYPE',
    /codec 5/,
  );
  const claimed = sample({});
  claimed[22] = (claimed[22] ?? 0) | 0b100_0000;
  stampCrc(claimed, 0);
  refused(claimed, 'INVALID_RECORD', /delete horizon/);
  refused(sample({ control: true }), 'INVALID_RECORD', /control/);
  refused(
    altered((bytes) => bytes.writeInt16BE(8, 21)),
    'INVALID_TIMESTAMP',
    /log append time/,
  );
  refused(
    altered((bytes) => bytes.writeBigInt64BE(999n, 35)),
    'INVALID_TIMESTAMP',
    /max timestamp/,
  );
  refused(
    altered((bytes) => bytes.writeBigInt64BE(-5n, 27)),
    'INVALID_TIMESTAMP',
    /base timestamp/,
  );
  refused(
    altered((bytes) => bytes.writeBigInt64BE(2n ** 62n, 27)),
    'CORRUPT_MESSAGE',
    /2\^53/,
  );
});

test('a producer id goes with an epoch and a sequence', () => {
  const id = producerId(5n);
  refused(sample({ producer: { id, epoch: producerEpoch(-1), baseSequence: 0 } }), 'INVALID_RECORD', /epoch/);
  refused(sample({ producer: { id, epoch: producerEpoch(0), baseSequence: -1 } }), 'INVALID_RECORD', /sequence/);
  refused(sample({ producer: { ...noProducer, id: producerId(-2n) } }), 'INVALID_RECORD', /negative/);
  refused(sample({ transactional: true }), 'INVALID_RECORD', /transactional/);
});

test('a leader’s stamps leave the CRC valid', () => {
  const bytes = sample();
  stampBaseOffset(bytes, 0, offset(2n ** 60n + 3n));
  stampLeaderEpoch(bytes, 0, leaderEpoch(0x7fffffff));
  checkBatch(bytes, 0, bytes.length, 'producer');
  const { header, records } = decodeBatch(bytes);
  assert.deepEqual(
    [header.baseOffset, header.leaderEpoch, header.nextOffset],
    [2n ** 60n + 3n, 0x7fffffff, 2n ** 60n + 5n],
  );
  assert.deepEqual(
    records.map((record) => record.offset),
    [2n ** 60n + 3n, 2n ** 60n + 4n],
  );
});

test('log append time gives every record one timestamp, behind a new CRC', () => {
  const bytes = sample();
  const before = computeCrc(bytes, 0);
  stampLogAppendTime(bytes, 0, 1_800_000_000_000);
  assert.notEqual(computeCrc(bytes, 0), before);
  checkBatch(bytes, 0, bytes.length, 'log');
  assert.deepEqual(
    decodeBatch(bytes).records.map((record) => record.timestamp),
    [1_800_000_000_000, 1_800_000_000_000],
  );
});

test('a link clears the producer, behind a new CRC', () => {
  const bytes = sample({ producer: { id: producerId(77n), epoch: producerEpoch(3), baseSequence: 9 } });
  setProducer(bytes, 0, noProducer);
  checkBatch(bytes, 0, bytes.length, 'producer');
  const { header } = decodeBatch(bytes);
  assert.deepEqual(
    [header.hasProducer, header.producerId, header.producerEpoch, header.baseSequence],
    [false, -1n, -1, -1],
  );
});

test('sequences wrap to zero', () => {
  assert.equal(sequenceAfter(0x7fffffff, 1), 0);
  assert.equal(sequenceAfter(0x7ffffffe, 5), 3);
});

test('the scanner gives each whole batch and the size of a cut last one', () => {
  const whole = sample();
  const bytes = Buffer.concat([whole, whole, whole]);
  for (let limit = 0; limit <= bytes.length; limit++) {
    const scanner = new BatchScanner(bytes, 0, limit);
    let batches = 0;
    while (scanner.next()) {
      assert.deepEqual([scanner.at, scanner.size], [batches * whole.length, whole.length]);
      batches++;
    }
    assert.equal(batches, Math.floor(limit / whole.length));
    assert.equal(scanner.cutBytes, limit % whole.length);
    assert.equal([...scanBatches(bytes, 0, limit)].length, batches);
  }
});

test('the scanner refuses what cannot be a batch', () => {
  const bytes = Buffer.concat([sample(), Buffer.alloc(100)]);
  assert.throws(() => [...scanBatches(bytes)], {
    name: 'TributaryError',
    error: 'CORRUPT_MESSAGE',
    message: /byte 79/,
  });
  const old = Buffer.from(sample());
  old.writeInt8(1, 16);
  assert.throws(() => [...scanBatches(old)], { name: 'TributaryError', error: 'UNSUPPORTED_FOR_MESSAGE_FORMAT' });
  old.writeInt8(3, 16);
  assert.throws(() => [...scanBatches(old)], { name: 'TributaryError', error: 'CORRUPT_MESSAGE', message: /magic/ });
});

test('control batches say which way a transaction ended', () => {
  for (const end of ['abort', 'commit'] as const) {
    const bytes = encodeControlBatch({
      end,
      producerId: producerId(4n),
      producerEpoch: producerEpoch(2),
      coordinatorEpoch: 11,
      timestamp: 5,
    });
    checkBatch(bytes, 0, bytes.length, 'log');
    const { header, records } = decodeBatch(bytes);
    assert(header.isControl && header.isTransactional);
    assert.deepEqual(records.map(readControlRecord), [{ kind: end, coordinatorEpoch: 11 }]);
  }
});

test('control records of other types are told apart, malformed ones are refused', () => {
  const read = (key: Uint8Array | null, value: Uint8Array | null): unknown =>
    readControlRecord(decodeBatch(encodeBatch([{ key, value }], { control: true })).records[0]!);
  assert.deepEqual(read(Uint8Array.of(0, 0, 0, 2), null), { kind: 'other', type: 2 });
  for (const [key, value] of [
    [null, null],
    [Uint8Array.of(0, 0, 0), null],
    [Uint8Array.of(0, 0, 0, 1), null],
    [Uint8Array.of(0, 0, 0, 0), new Uint8Array(5)],
  ] as const) {
    assert.throws(() => read(key, value), { name: 'TributaryError', error: 'CORRUPT_MESSAGE' });
  }
});

test('a batch that claims more records than its bytes can hold is refused; the smallest records there are fit', () => {
  const claiming = (count: number): Buffer =>
    altered((bytes) => {
      bytes.writeInt32BE(count - 1, 23);
      bytes.writeInt32BE(count, 57);
    });
  const most = Math.floor((sample().length - 61) / 7);
  checkBatch(claiming(most), 0, claiming(most).length, 'producer');
  for (const count of [most + 1, 1_000_000, 0x7fffffff])
    refused(claiming(count), 'INVALID_RECORD', /records do not fit into \d+ bytes/);
  const smallest = encodeBatch(Array.from({ length: 60 }, () => ({ timestamp: 0, value: null })));
  assert.equal(checkBatch(smallest, 0, smallest.length, 'producer'), 61 + 60 * 7);
});
