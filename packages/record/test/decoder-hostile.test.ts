/** The decoder against input that was made to hurt. Everything here passes the CRC, or never looks at it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type ErrorName, TributaryError } from '@tributary/model';
import {
  batchHeaderBytes,
  checkBatch,
  compressions,
  decodeBatch,
  encodeBatch,
  openBatch,
  stampCrc,
} from '@tributary/record';
import fc from 'fast-check';
import { golden, scenarios } from './golden-vectors.ts';

const typed: readonly ErrorName[] = [
  'CORRUPT_MESSAGE',
  'MESSAGE_TOO_LARGE',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
];

let turns = 0;
/** The native codecs give memory back when the event loop turns. */
const turnSometimes = async (): Promise<void> => {
  if (turns++ % 8 === 0) await turn();
};

/** Decodes everything that can be decoded. @returns whether it was refused, which only a typed error may do. */
function refuses(bytes: Uint8Array, at = 0): boolean {
  try {
    for (const record of decodeBatch(bytes, at, 1 << 20)) {
      void [
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
        record.keyText(),
        record.valueText(),
      ];
    }
    return false;
  } catch (thrown) {
    assert(thrown instanceof TributaryError, `${String(thrown)} is not a TributaryError`);
    assert(typed.includes(thrown.error), `${thrown.error}: ${thrown.message}`);
    return true;
  }
}

/** A zigzag varint of any length, written out independently of the code under test. @param padTo bytes that an over-long one takes. */
function varint(value: number | bigint, padTo = 0): number[] {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  const bytes: number[] = [];
  while (rest >= 128n || bytes.length + 1 < padTo) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
}

/** A batch around these bytes, with a correct CRC. */
function batchOf(section: readonly number[], count: number, lastOffsetDelta = Math.max(count - 1, 0)): Buffer {
  const bytes = Buffer.concat([encodeBatch([]), Buffer.from(section)]);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt32BE(lastOffsetDelta, 23);
  bytes.writeInt32BE(count, 57);
  stampCrc(bytes, 0);
  return bytes;
}

interface Parts {
  readonly length?: number[];
  readonly timestampDelta?: number[];
  readonly offsetDelta?: number[];
  readonly keyLength?: number[];
  readonly valueLength?: number[];
  readonly headersCount?: number[];
  readonly headers?: number[];
}

/** A record with key "k" and value "vv", of which any part may be replaced. */
function recordOf(parts: Parts = {}): number[] {
  const body = [
    0,
    ...(parts.timestampDelta ?? varint(0)),
    ...(parts.offsetDelta ?? varint(0)),
    ...(parts.keyLength ?? varint(1)),
    0x6b,
    ...(parts.valueLength ?? varint(2)),
    0x76,
    0x76,
    ...(parts.headersCount ?? varint(0)),
    ...(parts.headers ?? []),
  ];
  return [...(parts.length ?? varint(body.length)), ...body];
}

/** Of the record without its length. */
const bodyBytes = recordOf().length - 1;

const hostileLengths = [-2, -64, -(2 ** 31), 3, 4, 63, 64, 8191, 2 ** 20, 2 ** 31 - 1];

test('the hand-made batch is sound until a part of it is replaced', () => {
  const [record] = decodeBatch(batchOf(recordOf(), 1)).records;
  assert.deepEqual([record?.keyText(), record?.valueText(), record?.headers], ['k', 'vv', []]);
});

test('lengths that are negative or reach beyond the record are corrupt', () => {
  for (const length of hostileLengths) {
    for (const part of ['length', 'keyLength', 'valueLength'] as const) {
      if (part === 'keyLength' && length === 3) continue; // Ends where the value length was: judged by what follows.
      assert(refuses(batchOf(recordOf({ [part]: varint(length) }), 1)), `${part} ${length}`);
    }
    assert(
      refuses(batchOf(recordOf({ headersCount: varint(length), headers: [...varint(1), 0x68, ...varint(0)] }), 1)),
      `headers ${length}`,
    );
    assert(
      refuses(batchOf(recordOf({ headersCount: varint(1), headers: [...varint(length), 0x68, ...varint(0)] }), 1)),
      `header key ${length}`,
    );
    assert(
      refuses(batchOf(recordOf({ headersCount: varint(1), headers: [...varint(1), 0x68, ...varint(length)] }), 1)),
      `header value ${length}`,
    );
  }
  assert(
    refuses(batchOf(recordOf({ headersCount: varint(1), headers: [...varint(-1), ...varint(0)] }), 1)),
    'a header’s key may not be null',
  );
});

test('a record that is longer than what it holds is corrupt', () => {
  assert(refuses(batchOf([...recordOf({ length: varint(bodyBytes + 1) }), 0], 1)));
  const inside = recordOf({ offsetDelta: varint(1) });
  assert(
    refuses(batchOf([...recordOf({ length: varint(bodyBytes + inside.length) }), ...inside], 2)),
    'a record within another',
  );
});

test('a header whose key is null is corrupt, even where what follows would make up for it', () => {
  const headers = [...varint(-1), ...varint(1), 0x68, ...varint(0)];
  assert(refuses(batchOf(recordOf({ headersCount: varint(2), headers }), 1)));
});

test('a length may not reach past the batch, even where bytes follow it', () => {
  const bytes = batchOf(recordOf({ length: varint(40) }), 1);
  const followed = Buffer.concat([bytes, Buffer.alloc(1000)]);
  checkBatch(followed, 0, followed.length, 'producer');
  assert(refuses(followed));
});

test('varints longer than their type are corrupt, padded ones within it are read', () => {
  for (const part of ['length', 'offsetDelta', 'keyLength', 'valueLength', 'headersCount'] as const) {
    const value = { length: bodyBytes, offsetDelta: 0, keyLength: 1, valueLength: 2, headersCount: 0 }[part];
    assert(refuses(batchOf(recordOf({ [part]: varint(value, 6) }), 1)), part);
    const [low, ...padding] = varint(value, 5);
    const of33Bits = [low ?? 0, ...padding.slice(0, 3), 0x10];
    assert(refuses(batchOf(recordOf({ [part]: of33Bits }), 1)), `${part} of 33 bits`);
  }
  assert(refuses(batchOf(recordOf({ timestampDelta: varint(0, 11) }), 1)));
  const padded = recordOf({ offsetDelta: varint(0, 5), timestampDelta: varint(7, 10) });
  assert.equal(decodeBatch(batchOf(padded, 1)).records[0]?.timestampDelta, 7);
});

test('timestamp deltas are exact as far as a number is, and corrupt beyond', () => {
  for (const delta of [2 ** 31, -(2 ** 31) - 1, 2 ** 40 + 1, -(2 ** 52) + 1, 2 ** 52 - 1]) {
    assert.equal(
      decodeBatch(batchOf(recordOf({ timestampDelta: varint(delta) }), 1)).records[0]?.timestampDelta,
      delta,
    );
  }
  for (const delta of [2n ** 53n, -(2n ** 62n), 2n ** 63n - 1n, -(2n ** 63n)])
    assert(refuses(batchOf(recordOf({ timestampDelta: varint(delta) }), 1)), `${delta}`);
});

test('offset deltas rise within the batch’s range, so that no offset is read twice', () => {
  const pair = (first: number, second: number): number[] => [
    ...recordOf({ offsetDelta: varint(first) }),
    ...recordOf({ offsetDelta: varint(second) }),
  ];
  assert(!refuses(batchOf(pair(0, 1), 2)));
  assert(!refuses(batchOf(pair(3, 9), 2, 9)), 'gaps are legal: compaction makes them');
  for (const [first, second] of [
    [0, 0],
    [1, 0],
    [-1, 0],
    [0, 2],
    [0, 2 ** 31 - 1],
    [-(2 ** 31), 1],
  ] as const) {
    assert(refuses(batchOf(pair(first, second), 2)), `${first}, ${second}`);
  }
});

test('a count that lies is corrupt, and no memory is taken for it', () => {
  const section = [...recordOf(), ...recordOf({ offsetDelta: varint(1) })];
  const before = process.memoryUsage();
  for (const count of [0, 1, 3, 4, 1000, 2 ** 31 - 1, -1, -(2 ** 31)])
    assert(refuses(batchOf(section, count, 2 ** 31 - 1)), `${count}`);
  const after = process.memoryUsage();
  assert(after.heapUsed + after.external - before.heapUsed - before.external < 4 << 20);
});

test('bytes after the last record are corrupt', () => {
  assert(refuses(batchOf([...recordOf(), 0], 1)));
  const cursor = openBatch(batchOf([...recordOf(), 0], 1)).cursor();
  assert(cursor.next() !== undefined);
  assert.throws(() => cursor.next(), { name: 'TributaryError', error: 'CORRUPT_MESSAGE' });
});

for (const scenario of scenarios) {
  test(`cut at every byte, with a length field that says so, a batch of Java’s is refused (${scenario})`, async () => {
    const { bytes, batches } = golden(scenario);
    for (const { at, size, records } of batches) {
      const step = Math.max(1, Math.floor(size / 1500));
      for (let length = 0; length < size; length += step) {
        await turnSometimes();
        const cut = Buffer.from(bytes.subarray(at, at + length));
        assert(refuses(cut), `${length} of ${size} bytes`);
        if (length < batchHeaderBytes) continue;
        cut.writeInt32BE(length - 12, 8);
        stampCrc(cut, 0);
        checkBatch(cut, 0, cut.length, 'log');
        // A codec may not need its last bytes (a checksum, an end mark); then every record must be there.
        if (!refuses(cut)) assert.equal(decodeBatch(cut).records.length, records.length);
      }
    }
  });

  test(`with any bit flipped behind the CRC, a batch of Java’s is read or refused, never more (${scenario})`, async () => {
    const { bytes, batches } = golden(scenario);
    for (const { at, size } of batches) {
      const flipped = Buffer.from(bytes.subarray(at, at + size));
      const step = Math.max(1, Math.floor(size / 400));
      for (let index = 0; index < size; index += index < 200 ? 1 : step) {
        await turnSometimes();
        for (let bit = 0; bit < 8; bit++) {
          flipped[index]! ^= 1 << bit;
          refuses(flipped);
          flipped[index]! ^= 1 << bit;
        }
      }
    }
  });
}

test('random bytes in the place of records are read or refused, never more', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: -1, max: 40 }),
      fc.constantFrom(...compressions.keys()),
      (section, count, codec) => {
        const bytes = batchOf([...section], count, 1000);
        bytes[22]! |= codec;
        refuses(bytes);
      },
    ),
    { numRuns: 5000 },
  );
});

test('random edits of a sound batch are read or refused, never more', () => {
  const original = encodeBatch(
    Array.from({ length: 20 }, (_, index) => ({
      timestamp: index,
      key: `k${index}`,
      value: 'v'.repeat(index * 7),
      headers: [{ key: 'h', value: Buffer.from('x') }],
    })),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (edits) => {
        const bytes = Buffer.from(original);
        for (const [at, value] of edits) bytes[at] = value;
        refuses(bytes);
      },
    ),
    { numRuns: 5000 },
  );
});

test('all of this took no memory that a length merely claimed', () => {
  const mibMax = process.resourceUsage().maxRSS / 1024;
  assert(mibMax < 400, `${mibMax} MiB at the peak`);
});
