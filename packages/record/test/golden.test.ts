import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaderEpoch, offset, producerEpoch, producerId } from '@tributary/model';
import {
  BatchBuilder,
  BatchHeader,
  baseSequenceOf,
  checkBatch,
  decodeBatch,
  encodeControlBatch,
  hasProducerId,
  isControlBatch,
  isTransactionalBatch,
  lastOffsetOf,
  noProducer,
  producerEpochOf,
  producerIdOf,
  type RecordView,
  readControlRecord,
  scanBatches,
} from '@tributary/record';
import { described, type ExpectedBatch, golden, scenarios } from './golden-vectors.ts';

const describeRecord = (record: RecordView): object => {
  const plain = {
    offset: String(record.offset),
    timestamp: record.timestamp,
    key: described(record.key),
    value: described(record.value),
    headers: record.headers.map(({ key, value }) => ({ key, value: described(value) })),
  };
  if (!record.batch.header.isControl) return plain;
  const control = readControlRecord(record);
  assert(control.kind !== 'other');
  return { ...plain, control: control.kind, coordinatorEpoch: control.coordinatorEpoch };
};

const describeHeader = (header: BatchHeader): object => ({
  size: header.size,
  baseOffset: String(header.baseOffset),
  lastOffset: String(header.lastOffset),
  leaderEpoch: header.leaderEpoch,
  crc: header.crc,
  attributes: header.attributes,
  compression: header.compression,
  timestampType: header.timestampType === 'create' ? 'CreateTime' : 'LogAppendTime',
  baseTimestamp: header.baseTimestamp,
  maxTimestamp: header.maxTimestamp,
  producerId: String(header.producerId),
  producerEpoch: header.producerEpoch,
  baseSequence: header.baseSequence,
  transactional: header.isTransactional,
  control: header.isControl,
  deleteHorizon: header.hasDeleteHorizon,
});

const headerOf = ({ at: _at, records: _records, lastSequence: _lastSequence, ...header }: ExpectedBatch): object =>
  header;

for (const scenario of scenarios) {
  test(`every batch that Java wrote (${scenario}) reads back as Java reads it`, () => {
    const { bytes, batches } = golden(scenario);
    assert.deepEqual(
      [...scanBatches(bytes)],
      batches.map(({ at, size }) => ({ at, size })),
    );
    for (const expected of batches) {
      assert.equal(checkBatch(bytes, expected.at, bytes.length, 'log'), expected.size);
      const batch = decodeBatch(bytes, expected.at);
      assert.deepEqual(describeHeader(batch.header), headerOf(expected));
      if (batch.header.hasProducer && !expected.control) assert.equal(batch.header.lastSequence, expected.lastSequence);
      assert.deepEqual(batch.records.map(describeRecord), expected.records);
    }
  });

  test(`the single-field readers agree with the whole header (${scenario})`, () => {
    const { bytes, batches } = golden(scenario);
    for (const { at } of batches) {
      const header = new BatchHeader(bytes, at);
      assert.equal(lastOffsetOf(bytes, at), header.lastOffset);
      assert.equal(producerIdOf(bytes, at), header.producerId);
      assert.equal(producerEpochOf(bytes, at), header.producerEpoch);
      assert.equal(baseSequenceOf(bytes, at), header.baseSequence);
      assert.equal(hasProducerId(bytes, at), header.hasProducer);
      assert.equal(isControlBatch(bytes, at), header.isControl);
      assert.equal(isTransactionalBatch(bytes, at), header.isTransactional);
    }
  });
}

for (const scenario of ['plain', 'idempotent', 'transactional'] as const) {
  test(`our encoder writes Java's uncompressed batches byte for byte (${scenario})`, () => {
    const { bytes, batches } = golden(scenario);
    for (const { at, size, control, compression } of batches) {
      if (compression !== 'none') continue;
      const { header, records } = decodeBatch(bytes, at);
      const place = { baseOffset: offset(header.baseOffset), leaderEpoch: leaderEpoch(header.leaderEpoch) };
      const original = bytes.subarray(at, at + size);
      if (control) {
        const marker = readControlRecord(records[0]!);
        assert(marker.kind !== 'other');
        const again = encodeControlBatch({
          ...place,
          end: marker.kind,
          coordinatorEpoch: marker.coordinatorEpoch,
          producerId: producerId(header.producerId),
          producerEpoch: producerEpoch(header.producerEpoch),
          timestamp: header.baseTimestamp,
        });
        assert.deepEqual(Buffer.from(again), original);
        continue;
      }
      const builder = new BatchBuilder(size);
      for (const { timestamp, key, value, headers } of records) assert(builder.append(timestamp, key, value, headers));
      assert.equal(builder.estimatedSize, size);
      const producer = header.hasProducer
        ? { id: header.producerId, epoch: header.producerEpoch, baseSequence: header.baseSequence }
        : noProducer;
      assert.deepEqual(
        Buffer.from(builder.build({ ...place, producer, transactional: header.isTransactional })),
        original,
      );
    }
  });
}

test('a batch fresh from Java passes as a producer’s, and control batches, log append time and compacted ones do not', () => {
  for (const scenario of scenarios) {
    const { bytes, batches } = golden(scenario);
    for (const { at, control, timestampType, records, baseOffset, lastOffset, deleteHorizon } of batches) {
      const fresh =
        !control &&
        timestampType === 'CreateTime' &&
        BigInt(records.length) === BigInt(lastOffset) - BigInt(baseOffset) + 1n &&
        !deleteHorizon;
      if (fresh) checkBatch(bytes, at, bytes.length, 'producer');
      else assert.throws(() => checkBatch(bytes, at, bytes.length, 'producer'), { name: 'TributaryError' });
    }
  }
});
