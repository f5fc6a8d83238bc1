/**
 * The four codecs of Kafka, always synchronous: work on libuv's thread pool would complete in another order at each run of the simulator.
 *
 * Decompression never allocates what a length in its input merely claims, and stops at `maxBytes`: zlib grows its output chunk by chunk up to a
 * limit; for snappy and lz4 the claims are first held against what their formats can expand to.
 */
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { limits, TributaryError } from '@tributary/model';
import type { Compression } from './batch-header.ts';
import { compressLz4Frame, decompressLz4Frame } from './lz4-frame.ts';
import { compressSnappy, decompressSnappy } from './snappy-framing.ts';

/** Records of one batch after decompression: twice the largest batch that may be sent; a batch that holds more is a bomb, not a message. */
export const decompressedBytesMax = 2 * limits.batchBytesMax;

/** zlib's default of 16 KiB makes it join 64 pieces for each MiB. */
const chunkSize = 128 * 1024;

/** Kafka's default levels. */
const levelDefault = { gzip: constants.Z_DEFAULT_COMPRESSION, zstd: 3 } as const;

/** @param level of gzip (1 … 9) or zstd (−131072 … 22); the others have none. */
export function compress(compression: Compression, bytes: Uint8Array, level?: number): Uint8Array {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gzip':
      return gzipSync(bytes, { level: level ?? levelDefault.gzip, chunkSize });
    case 'snappy':
      return compressSnappy(bytes);
    case 'lz4':
      return compressLz4Frame(bytes);
    case 'zstd':
      return zstdCompressSync(bytes, {
        params: { [constants.ZSTD_c_compressionLevel]: level ?? levelDefault.zstd },
        chunkSize,
      });
  }
}

/** @throws TributaryError MESSAGE_TOO_LARGE beyond `maxBytes`, CORRUPT_MESSAGE if the input is not what the codec writes. */
export function decompress(
  compression: Compression,
  bytes: Uint8Array,
  maxBytes: number = decompressedBytesMax,
): Uint8Array {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gzip':
      return inflate('gzip', maxBytes, () => gunzipSync(bytes, { maxOutputLength: maxBytes, chunkSize }));
    case 'snappy':
      return decompressSnappy(bytes, maxBytes);
    case 'lz4':
      return decompressLz4Frame(bytes, maxBytes);
    case 'zstd':
      return inflate('zstd', maxBytes, () => zstdDecompressSync(bytes, { maxOutputLength: maxBytes, chunkSize }));
  }
}

function inflate(compression: Compression, maxBytes: number, run: () => Uint8Array): Uint8Array {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof RangeError && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new TributaryError(
        'MESSAGE_TOO_LARGE',
        `${compression} records expand beyond the limit of ${maxBytes} bytes`,
        { cause: thrown },
      );
    }
    throw new TributaryError(
      'CORRUPT_MESSAGE',
      `${compression} records do not decompress: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      { cause: thrown },
    );
  }
}
