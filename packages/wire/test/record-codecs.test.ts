import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits, TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import fc from 'fast-check';
import { encodeOnce, PublishRequest, PublishResponse, SubscribeResponse } from '../src/index.ts';
import { publishRequestCodec, publishResponseCodec, subscribeResponseCodec } from '../src/record-codecs.ts';

const int32 = fc.oneof(
  fc.constantFrom(0, -1, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
/** Every length of varint is met, not only the longest. */
const magnitude = fc
  .integer({ min: 0, max: 63 })
  .chain((bits) => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }));
const int64 = fc.oneof(
  fc.constantFrom(0n, -1n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 63n - 1n, -(2n ** 63n)),
  magnitude,
  magnitude.map((value) => -value),
);
const string = fc.oneof(fc.constant(''), fc.string({ maxLength: 80 }), fc.string({ unit: 'grapheme', maxLength: 70 }));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(127, 128, 16_383, 16_384).map((length) => new Uint8Array(length).fill(7)),
);
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const errorCode = fc.constantFrom(-1, 0, 6, 104) as fc.Arbitrary<0>;
const headers = fc.array(fc.record({ key: string, value: optional(bytes) }), { maxLength: 3 });
const context = fc.record({
  clusterId: string,
  clientId: string,
  principal: string,
  originalPrincipal: string,
  host: string,
  hops: int32,
  minRevision: int64,
});

const publishRequest: fc.Arbitrary<PublishRequest> = fc.record({
  context: optional(context),
  topic: string,
  records: fc.array(
    fc.record({
      key: optional(bytes),
      value: optional(bytes),
      headers,
      timestampMs: optional(int64),
      partition: optional(int32),
    }),
    { maxLength: 5 },
  ),
  partition: optional(int32),
  acks: fc.constantFrom(0, 1, 2, 3),
  timeoutMs: int32,
  sequence: optional(fc.record({ producerId: int64, producerEpoch: int32, firstSequence: int32 })),
});
const publishResponse: fc.Arbitrary<PublishResponse> = fc.record({
  throttleMs: int32,
  topicId: string,
  records: fc.array(
    fc.record({ partition: int32, offset: int64, timestampMs: int64, errorCode, errorMessage: string }),
    { maxLength: 5 },
  ),
});
const assigned = fc.record({ topic: string, partition: int32, topicId: string });
const subscribeResponse: fc.Arbitrary<SubscribeResponse> = fc.record({
  throttleMs: int32,
  subscriptionId: string,
  partitions: fc.array(
    fc.record({
      topic: string,
      partition: int32,
      errorCode,
      errorMessage: string,
      highWatermark: int64,
      records: fc.array(
        fc.record({
          offset: int64,
          timestampMs: int64,
          key: optional(bytes),
          value: optional(bytes),
          headers,
          leaderEpoch: int32,
        }),
        { maxLength: 4 },
      ),
      nextOffset: int64,
      topicId: optional(string),
    }),
    { maxLength: 3 },
  ),
  creditNeeded: magnitude,
  assignment: optional(
    fc.record({
      memberId: string,
      memberEpoch: int32,
      version: int64,
      partitions: fc.array(assigned, { maxLength: 2 }),
      toRelease: fc.array(assigned, { maxLength: 2 }),
    }),
  ),
});

/** Buffers and other byte arrays compare as bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

interface Generated<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

function sameAsGenerated<T>(name: string, arbitrary: fc.Arbitrary<T>, codec: Codec<T>, generated: Generated<T>): void {
  it(`${name}: the same bytes are written, and the same message is read`, () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        const bytes = Buffer.from(generated.encode(message).finish());
        assert.deepEqual(Buffer.from(codec.encode(message)), bytes);
        assert.deepEqual(plain(codec.decode(bytes)), plain(generated.decode(bytes)));
      }),
    );
  });
}

describe('the record level by hand and as generated', () => {
  sameAsGenerated('PublishRequest', publishRequest, publishRequestCodec, PublishRequest);
  sameAsGenerated('PublishResponse', publishResponse, publishResponseCodec, PublishResponse);
  sameAsGenerated('SubscribeResponse', subscribeResponse, subscribeResponseCodec, SubscribeResponse);

  it('what is encoded once is sent with those bytes, whatever becomes of its records', () => {
    fc.assert(
      fc.property(subscribeResponse, (message) => {
        const bytes = Buffer.from(SubscribeResponse.encode(message).finish());
        for (const partition of message.partitions) {
          encodeOnce(partition);
          partition.records = [];
        }
        assert.deepEqual(Buffer.from(subscribeResponseCodec.encode(message)), bytes);
      }),
    );
  });

  it('a request that is cut, changed or made of chance is read or refused by name, never anything else', () => {
    const mutated = fc.tuple(publishRequest, fc.nat(), fc.nat(255), fc.nat());
    fc.assert(
      fc.property(mutated, ([message, at, byte, length]) => {
        const bytes = Buffer.from(PublishRequest.encode(message).finish());
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        try {
          publishRequestCodec.decode(bytes.subarray(0, length % (bytes.length + 1)));
        } catch (thrown) {
          assert.ok(thrown instanceof TributaryError && thrown.error === 'INVALID_REQUEST', String(thrown));
        }
      }),
    );
  });

  it('more records or headers than the limits allow are refused while they are read', () => {
    // Two bytes each: an empty record; then one record of empty headers.
    const records = Buffer.alloc(2 * (limits.publishRecords + 1));
    for (let at = 0; at < records.length; at += 2) records[at] = 26;
    assert.equal(publishRequestCodec.decode(records.subarray(2)).records.length, limits.publishRecords);
    assert.throws(() => publishRequestCodec.decode(records), { error: 'RECORD_LIST_TOO_LARGE' });
    const body = Buffer.alloc(2 * (limits.publishHeaders + 1));
    for (let at = 0; at < body.length; at += 2) body[at] = 26;
    const prefix = PublishResponse.encode({ throttleMs: 0, topicId: '', records: [] })
      .uint32(26)
      .uint32(body.length)
      .finish();
    assert.throws(() => publishRequestCodec.decode(Buffer.concat([prefix, body])), { error: 'RECORD_LIST_TOO_LARGE' });
  });

  it('text that is no UTF-8 is refused, not replaced', () => {
    assert.throws(() => publishRequestCodec.decode(Buffer.from([18, 2, 0xc3, 0x28])), { error: 'INVALID_REQUEST' });
    assert.equal(publishRequestCodec.decode(Buffer.from([18, 3, 0xef, 0xbf, 0xbd])).topic, '\ufffd');
  });
});
