// pure
/** Avro's long as a bigint: 64 bits, zigzag, seven bits a byte, the lowest first. */

/** @param bytes exactly one number. */
export function readLong(bytes: Uint8Array): bigint {
  if (bytes.length <= 4) {
    let small = 0;
    for (let at = bytes.length - 1; at >= 0; at--) small = (small << 7) | ((bytes[at] ?? 0) & 0x7f);
    return BigInt((small >>> 1) ^ -(small & 1));
  }
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 7n) | BigInt((bytes[at] ?? 0) & 0x7f);
  return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
}

export function writeLong(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

export function isLong(value: unknown): value is bigint {
  return typeof value === 'bigint' && value === BigInt.asIntN(64, value);
}
