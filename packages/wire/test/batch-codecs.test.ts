import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import fc from 'fast-check';
import { fetchResponseCodec, produceRequestCodec, produceResponseCodec } from '../src/batch-codecs.ts';
import {
  FetchResponse,
  type ListTopicsResponse,
  methods,
  ProduceRequest,
  ProduceResponse,
  ReplicateResponse,
} from '../src/index.ts';
import { replicateResponseCodec } from '../src/replication-codecs.ts';

const int32 = fc.oneof(
  fc.constantFrom(0, -1, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
const uint32 = fc.oneof(fc.constantFrom(0, 127, 128, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
/** Every length of varint is met, not only the longest. */
const magnitude = fc
  .integer({ min: 0, max: 63 })
  .chain((bits) => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }));
const int64 = fc.oneof(
  fc.constantFrom(0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)),
  magnitude,
  magnitude.map((value) => -value),
);
const uint64 = fc.oneof(fc.constantFrom(0n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 64n - 1n), magnitude);
const string = fc.oneof(fc.constant(''), fc.string({ maxLength: 80 }), fc.string({ unit: 'grapheme', maxLength: 70 }));
/** The lengths at which the length's own size changes are among them. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(127, 128, 16_383, 16_384, 17_000).map((length) => new Uint8Array(length).fill(7)),
);
const errorCode = fc.constantFrom(-1, 0, 6, 104) as fc.Arbitrary<0>;

const context = fc.record({
  clusterId: string,
  clientId: string,
  principal: string,
  originalPrincipal: string,
  host: string,
  hops: int32,
  minRevision: int64,
});
const produceRequest: fc.Arbitrary<ProduceRequest> = fc.record({
  context: fc.option(context, { nil: undefined }),
  acks: fc.constantFrom(0, 1, 2, 3),
  timeoutMs: int32,
  transactionalId: string,
  batches: fc.array(
    fc.record({
      correlationId: uint32,
      topicId: string,
      partition: int32,
      leaderEpoch: int32,
      records: bytes,
      writerEpoch: fc.option(int64, { nil: undefined }),
    }),
    { maxLength: 4 },
  ),
});
const produceResponse: fc.Arbitrary<ProduceResponse> = fc.record({
  throttleMs: int32,
  results: fc.array(
    fc.record({
      correlationId: uint32,
      errorCode,
      errorMessage: string,
      baseOffset: int64,
      logAppendTimeMs: int64,
      logStartOffset: int64,
      leaderId: int32,
      leaderEpoch: int32,
    }),
    { maxLength: 4 },
  ),
});
const fetchResponse: fc.Arbitrary<FetchResponse> = fc.record({
  throttleMs: int32,
  partitions: fc.array(
    fc.record({
      topicId: string,
      partition: int32,
      generation: uint32,
      errorCode,
      errorMessage: string,
      highWatermark: int64,
      lastStableOffset: int64,
      logStartOffset: int64,
      localLogStartOffset: int64,
      aborted: fc.array(fc.record({ producerId: int64, firstOffset: int64 }), { maxLength: 3 }),
      records: bytes,
      leaderId: int32,
      leaderEpoch: int32,
      creditNeeded: uint64,
    }),
    { maxLength: 3 },
  ),
});

const replicateResponse: fc.Arbitrary<ReplicateResponse> = fc.record({
  attached: fc.array(
    fc.record({
      session: uint32,
      outcome: fc.constantFrom(0, 1, 5) as fc.Arbitrary<0>,
      errorCode,
      errorMessage: string,
      epoch: int32,
      endOffset: int64,
      restartOffset: int64,
      producersEnd: int64,
      producers: bytes,
      tombstonesGone: int64,
    }),
    { maxLength: 2 },
  ),
  pushes: fc.array(
    fc.record({
      session: uint32,
      from: int64,
      highWatermark: int64,
      logStartOffset: int64,
      passedByAll: int64,
      records: bytes,
    }),
    { maxLength: 4 },
  ),
});

interface Generated<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** Buffers and other byte arrays compare as bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const cases = [
  { name: 'ProduceRequest', arbitrary: produceRequest, codec: produceRequestCodec, generated: ProduceRequest },
  { name: 'ProduceResponse', arbitrary: produceResponse, codec: produceResponseCodec, generated: ProduceResponse },
  { name: 'FetchResponse', arbitrary: fetchResponse, codec: fetchResponseCodec, generated: FetchResponse },
  {
    name: 'ReplicateResponse',
    arbitrary: replicateResponse,
    codec: replicateResponseCodec,
    generated: ReplicateResponse,
  },
] as const;

it('large records are sent from where they are, small ones are copied', () => {
  const large = new Uint8Array(10_000);
  const small = new Uint8Array(10);
  const batch = { correlationId: 1, topicId: 'a', partition: 0, leaderEpoch: 1 };
  const batches = [large, small].map((records) => ({ ...batch, records }));
  const pieces = produceRequestCodec.pieces?.({
    context: undefined,
    acks: 3,
    timeoutMs: 1,
    transactionalId: '',
    batches,
  });
  assert.equal(pieces?.length, 3);
  assert.equal(pieces?.[1], large);
});

for (const { name, ...rest } of cases) {
  const { arbitrary, codec, generated } = rest as unknown as {
    arbitrary: fc.Arbitrary<object>;
    codec: Codec<object>;
    generated: Generated<object>;
  };
  describe(name, () => {
    it('is encoded to the very bytes of the generated code', () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          assert.deepEqual(Buffer.from(codec.encode(message)), Buffer.from(generated.encode(message).finish()));
        }),
        { numRuns: 500 },
      );
    });

    it('has the same bytes in pieces, the large ones without a copy', () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          assert.deepEqual(
            Buffer.concat(codec.pieces?.(message) ?? [codec.encode(message)]),
            Buffer.from(codec.encode(message)),
          );
        }),
        { numRuns: 500 },
      );
    });

    it('is decoded to what was encoded, from a plain array of bytes as well as from a Buffer', () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          const encoded = generated.encode(message).finish();
          assert.deepEqual(plain(codec.decode(encoded)), plain(message));
          assert.deepEqual(plain(codec.decode(Buffer.from(encoded))), plain(generated.decode(encoded)));
        }),
        { numRuns: 500 },
      );
    });

    it('passes over fields that it does not know', () => {
      // Field 1000 as varint, 64 bits, bytes, group and 32 bits: a newer version may send any of them.
      const unknown = Buffer.from(
        'c03e96ffffff0fc13e0102030405060708c23e03616263c33e080112026869c43ec53e01020304',
        'hex',
      );
      fc.assert(
        fc.property(arbitrary, fc.boolean(), (message, before) => {
          const known = codec.encode(message);
          const both = Buffer.concat(before ? [unknown, known] : [known, unknown]);
          assert.deepEqual(plain(codec.decode(both)), plain(message));
        }),
        { numRuns: 100 },
      );
    });

    it('ends every malformed message in a typed error, and reads nothing beyond its end', () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(), fc.nat(255), fc.boolean(), (message, position, byte, cut) => {
          const whole = Buffer.from(codec.encode(message));
          if (whole.length === 0) return;
          const at = position % whole.length;
          if (cut) assertDecodesOrRefuses(codec, surrounded(whole.subarray(0, at)));
          whole[at] = byte;
          assertDecodesOrRefuses(codec, surrounded(whole));
        }),
        { numRuns: 3_000 },
      );
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => assertDecodesOrRefuses(codec, surrounded(noise))),
      );
    });
  });
}

/** The message in the midst of a larger buffer, as it comes from the network. */
function surrounded(message: Uint8Array): Uint8Array {
  const buffer = Buffer.alloc(message.length + 64, 0x01);
  buffer.set(message, 32);
  return buffer.subarray(32, 32 + message.length);
}

function assertDecodesOrRefuses(codec: Codec<object>, message: Uint8Array): void {
  try {
    for (const view of viewsIn(codec.decode(message))) {
      assert.equal(view.buffer, message.buffer);
      assert.ok(view.byteOffset >= message.byteOffset);
      assert.ok(view.byteOffset + view.length <= message.byteOffset + message.length);
    }
  } catch (thrown) {
    if (!(thrown instanceof TributaryError)) throw thrown;
    assert.equal(thrown.error, 'INVALID_REQUEST');
  }
}

function viewsIn(value: object): Uint8Array[] {
  return Object.values(value).flatMap((inner: unknown) => {
    if (inner instanceof Uint8Array) return inner.length === 0 ? [] : [inner];
    return typeof inner === 'object' && inner !== null ? viewsIn(inner) : [];
  });
}

describe('records', () => {
  it('are a view of what was received, not a copy', () => {
    const records = new Uint8Array(100_000).fill(9);
    const batch = { correlationId: 1, topicId: 't', partition: 2, leaderEpoch: 3, records };
    const received = produceRequestCodec.encode({
      context: undefined,
      acks: 3,
      timeoutMs: 0,
      transactionalId: '',
      batches: [batch],
    });
    const decoded = produceRequestCodec.decode(received).batches[0]?.records;
    assert.equal(decoded?.buffer, received.buffer);
  });

  it('are copied out, so that the sender may reuse its buffer', () => {
    const records = new Uint8Array(10).fill(9);
    const batch = { correlationId: 1, topicId: 't', partition: 2, leaderEpoch: 3, records };
    const sent = produceRequestCodec.encode({
      context: undefined,
      acks: 3,
      timeoutMs: 0,
      transactionalId: '',
      batches: [batch],
    });
    records.fill(0);
    assert.equal(produceRequestCodec.decode(sent).batches[0]?.records[0], 9);
  });
});

describe('a field that is longer than the message around it', () => {
  it('is refused, and does not reach into what follows', () => {
    const batch = { correlationId: 1, topicId: '', partition: 0, leaderEpoch: 0, records: Buffer.from('abc') };
    const one = produceRequestCodec.encode({
      context: undefined,
      acks: 0,
      timeoutMs: 0,
      transactionalId: '',
      batches: [batch],
    });
    const timeout = [0x18, 0x01];
    const message = Buffer.concat([one, Buffer.from(timeout)]);
    const length = message.indexOf('abc') - 1;
    assert.equal(message[length], 3);
    message[length] = 3 + timeout.length;
    assert.throws(() => produceRequestCodec.decode(message), { error: 'INVALID_REQUEST' });
  });
});

describe('a number that does not fit its field', () => {
  for (const [what, change] of [
    ['a fraction', { throttleMs: 1.5 }],
    ['more than 32 bits', { throttleMs: 2 ** 31 }],
  ] as const) {
    it(`is refused by the sender: ${what}`, () => {
      assert.throws(() => produceResponseCodec.encode({ results: [], ...change }), {
        error: 'INVALID_REQUEST',
      });
    });
  }

  it('is refused by the sender: more than 64 bits', () => {
    const result = { ...emptyResult, baseOffset: 2n ** 63n };
    assert.throws(() => produceResponseCodec.encode({ throttleMs: 0, results: [result] }), {
      error: 'INVALID_REQUEST',
    });
  });
});

describe('generated codecs', () => {
  it('end a malformed message in a typed error', () => {
    const message: ListTopicsResponse = {
      throttleMs: 5,
      topics: [{ name: 'a', topicId: 'b', partitions: 1, replicationFactor: 1, internal: true }],
    };
    const encoded = methods.listTopics.response.encode(message);
    assert.deepEqual(methods.listTopics.response.decode(encoded), message);
    for (let length = 1; length < encoded.length; length++) {
      try {
        methods.listTopics.response.decode(encoded.slice(0, length));
      } catch (thrown) {
        assert.ok(thrown instanceof TributaryError && thrown.error === 'INVALID_REQUEST', String(thrown));
      }
    }
    assert.throws(() => methods.listTopics.response.decode(encoded.slice(0, encoded.length - 1)), TributaryError);
  });
});

const emptyResult = {
  correlationId: 0,
  errorCode: 0 as const,
  errorMessage: '',
  baseOffset: 0n,
  logAppendTimeMs: 0n,
  logStartOffset: 0n,
  leaderId: 0,
  leaderEpoch: 0,
};
