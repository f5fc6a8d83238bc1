/** CRC32C (Castagnoli). Node's `zlib.crc32` is another polynomial. */
import { crc32c as native } from '@node-rs/crc32';

/** Of bytes [start, end), read in place. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  return native(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
}
