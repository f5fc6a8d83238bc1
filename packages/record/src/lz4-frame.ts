/**
 * LZ4 in its frame format, as Kafka has it: independent blocks, a header checksum, no content checksum. The library decodes whole frames without a
 * limit, so the frame's blocks are walked first to bound what it will produce.
 */
import { createRequire } from 'node:module';
import { TributaryError } from '@tributary/model';
import { readI32LittleEndian } from './big-endian.ts';

const require = createRequire(import.meta.url);
let loaded: typeof import('lz4-napi') | undefined;

/** Native code, loaded when the first batch needs it. */
const lz4 = (): typeof import('lz4-napi') => (loaded ??= require('lz4-napi') as typeof import('lz4-napi'));

const magic = 0x184d2204;
const flag = {
  version: 0b1100_0000,
  version1: 0b0100_0000,
  independentBlocks: 0b10_0000,
  blockChecksum: 0b1_0000,
  contentSize: 0b1000,
  contentChecksum: 0b100,
  dictionary: 0b1,
} as const;
/** By the block descriptor's bits 4–6. */
const blockBytesMax: Readonly<Record<number, number>> = {
  4: 64 * 1024,
  5: 256 * 1024,
  6: 1024 * 1024,
  7: 4 * 1024 * 1024,
};
/** A length continues with bytes of 255 each: no byte of input yields more. */
const expansionMax = 255;

export function compressLz4Frame(bytes: Uint8Array): Uint8Array {
  return lz4().compressFrameSync(asBuffer(bytes));
}

/** @throws TributaryError MESSAGE_TOO_LARGE, CORRUPT_MESSAGE. */
export function decompressLz4Frame(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const frame = walkFrame(bytes);
  if (frame.atMost > maxBytes) {
    const exact = frame.blocks.reduce((sum, block) => sum + blockLength(bytes, block), 0);
    if (exact > maxBytes)
      throw new TributaryError(
        'MESSAGE_TOO_LARGE',
        `lz4 records expand to ${exact} bytes, beyond the limit of ${maxBytes}`,
      );
  }
  try {
    return lz4().decompressFrameSync(asBuffer(bytes.subarray(0, frame.end)));
  } catch (thrown) {
    throw corrupt(thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

interface Block {
  readonly start: number;
  readonly end: number;
  readonly compressed: boolean;
}

interface Frame {
  readonly blocks: readonly Block[];
  readonly end: number;
  /** Bytes that the blocks can expand to. */
  readonly atMost: number;
}

function walkFrame(bytes: Uint8Array): Frame {
  if (bytes.length < 7 || readI32LittleEndian(bytes, 0) !== magic) throw corrupt('no frame begins here');
  const flags = bytes[4]!;
  if ((flags & flag.version) !== flag.version1) throw corrupt('unknown version of the frame format');
  if ((flags & flag.independentBlocks) === 0) throw corrupt('dependent blocks are not supported, as in Kafka');
  const perBlock = blockBytesMax[(bytes[5]! >>> 4) & 0b111];
  if (perBlock === undefined) throw corrupt('unknown block size');
  let at = 7 + ((flags & flag.contentSize) === 0 ? 0 : 8) + ((flags & flag.dictionary) === 0 ? 0 : 4);
  const blocks: Block[] = [];
  let atMost = 0;
  for (;;) {
    if (at + 4 > bytes.length) throw corrupt('the frame is cut');
    const field = readI32LittleEndian(bytes, at);
    at += 4;
    if (field === 0) break;
    const size = field & 0x7fffffff;
    const end = at + size;
    if (size > perBlock || end > bytes.length) throw corrupt(`block at byte ${at} has no valid length`);
    const compressed = field > 0;
    blocks.push({ start: at, end, compressed });
    atMost += compressed ? Math.min(perBlock, size * expansionMax) : size;
    at = end + ((flags & flag.blockChecksum) === 0 ? 0 : 4);
  }
  const end = at + ((flags & flag.contentChecksum) === 0 ? 0 : 4);
  if (end > bytes.length) throw corrupt('the frame is cut');
  return { blocks, end, atMost };
}

/** What a block expands to, from its tokens alone. */
function blockLength(bytes: Uint8Array, block: Block): number {
  if (!block.compressed) return block.end - block.start;
  let length = 0;
  let at = block.start;
  const extended = (nibble: number): number => {
    let value = nibble;
    if (nibble !== 15) return value;
    for (let byte = 255; byte === 255; ) {
      if (at >= block.end) throw corrupt(`block at byte ${block.start} is cut`);
      byte = bytes[at++]!;
      value += byte;
    }
    return value;
  };
  while (at < block.end) {
    const token = bytes[at++]!;
    const literals = extended(token >>> 4);
    at += literals;
    length += literals;
    if (at >= block.end) break;
    at += 2;
    length += extended(token & 15) + 4;
  }
  return length;
}

/** The library insists on a Buffer; this makes one over the same memory. */
const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const corrupt = (what: string, cause?: unknown): TributaryError =>
  new TributaryError('CORRUPT_MESSAGE', `lz4 records do not decompress: ${what}`, { cause });
