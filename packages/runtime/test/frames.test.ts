import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { limits } from '@tributary/model';
import fc from 'fast-check';
import { checkSize, FrameReader, writeFrame } from '../src/transport/frames.ts';

/** What `writeFrame` puts on the wire. */
function framed(messages: readonly Uint8Array[]): Buffer {
  const chunks: Buffer[] = [];
  const wire = new Writable({
    write: (chunk: Buffer, _, done) => {
      chunks.push(chunk);
      done();
    },
  });
  for (const message of messages) {
    // In one piece, and in several of which some are small.
    const cut = Math.min(message.length, message.length % 7 === 0 ? 10 : 5_000);
    const pieces = cut === message.length ? [message] : [message.subarray(0, cut), message.subarray(cut)];
    writeFrame(wire, pieces, message.length, () => undefined);
  }
  return Buffer.concat(chunks);
}

function readInChunks(
  wire: Buffer,
  sizes: readonly number[],
): { readonly messages: Buffer[]; readonly whole: boolean } {
  const messages: Buffer[] = [];
  const reader = new FrameReader((message) => messages.push(Buffer.from(message)));
  for (let at = 0, i = 0; at < wire.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    // As from a socket: memory that is used again.
    const chunk = Buffer.from(wire.subarray(at, at + size));
    reader.read(chunk);
    at += size;
  }
  return { messages, whole: reader.whole };
}

const messages = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(0, 4_096, 4_097, 20_000).map((length) => new Uint8Array(length).fill(length & 0xff)),
  ),
  { maxLength: 12 },
);

describe('frames', () => {
  it('give the messages back however the network cuts them', () => {
    const chunkSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 30_000 })), {
      minLength: 1,
    });
    fc.assert(
      fc.property(messages, chunkSizes, (sent, sizes) => {
        const { messages: received, whole } = readInChunks(framed(sent), sizes);
        assert.deepEqual(
          received,
          sent.map((message) => Buffer.from(message)),
        );
        assert.ok(whole);
      }),
    );
  });

  it('say when they end within a message', () => {
    const wire = framed([Buffer.from('abc')]);
    for (let length = 1; length < wire.length; length++)
      assert.equal(readInChunks(wire.subarray(0, length), [100]).whole, false);
  });

  it('of more than the limit are refused by their header alone', () => {
    const header = Buffer.from([0, 0, 0, 0, 0]);
    header.writeUInt32BE(limits.messageBytesMax + 1, 1);
    assert.throws(() => readInChunks(header, [5]), { error: 'MESSAGE_TOO_LARGE' });
    assert.throws(() => checkSize(limits.messageBytesMax + 1), { error: 'MESSAGE_TOO_LARGE' });
    checkSize(limits.messageBytesMax);
  });

  it('that are compressed are refused with what to do', () => {
    assert.throws(() => readInChunks(Buffer.from([1, 0, 0, 0, 1, 9]), [6]), { error: 'UNSUPPORTED_COMPRESSION_TYPE' });
  });

  it('larger than an ordinary message take memory only as their bytes arrive', () => {
    const claimed = 60 * 1024 * 1024;
    const header = Buffer.from([0, 0, 0, 0, 0]);
    header.writeUInt32BE(claimed, 1);
    const before = process.memoryUsage().arrayBuffers;
    const reader = new FrameReader(() => undefined);
    reader.read(header);
    reader.read(Buffer.alloc(10));
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 * limits.messageAllocated);
    assert.equal(reader.whole, false);
  });

  it('of several MiB are put together byte for byte', () => {
    const large = Buffer.alloc(5_000_001);
    for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(i, Math.min(i, large.length - 4));
    const { messages: received } = readInChunks(framed([large, Buffer.from('end')]), [16_384]);
    assert.ok(received[0]?.equals(large));
    assert.equal(received[1]?.toString(), 'end');
  });
});
