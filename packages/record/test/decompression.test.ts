/** Each codec against input that claims, or really holds, far more than it may. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type ErrorName, TributaryError } from '@tributary/model';
import { compress, compressions, decodeBatch, decompress, encodeBatch, stampCrc } from '@tributary/record';
import fc from 'fast-check';
import { compressSync as rawSnappy } from 'snappy';

const gib4 = 2 ** 32;
const limit = 1 << 20;

/** Refused with this error, in time and memory that have nothing to do with what the input would expand to. */
function refusesCheaply(run: () => unknown, ...errors: ErrorName[]): void {
  const rssBefore = process.resourceUsage().maxRSS;
  const start = performance.now();
  assert.throws(run, (thrown: unknown) => {
    assert(thrown instanceof TributaryError, String(thrown));
    assert(errors.includes(thrown.error), `${thrown.error}: ${thrown.message}`);
    return true;
  });
  assert(performance.now() - start < 2000, `took ${performance.now() - start} ms`);
  assert(
    process.resourceUsage().maxRSS - rssBefore < 64 * 1024,
    `${process.resourceUsage().maxRSS - rssBefore} KiB more`,
  );
}

/** 4 GiB of zeros as 128 KiB of run-length blocks. */
function zstdBomb(): Buffer {
  const block = Buffer.from([0x02, 0x00, 0x10, 0x00]); // not last, run length, 128 KiB
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]),
    ...Array.from({ length: gib4 / 131_072 }, () => block),
    Buffer.from([0x03, 0, 0, 0]),
  ]);
}

/** Blocks of 4 MiB of zeros; the last byte of the frame's header, its checksum, is found by trying. */
function lz4Frame(blocks: number): Buffer {
  const expanded = 4 << 20;
  const extension = expanded - 1 - 19 - 12; // after a literal and the match's own 19; the last 12 bytes are literals
  const block = Buffer.concat([
    Buffer.from([0x1f, 0x00, 0x01, 0x00]),
    Buffer.alloc(Math.floor(extension / 255), 255),
    Buffer.from([extension % 255, 0xc0]),
    Buffer.alloc(12),
  ]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length);
  const frame = Buffer.concat([
    Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73]),
    ...Array.from({ length: blocks }, () => Buffer.concat([size, block])),
    Buffer.alloc(4),
  ]);
  return frame;
}

test('4 GiB of zeros in a gzip of 4 MiB are refused', () => {
  const member = gzipSync(Buffer.alloc(1 << 24));
  const bomb = Buffer.concat(Array.from({ length: 256 }, () => member));
  refusesCheaply(() => decompress('gzip', bomb, limit), 'MESSAGE_TOO_LARGE');
});

test('4 GiB of zeros in a zstd of 128 KiB are refused', () => {
  refusesCheaply(() => decompress('zstd', zstdBomb(), limit), 'MESSAGE_TOO_LARGE');
});

test('a zstd frame that claims 4 GiB, or a window of as much, is refused', () => {
  const claimsContent = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 0x03, 0, 0, 0]);
  const claimsWindow = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb0, 0x01, 0, 0]);
  for (const bytes of [claimsContent, claimsWindow])
    refusesCheaply(() => decompress('zstd', bytes, limit), 'CORRUPT_MESSAGE', 'MESSAGE_TOO_LARGE');
});

test('4 GiB of zeros in an lz4 frame of 16 MiB are refused', () => {
  assert.equal(decompress('lz4', lz4Frame(1), 4 << 20).length, 4 << 20, 'the bomb’s block is a valid one');
  const bomb = lz4Frame(gib4 / (4 << 20));
  refusesCheaply(() => decompress('lz4', bomb, limit), 'MESSAGE_TOO_LARGE');
});

test('snappy blocks that claim more than snappy can hold, or than is allowed, are refused', () => {
  const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
  const framed = (block: Buffer): Buffer => {
    const size = Buffer.alloc(4);
    size.writeInt32BE(block.length);
    return Buffer.concat([header, size, block]);
  };
  const claims = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61]);
  for (const bytes of [claims, framed(claims)])
    refusesCheaply(() => decompress('snappy', bytes, limit), 'CORRUPT_MESSAGE');
  const zeros = Buffer.from(rawSnappy(Buffer.alloc(limit + 1)));
  for (const bytes of [zeros, framed(zeros), compress('snappy', Buffer.alloc(limit + 1))])
    refusesCheaply(() => decompress('snappy', bytes, limit), 'MESSAGE_TOO_LARGE');
  for (const length of [-1, 0, 2 ** 31 - 1, 8]) {
    const lying = framed(claims);
    lying.writeInt32BE(length, 16);
    refusesCheaply(() => decompress('snappy', lying, limit), 'CORRUPT_MESSAGE');
  }
});

test('a batch that is a bomb is refused whole', () => {
  const bytes = Buffer.concat([encodeBatch([]), zstdBomb()]);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt16BE(4, 21);
  bytes.writeInt32BE(1, 57);
  stampCrc(bytes, 0);
  refusesCheaply(() => decodeBatch(bytes, 0, limit), 'MESSAGE_TOO_LARGE');
});

test('exactly the limit is allowed, one byte more is not', () => {
  const patterns = [
    Buffer.alloc(300_000),
    Buffer.from(Array.from({ length: 300_000 }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24)),
  ];
  for (const compression of compressions) {
    if (compression === 'none') continue;
    for (const bytes of patterns) {
      const packed = compress(compression, bytes);
      assert(bytes.equals(decompress(compression, packed, bytes.length)), compression);
      assert.throws(
        () => decompress(compression, packed, bytes.length - 1),
        { name: 'TributaryError', error: 'MESSAGE_TOO_LARGE' },
        compression,
      );
    }
  }
});

test('many small lz4 blocks are judged by what they hold, not by what they could', () => {
  const packed = compress('lz4', Buffer.from('abcdefghij'.repeat(10)));
  const block = packed.subarray(7, -4);
  const many = Buffer.concat([packed.subarray(0, 7), ...Array.from({ length: 1000 }, () => block), Buffer.alloc(4)]);
  assert.equal(decompress('lz4', many, 100_000).length, 100_000);
  assert.throws(() => decompress('lz4', many, 99_999), { name: 'TributaryError', error: 'MESSAGE_TOO_LARGE' });
});

test('raw snappy, as some clients send it, is read', () => {
  const bytes = Buffer.from('raw '.repeat(50_000));
  assert(bytes.equals(decompress('snappy', rawSnappy(bytes))));
});

test('levels trade time for size', () => {
  const bytes = Buffer.from(
    Array.from(
      { length: 20_000 },
      (_, index) => `user ${Math.floor(Math.abs(Math.sin(index)) * 500)} did ${index % 7} at ${Math.cos(index)};`,
    ).join(''),
  );
  for (const compression of ['gzip', 'zstd'] as const) {
    const small = compress(compression, bytes, compression === 'gzip' ? 9 : 19);
    assert(small.length < compress(compression, bytes, 1).length);
    assert(bytes.equals(decompress(compression, small)));
  }
});

test('what is compressed decompresses to the same, whatever its size', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...compressions),
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(1200),
      (compression, piece, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => piece));
        assert(bytes.equals(decompress(compression, compress(compression, bytes))));
      },
    ),
  );
});

test('cut input is refused', () => {
  const bytes = Buffer.from('something that repeats; '.repeat(4000));
  for (const compression of compressions) {
    if (compression === 'none') continue;
    const packed = compress(compression, bytes);
    for (let length = 0; length < packed.length; length += 1 + Math.floor(packed.length / 300)) {
      try {
        // A frame may be whole before its end mark or checksum; what comes out must still be a beginning of what went in.
        assert(bytes.subarray(0, decompress(compression, packed.subarray(0, length)).length).length <= bytes.length);
      } catch (thrown) {
        assert(
          thrown instanceof TributaryError && thrown.error === 'CORRUPT_MESSAGE',
          `${compression} ${length}: ${String(thrown)}`,
        );
      }
    }
  }
});

test('garbage is refused', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...compressions.slice(1)),
      fc.uint8Array({ maxLength: 200 }),
      fc.boolean(),
      (compression, garbage, keepsMagic) => {
        const magic = compress(compression, new Uint8Array(0)).subarray(0, keepsMagic ? 7 : 0);
        try {
          decompress(compression, Buffer.concat([magic, garbage]), limit);
        } catch (thrown) {
          assert(thrown instanceof TributaryError, String(thrown));
        }
      },
    ),
    { numRuns: 4000 },
  );
  assert.throws(() => decompress('zstd', zstdCompressSync(Buffer.from('x')).subarray(1)), {
    name: 'TributaryError',
    error: 'CORRUPT_MESSAGE',
  });
});
