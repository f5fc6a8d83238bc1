/**
 * Snappy as Kafka's Java client writes it (xerial's snappy-java): a 16-byte header, then [i32 length][raw snappy block] again and again. Raw
 * snappy, as some other clients send it, is understood too.
 */
import { createRequire } from 'node:module';
import { TributaryError } from '@tributary/model';
import { readI32, writeI32 } from './big-endian.ts';

const require = createRequire(import.meta.url);
let loaded: typeof import('snappy') | undefined;

/** Native code, loaded when the first batch needs it: most processes, brokers among them, never do. */
const snappy = (): typeof import('snappy') => (loaded ??= require('snappy') as typeof import('snappy'));

const magic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00] as const;
const headerBytes = 16;
const version = 1;
/** Uncompressed bytes of a block, as snappy-java has it. */
const blockBytes = 32 * 1024;
/**
 * Otherwise the library hands out its own memory, at the capacity that incompressible input would need, and gives it back only after the event
 * loop has turned: a burst of batches would hold hundreds of MiB.
 */
const copied = { copyOutputData: true } as const;
/** The densest thing in the format is a copy of 64 bytes in 3. */
const expansionMax = 64 / 3;

export function compressSnappy(bytes: Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  let size = headerBytes;
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const block = snappy().compressSync(bytes.subarray(start, start + blockBytes), copied);
    blocks.push(block);
    size += 4 + block.length;
  }
  const framed = Buffer.allocUnsafeSlow(size);
  framed.set(magic);
  writeI32(framed, 8, version);
  writeI32(framed, 12, version);
  let at = headerBytes;
  for (const block of blocks) {
    writeI32(framed, at, block.length);
    framed.set(block, at + 4);
    at += 4 + block.length;
  }
  return framed;
}

/** @throws TributaryError MESSAGE_TOO_LARGE, CORRUPT_MESSAGE. */
export function decompressSnappy(bytes: Uint8Array, maxBytes: number): Uint8Array {
  return isFramed(bytes) ? decompressFramed(bytes, maxBytes) : block(bytes, 0, bytes.length, maxBytes);
}

const isFramed = (bytes: Uint8Array): boolean =>
  bytes.length >= headerBytes && magic.every((byte, index) => bytes[index] === byte);

function decompressFramed(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let total = 0;
  let at = headerBytes;
  while (at < bytes.length) {
    const length = at + 4 <= bytes.length ? readI32(bytes, at) : -1;
    if (length <= 0 || length > bytes.length - at - 4) throw corrupt(`block at byte ${at} has no valid length`);
    const part = block(bytes, at + 4, at + 4 + length, maxBytes - total);
    parts.push(part);
    total += part.length;
    at += 4 + length;
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, total);
}

function block(bytes: Uint8Array, start: number, end: number, maxBytes: number): Uint8Array {
  const claimed = claimedLength(bytes, start, end);
  if (claimed > (end - start) * expansionMax)
    throw corrupt(`block at byte ${start} claims ${claimed} bytes from ${end - start}`);
  if (claimed > maxBytes)
    throw new TributaryError(
      'MESSAGE_TOO_LARGE',
      `snappy records expand beyond the limit, by a block of ${claimed} bytes where ${maxBytes} are left`,
    );
  try {
    return snappy().uncompressSync(bytes.subarray(start, end), { asBuffer: true, ...copied }) as Buffer;
  } catch (thrown) {
    throw corrupt(thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

/** A raw block begins with its uncompressed length as a plain varint. */
function claimedLength(bytes: Uint8Array, start: number, end: number): number {
  let length = 0;
  let scale = 1;
  for (let at = start; at < Math.min(end, start + 5); at++) {
    const byte = bytes[at]!;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) return length;
    scale *= 128;
  }
  throw corrupt(`block at byte ${start} has no valid length`);
}

const corrupt = (what: string, cause?: unknown): TributaryError =>
  new TributaryError('CORRUPT_MESSAGE', `snappy records do not decompress: ${what}`, { cause });
