// pure
/**
 * Big-endian integers in byte arrays. Written out by hand because a `DataView` per call costs several times the read itself and the
 * bytes here are often plain `Uint8Array`s, which lack Buffer's methods. Positions are the caller's to have checked.
 */

const word = new BigInt64Array(1);
const halves = new Int32Array(word.buffer);
const lowHalf = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;
const highHalf = 1 - lowHalf;

const two32 = 4_294_967_296;

export function readI16(bytes: Uint8Array, position: number): number {
  return (((bytes[position]! << 8) | bytes[position + 1]!) << 16) >> 16;
}

export function readI32(bytes: Uint8Array, position: number): number {
  return (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
}

/** Little-endian: the block sizes of an LZ4 frame. */
export function readI32LittleEndian(bytes: Uint8Array, position: number): number {
  return bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16) | (bytes[position + 3]! << 24);
}

/** Through a shared word: one allocation, where shifting bigints together costs four. */
export function readI64(bytes: Uint8Array, position: number): bigint {
  halves[highHalf] = readI32(bytes, position);
  halves[lowHalf] = readI32(bytes, position + 4);
  return word[0]!;
}

/** As a number: exact within ±2⁵³, rounded beyond. */
export function readI64AsNumber(bytes: Uint8Array, position: number): number {
  return readI32(bytes, position) * two32 + (readI32(bytes, position + 4) >>> 0);
}

export function writeI16(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >> 8;
  bytes[position + 1] = value;
}

export function writeI32(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >> 24;
  bytes[position + 1] = value >> 16;
  bytes[position + 2] = value >> 8;
  bytes[position + 3] = value;
}

export function writeI64(bytes: Uint8Array, position: number, value: bigint): void {
  word[0] = value;
  writeI32(bytes, position, halves[highHalf]!);
  writeI32(bytes, position + 4, halves[lowHalf]!);
}

/** @param value an integer within ±2⁵³. */
export function writeI64FromNumber(bytes: Uint8Array, position: number, value: number): void {
  writeI32(bytes, position, Math.floor(value / two32));
  writeI32(bytes, position + 4, value | 0);
}
